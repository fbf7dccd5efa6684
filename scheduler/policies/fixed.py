"""Policies that choose a network for each application on its own, and leave units and cores to a load balancer.

They do not look at energy or at each other's load; `Placement` decides where the applications then run.
"""

from __future__ import annotations

from dataclasses import replace

from scheduler.policies.placing import Placement, place
from scheduler.policies.protocol import ladder_of, top_points
from scheduler.views import AppView, Plan, Snapshot


class Largest:
    """The paper's baseline: each application's network is chosen once and then stays.

    It is chosen at the first decision that the application is part of, from the target in force then: the largest
    sub-network that meets the target alone on some unit at the top clock; the smallest if none does. A later target
    does not change it. It is chosen anew only if no operating point of it is left, because the floor was raised above
    it or every unit would be overloaded by it.

    Clocks are the highest allowed.

    Args:
        placing: chooses units and cores.
    """

    def __init__(self, placing: Placement = place) -> None:
        self._placing = placing
        self._subnets: dict[str, str] = {}

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        tops = {view.app: top_points(view, snapshot) for view in snapshot.apps}
        for view in snapshot.apps:
            ladder = ladder_of(tops[view.app])
            if self._subnets.get(view.app) not in ladder:
                meeting = [p.subnet for p in tops[view.app] if p.latency_ms <= view.target_ms and p.subnet in ladder]
                self._subnets[view.app] = max(meeting or ladder[:1], key=ladder.index)
        return self._placing(snapshot, {view.app: self._subnets[view.app] for view in snapshot.apps})


class Floor:
    """The smallest sub-network for each application that meets its accuracy floor; the most accurate if none does.

    It follows the floor when that changes. Clocks are the highest allowed.

    Args:
        placing: chooses units and cores.
    """

    def __init__(self, placing: Placement = place) -> None:
        self._placing = placing

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        return self._placing(snapshot, {view.app: _least(view, snapshot) for view in snapshot.apps})


class Race:
    """Race to idle: the smallest sub-network that is good enough, at the highest clock, and then idle.

    Each application gets the smallest sub-network that meets its accuracy floor and, alone and at the highest clock
    allowed, its latency target; if none meets both, the one that `Floor` would take. Unused units stand at their lowest
    clock.

    Args:
        placing: chooses units and cores.
    """

    def __init__(self, placing: Placement = place) -> None:
        self._placing = placing

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        plan = self._placing(snapshot, {view.app: _least(view, snapshot, in_time=True) for view in snapshot.apps})
        used = {gear.unit for gear in plan.gears.values()}
        idle = {unit.name: unit.mhz_allowed[0] for unit in snapshot.units if unit.name not in used}
        return replace(plan, clocks={**plan.clocks, **idle})


def _least(view: AppView, snapshot: Snapshot, *, in_time: bool = False) -> str:
    """Return the smallest sub-network that meets the floor; the most accurate if none does.

    Args:
        view: the application.
        snapshot: the clocks allowed.
        in_time: True prefers those that also meet the latency target, if there are any.
    """
    points = top_points(view, snapshot)
    accurate = [point for point in points if point.accuracy >= view.min_accuracy]
    if not accurate:
        return max(points, key=lambda point: point.accuracy).subnet
    timely = [point for point in accurate if in_time and point.latency_ms <= view.target_ms]
    return (timely or accurate)[0].subnet
