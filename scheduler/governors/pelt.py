"""Per-entity load tracking (PELT): how much of its capacity a core has lately used, in closed form.

Source: `kernel/sched/pelt.{c,h}`, Linux 5.1 to 6.x. The kernel computes in integers and this model does not; they stay
within 0.1 % of full utilisation of each other.
"""

from __future__ import annotations

from math import exp2

from scheduler.governors.common import NO_IDLE

HALF_LIFE_US = 32 * 1024 * 1.024
"""Age at which work counts half, in µs: a period of 1024 · 1024 ns has a weight of y^age, where y³² = 0.5."""

_FULL_UTIL = 1023 / 1024
"""Utilisation that the kernel takes for the maximum (`update_idle_rq_clock_pelt`)."""

_LEAST_US = 1.0
"""Least idle time that counts, in µs: a shorter one is too short to catch up in, and to tell what else ran."""


class CoreLoad:
    """The invariant utilisation of one core: it counts the work done, on whatever core and at whatever clock.

    A core that is busy half of the time at a pace of 0.5 tends to a utilisation of 0.25. A core that is never idle
    tends to 1 at any pace, since it is not known how much more there was to do.

    Between two edges the core is busy or idle throughout, and the closed form is exact. Busy time that no edge told of
    (load that is not ours; all of it where there are no edges) is known only in sum: it is spread evenly over the
    time in which the core was idle.

    Args:
        now_us: present time, in µs.

    Attributes:
        util: the utilisation, 0 to 1, as a share of the board's largest core.
        tracked_us: the time by which load is tracked, since the start, in µs.
        never_idle: True if the core was busy all the time between the last two samples.
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
        self._lag_us = 0.0  # how far the tracked time is behind
        self._at_us = now_us
        self._busy = False
        self._others = 0.0  # share of idle time that was busy all the same, as of the last sample
        self._run_us = 0.0  # busy time since the last sample, by edges
        self._idle_us = 0.0  # idle time since the last sample, by edges
        self._sampled_us = 0.0  # all busy time up to the last sample

    def edge(self, now_us: float, busy: bool, pace: float) -> None:
        """Take in that the core is busy, or idle, from now on.

        Args:
            now_us: present time, in µs.
            busy: True if it is busy from now on.
            pace: the pace at which it ran until now, if it did, as a share of the board's largest core at its top
                clock.
        """
        elapsed_us = now_us - self._at_us
        if self._busy:
            self._run_us += elapsed_us
        else:
            self._idle_us += elapsed_us
        self._advance(elapsed_us, pace)
        self._at_us = now_us
        self._busy = busy

    def sample(self, now_us: float, busy_us: float, pace: float) -> None:
        """Bring the utilisation up to now.

        Args:
            now_us: present time, in µs.
            busy_us: all busy time of the core since the start, in µs.
            pace: the pace at which it ran until now, if it did, as a share of the board's largest core at its top
                clock.
        """
        elapsed_us = now_us - self._at_us
        run_us, idle_us = self._run_us, self._idle_us
        if self._busy:
            run_us += elapsed_us
        else:
            idle_us += elapsed_us
        # Busy time that no edge told of ran, spread evenly, while the core was idle by edges.
        if idle_us >= _LEAST_US:
            untold_us = busy_us - self._sampled_us - run_us
            self._others = 0.0 if untold_us <= 0.0 else min(1.0, untold_us / idle_us)
        self.never_idle = idle_us < _LEAST_US or self._others >= NO_IDLE
        self._advance(elapsed_us, pace)
        self._at_us = now_us
        self._sampled_us = busy_us
        self._run_us = self._idle_us = 0.0

    def start(self, busy_us: float) -> None:
        """Begin a new sample.

        Args:
            busy_us: all busy time of the core since the start, in µs.
        """
        self._sampled_us = busy_us
        self._run_us = self._idle_us = 0.0

    @property
    def busy(self) -> bool:
        """True if something runs there now, by the last edge, or all the time, by the last sample."""
        return self._busy or self._others >= NO_IDLE

    def _advance(self, elapsed_us: float, pace: float) -> None:
        """Move utilisation and tracked time on by the time since the last edge or sample."""
        # Since Linux 5.1 utilisation is invariant because of the time by which load is tracked. While a core runs at a
        # pace c that time passes c times as fast (`update_rq_clock_pelt`). When the core goes idle it catches up, and
        # the difference counts as idle. A core at full utilisation has no idle time to catch up on: its lag is dropped
        # (`update_idle_rq_clock_pelt`).
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
            if self._others:  # load of others in this idle time: it tends to their share · pace
                self.util += self._others * pace * (1 - exp2(-elapsed_us / HALF_LIFE_US))
        self.tracked_us += tracked_us
