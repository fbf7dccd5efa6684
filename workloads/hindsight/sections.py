"""A mix cut at its events: sections in which targets, presence, limits of units and the power cap stay the same.

It knows what a mix declares and which requests a seed brings. It does not know gears, policies or energy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from scheduler.board import BoardUnit
from scheduler.inputs import UnitInputs, limited
from scheduler.messages import PowerCapped, UnitLimited
from workloads.mix.mix import Target
from workloads.simulator import SimulationPlan

_WINDOW_S = 2.0
"""Over which a rate of arrivals is observed."""

_CHANGE = 0.5
"""Share by which a rate must change from one window to the next to part two sections."""

_SIGMAS = 3.0
"""And how many standard deviations of a Poisson count, so that chance alone seldom does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A stretch of time in which nothing is declared to change.

    Attributes:
        from_s: its begin.
        to_s: its end, later.
        targets: of each application that is present, what is in force.
        limits: of each unit.
        power_cap_w: of the units together; None is none.
    """

    from_s: float
    to_s: float
    targets: Mapping[str, Target]
    limits: Mapping[str, UnitInputs]
    power_cap_w: float | None

    @property
    def length_s(self) -> float:
        """How long it lasts."""
        return self.to_s - self.from_s

    def unit(self, unit: BoardUnit) -> BoardUnit:
        """A unit of the board as it is here, under its limits."""
        return limited(unit, self.limits[unit.name])

    def held(self, unit: BoardUnit, mhz: float) -> float:
        """A clock of a unit as it is here: the limit where that is lower."""
        return self.unit(unit).allowed(mhz)[-1]


def sections_of(plan: SimulationPlan, cuts_s: Iterable[float] = ()) -> tuple[Section, ...]:
    """Cuts a run at its events.

    Args:
        plan: the run.
        cuts_s: where else to cut.

    Returns:
        Sections without gaps from 0 to the mix's duration.
    """
    mix = plan.mix
    presences = mix.all_apps()
    inner = {at_s for at_s, _ in plan.events} | {one.to_s for one in presences} | set(cuts_s)
    borders = [0.0, *sorted(at_s for at_s in inner if 0 < at_s < mix.duration_s), mix.duration_s]
    limits = {u.name: UnitInputs(max_mhz=None, cores_online=u.cores, other_load=0.0) for u in plan.board.units}
    power_cap_w = mix.power_cap_w
    coming = list(plan.events)
    sections = []
    for from_s, to_s in pairwise(borders):
        while coming and coming[0][0] <= from_s:
            match coming.pop(0)[1].change:
                case UnitLimited(unit=unit, max_mhz=max_mhz, cores_online=cores, other_load=load):
                    inputs = UnitInputs(max_mhz=max_mhz, cores_online=cores, other_load=load)
                    limits = {**limits, unit: inputs}
                case PowerCapped(power_cap_w=cap_w):
                    power_cap_w = cap_w
        here = [one for one in presences if one.from_s <= from_s < one.to_s]
        sections.append(
            Section(
                from_s=from_s,
                to_s=to_s,
                targets={one.app.name: _in_force(mix.targets_of(one.app.name), from_s) for one in here},
                limits=limits,
                power_cap_w=power_cap_w,
            )
        )
    return tuple(sections)


def bursts_s(plan: SimulationPlan) -> tuple[float, ...]:
    """Times at which the observed rate of an application's arrivals changes a lot.

    Arrivals are counted in windows of 2 s, those in which the application is there all the time. Two neighbours differ
    if their counts do by half of the larger one and by three standard deviations of a difference of Poisson counts.
    Times are multiples of the window, so of the epoch too where that divides the window, as 100 ms does.
    """
    cuts: set[float] = set()
    arrivals_s = plan.mix.arrivals_s(plan.seed)
    for presence in plan.mix.all_apps():
        first, last = math.ceil(presence.from_s / _WINDOW_S), math.floor(presence.to_s / _WINDOW_S)
        edges_s = _WINDOW_S * np.arange(first, last + 1)
        counts = np.diff(np.searchsorted(arrivals_s[presence.app.name], edges_s)).tolist()
        seen = counts[0] if counts else 0
        for edge_s, count in zip(edges_s.tolist(), counts, strict=False):
            if abs(count - seen) > max(_CHANGE * max(seen, count), _SIGMAS * math.sqrt(seen + count)):
                cuts.add(edge_s)
                seen = count
    return tuple(sorted(cuts))


def _in_force(targets: tuple[Target, ...], at_s: float) -> Target:
    return [target for target in targets if target.from_s <= at_s][-1]
