"""Parts that the commands share: options, the message for bad input, and the printing of results."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from actors.whole_file import whole
from scheduler.errors import InputError
from workloads.cli.output import complain, print_json
from workloads.ladder.ladders import base_name
from workloads.report.outcome import REPORT_FILE, Outcome

_TABLE_WIDTH = 110
"""Width of a table in columns where there is no terminal that gives one."""

BoardOption = Annotated[
    str | None,
    typer.Option(
        "--board",
        metavar="NAME[:MODE]|FILE[:MODE]|host",
        help="A packaged board or the YAML file of your own, in one of its modes if you like, such as "
        "jetson-xavier-nx:MODE_15W_2CORE; host is this machine as it is. Default: ./cluster.yaml if there is one, else "
        "two-core-host.",
    ),
]
WeightsOption = Annotated[
    list[str] | None, typer.Option("--weights", help="Own weights of a supernet, as SUPERNET=FILE. Repeat for others.")
]
ShareOption = Annotated[
    bool,
    typer.Option(
        "--share", help="Run here although another run uses the same CPUs, on real clocks too. Both are void then."
    ),
]


@contextmanager
def bad_input() -> Iterator[None]:
    """Turn a user's mistake into one message and exit code 2."""
    try:
        yield
    except InputError as error:
        complain(str(error))
        raise typer.Exit(2) from None


def print_result(table: Table | Text) -> None:
    """Print a table or text to standard output; 110 columns wide where that is no terminal."""
    console = Console()
    if not console.is_terminal:
        console.width = _TABLE_WIDTH
    console.print(table)


def deliver(outcome: Outcome, directory: Path, *, as_json: bool) -> None:
    """Write an outcome into its directory, and print it as tables, or as JSON and nothing else."""
    outcome.write(directory)
    if as_json:
        print_json(outcome.to_json())
    else:
        for table in outcome.tables():
            print_result(table)
    print(f"{directory / REPORT_FILE}  has the figure", file=sys.stderr)


def write_text(file: Path, text: str) -> None:
    """Write a file that a user has named.

    Raises:
        InputError: if it can't be written.
    """
    try:
        with whole(file) as fresh:
            fresh.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{str(file)!r} can't be written ({error.strerror}); name another file") from None


def own_weights(given: list[str] | None) -> dict[str, Path]:
    """Return by supernet the files of `--weights SUPERNET=FILE`.

    Raises:
        InputError: for a value of another form.
    """
    weights = {}
    for option in given or []:
        name, equals, file = option.partition("=")
        if not equals or not name or not file:
            raise InputError(f"--weights {option!r} must be SUPERNET=FILE, as in ofa-plates=mine.safetensors")
        weights[name] = Path(file)
    return weights


def weights_of(supernet: str, given: list[str] | None) -> Path | None:
    """Return the file of `--weights` for a command on one supernet; None if none is given.

    Raises:
        InputError: if weights are given for another supernet.
    """
    weights = own_weights(given)
    for name in weights:
        if name != base_name(supernet):
            raise InputError(f"--weights are given for {name!r}, but this is about {base_name(supernet)!r}")
    return weights.get(base_name(supernet))


def numbers(option: str, given: str | None) -> list[float]:
    """Read positive numbers with commas between them: `10,20` gives [10.0, 20.0], and no option an empty list.

    Raises:
        InputError: for anything else.
    """
    try:
        numbers = [float(part) for part in given.split(",")] if given is not None else []
    except ValueError:
        numbers = [0.0]
    if not all(0 < one < float("inf") for one in numbers):
        raise InputError(f"{option} {given!r} must be positive numbers with commas between them, as in 10,20,40")
    return numbers


def run_directory(out: Path | None, mix: str) -> Path:
    """Return the directory to write to, checked: it is empty or missing, and can be made.

    Args:
        out: the directory; None takes `runs/MIX-DATE-TIME`.
        mix: name of the mix.

    Raises:
        InputError: if the directory can't be used.
    """
    directory = out or Path("runs") / f"{mix}-{time.strftime('%Y%m%d-%H%M%S')}"
    if directory.exists() and not directory.is_dir():
        raise InputError(f"--out {str(directory)!r} is a file; give a directory")
    if directory.is_dir() and any(directory.iterdir()):
        raise InputError(f"--out {str(directory)!r} is not empty; give a new directory, or empty it")
    # Make it to see that it can be made, and remove it again: input that is checked later may be wrong too.
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ".writable").touch()
        (directory / ".writable").unlink()
        for path in made:
            path.rmdir()
    except OSError as error:
        raise InputError(
            f"--out {str(directory)!r} can't be written to ({error.strerror}); give another directory"
        ) from None
    return directory
