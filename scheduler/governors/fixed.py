"""performance and powersave: the two governors that do not look at load."""

from __future__ import annotations

from scheduler.governors.common import PERIOD_US


class Performance:
    """The governor that always takes the highest allowed clock.

    Args:
        period_us: time between two calls of `step`, in µs.
    """

    hooked = False

    def __init__(self, *, period_us: int = PERIOD_US) -> None:
        self.period_us = period_us

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`."""
        return mhz_allowed[-1]


class Powersave:
    """The governor that always takes the lowest allowed clock.

    Args:
        period_us: time between two calls of `step`, in µs.
    """

    hooked = False

    def __init__(self, *, period_us: int = PERIOD_US) -> None:
        self.period_us = period_us

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`."""
        return mhz_allowed[0]
