"""The command `gearshift`: its front door.

What is imported here takes no time: a Ctrl-C in the first second, while the rest is imported, finds its handler in
place. `python -X importtime` of the rest shows some 400 modules.
"""

from __future__ import annotations

import sys

from workloads.cli.output import OutputError, complain, open_streams, silence_stdout
from workloads.cli.signals import INTERRUPTED, Signals

__all__ = ["main"]


def main() -> None:
    """Run the command that the command line names, and end with its exit code."""
    signals = Signals()
    signals.leave_at_once()
    open_streams()
    try:
        code = _run(signals)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except OutputError as error:
        code = _unwritten(error)
    signals.leave_at_once()
    if code == INTERRUPTED and signals.number is not None:
        complain(f"interrupted ({signals.name}); the board is as it was")
        code = 128 + signals.number
    sys.exit(code)


def _run(signals: Signals) -> int | str | None:
    """Run the command; return its exit code as `sys.exit` takes it."""
    from workloads.cli.command import app

    signals.interrupt()
    code: int | str | None = None
    try:
        app()
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    return code


def _unwritten(error: OutputError) -> int:
    """Say that results could not be printed, and return the exit code; a reader that has seen enough needs no word."""
    silence_stdout()
    if not error.is_closed_pipe:
        complain(f"standard output can't be written to ({error})")
    return 1
