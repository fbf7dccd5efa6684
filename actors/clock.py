"""The one clock: seconds of board time. It is handed to whatever needs the time; nothing else asks for it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from actors.whole_file import whole

_FILE = "clock.json"


class Clock(Protocol):
    """Board time, in seconds since the run's t = 0; negative before it."""

    def now_s(self) -> float:
        """Return the present."""
        ...

    def sleep_until(self, at_s: float) -> None:
        """Return at that time, or at once if it has passed."""
        ...

    def wall_s(self, board_s: float) -> float:
        """Return how long a span of board time lasts on the wall."""
        ...


@dataclass(frozen=True, slots=True)
class BoardClock:
    """The machine's monotonic clock, slowed down. Processes that share its two figures share the time.

    At a time scale of 2, ten seconds of board time last twenty seconds on the wall.

    Attributes:
        zero_s: monotonic time of t = 0, in seconds.
        time_scale: wall seconds per board second, at least 1.
    """

    zero_s: float
    time_scale: float = 1.0

    def now_s(self) -> float:
        """Return the present."""
        return (time.monotonic() - self.zero_s) / self.time_scale

    def sleep_until(self, at_s: float) -> None:
        """Return at that time, or at once if it has passed."""
        remaining_s = self.zero_s + at_s * self.time_scale - time.monotonic()
        if remaining_s > 0:
            time.sleep(remaining_s)

    def wall_s(self, board_s: float) -> float:
        """Return how long a span of board time lasts on the wall."""
        return board_s * self.time_scale


def write_clock(directory: Path, clock: BoardClock) -> None:
    """Write a run's clock into its directory; actors read it when they begin, and again when they are restarted."""
    with whole(directory / _FILE) as fresh:  # no actor reads half of it
        fresh.write_text(json.dumps([clock.zero_s, clock.time_scale]))


def read_clock(directory: Path) -> BoardClock:
    """Return the clock of a run.

    Raises:
        FileNotFoundError: if the run has not written it yet.
    """
    return BoardClock(*json.loads((directory / _FILE).read_text()))
