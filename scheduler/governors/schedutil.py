"""schedutil: a clock in proportion to tracked utilisation, with or without clamps on the utilisation.

Source: `kernel/sched/cpufreq_schedutil.c` and `kernel/sched/{core.c,sched.h}` (uclamp), Linux 5.1 to 6.7.
"""

from __future__ import annotations

from scheduler.governors.common import PERIOD_US, at_least, at_most, whole_khz
from scheduler.governors.pelt import CoreLoad
from scheduler.governors.util_est import EnqueuedTasks

_HEADROOM = 1.25
"""Ratio of the capacity asked for to utilisation (`map_util_perf`)."""


class Schedutil:
    """The governor schedutil: a clock in proportion to the utilisation of the busiest core.

    It takes the lowest clock of at least 1.25 · f_max · utilisation / capacity (`get_next_freq`). At a utilisation of
    0.4 on cores of capacity 1.0 and 2000 MHz it asks for 1000 MHz.

    A core's utilisation is the larger of two: what is tracked there (PELT), and what the tasks enqueued there are
    estimated to need (util_est; only where edges tell of tasks). Like capacity, it is a share of the board's largest
    core (`cpu_util_cfs`). A domain of one core that was never idle since the last call does not clock down
    (`sugov_update_single`).

    Not modelled: the boost after waiting for I/O, and real-time and deadline tasks.

    Args:
        max_mhz: the domain's top clock, whatever is allowed now.
        capacity: work that a core of the domain does at that clock, as a share of what the board's largest core does.
        period_us: the rate limit, in µs.
    """

    hooked = True

    def __init__(self, *, max_mhz: float, capacity: float = 1.0, period_us: int = PERIOD_US) -> None:
        self.period_us = period_us
        # The clock, perhaps beyond the top one, at which a core would be as fast as the board's largest.
        self._full_mhz = max_mhz / capacity
        self._cores: list[CoreLoad] = []
        self._enqueued: list[EnqueuedTasks] = []
        self._stepped_us: float | None = None

    def edge(self, now_us: float, core: int, busy: bool, mhz: float, task: int | None = None) -> None:
        """See `EdgeGovernor.edge`."""
        if core >= len(self._cores):
            self._know(core + 1, now_us)
        load = self._cores[core]
        load.edge(now_us, busy, mhz / self._full_mhz)
        self._enqueued[core].edge(load.tracked_us, task if busy else None)

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`; called again at the same moment it decides anew, as tasks may have come or gone."""
        if self._stepped_us is None:
            self._know(len(busy_us), now_us)
            for load, core_busy_us in zip(self._cores, busy_us, strict=True):
                load.start(core_busy_us)
            self._stepped_us = now_us
            return at_most(mhz, mhz_allowed)
        if now_us > self._stepped_us:
            pace = mhz / self._full_mhz
            for load, core_busy_us in zip(self._cores, busy_us, strict=True):
                load.sample(now_us, core_busy_us, pace)
            self._stepped_us = now_us
        return self._choose(mhz, mhz_allowed)

    def _know(self, cores: int, now_us: float) -> None:
        """Make sure that there is a state for each of so many cores."""
        for _ in range(len(self._cores), cores):
            self._cores.append(CoreLoad(now_us))
            self._enqueued.append(EnqueuedTasks())

    def _choose(self, mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        target_mhz = whole_khz(_HEADROOM * self._full_mhz * max(self._utils()))
        if len(self._cores) == 1 and self._cores[0].never_idle:
            target_mhz = max(target_mhz, mhz)
        return at_least(target_mhz, mhz_allowed)

    def _utils(self) -> list[float]:
        """Return each core's utilisation."""
        return [
            enqueued.util if enqueued.util > load.util else load.util
            for load, enqueued in zip(self._cores, self._enqueued, strict=True)
        ]


class SchedutilUclamp(Schedutil):
    """The governor schedutil for tasks that say what clock they need: `uclamp_min` and `uclamp_max`, set alike.

    - A core on which a task with a hint runs asks for the hint: 1000 MHz at a hint of 1000 MHz, however busy it is
      (`uclamp_rq_util_with`).
    - A core that goes idle lets go of the lower clamp and keeps the upper one, so that its fading utilisation asks for
      no more than its last task did (`uclamp_idle_value`).
    - A lone core that is held down by its clamp may clock down at any time.
    - A core without a hint, and a domain without any hint, is as under `Schedutil`.

    Args:
        max_mhz: the domain's top clock, whatever is allowed now.
        capacity: work that a core of the domain does at that clock, as a share of what the board's largest core does.
        period_us: the rate limit, in µs.
    """

    def __init__(self, *, max_mhz: float, capacity: float = 1.0, period_us: int = PERIOD_US) -> None:
        super().__init__(max_mhz=max_mhz, capacity=capacity, period_us=period_us)
        self._hints: dict[int, float] = {}

    def hint(self, core: int, mhz: float | None) -> None:
        """See `HintedGovernor.hint`."""
        if mhz is None:
            self._hints.pop(core, None)
        else:
            # As a utilisation, and without the headroom, so that the headroom makes it the hint itself.
            self._hints[core] = mhz / self._full_mhz / _HEADROOM

    def _choose(self, mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        if not self._hints:
            return super()._choose(mhz, mhz_allowed)
        utils = self._utils()
        wanted = [self._clamped(core, util) for core, util in enumerate(utils)]
        target_mhz = whole_khz(_HEADROOM * self._full_mhz * max(wanted))
        if len(self._cores) == 1 and self._cores[0].never_idle and utils[0] <= wanted[0]:
            target_mhz = max(target_mhz, mhz)
        return at_least(target_mhz, mhz_allowed)

    def _clamped(self, core: int, util: float) -> float:
        clamp = self._hints.get(core)
        if clamp is None:
            return util
        return clamp if self._cores[core].busy else min(util, clamp)
