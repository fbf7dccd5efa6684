"""The inference thread of a worker: it does one step after another, and waits in between until the next is due.

It knows no requests. What it does is handed in, and `Pulse` says to others how far it is.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable

from actors.clock import BoardClock
from scheduler.messages import Phase

_SWITCH_INTERVAL_S = 5e-4
"""Longest time that a thread which computes in Python keeps the inference thread waiting. Python's own 5 ms are a small
network's whole inference, and this process also prepares inputs and answers messages."""


class Pulse:
    """The progress of the inference thread, for others to see.

    Attributes:
        phase: what it does now.
        beats: how many steps it has made; while this stands still, so does the thread.
    """

    def __init__(self) -> None:
        self.phase: Phase = "idle"
        self.beats = 0

    def beat(self, phase: Phase) -> None:
        """Note a step of the thread."""
        self.phase = phase
        self.beats += 1


class InferenceThread:
    """A thread that steps a worker in real time.

    Args:
        name: name of the thread.
        step: does the next thing, and returns the board time at which there is something to do again; None at the end.
        on_fault: called at the end if `step` raised.

    Attributes:
        fault: what `step` raised, as text; None if it did not.
    """

    def __init__(self, name: str, step: Callable[[], float | None], on_fault: Callable[[], object]) -> None:
        self.fault: str | None = None
        self._name = name
        self._step = step
        self._on_fault = on_fault
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def native_id(self) -> int | None:
        """The kernel's number of the thread; None before `start`."""
        return self._thread.native_id if self._thread else None

    def start(self, clock: BoardClock) -> None:
        """Begin; settings of the whole process are changed for it."""
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        self._thread = threading.Thread(target=self._run, args=(clock,), name=self._name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Make it do a step now, or right after the one that it does."""
        self._wake.set()

    def join(self, timeout_s: float | None) -> None:
        """Wait until it has ended, at most so many seconds on the wall; None for no limit."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self, clock: BoardClock) -> None:
        try:
            while True:
                self._wake.clear()
                again_s = self._step()
                if again_s is None:
                    return
                wait_s = again_s - clock.now_s()
                if wait_s > 0:
                    self._wake.wait(None if math.isinf(wait_s) else clock.wall_s(wait_s))
        except Exception as error:  # no request's fault: whoever asks for the worker's counts is told
            self.fault = f"{type(error).__name__}: {error}"
            self._on_fault()
