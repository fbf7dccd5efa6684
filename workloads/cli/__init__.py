"""The command `gearshift`: its front door.

The handlers of signals are in place before anything else is imported, which takes a second: some 400 modules.
"""

from __future__ import annotations

import os
import sys

from workloads.cli.signals import INTERRUPTED, Signals

__all__ = ["main"]


def main() -> None:
    """Run the command that the command line names, and end with its exit code."""
    signals = Signals()
    signals.leave_at_once()
    from workloads.cli.output import OutputError, complain, open_streams, silence_stdout

    open_streams()
    code: int | str | None
    try:
        code = _run(signals)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except OutputError as error:
        silence_stdout()
        if not error.is_closed_pipe:  # a reader that has seen enough needs no word
            complain(f"standard output can't be written to ({error})")
        code = 1
    signals.leave_at_once()
    if code == INTERRUPTED and signals.number is not None:
        complain(f"interrupted ({signals.name}); the board is as it was")
        code = 128 + signals.number
    sys.exit(code)


def _run(signals: Signals) -> int | str | None:
    """Run the command; return its exit code as `sys.exit` takes it."""
    from workloads.cli.command import app
    from workloads.cli.output import complain
    from workloads.runs.failure import RunError

    signals.interrupt()
    code: int | str | None = None
    try:
        app()
    except SystemExit as end:
        code = end.code
    except RunError as error:
        complain(str(error))
        code = 1
    except OSError as error:
        # Full, read-only and vanishing file systems. An actor's error comes with Ray's text around it.
        cause = getattr(error, "cause", error)
        where = f"{os.fsdecode(cause.filename)}: " if cause.filename else ""
        complain(f"{where}{cause.strerror or cause}")
        code = 1
    sys.stdout.flush()
    return code
