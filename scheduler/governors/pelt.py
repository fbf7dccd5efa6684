"""Per-entity load tracking (PELT): how much of its capacity a core has lately used, in closed form.

Source: `kernel/sched/pelt.{c,h}`, Linux 5.1 to 6.x. The kernel reckons in integers and this model does not; they stay
within 0.1 % of full utilisation of each other.
"""

from __future__ import annotations

from math import exp2

from scheduler.governors.common import NO_IDLE

HALF_LIFE_US = 32 * 1024 * 1.024
"""A period of 1024 times 1024 ns is weighed by y to the power of its age, where y³² = 0.5."""

_FULL_UTIL = 1023 / 1024
"""Utilisation that the kernel takes for the maximum (`update_idle_rq_clock_pelt`)."""

_LEAST_US = 1.0
"""Idle time that is less is none: too short to catch up in, and to tell from it what else ran."""


class CoreLoad:
    """Invariant utilisation of one core: of work done, whatever core and clock did it.

    Since Linux 5.1 invariance comes from the time by which load is tracked: while a core runs at a pace c, as a share
    of the board's largest core at its top clock, that time passes c times as fast, and when the core goes idle it
    catches up, the difference counting as idle. So a core that does idle tends to its busy share · c, and one that
    never does tends to full utilisation at any pace; having reached that, it has no idle time to catch up on
    (`update_rq_clock_pelt`, `update_idle_rq_clock_pelt`).

    Between two edges the core is busy or idle throughout, and the closed form is exact. Busy time that no edge told of
    (load that is not ours; all of it where there are no edges) is known only in sum: it is spread evenly over the
    time in which the core was idle.

    Attributes:
        util: 0 to 1, in shares of the board's largest core.
        tracked_us: the time by which load is tracked, since the start.
        never_idle: whether the core was busy all the time between the last two samples.
    """

    __slots__ = (
        "_at_us",
        "_busy",
        "_idle_us",
        "_lag_us",
        "_others",
        "_run_us",
        "_sampled_us",
        "never_idle",
        "tracked_us",
        "util",
    )

    def __init__(self, now_us: float) -> None:
        self.util = 0.0
        self.tracked_us = 0.0
        self.never_idle = False
        self._lag_us = 0.0
        """By how much the tracked time is behind."""
        self._at_us = now_us
        self._busy = False
        self._others = 0.0
        """Share of idle time that was busy all the same, as of the last sample."""
        self._run_us = 0.0
        """Busy time by edges since the last sample, as `_idle_us`."""
        self._idle_us = 0.0
        self._sampled_us = 0.0

    def edge(self, now_us: float, busy: bool, pace: float) -> None:
        """The core is busy, or idle, from now on; until now it ran, if it did, at that pace."""
        elapsed_us = now_us - self._at_us
        if self._busy:
            self._run_us += elapsed_us
        else:
            self._idle_us += elapsed_us
        self._advance(elapsed_us, pace)
        self._at_us = now_us
        self._busy = busy

    def sample(self, now_us: float, busy_us: float, pace: float) -> None:
        """Brings the utilisation up to now; `busy_us` is all busy time since the start, `pace` as in `edge`."""
        elapsed_us = now_us - self._at_us
        run_us, idle_us = self._run_us, self._idle_us
        if self._busy:
            run_us += elapsed_us
        else:
            idle_us += elapsed_us
        if idle_us >= _LEAST_US:
            untold_us = busy_us - self._sampled_us - run_us
            self._others = 0.0 if untold_us <= 0.0 else min(1.0, untold_us / idle_us)
        self.never_idle = idle_us < _LEAST_US or self._others >= NO_IDLE
        self._advance(elapsed_us, pace)
        self._at_us = now_us
        self._sampled_us = busy_us
        self._run_us = self._idle_us = 0.0

    def start(self, busy_us: float) -> None:
        """Begins a new sample."""
        self._sampled_us = busy_us
        self._run_us = self._idle_us = 0.0

    @property
    def busy(self) -> bool:
        """Whether something runs there now, by the last edge, or all the time, by the last sample."""
        return self._busy or self._others >= NO_IDLE

    def _advance(self, elapsed_us: float, pace: float) -> None:
        if self._busy or self._others >= NO_IDLE:
            tracked_us = elapsed_us * pace
            self.util = 1 - (1 - self.util) * exp2(-tracked_us / HALF_LIFE_US)
            self._lag_us += elapsed_us - tracked_us
        elif elapsed_us < _LEAST_US:  # handed on from one to the next: there is nothing to catch up in
            return
        else:
            tracked_us = elapsed_us if self.util >= _FULL_UTIL else elapsed_us + self._lag_us
            self._lag_us = 0.0
            self.util *= exp2(-tracked_us / HALF_LIFE_US)
            if self._others:
                self.util += self._others * pace * (1 - exp2(-elapsed_us / HALF_LIFE_US))
        self.tracked_us += tracked_us
