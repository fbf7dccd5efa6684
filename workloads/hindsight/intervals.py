"""Intervals of a run: spans in which targets, presence, limits of units and the power cap stay the same.

This module knows what a mix declares and which requests a seed brings. It does not know gears, policies or energy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import assert_never

import numpy as np

from scheduler.board import BoardUnit
from scheduler.inputs import UnitInputs, limited
from scheduler.messages import AmbientChanged, AppJoined, AppLeft, PowerCapped, TargetChanged, UnitLimited, UnitSlowed
from workloads.mix.mix import Target
from workloads.simulator import SimulationPlan

_WINDOW_S = 2.0
"""Length of the windows in which arrivals are counted."""

_CHANGE = 0.5
"""Share of the larger count by which two neighbouring windows must differ, to be cut apart."""

_SIGMAS = 3.0
"""Standard deviations of a difference of Poisson counts by which they must differ too, so that chance seldom cuts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A span of the run in which nothing is declared to change.

    Attributes:
        from_s: its begin.
        to_s: its end, later.
        targets: the target in force of each application that is present.
        limits: the limits of each unit.
        slowdowns: of each unit, how many times as long requests take there; the manager does not know.
        power_cap_w: the cap on the power of all units together; None is no cap.
    """

    from_s: float
    to_s: float
    targets: Mapping[str, Target]
    limits: Mapping[str, UnitInputs]
    slowdowns: Mapping[str, float]
    power_cap_w: float | None

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return self.to_s - self.from_s

    def unit(self, unit: BoardUnit) -> BoardUnit:
        """Return a unit of the board as its limits leave it, as slow as it is."""
        left = limited(unit, self.limits[unit.name])
        return replace(left, speed=left.speed / self.slowdowns[unit.name])

    def held(self, unit: BoardUnit, mhz: float) -> float:
        """Return the clock that a unit gets if it is asked for `mhz`: the highest allowed one, where that is lower."""
        return self.unit(unit).allowed(mhz)[-1]


def intervals_of(plan: SimulationPlan, cuts_s: Iterable[float] = ()) -> tuple[Interval, ...]:
    """Cut a run at its events.

    Args:
        plan: the run.
        cuts_s: further times at which to cut.

    Returns:
        Intervals without gaps from 0 to the mix's duration.
    """
    mix = plan.mix
    presences = mix.all_apps()
    inner = {at_s for at_s, _ in plan.events} | {one.to_s for one in presences} | set(cuts_s)
    borders = [0.0, *sorted(at_s for at_s in inner if 0 < at_s < mix.duration_s), mix.duration_s]
    limits = {u.name: UnitInputs(max_mhz=None, cpus_online=u.all_cpus, other_load=0.0) for u in plan.board.units}
    slowdowns = {unit.name: 1.0 for unit in plan.board.units}
    power_cap_w = mix.power_cap_w
    coming = list(plan.events)
    intervals = []
    for from_s, to_s in pairwise(borders):
        while coming and coming[0][0] <= from_s:
            change = coming.pop(0)[1].change
            match change:
                case UnitLimited(unit=unit, max_mhz=max_mhz, cpus_online=cpus, other_load=load):
                    inputs = UnitInputs(max_mhz=max_mhz, cpus_online=cpus, other_load=load)
                    limits = {**limits, unit: inputs}
                case UnitSlowed(unit=unit, slowdown=slowdown):
                    slowdowns = {**slowdowns, unit: slowdown}
                case PowerCapped(power_cap_w=cap_w):
                    power_cap_w = cap_w
                case TargetChanged() | AppJoined() | AppLeft():
                    pass  # read from the mix below
                case AmbientChanged():
                    pass  # heat counts in whole runs only
                case _:
                    assert_never(change)
        here = [one for one in presences if one.from_s <= from_s < one.to_s]
        intervals.append(
            Interval(
                from_s=from_s,
                to_s=to_s,
                targets={one.app.name: _in_force(one.targets, from_s) for one in here},
                limits=limits,
                slowdowns=slowdowns,
                power_cap_w=power_cap_w,
            )
        )
    return tuple(intervals)


def bursts_s(plan: SimulationPlan) -> tuple[float, ...]:
    """Return the times at which the observed rate of an application's arrivals changes a lot.

    Arrivals are counted in windows of 2 s, those in which the application is present all the time. Two neighbours
    differ if their counts do by half of the larger one and by three standard deviations of a difference of Poisson
    counts: 10 and 40 arrivals do, 10 and 20 do not. Times are multiples of the window, so of the epoch too where that
    divides the window, as 100 ms does.
    """
    cuts: set[float] = set()
    arrivals_s = plan.mix.arrivals_s(plan.seed)
    for presence in plan.mix.all_apps():
        first, last = math.ceil(presence.from_s / _WINDOW_S), math.floor(presence.to_s / _WINDOW_S)
        edges_s = _WINDOW_S * np.arange(first, last + 1)
        counts = np.diff(np.searchsorted(arrivals_s[presence.app.name], edges_s)).tolist()
        seen = counts[0] if counts else 0
        for edge_s, count in zip(edges_s.tolist(), counts, strict=False):
            # A Poisson count has its mean for variance, so the difference of two has about their sum.
            if abs(count - seen) > max(_CHANGE * max(seen, count), _SIGMAS * math.sqrt(seen + count)):
                cuts.add(edge_s)
                seen = count
    return tuple(sorted(cuts))


def _in_force(targets: tuple[Target, ...], at_s: float) -> Target:
    """Return the last target that has begun by then."""
    return [target for target in targets if target.from_s <= at_s][-1]
