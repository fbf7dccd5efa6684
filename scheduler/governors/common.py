"""What a governor is, what every model measures load with, and the kernel's look-ups in a table of clocks.

Clocks are reckoned in whole kHz, as in the kernel. Nothing here knows a particular governor.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import Protocol, runtime_checkable

from scheduler.errors import InputError

PERIOD_US = 10_000
"""The kernel's default rate limit and sampling rate: min(1000 · transition latency, 10 ms), which is 10 ms where
a transition takes 10 µs or more. Since Linux 6.9 the cap is 2 ms."""

NO_IDLE = 0.999
"""Busy share from which a core counts as never idle: sampling itself costs some microseconds."""


class GovernorError(InputError):
    """A governor that is not known, or not for that kind of unit."""


class Governor(Protocol):
    """A rule that sets the clock of one frequency domain.

    Attributes:
        period_us: how often `step` is to be called, in microseconds.
        hooked: whether the kernel runs it from the scheduler's hooks (a task wakes, sleeps, or is running at a tick),
            once `period_us` have passed; else a timer does.
    """

    period_us: int
    hooked: bool

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """Decides on the clock from here on.

        The first call only takes the sample that later ones are compared with.

        Args:
            now_us: present time.
            busy_us: busy time of every core of the domain since the start; never falls.
            mhz: the clock in force since the last call, or since the last `edge`.
            mhz_allowed: the clocks that may be set now, rising, at least one.

        Returns:
            One of `mhz_allowed`.
        """
        ...


@runtime_checkable
class EdgeGovernor(Governor, Protocol):
    """A governor that can use the moments at which cores become busy and idle.

    Who knows them calls `edge` for every core once before the first `step`, and then at every change, of the clock too.
    Who does not calls `step` alone.
    """

    def edge(self, now_us: float, core: int, busy: bool, mhz: float, task: int | None = None) -> None:
        """From now on that core is busy, or idle.

        Args:
            now_us: present time; never falls.
            core: its place in `busy_us`.
            busy: what it is from now on, perhaps what it was before.
            mhz: the clock in force until now.
            task: number of what runs there from now on, or has run there until now; None where that is not known.
        """
        ...


@runtime_checkable
class HintedGovernor(Governor, Protocol):
    """A governor that tasks can tell what clock they need."""

    def hint(self, core: int, mhz: float | None) -> None:
        """From now on whatever runs on that core needs this clock.

        Args:
            core: its place in `busy_us`.
            mhz: of the domain; None takes the hint back.
        """
        ...


def next_sample_s(now_s: float, period_us: int) -> float:
    """When an emulated board samples next: at multiples of the period, so that every run has the same phases."""
    period_s = 1e-6 * period_us
    return (math.floor(now_s / period_s + 1e-6) + 1) * period_s


class Sampler:
    """Turns cumulative busy times into what happened since the last sample."""

    def __init__(self) -> None:
        self._last: tuple[float, tuple[float, ...]] | None = None

    def shares(self, now_us: float, busy_us: tuple[float, ...]) -> tuple[float, ...] | None:
        """Each core's busy share, 0 to 1, of the time since the last sample; None where no time has passed."""
        last = self._last
        if last is not None and now_us <= last[0]:
            return None
        self._last = (now_us, busy_us)
        if last is None:
            return None
        elapsed_us = now_us - last[0]
        return tuple(
            min(1.0, max(0.0, (now - before) / elapsed_us)) for now, before in zip(busy_us, last[1], strict=True)
        )

    def load_percent(self, now_us: float, busy_us: tuple[float, ...]) -> int | None:
        """The busiest core's busy share in whole per cent; None where no time has passed."""
        shares = self.shares(now_us, busy_us)
        return None if shares is None else whole(100 * max(shares))


def whole(number: float) -> int:
    """What the kernel's integers keep of a number."""
    # Rounded first, so that 0.29 · 100 is 29 and not 28.999…, which the kernel's integers never see.
    return math.floor(round(number, 6))


def whole_khz(mhz: float) -> float:
    """A clock in MHz, cut down to whole kHz."""
    # 1000.0000000001 must not ask for the next clock up, nor 999.9999999999 become 999.999.
    return whole(mhz * 1000) / 1000


def at_least(mhz: float, allowed: tuple[float, ...]) -> float:
    """The lowest allowed clock of at least `mhz`, else the highest (`CPUFREQ_RELATION_L`)."""
    return allowed[min(bisect_left(allowed, mhz), len(allowed) - 1)]


def at_most(mhz: float, allowed: tuple[float, ...]) -> float:
    """The highest allowed clock of at most `mhz`, else the lowest (`CPUFREQ_RELATION_H`)."""
    return allowed[max(bisect_right(allowed, mhz) - 1, 0)]


def closest(mhz: float, allowed: tuple[float, ...]) -> float:
    """The allowed clock closest to `mhz`, the lower of two (`CPUFREQ_RELATION_C`)."""
    return min(allowed, key=lambda clock: (abs(clock - mhz), clock))
