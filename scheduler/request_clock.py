"""The clock of one request: the least at which it ends in time, so that a unit need not stand at one clock all epoch.

A plan gives a unit one clock, at which every request meets its target, the slow ones and those that waited too. Most
requests have more time than that. A unit whose plan has a `Pace` for each application rests at a clock of the rule
while nobody is served, and each request takes the least clock that ends it in time. Where requests of several run on a
unit at once, it stands at the highest of their clocks.

Simulator, ledger and board agent all ask here, so that they agree. This module knows no plans and no time of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from scheduler.board import BoardUnit
from scheduler.profile import quantile

CHANGE_MS = 0.35
"""CPU time of one change of clock for a request, at a core's top clock: a note by the worker, and a write by the board
agent, both of which have just woken up. Rounded up from what was measured: 0.30 to 0.33 ms, and 0.09 in a loop
(docs/measurements.md, "Devices")."""

Clocked = tuple[Sequence[float], Sequence[float] | None]
"""A unit's clocks in MHz, rising, and the power of one busy core at each; None where unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """The rule by which each request of one application gets its clock.

    `Pace(rest_mhz=200, least_mhz=600, share=0.975, period_ms=100)` gives a request the least clock from 600 MHz on at
    which 97.5 % of all requests would be over within 100 ms of their arrival, and before their deadline. While none is
    served the unit stands at 200 MHz.

    Attributes:
        rest_mhz: the unit's clock while nobody is served; the same for all applications there.
        least_mhz: the lowest clock for it. A slower one takes more energy, or lets others wait longer than planned.
        most_mhz: the highest clock for it; None for the unit's.
        share: share of the requests that are to end in time at the clock that they get.
        period_ms: time from arrival in which a request is to end, so that the next one need not wait; None for no such
            time.
        slowdown: how many times as long as profiled its requests are taken to last, with what lateness has taught.
    """

    rest_mhz: float
    least_mhz: float
    most_mhz: float | None = None
    share: float
    period_ms: float | None = None
    slowdown: float = 1.0


_LEAST_FREE = 1e-3
"""Share of a core that is taken to be free beside other load: at less, the highest clock it is anyway."""

NO_PACES: Mapping[int, Pace] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """What a request's clock depends on.

    Attributes:
        samples_ms: profiled service times of its network on its cores, rising.
        arrival_s: when it arrived, board time.
        deadline_s: when its result is due, board time.
        next_deadline_s: when the result of the request behind it is due; infinite where none waits.
        extra_ms: profiled time that comes on top, such as that of waking up.
        memory_share: its network's own (`ServiceTime.memory_share`); None for the unit's.
    """

    samples_ms: Sequence[float]
    arrival_s: float
    deadline_s: float
    next_deadline_s: float = math.inf
    extra_ms: float = 0.0
    memory_share: float | None = None


def changes_mj(units: Iterable[Clocked]) -> float:
    """Return the energy of bringing a unit to a clock for one request, and back to its lowest, in mJ.

    Both changes take `CHANGE_MS` of a core at the top clock, on the CPU unit where that takes the least energy: at its
    lowest clock, where it takes so much longer. At a tenth of the top clock and 0.1 W it is 2 · 0.35 · 10 · 0.1 =
    0.7 mJ. Where power is unknown it is 0.

    Args:
        units: the CPU units, each with its clocks, rising, and the power of one busy core at each.
    """
    return min((2 * CHANGE_MS * clocks[-1] / clocks[0] * watts[0] for clocks, watts in units if watts), default=0.0)


class RequestClock:
    """The clock of one application's requests of one size on a unit, as far as it is the same for all of them.

    20 ms of work with 80 ms left, on a unit of speed 1 at 500, 1000 and 2000 MHz, take 500 MHz; with 30 ms left they
    take 2000. In time is by its deadline, within the rule's period, and early enough for the request behind it to be
    on time at the highest clock. A change of clock takes the unit's `transition_us`, in which the request runs at the
    old one.

    Args:
        unit: the unit.
        allowed: the clocks that it may take now, rising.
        pace: the rule.
        samples_ms: profiled service times of the network on its cores, rising.
        memory_share: the network's own (`ServiceTime.memory_share`); None for the unit's.
    """

    def __init__(
        self,
        unit: BoardUnit,
        allowed: Sequence[float],
        pace: Pace,
        samples_ms: Sequence[float],
        memory_share: float | None,
    ) -> None:
        wanted = [mhz for mhz in allowed if mhz >= pace.least_mhz and (pace.most_mhz is None or mhz <= pace.most_mhz)]
        # The limits may leave nothing within the rule: then it is the nearest clock to it.
        self._wanted = wanted or [allowed[0] if pace.least_mhz <= allowed[0] else allowed[-1]]
        self._unit, self._memory_share = unit, memory_share
        self._paces: dict[float, float] = {}
        """The unit's pace at each clock that was looked at."""
        self._work_s = pace.slowdown * quantile(samples_ms, pace.share) / 1000
        self._work_at_top_s = self._work_s / unit.pace(allowed[-1], memory_share)
        self._period_s = math.inf if pace.period_ms is None else pace.period_ms / 1000
        self._lag_s = 1e-6 * unit.transition_us

    def least(
        self,
        arrival_s: float,
        deadline_s: float,
        next_deadline_s: float,
        extra_ms: float,
        *,
        now_s: float,
        now_mhz: float,
        other_load: float,
    ) -> float:
        """Return the least clock at which a request that begins now ends in time, or the highest that it may have.

        Args:
            arrival_s: as in `Timing`, and so are the three that follow.
            deadline_s: when its result is due.
            next_deadline_s: when the result of the request behind it is due.
            extra_ms: profiled time that comes on top.
            now_s: present time, board time.
            now_mhz: the unit's clock now.
            other_load: share of each core that others take, 0 to 1.
        """
        due_s = min(deadline_s, next_deadline_s - self._work_at_top_s, arrival_s + self._period_s)
        left_s = due_s - now_s
        need_s = (self._work_s + extra_ms / 1000) / max(1 - other_load, _LEAST_FREE)
        in_change_s = self._lag_s * self._pace(now_mhz)
        for mhz in self._wanted:
            pace = self._paces.get(mhz) or self._pace(mhz)
            if (left_s * pace if mhz == now_mhz else in_change_s + (left_s - self._lag_s) * pace) >= need_s:
                return mhz
        return self._wanted[-1]

    def _pace(self, mhz: float) -> float:
        pace = self._paces.get(mhz)
        if pace is None:
            pace = self._paces[mhz] = self._unit.pace(mhz, self._memory_share)
        return pace


def clock_for(
    unit: BoardUnit,
    allowed: Sequence[float],
    pace: Pace,
    timing: Timing,
    *,
    now_s: float,
    now_mhz: float,
    other_load: float,
) -> float:
    """Return the clock of a single request that begins now; see `RequestClock`.

    Args:
        unit: the unit.
        allowed: the clocks that it may take now, rising.
        pace: the rule.
        timing: the request.
        now_s: present time, board time.
        now_mhz: the unit's clock now.
        other_load: share of each core that others take, 0 to 1.
    """
    clock = RequestClock(unit, allowed, pace, timing.samples_ms, timing.memory_share)
    return clock.least(
        timing.arrival_s,
        timing.deadline_s,
        timing.next_deadline_s,
        timing.extra_ms,
        now_s=now_s,
        now_mhz=now_mhz,
        other_load=other_load,
    )
