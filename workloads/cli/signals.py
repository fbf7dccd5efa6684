"""Ctrl-C, SIGTERM and SIGHUP: each ends the command with an exit code of its own, whenever it comes.

An exit code is 128 and the signal's number, as shells have it: 130, 143 and 129. A signal that the command was started
with as ignored stays ignored, as SIGHUP under `nohup`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # as `typing` has it, whose import takes longer than all that is here
    from types import FrameType
    from typing import NoReturn

INTERRUPTED = 130
"""Exit code that Typer gives a KeyboardInterrupt."""

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_CLEAN_UP_S = 15.0
"""Time in which a further signal changes nothing: the board is given back and the run's processes are ended, which
takes up to 5 s on a machine that does not stall. After that a signal is obeyed again: what hangs can be ended."""

_AGAIN_S = 0.02
"""Time after which a signal that Python could not obey is sent again."""


class Signals:
    """The signals that end the command.

    Attributes:
        number: number of the first signal that was obeyed; None before.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._obeyed_s = -_CLEAN_UP_S
        self._wanted = [number for number in _NUMBERS if signal.getsignal(number) is not signal.SIG_IGN]
        # As Python ends it takes back its handlers, but for this one, and a signal would then change the exit code.
        atexit.register(self._ignore)

    @property
    def name(self) -> str:
        """Name of the signal that was obeyed, as `SIGTERM`."""
        return "Ctrl-C" if self.number == signal.SIGINT else signal.Signals(self.number or 0).name

    def leave_at_once(self) -> None:
        """End the process at once with a signal: before the command has begun there is nothing to clean up, nor after.

        An exception would not do: raised while a module is imported, it ends in a traceback.
        """
        for number in self._wanted:
            signal.signal(number, self._leave)

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt with a signal, so that the command can clean up."""
        for number in self._wanted:
            signal.signal(number, self._interrupt)
        sys.unraisablehook = self._unraised

    def _ignore(self) -> None:
        for number in self._wanted:
            signal.signal(number, signal.SIG_IGN)

    def _leave(self, number: int, frame: FrameType | None) -> NoReturn:
        if self.number is None:
            self.number = number
            # No print: the streams may be in the middle of something.
            with contextlib.suppress(OSError):
                os.write(2, f"gearshift: interrupted ({self.name})\n".encode())
        os._exit(128 + self.number)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if now_s - self._obeyed_s < _CLEAN_UP_S:
            return
        self._obeyed_s = now_s
        self.number = self.number or number
        raise KeyboardInterrupt

    def _unraised(self, what: sys.UnraisableHookArgs) -> None:
        """Take an exception that was raised where Python can only print it, as in a finaliser or while it forks."""
        if not issubclass(what.exc_type, KeyboardInterrupt) or self.number is None:
            sys.__unraisablehook__(what)
            return
        # It would be lost, and later signals with it. Sent from here it would come within the same finaliser.
        import threading

        self._obeyed_s = -_CLEAN_UP_S
        threading.Timer(_AGAIN_S, os.kill, (os.getpid(), self.number)).start()
