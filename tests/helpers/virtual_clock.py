"""Clocks for tests: time passes only when something sleeps."""

from __future__ import annotations

from collections.abc import Callable


class VirtualClock:
    """An `actors.clock.Clock` on which a sleep takes no time on the wall."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        """Return the present."""
        return self._now_s

    def sleep_until(self, at_s: float) -> None:
        """Move the present to that time, unless it has passed."""
        self._now_s = max(self._now_s, at_s)

    def wall_s(self, board_s: float) -> float:
        """Return the span itself: board time and this clock's wall are the same."""
        return board_s


class ScriptedClock(VirtualClock):
    """Virtual time in which things happen at set moments, also in the middle of a request.

    Attributes:
        script: moments (s, board time) that are still to come, in any order, and what happens then.
    """

    def __init__(self, now_s: float = 0.0) -> None:
        super().__init__(now_s)
        self.script: list[tuple[float, Callable[[], object]]] = []

    def sleep_until(self, at_s: float) -> None:
        """Move the present to that time, and stop on the way at every moment of the script that is due by then."""
        for moment in sorted(self.script, key=lambda moment: moment[0]):
            if moment[0] <= at_s:
                self.script.remove(moment)
                super().sleep_until(moment[0])
                moment[1]()
        super().sleep_until(at_s)
