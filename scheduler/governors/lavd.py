"""lavd: the clocks that sched_ext's scheduler scx_lavd asks schedutil for.

Source: `scheds/rust/scx_lavd/src/bpf/` in github.com/sched-ext/scx at 7a58a3a (`collect_sys_stat` in `sys_stat.bpf.c`,
`calc_asym_avg` in `util.bpf.c`, `update_cpuperf_target` in `power.bpf.c`, `lavd_running` in `main.bpf.c`), and what
`kernel/sched/cpufreq_schedutil.c` makes of it, Linux 6.12. `scheduler.policies.compaction` has where it puts tasks.
"""

from __future__ import annotations

from scheduler.governors.common import NO_IDLE, PERIOD_US, Sampler, at_least, at_most, whole_khz

HEADROOM = 1.25
"""Ratio of the capacity asked for to utilisation (`sugov_effective_cpu_perf`)."""

FULL = 0.85
"""Utilisation from which the highest clock is asked for (`LAVD_CPU_UTIL_MAX_FOR_CPUPERF`)."""

RISE, FALL = 3 / 4, 1 / 8
"""Weight of the newest busy share in a core's average, where it is above the average and where it is not
(`calc_asym_avg`)."""

_TICK_US = 1e-3
"""Times closer together than this are equal."""


class Lavd:
    """The clocks of scx_lavd: in proportion to how busy a core was, in wall time.

    Every 10 ms each core's busy share is taken, and its average, which rises fast and falls slowly. When a task begins
    to run on a core, the larger of the two is asked for there, or the highest clock where it is `FULL` or more; while
    the task runs this stays. The domain takes the highest over its cores. A core that was busy for 40 % of the last
    10 ms, after a long rest, has an average of 0.3, and a task that begins there asks for 1.25 · 0.4: half of the top
    clock.

    The busy share is not scaled by the clock: at half the clock the same work is twice the share. schedutil takes the
    share asked for as one of the board's largest core, so on a core of capacity 0.5 a share of 0.4 asks for the top
    clock (`scx_bpf_cpuperf_set` stores it unscaled).

    As for the other models, a core that sleeps is looked at all the same: what it asks for falls with its average.
    Where edges don't tell of tasks, one that ran before the last look runs on if the core was never idle since.

    Args:
        max_mhz: the domain's top clock, whatever is allowed now.
        capacity: work that a core of the domain does at that clock, as a share of what the board's largest core does.
        period_us: time between two looks at how busy the cores were (`LAVD_SYS_STAT_INTERVAL_NS`), and the rate limit,
            in µs.
    """

    hooked = True

    def __init__(self, *, max_mhz: float, capacity: float = 1.0, period_us: int = PERIOD_US) -> None:
        self.period_us = period_us
        self._full_mhz = max_mhz / capacity
        self._sampler = Sampler()
        self._looked_us: float | None = None
        self._cores: list[_LavdCore] = []
        self._hears = False

    def edge(self, now_us: float, core: int, busy: bool, mhz: float, task: int | None = None) -> None:
        """See `EdgeGovernor.edge`."""
        self._hears = True
        self._know(core + 1)
        self._cores[core].runs(busy, task)

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`; before the next look is due it answers to the tasks that have begun."""
        self._know(len(busy_us))
        if self._looked_us is None or now_us - self._looked_us >= self.period_us - _TICK_US:
            self._looked_us = now_us
            shares = self._sampler.shares(now_us, busy_us)
            if shares is None:
                return at_most(mhz, mhz_allowed)
            for core, share in zip(self._cores, shares, strict=True):
                core.look(share, runs_on=core.busy if self._hears else share >= NO_IDLE and core.share > 0)
        wanted_mhz = HEADROOM * self._full_mhz * max(core.asked for core in self._cores)
        return at_least(whole_khz(wanted_mhz), mhz_allowed)

    def _know(self, cores: int) -> None:
        """Make sure that there is a state for each of so many cores."""
        while len(self._cores) < cores:
            self._cores.append(_LavdCore())


class _LavdCore:
    """One core: how busy it was, and what was asked for there when a task last began.

    Attributes:
        busy: True if a task runs there, by the last edge.
        share: its busy share between the last two looks.
        asked: share of the board's largest core that is asked for, 0 to 1.
    """

    __slots__ = ("_average", "_task", "asked", "busy", "share")

    def __init__(self) -> None:
        self.busy = False
        self.share = 0.0
        self.asked = 0.0
        self._task: int | None = None
        self._average = 0.0

    def runs(self, busy: bool, task: int | None) -> None:
        """Take in that a task runs there from now on, or none; it may be the same as before."""
        if busy and not (self.busy and task == self._task):
            self._ask()
        self.busy, self._task = busy, task

    def look(self, share: float, *, runs_on: bool) -> None:
        """Take in how busy it was since the last look.

        Args:
            share: its busy share, 0 to 1.
            runs_on: True if a task runs there that had begun before.
        """
        self.share = share
        self._average += (RISE if share > self._average else FALL) * (share - self._average)
        if not runs_on:
            self._ask()

    def _ask(self) -> None:
        wanted = max(self._average, self.share)
        self.asked = wanted if wanted < FULL else 1.0
