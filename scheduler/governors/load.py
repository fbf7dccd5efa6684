"""ondemand and conservative: governors that go by the busy share of the last sampling period.

Source: `drivers/cpufreq/cpufreq_{ondemand,conservative,governor}.c`, Linux 4.7 to 6.x. Since 4.7 both are run from the
scheduler's hooks, at most once in a sampling period; before that a timer ran them.
"""

from __future__ import annotations

from scheduler.governors.common import PERIOD_US, Sampler, at_least, at_most, closest, whole_khz


class Ondemand:
    """The governor ondemand: the highest clock under high load, else a clock in proportion to the load (`od_update`).

    Load is the busy share of the busiest core in whole per cent. Above `up_threshold` it takes the highest allowed
    clock. Else it takes the allowed clock closest to f_min + load · (f_max - f_min), the lower of two. At a load of
    50 % on clocks from 200 to 2000 MHz that is 1100 MHz.

    Args:
        max_mhz: the domain's top clock, whatever is allowed now.
        period_us: the sampling rate, in µs.
        up_threshold: per cent. The kernel's default is 80, and 95 where its tick stops on idle cores.
    """

    hooked = True

    def __init__(self, *, max_mhz: float, period_us: int = PERIOD_US, up_threshold: int = 80) -> None:
        self.period_us = period_us
        self._max_mhz = max_mhz
        self._up_threshold = up_threshold
        self._sampler = Sampler()

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`."""
        load = self._sampler.load_percent(now_us, busy_us)
        if load is None:
            return at_most(mhz, mhz_allowed)
        if load > self._up_threshold:
            return mhz_allowed[-1]
        # The range is the domain's whole one. Limits cap it from above only, so its lowest clock is always allowed.
        min_mhz = mhz_allowed[0]
        return closest(whole_khz(min_mhz + load * (self._max_mhz - min_mhz) / 100), mhz_allowed)


class Conservative:
    """The governor conservative: small steps up under high load and down under low load (`cs_dbs_update`).

    Load is the busy share of the busiest core in whole per cent. A step is taken from the last requested clock,
    which need not be in the table. On the way up the highest clock of at most the request is set, on the way
    down the lowest clock of at least the request.

    Args:
        period_us: the sampling rate, in µs.
        up_threshold: per cent of load above which the request rises.
        down_threshold: per cent of load below which the request falls.
        step_percent: size of a step, in per cent of the highest allowed clock.
    """

    hooked = True

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
        self._sampler = Sampler()
        self._requested_mhz = 0.0

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`."""
        load = self._sampler.load_percent(now_us, busy_us)
        mhz = at_most(mhz, mhz_allowed)
        low_mhz, high_mhz = mhz_allowed[0], mhz_allowed[-1]
        if not low_mhz <= self._requested_mhz <= high_mhz:
            self._requested_mhz = mhz  # the first call, or the limits have changed
        if load is None:
            return mhz
        step_mhz = whole_khz(high_mhz * self._step_percent / 100)
        if load > self._up_threshold:
            self._requested_mhz = min(self._requested_mhz + step_mhz, high_mhz)
            return at_most(self._requested_mhz, mhz_allowed)
        if load < self._down_threshold:
            self._requested_mhz = max(self._requested_mhz - step_mhz, low_mhz)
            return at_least(self._requested_mhz, mhz_allowed)
        return mhz
