"""The protocol of a governor, the measurement of load, and the kernel's look-ups in a table of clocks.

Clocks are computed in whole kHz, as in the kernel. This module does not know any particular governor.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import Protocol, runtime_checkable

from scheduler.errors import InputError

PERIOD_US = 10_000
"""The kernel's default rate limit and sampling rate, in µs.

It is min(1000 · transition latency, 10 ms), so 10 ms where a transition takes 10 µs or more. Since Linux 6.9 the cap is
2 ms.
"""

NO_IDLE = 0.999
"""Busy share from which a core counts as never idle: sampling itself costs some microseconds."""


class GovernorError(InputError):
    """A governor's name is not known, or is not for that kind of unit."""


class Governor(Protocol):
    """A rule that sets the clock of one frequency domain.

    Attributes:
        period_us: time between two calls of `step`, in µs.
        hooked: True if the kernel runs it from the scheduler's hooks (a task wakes, sleeps, or is running at a tick),
            once `period_us` have passed; False if a timer runs it.
    """

    period_us: int
    hooked: bool

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """Choose the clock from here on.

        The first call only takes the sample that later ones are compared with. With cores busy for (0, 0) µs at 0 and
        (9000, 100) µs at 10,000 they were busy 90 % and 1 % of the time.

        Args:
            now_us: present time, in µs.
            busy_us: busy time of every core of the domain since the start, in µs; never falls.
            mhz: the clock in force since the last call, or since the last `edge`.
            mhz_allowed: the clocks that may be set now, rising, at least one.

        Returns:
            One of `mhz_allowed`.
        """
        ...


@runtime_checkable
class EdgeGovernor(Governor, Protocol):
    """A governor that can use the moments at which cores become busy and idle.

    A caller that knows them calls `edge` for every core once before the first `step`, and then at every change, of the
    clock too. A caller that does not calls `step` alone.
    """

    def edge(self, now_us: float, core: int, busy: bool, mhz: float, task: int | None = None) -> None:
        """Take in that a core is busy, or idle, from now on.

        Args:
            now_us: present time, in µs; never falls.
            core: index of the core in `busy_us`.
            busy: True if it is busy from now on; it may be what it was before.
            mhz: the clock in force until now.
            task: number of the task that runs there from now on, or has run there until now; None where not known.
        """
        ...


@runtime_checkable
class HintedGovernor(Governor, Protocol):
    """A governor that tasks can tell what clock they need."""

    def hint(self, core: int, mhz: float | None) -> None:
        """Take in the clock that the task on a core needs from now on.

        Args:
            core: index of the core in `busy_us`.
            mhz: a clock of the domain; None takes the hint back.
        """
        ...


def next_sample_s(now_s: float, period_us: int) -> float:
    """Return the time at which an emulated board samples next, in seconds.

    It samples at multiples of the period, so that every run has the same phases: at 0.013 s with a period of 10,000 µs
    the next sample is at 0.02 s.

    Args:
        now_s: present time, in seconds.
        period_us: the governor's period, in µs.
    """
    period_s = 1e-6 * period_us
    return (math.floor(now_s / period_s + 1e-6) + 1) * period_s


class Sampler:
    """A converter of cumulative busy times into busy shares since the last sample."""

    def __init__(self) -> None:
        self._last: tuple[float, tuple[float, ...]] | None = None

    def shares(self, now_us: float, busy_us: tuple[float, ...]) -> tuple[float, ...] | None:
        """Return each core's busy share, 0 to 1, since the last sample; None where no time has passed.

        Args:
            now_us: present time, in µs.
            busy_us: busy time of every core since the start, in µs.
        """
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
        """Return the busiest core's busy share in whole per cent; None where no time has passed.

        Args:
            now_us: present time, in µs.
            busy_us: busy time of every core since the start, in µs.
        """
        shares = self.shares(now_us, busy_us)
        return None if shares is None else whole(100 * max(shares))


def whole(number: float) -> int:
    """Cut a number off to the integer that the kernel would have: 2.9 gives 2."""
    # Rounded first, so that 0.29 · 100 is 29 and not 28.999…, which the kernel's integers never see.
    return math.floor(round(number, 6))


def whole_khz(mhz: float) -> float:
    """Cut a clock in MHz off to whole kHz: 1234.5678 gives 1234.567."""
    # 1000.0000000001 must not ask for the next clock up, nor 999.9999999999 become 999.999.
    return whole(mhz * 1000) / 1000


def at_least(mhz: float, allowed: tuple[float, ...]) -> float:
    """Return the lowest allowed clock of at least `mhz`, else the highest (`CPUFREQ_RELATION_L`).

    Of (500, 1000, 2000) it is 1000 for 600, and 2000 for 2500.

    Args:
        mhz: the clock asked for.
        allowed: the clocks allowed, rising.
    """
    return allowed[min(bisect_left(allowed, mhz), len(allowed) - 1)]


def at_most(mhz: float, allowed: tuple[float, ...]) -> float:
    """Return the highest allowed clock of at most `mhz`, else the lowest (`CPUFREQ_RELATION_H`).

    Of (500, 1000, 2000) it is 500 for 600, and 500 for 400.

    Args:
        mhz: the clock asked for.
        allowed: the clocks allowed, rising.
    """
    return allowed[max(bisect_right(allowed, mhz) - 1, 0)]


def closest(mhz: float, allowed: tuple[float, ...]) -> float:
    """Return the allowed clock closest to `mhz`, the lower of two as close (`CPUFREQ_RELATION_C`).

    Of (500, 1000, 2000) it is 500 for 600, and 500 for 750.

    Args:
        mhz: the clock asked for.
        allowed: the clocks allowed.
    """
    return min(allowed, key=lambda clock: (abs(clock - mhz), clock))
