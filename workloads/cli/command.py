"""The commands of `gearshift`.

All input is checked before Ray starts. Exit codes: 0 done, 1 failed, 2 wrong use or bad input, 130 interrupted by
Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.

The module of a command brings hundreds of others, so it is imported when the command is called. `gearshift --help`
shows the first sentence of each command's docstring, which is read from the source.
"""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

COMMANDS = {
    "report": "workloads.cli.report",
    "explain": "workloads.cli.explain",
    "run": "workloads.cli.run",
    "serve": "workloads.cli.serve",
    "bench": "workloads.cli.bench",
    "validate": "workloads.cli.validate",
    "profile": "workloads.cli.supernets",
    "accuracy": "workloads.cli.supernets",
    "ladder": "workloads.cli.supernets",
    "probe": "workloads.cli.board",
    "doctor": "workloads.cli.board",
    "calibrate": "workloads.cli.calibrate",
    "restore": "workloads.cli.board",
    "reproduce": "workloads.cli.reproduce",
}
"""The module of each command, whose function has the command's name; in the order in which they are shown."""


class _Commands(TyperGroup):
    """The commands as a group that imports one when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name) for name in COMMANDS}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command with its help, or None; its options are known once it is called."""
        command = super().get_command(ctx, cmd_name)
        if command is not None and command.help is None:
            command.help = docstring_of(cmd_name)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return what is called, and import it."""
        if args[0] in COMMANDS:
            self.commands[args[0]] = imported(args[0])
        return super().resolve_command(ctx, args)


def docstring_of(name: str) -> str:
    """Return the docstring of a command, without importing its module."""
    found = find_spec(COMMANDS[name])
    assert found is not None
    assert found.origin is not None
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return ast.get_docstring(function) or ""


def imported(name: str) -> Any:
    """Return a command as typer makes it of its function."""
    alone = typer.Typer(add_completion=False)
    alone.command()(getattr(import_module(COMMANDS[name]), name))
    return get_command(alone)


app = typer.Typer(
    name="gearshift",
    cls=_Commands,
    help="Run several dynamic DNNs on one board, with sub-networks, cores and clocks decided together every epoch.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("gearshift"))
        raise typer.Exit


@app.callback()
def _options(
    wanted: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None: ...
