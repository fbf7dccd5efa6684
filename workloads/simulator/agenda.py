"""The event queue of the simulation: which call is due at which virtual time.

Calls due at one moment are made in the order in which they were put down, so a run is the same every time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

_NEVER_S = math.inf


class Agenda:
    """A queue of calls by time.

    Attributes:
        now_s: the present in board time; it moves only in `run`.
    """

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        self._due: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._count = 0

    def at(self, at_s: float, call: Callable[[Any], None], argument: Any = None) -> None:
        """Put down a call with an argument; a time that has passed means now, infinity never."""
        if at_s < _NEVER_S:
            self._count += 1
            heappush(self._due, (at_s, self._count, call, argument))

    @property
    def next_s(self) -> float:
        """Time at which the next call is due; infinite where there is none."""
        return self._due[0][0] if self._due else math.inf

    def run(self, until_s: float) -> None:
        """Make all calls that are due until then, that moment included."""
        due = self._due
        while due and due[0][0] <= until_s:
            at_s, _, call, argument = heappop(due)
            if at_s > self.now_s:
                self.now_s = at_s
            call(argument)
        self.now_s = max(self.now_s, until_s)
