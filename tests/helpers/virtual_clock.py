"""A clock for tests: time passes only when something sleeps."""

from __future__ import annotations


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
