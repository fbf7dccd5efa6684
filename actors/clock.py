"""The one clock: seconds of board time. Real or virtual, it is handed in; nothing else asks for the time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Board time, in seconds since the run's t = 0 (negative before it)."""

    def now_s(self) -> float:
        """The present."""
        ...

    def sleep_until(self, at_s: float) -> None:
        """Returns at that time, or at once if it has passed."""
        ...

    def wall_s(self, board_s: float) -> float:
        """How long a span of board time lasts on the wall."""
        ...


@dataclass(frozen=True, slots=True)
class BoardClock:
    """The wall's monotonic clock, slowed down; processes that share the two figures share the time.

    Attributes:
        zero_s: monotonic time of t = 0.
        time_scale: wall seconds per board second, at least 1.
    """

    zero_s: float
    time_scale: float = 1.0

    def now_s(self) -> float:
        """The present."""
        return (time.monotonic() - self.zero_s) / self.time_scale

    def sleep_until(self, at_s: float) -> None:
        """Returns at that time, or at once if it has passed."""
        remaining_s = self.zero_s + at_s * self.time_scale - time.monotonic()
        if remaining_s > 0:
            time.sleep(remaining_s)

    def wall_s(self, board_s: float) -> float:
        """How long a span of board time lasts on the wall."""
        return board_s * self.time_scale
