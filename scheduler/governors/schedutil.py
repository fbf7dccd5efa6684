"""schedutil: a clock in proportion to tracked utilisation, with or without clamps on it.

Source: `kernel/sched/cpufreq_schedutil.c` and `kernel/sched/{core.c,sched.h}` (uclamp), Linux 5.1 to 6.7.
"""

from __future__ import annotations

from scheduler.governors.common import PERIOD_US, at_least, at_most, whole_khz
from scheduler.governors.pelt import CoreLoad

_HEADROOM = 1.25
"""Capacity asked for, over utilisation (`map_util_perf`)."""


class Schedutil:
    """Clock in proportion to the utilisation of the busiest core.

    f = 1.25 · f_max · utilisation, and the lowest clock of at least that (`get_next_freq`). A domain of one
    core that was never idle since the last call does not clock down (`sugov_update_single`). Not modelled:
    `util_est`, which belongs to tasks, the boost after waiting for I/O, and real-time and deadline tasks.

    Args:
        max_mhz: the domain's top clock, whatever is allowed now.
        period_us: the rate limit.
    """

    hooked = True

    def __init__(self, *, max_mhz: float, period_us: int = PERIOD_US) -> None:
        self.period_us = period_us
        self._max_mhz = max_mhz
        self._cores: list[CoreLoad] = []
        self._stepped_us: float | None = None

    def edge(self, now_us: float, core: int, busy: bool, mhz: float, task: int | None = None) -> None:
        """See `EdgeGovernor.edge`."""
        while len(self._cores) <= core:
            self._cores.append(CoreLoad(now_us))
        self._cores[core].edge(now_us, busy, mhz / self._max_mhz)

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`."""
        if self._stepped_us is None:
            self._cores += [CoreLoad(now_us) for _ in busy_us[len(self._cores) :]]
            for load, core_busy_us in zip(self._cores, busy_us, strict=True):
                load.start(core_busy_us)
        elif now_us > self._stepped_us:
            for load, core_busy_us in zip(self._cores, busy_us, strict=True):
                load.sample(now_us, core_busy_us, mhz / self._max_mhz)
            self._stepped_us = now_us
            return self._choose(mhz, mhz_allowed)
        self._stepped_us = now_us
        return at_most(mhz, mhz_allowed)

    def _choose(self, mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        target_mhz = whole_khz(_HEADROOM * self._max_mhz * max(core.util for core in self._cores))
        if len(self._cores) == 1 and self._cores[0].never_idle:
            target_mhz = max(target_mhz, mhz)
        return at_least(target_mhz, mhz_allowed)


class SchedutilUclamp(Schedutil):
    """schedutil for tasks that say what clock they need, through `uclamp_min` and `uclamp_max`, set alike.

    While something runs on a core with a hint, that core counts as used to 1/1.25 of the share that the hint is of the
    top clock, so that the headroom makes it the hint itself (`uclamp_rq_util_with`). A core that goes idle lets go of
    the lower clamp and keeps the upper one, so that its fading utilisation asks for no more than its last task did
    (`uclamp_idle_value`). A lone core that is held down by its clamp may clock down at any time.

    A core without a hint, and a domain that nobody gives any, is as under `Schedutil`.
    """

    def __init__(self, *, max_mhz: float, period_us: int = PERIOD_US) -> None:
        super().__init__(max_mhz=max_mhz, period_us=period_us)
        self._hints: dict[int, float] = {}

    def hint(self, core: int, mhz: float | None) -> None:
        """See `HintedGovernor.hint`."""
        if mhz is None:
            self._hints.pop(core, None)
        else:
            self._hints[core] = mhz / self._max_mhz / _HEADROOM

    def _choose(self, mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        if not self._hints:
            return super()._choose(mhz, mhz_allowed)
        wanted = [self._clamped(core) for core in range(len(self._cores))]
        target_mhz = whole_khz(_HEADROOM * self._max_mhz * max(wanted))
        lone = self._cores[0]
        if len(self._cores) == 1 and lone.never_idle and lone.util <= wanted[0]:
            target_mhz = max(target_mhz, mhz)
        return at_least(target_mhz, mhz_allowed)

    def _clamped(self, core: int) -> float:
        load = self._cores[core]
        clamp = self._hints.get(core)
        if clamp is None:
            return load.util
        return clamp if load.busy else min(load.util, clamp)
