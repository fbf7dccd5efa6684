"""The inference that an executor computes now, in memory that its clients map, and the watch that they keep over it.

A process that hangs in a driver or is stopped can't say so: no thread of its own need run. So whoever waits for a
result watches what is under way, its own inference or another one, by the rules of `actors.ledger.holding`.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from actors.ledger.holding import STOPPED_WALL_S

_BYTES = 32

LONGEST_LOOK_WALL_S = 0.2
"""Most time between two looks that counts: while everything stands still, nobody sees an inference last."""

_SEEN_WALL_S = 1.0
"""Least time for which an inference is seen under way before it is overdue, however long ago it began: more than the
longest gap in which a virtual machine was seen to stand still (0.8 s)."""

ANSWER_WALL_S = 30.0
"""Longest wait for an answer, whatever is under way meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inference:
    """What an executor does at one moment.

    Attributes:
        number: counts beginnings and ends of inferences; odd while one is under way.
        holder: number of the connection that it is for; 0 for the trial of a network that is being prepared.
        began_s: when it began, monotonic.
        bound_s: how long it may take on the wall, in seconds.
    """

    number: float
    holder: float
    began_s: float
    bound_s: float


class Underway:
    """The record of it: one process writes, one inference at a time, and any may read.

    Attributes:
        file: the memory as a file, which is handed to clients.
    """

    def __init__(self, file: int) -> None:
        """Map an open file; it may be closed afterwards."""
        self.file = file
        self._record = np.frombuffer(mmap.mmap(file, _BYTES), np.float64)

    @classmethod
    def create(cls) -> Underway:
        """Make one, with nothing under way."""
        file = os.memfd_create("gearshift-underway")
        os.ftruncate(file, _BYTES)
        return cls(file)

    @contextmanager
    def running(self, holder: int, bound_s: float) -> Iterator[None]:
        """Note an inference while the block lasts."""
        # The number comes last: a reader that sees it looks again later, and by then the rest is there too.
        self._record[1:] = holder, time.monotonic(), bound_s
        self._record[0] += 1
        try:
            yield
        finally:
            self._record[0] += 1

    def read(self) -> Inference:
        """Return what is under way now."""
        number, holder, began_s, bound_s = map(float, self._record)
        return Inference(number=number, holder=holder, began_s=began_s, bound_s=bound_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hang:
    """An executor that gets no further.

    Attributes:
        why: what was seen, in words that follow "the executor".
        own: True if it is the inference of whoever waited.
        held_s: how long it was under way, on the wall.
        bound_s: how long it might have been.
    """

    why: str
    own: bool
    held_s: float
    bound_s: float


class InferenceWatch:
    """One wait for an executor's answer, as a client watches it.

    Args:
        holder: number of the client's connection.
        wall_s: the present, monotonic.
        answer_s: longest wait, whatever is under way meanwhile.
    """

    def __init__(self, holder: int, wall_s: float, answer_s: float = ANSWER_WALL_S) -> None:
        self._holder = holder
        self._answer_s = answer_s
        self._at_s = wall_s
        self._number = -1.0
        self._waited_s = self._seen_s = self._stopped_s = 0.0
        self._stopped = False

    def look(self, now: Inference | None, stopped: bool, wall_s: float) -> Hang | None:
        """Take in what is under way; return what is wrong, or None while all may be well.

        Args:
            now: what the executor computes; None where that is not known yet.
            stopped: True if its process is stopped by a signal or a debugger.
            wall_s: the present, monotonic.
        """
        passed_s = min(max(0.0, wall_s - self._at_s), LONGEST_LOOK_WALL_S)
        self._at_s = wall_s
        self._waited_s += passed_s
        # Stopped at both ends of the time between two looks counts as stopped all of it; so with an inference.
        self._stopped_s = self._stopped_s + passed_s if stopped and self._stopped else 0.0
        self._stopped = stopped
        if self._stopped_s >= STOPPED_WALL_S:
            return Hang(why="was stopped", own=False, held_s=self._stopped_s, bound_s=STOPPED_WALL_S)
        if now is None:
            return None
        self._seen_s = self._seen_s + passed_s if now.number == self._number else 0.0
        self._number = now.number
        held_s = wall_s - now.began_s
        if now.number % 2 and held_s >= now.bound_s and self._seen_s >= min(_SEEN_WALL_S, now.bound_s):
            own = now.holder == self._holder
            what = "this request" if own else "another network"
            why = f"hung: {what} took {held_s:.1f} s, more than {now.bound_s:.1f} s"
            return Hang(why=why, own=own, held_s=held_s, bound_s=now.bound_s)
        if self._waited_s >= self._answer_s:
            why = f"did not answer for {self._answer_s:.0f} s"
            return Hang(why=why, own=False, held_s=self._waited_s, bound_s=self._answer_s)
        return None
