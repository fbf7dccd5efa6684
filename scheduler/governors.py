"""Models of the kernel's frequency governors: how each picks the next clock from how busy the cores were.

On an emulated or simulated board one model runs for each frequency domain; on a real board the kernel's own
governor is set instead. A governor sees only what `step` hands it: no time, no board and no requests.

`step` is called once every `period_us`, and at once when the allowed clocks change. Nothing is re-evaluated
in between, which is how the kernel's rate limit and sampling rate act. One difference stays: the kernel's
hooks do not fire on a core that sleeps, so its clock stands until something wakes it. A model here is stepped
all the same, as if the system's own housekeeping woke each domain once a period.

Sources: `kernel/sched/cpufreq_schedutil.c`, `kernel/sched/pelt.{c,h}`, `drivers/cpufreq/cpufreq_{ondemand,
conservative,governor}.c` and the table look-ups of `include/linux/cpufreq.h`, Linux 5.1 to 6.x. Clocks are
reckoned in whole kHz, as there.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from scheduler.problem import did_you_mean

PERIOD_US = 10_000
"""The kernel's default rate limit and sampling rate: min(1000 · transition latency, 10 ms), which is 10 ms where
a transition takes 10 µs or more. Since Linux 6.9 the cap is 2 ms."""

PELT_HALF_LIFE_US = 32 * 1024
"""Per-entity load tracking (PELT) weighs a period of 1024 µs by y to the power of its age, where y³² = 0.5."""

_NO_IDLE = 0.999
"""Busy share from which a core counts as never idle: sampling itself costs some microseconds."""

_FULL_UTIL = 1023 / 1024
"""Utilisation that the kernel takes for the maximum (`update_idle_rq_clock_pelt`)."""


class GovernorError(ValueError):
    """A governor that is not known."""


class Governor(Protocol):
    """A rule that sets the clock of one frequency domain.

    Attributes:
        period_us: how often `step` is to be called, in microseconds.
    """

    period_us: int

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """Decides on the clock from here on.

        The first call only takes the sample that later ones are compared with.

        Args:
            now_us: present time.
            busy_us: busy time of every core of the domain since the start; never falls.
            mhz: the clock in force since the last call.
            mhz_allowed: the clocks that may be set now, rising, at least one.

        Returns:
            One of `mhz_allowed`.
        """
        ...


class Performance:
    """The highest allowed clock."""

    def __init__(self, *, period_us: int = PERIOD_US) -> None:
        self.period_us = period_us

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`."""
        return mhz_allowed[-1]


class Powersave:
    """The lowest allowed clock."""

    def __init__(self, *, period_us: int = PERIOD_US) -> None:
        self.period_us = period_us

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`."""
        return mhz_allowed[0]


class Schedutil:
    """Clock in proportion to the utilisation of the busiest core.

    f = 1.25 · f_max · utilisation, and the lowest clock of at least that (`get_next_freq`). A domain of one
    core that was never idle since the last call does not clock down (`sugov_update_single`). Not modelled:
    `util_est` and `uclamp`, which belong to tasks, the boost after waiting for I/O, and real-time and deadline
    tasks.

    Args:
        max_mhz: the domain's top clock, whatever is allowed now.
        period_us: the rate limit.
    """

    def __init__(self, *, max_mhz: float, period_us: int = PERIOD_US) -> None:
        self.period_us = period_us
        self._max_mhz = max_mhz
        self._sampler = _Sampler()
        self._cores: tuple[_Pelt, ...] = ()

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`."""
        sample = self._sampler.sample(now_us, busy_us)
        if sample is None:
            self._cores = self._cores or tuple(_Pelt() for _ in busy_us)
            return _at_most(mhz, mhz_allowed)
        elapsed_us, shares = sample
        for core, share in zip(self._cores, shares, strict=True):
            core.advance(elapsed_us, share, mhz / self._max_mhz)
        target_mhz = _whole_khz(1.25 * self._max_mhz * max(core.util for core in self._cores))
        if len(shares) == 1 and shares[0] >= _NO_IDLE:
            target_mhz = max(target_mhz, mhz)
        return _at_least(target_mhz, mhz_allowed)


class Ondemand:
    """The highest clock under high load, else a clock in proportion to it (`od_update`).

    Load is the busy share of the busiest core in whole per cent. Above `up_threshold`: the highest allowed
    clock. Else f_min + load · (f_max - f_min) over the domain's whole range, and the allowed clock closest to
    that, the lower of two. f_min is the lowest allowed clock, since limits only ever cap a domain from above.

    Args:
        max_mhz: the domain's top clock, whatever is allowed now.
        period_us: the sampling rate.
        up_threshold: per cent. The kernel's default is 80, and 95 where its tick stops on idle cores.
    """

    def __init__(self, *, max_mhz: float, period_us: int = PERIOD_US, up_threshold: int = 80) -> None:
        self.period_us = period_us
        self._max_mhz = max_mhz
        self._up_threshold = up_threshold
        self._sampler = _Sampler()

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`."""
        load = self._sampler.load_percent(now_us, busy_us)
        if load is None:
            return _at_most(mhz, mhz_allowed)
        if load > self._up_threshold:
            return mhz_allowed[-1]
        min_mhz = mhz_allowed[0]
        return _closest(_whole_khz(min_mhz + load * (self._max_mhz - min_mhz) / 100), mhz_allowed)


class Conservative:
    """Small steps up under high load and down under low load (`cs_dbs_update`).

    Load is the busy share of the busiest core in whole per cent. A step is taken from the last requested clock,
    which need not be in the table: on the way up the highest clock of at most the request is set, on the way
    down the lowest of at least it.

    Args:
        period_us: the sampling rate.
        up_threshold: per cent of load above which the request rises.
        down_threshold: per cent of load below which it falls.
        step_percent: size of a step, in per cent of the highest allowed clock.
    """

    def __init__(
        self,
        *,
        period_us: int = PERIOD_US,
        up_threshold: int = 80,
        down_threshold: int = 20,
        step_percent: int = 5,
    ) -> None:
        self.period_us = period_us
        self._up_threshold = up_threshold
        self._down_threshold = down_threshold
        self._step_percent = step_percent
        self._sampler = _Sampler()
        self._requested_mhz = 0.0

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`."""
        load = self._sampler.load_percent(now_us, busy_us)
        mhz = _at_most(mhz, mhz_allowed)
        low_mhz, high_mhz = mhz_allowed[0], mhz_allowed[-1]
        if not low_mhz <= self._requested_mhz <= high_mhz:
            self._requested_mhz = mhz  # the first call, or the limits have changed
        if load is None:
            return mhz
        step_mhz = _whole_khz(high_mhz * self._step_percent / 100)
        if load > self._up_threshold:
            self._requested_mhz = min(self._requested_mhz + step_mhz, high_mhz)
            return _at_most(self._requested_mhz, mhz_allowed)
        if load < self._down_threshold:
            self._requested_mhz = max(self._requested_mhz - step_mhz, low_mhz)
            return _at_least(self._requested_mhz, mhz_allowed)
        return mhz


_MAKERS: dict[str, Callable[[float, int], Governor]] = {
    "performance": lambda max_mhz, period_us: Performance(period_us=period_us),
    "powersave": lambda max_mhz, period_us: Powersave(period_us=period_us),
    "schedutil": lambda max_mhz, period_us: Schedutil(max_mhz=max_mhz, period_us=period_us),
    "ondemand": lambda max_mhz, period_us: Ondemand(max_mhz=max_mhz, period_us=period_us),
    "conservative": lambda max_mhz, period_us: Conservative(period_us=period_us),
}

GOVERNORS = tuple(_MAKERS)
"""The names that `make_governor` knows."""


def make_governor(name: str, *, max_mhz: float, period_us: int = PERIOD_US) -> Governor:
    """Makes the governor of that name for one frequency domain, with the kernel's defaults.

    Args:
        name: one of `GOVERNORS`.
        max_mhz: the domain's top clock.
        period_us: rate limit or sampling rate.

    Raises:
        GovernorError: if no governor has that name.
    """
    if name not in _MAKERS:
        known = ", ".join(GOVERNORS)
        raise GovernorError(f"governor {name!r} is unknown; it must be one of {known}.{did_you_mean(name, GOVERNORS)}")
    return _MAKERS[name](max_mhz, period_us)


class _Sampler:
    """Turns cumulative busy times into what happened since the last sample."""

    def __init__(self) -> None:
        self._last: tuple[float, tuple[float, ...]] | None = None

    def sample(self, now_us: float, busy_us: tuple[float, ...]) -> tuple[float, tuple[float, ...]] | None:
        """Time since the last sample and each core's busy share of it; None where no time has passed."""
        last = self._last
        if last is not None and now_us <= last[0]:
            return None
        self._last = (now_us, busy_us)
        if last is None:
            return None
        elapsed_us = now_us - last[0]
        return elapsed_us, tuple(
            min(1.0, max(0.0, (now - before) / elapsed_us)) for now, before in zip(busy_us, last[1], strict=True)
        )

    def load_percent(self, now_us: float, busy_us: tuple[float, ...]) -> int | None:
        """The busiest core's busy share in whole per cent; None where no time has passed."""
        sample = self.sample(now_us, busy_us)
        # Rounded first, so that 0.29 · 100 is 29 and not 28.999…, which the kernel's integers never see.
        return None if sample is None else math.floor(round(100 * max(sample[1]), 6))


@dataclass(slots=True)
class _Pelt:
    """Frequency-invariant utilisation of one core, in closed form over each step.

    Since Linux 5.1 invariance comes from the time by which load is tracked: while a core runs at a share c of
    its top clock that time passes c times as fast, and when the core goes idle it catches up, the difference
    counting as idle. So a core that does idle tends to its busy share · c, and one that never does tends to
    full utilisation at any clock; having reached that, it has no idle time to catch up on
    (`update_rq_clock_pelt`, `update_idle_rq_clock_pelt`). The kernel takes 1024 ns for a microsecond and reckons
    in integers; this model does not.
    """

    util: float = 0.0
    """0 to 1, in shares of the core at its top clock."""
    lag_us: float = 0.0
    """By how much the tracked time is behind."""

    def advance(self, elapsed_us: float, share: float, clock_share: float) -> None:
        """Moves on by a step in which the core was busy for that share of the time, spread evenly over it."""
        if share >= _NO_IDLE:
            self.util = 1 - (1 - self.util) * _decay(elapsed_us * clock_share)
            self.lag_us += elapsed_us * (1 - clock_share)
        else:
            caught_up_us = 0.0 if self.util >= _FULL_UTIL else self.lag_us
            decay = _decay(elapsed_us)
            self.util = self.util * _decay(caught_up_us) * decay + share * clock_share * (1 - decay)
            self.lag_us = 0.0


def _decay(elapsed_us: float) -> float:
    return math.exp2(-elapsed_us / PELT_HALF_LIFE_US)


def _whole_khz(mhz: float) -> float:
    # The kernel's integers truncate. Rounded first, so that 1000.0000000001 does not ask for the next clock up
    # and 999.9999999999 is not cut down to 999.999.
    return math.floor(round(mhz * 1000, 6)) / 1000


def _at_least(mhz: float, allowed: tuple[float, ...]) -> float:
    """The lowest allowed clock of at least `mhz`, else the highest (`CPUFREQ_RELATION_L`)."""
    return allowed[min(bisect_left(allowed, mhz), len(allowed) - 1)]


def _at_most(mhz: float, allowed: tuple[float, ...]) -> float:
    """The highest allowed clock of at most `mhz`, else the lowest (`CPUFREQ_RELATION_H`)."""
    return allowed[max(bisect_right(allowed, mhz) - 1, 0)]


def _closest(mhz: float, allowed: tuple[float, ...]) -> float:
    """The allowed clock closest to `mhz`, the lower of two (`CPUFREQ_RELATION_C`)."""
    return min(allowed, key=lambda clock: (abs(clock - mhz), clock))
