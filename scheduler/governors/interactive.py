"""interactive: straight to a high clock under full load, down again only after a while.

Source: `drivers/cpufreq/cpufreq_interactive.c` of Android's 4.9 kernel, the one that L4T 32 is based on. Target load,
sampling rate, load and delay above the high speed are its defaults; L4T keeps a clock for 30 ms where Android's default
is 80 ms. It was never part of mainline Linux.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.governors.common import Sampler, at_least, at_most, whole, whole_khz

PERIOD_US = 20_000
"""The sampling rate (`DEFAULT_SAMPLING_RATE`), in µs."""


@dataclass(slots=True)
class _ClockChoice:
    """One core's choice of a clock: the state that the kernel keeps for each core.

    Attributes:
        target_mhz: its last choice.
        floor_mhz: the clock that it keeps for `min_sample_us` after it was last found right.
        floor_us: time at which `floor_mhz` was last found right.
        weighed_us: time at which it last considered a clock that it was not forbidden to take.
    """

    target_mhz: float
    floor_mhz: float
    floor_us: float
    weighed_us: float


class Interactive:
    """The governor interactive: a clock for a load of 90 %, and the high speed at once where load is 99 % or more.

    Each core chooses by its own load, and the domain takes the highest choice (`eval_target_freq`,
    `cpufreq_interactive_adjust_cpu`). A core does not go below a clock that it chose less than `min_sample_us` ago.
    From the high speed on it goes up only if `above_hispeed_us` have passed since it went there.

    Here all cores are sampled together; in the kernel each has its own rhythm. Left out are boosts, which user space
    asks for, load thresholds by clock, and the timer by which an idle core lets go of a high clock late.

    Args:
        max_mhz: the domain's top clock, whatever is allowed now.
        period_us: the sampling rate, in µs.
        target_load: per cent of load that a clock is chosen for.
        go_hispeed_load: per cent of load from which the high speed is taken at once.
        hispeed_mhz: the high speed; None for the top clock.
        min_sample_us: time for which a clock is kept before a lower one, in µs.
        above_hispeed_us: time for which the high speed or a clock above is kept before a higher one, in µs.
    """

    hooked = True

    def __init__(
        self,
        *,
        max_mhz: float,
        period_us: int = PERIOD_US,
        target_load: int = 90,
        go_hispeed_load: int = 99,
        hispeed_mhz: float | None = None,
        min_sample_us: int = 30_000,
        above_hispeed_us: int = 20_000,
    ) -> None:
        self.period_us = period_us
        self._target_load = target_load
        self._go_hispeed_load = go_hispeed_load
        self._hispeed_mhz = max_mhz if hispeed_mhz is None else hispeed_mhz
        self._min_sample_us = min_sample_us
        self._above_hispeed_us = above_hispeed_us
        self._sampler = Sampler()
        self._cores: list[_ClockChoice] = []
        self._floor_us = 0.0
        self._weighed_us = 0.0

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`."""
        shares = self._sampler.shares(now_us, busy_us)
        mhz = at_most(mhz, mhz_allowed)
        if not self._cores:
            self._cores = [_ClockChoice(mhz, mhz, now_us, now_us) for _ in busy_us]
            self._floor_us = self._weighed_us = now_us
        for core in self._cores:
            core.target_mhz = min(max(core.target_mhz, mhz_allowed[0]), mhz_allowed[-1])
        if shares is None:
            return mhz
        # A list, not a generator in `any`: every core has to choose, also after one whose choice changed.
        changes = [
            self._evaluate(core, share, now_us, mhz, mhz_allowed)
            for core, share in zip(self._cores, shares, strict=True)
        ]
        return self._adjust(mhz, mhz_allowed) if any(changes) else mhz

    def _evaluate(
        self, core: _ClockChoice, share: float, now_us: float, mhz: float, mhz_allowed: tuple[float, ...]
    ) -> bool:
        """Let a core choose; return True if the domain's clock may have to change (`eval_target_freq`)."""
        wanted_mhz = self._wanted_mhz(share, mhz, mhz_allowed)
        if mhz >= self._hispeed_mhz and wanted_mhz > mhz and now_us - self._weighed_us < self._above_hispeed_us:
            return False  # at the high speed or above, and not for long enough to go higher
        core.weighed_us = now_us
        chosen_mhz = at_least(wanted_mhz, mhz_allowed)
        if chosen_mhz < core.floor_mhz and core.target_mhz >= mhz:
            kept_us = now_us - max(self._floor_us, core.floor_us)
            if kept_us < self._min_sample_us:
                return False
        # The floor's time begins anew, unless the domain stands above both this choice and the one before.
        core.floor_mhz = chosen_mhz
        if core.target_mhz >= mhz or chosen_mhz >= mhz:
            core.floor_us = now_us
        if core.target_mhz == chosen_mhz and core.target_mhz <= mhz:
            return False
        core.target_mhz = chosen_mhz
        return True

    def _wanted_mhz(self, share: float, mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """Return the clock that a core's load asks for, not yet one of those allowed."""
        # The lowest clock at which the same work would take at most `target_load` per cent of the time. From a clock
        # below the high speed, no core goes beyond the high speed in one step.
        fitting_mhz = at_least(whole_khz(whole_khz(share * mhz) * 100 / self._target_load), mhz_allowed)
        if whole(100 * share) >= self._go_hispeed_load:
            return self._hispeed_mhz if mhz < self._hispeed_mhz else max(fitting_mhz, self._hispeed_mhz)
        return min(fitting_mhz, self._hispeed_mhz) if mhz < self._hispeed_mhz else fitting_mhz

    def _adjust(self, mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """Return the highest choice of any core, and remember when it was made (`cpufreq_interactive_adjust_cpu`)."""
        self._floor_us = max(core.floor_us for core in self._cores)
        highest_mhz = max(core.target_mhz for core in self._cores)
        if highest_mhz == mhz:
            return mhz
        self._weighed_us = min(core.weighed_us for core in self._cores if core.target_mhz == highest_mhz)
        return at_most(highest_mhz, mhz_allowed)
