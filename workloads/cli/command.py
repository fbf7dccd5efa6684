"""The command `gearshift`.

All input is checked before Ray starts. Exit codes: 0 done, 1 failed, 2 wrong use or bad input, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from workloads.cli.bench import bench
from workloads.cli.board import doctor, probe, restore
from workloads.cli.calibrate import calibrate
from workloads.cli.options import bad_input, deliver, run_directory
from workloads.cli.progress import ProgressLines
from workloads.cli.run import run
from workloads.cli.supernets import accuracy, ladder, profile
from workloads.cli.validate import validate
from workloads.report.run_report import write_report

_INTERRUPTED = 130
"""Exit code that Typer gives a KeyboardInterrupt."""

app = typer.Typer(
    name="gearshift",
    help="Run several dynamic DNNs on one board, with sub-networks, cores and clocks decided together every epoch.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command that the command line names."""
    signal.signal(signal.SIGTERM, _interrupted)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup, where a run goes on
        signal.signal(signal.SIGHUP, _interrupted)
    try:
        app()
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                # This process is about to end: a second signal changes nothing.
                signal.signal(number, signal.SIG_IGN)
            print("gearshift: interrupted; the board is as it was", file=sys.stderr)
        raise
    except OSError as error:
        # Full, read-only and vanishing file systems. An actor's error comes with Ray's text around it.
        cause = getattr(error, "cause", error)
        where = f"{os.fsencode(cause.filename).decode('utf-8', 'backslashreplace')}: " if cause.filename else ""
        print(f"gearshift: {where}{cause.strerror or cause}", file=sys.stderr)
        sys.exit(1)


def _interrupted(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("gearshift"))
        raise typer.Exit


@app.callback()
def _options(
    wanted: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None: ...


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a run.")],
) -> None:
    """Write a report with plots, report.html, into the directory of a run."""
    with bad_input():
        print(write_report(run_dir))


for command in (run, bench, validate, profile, accuracy, ladder, probe, doctor, calibrate, restore):
    app.command()(command)


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the result, such as dynamic-ofa.")],
    published_only: Annotated[
        bool, typer.Option("--published-only", help="Recompute published figures only; measure nothing.")
    ] = False,
    engine: Annotated[str, typer.Option(help="Execution engine of the networks that are measured.")] = "onnxruntime",
    samples: Annotated[int, typer.Option(min=1, help="Inferences of each network on each number of cores.")] = 50,
    out: Annotated[Path | None, typer.Option(help="Directory for results and report; new or empty.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON and nothing else.")] = False,
) -> None:
    """Reproduce a result of a paper: recompute its published figures, and measure them on this machine."""
    from workloads.report.outcome import Options
    from workloads.reproduce import reproduction

    with ProgressLines() as progress, bad_input():
        chosen = reproduction(name)
        directory = run_directory(out, name)
        outcome = chosen(Options(published_only=published_only, engine=engine, samples=samples), progress.update)
    deliver(outcome, directory, as_json=json)
