"""Placement of applications whose networks are given: units and cores as Linux's load balancer would choose them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scheduler.policies.protocol import gear_of, top_points
from scheduler.problem import OperatingPoint
from scheduler.views import AppView, Plan, Snapshot

Placement = Callable[[Snapshot, Mapping[str, str]], Plan]
"""A function from a snapshot, and by application its sub-network, to gears, with every unit at its highest clock."""

STAY = 0.1
"""Load by which another unit must be less loaded before an application is moved there."""


def place(snapshot: Snapshot, subnets: Mapping[str, str]) -> Plan:
    """Choose units and cores for given networks as a load balancer would, at the highest clocks allowed.

    Applications are placed in falling order of load. Each gets the fewest cores with which it meets its target on some
    unit. Of the units where it then does, it gets the one that ends up least loaded: stock Linux spreads load over idle
    cores, and over clusters by their capacity. It is moved off its present unit only for `STAY` less load. An
    application that meets its target nowhere gets its fastest point. The effect of others on its latency is not
    foreseen.

    Args:
        snapshot: the applications and units.
        subnets: by application, its sub-network.
    """
    slots = {unit.name: unit.cores_online for unit in snapshot.units}
    rank = {unit.name: place for place, unit in enumerate(snapshot.units)}
    load = dict.fromkeys(slots, 0.0)
    options = {
        view.app: [point for point in top_points(view, snapshot) if point.subnet == subnets[view.app]]
        for view in snapshot.apps
    }

    def added_load(view: AppView, point: OperatingPoint) -> float:
        return view.rate_hz * point.busy_ms * point.cores / (1000 * slots[point.unit])

    def heaviness(view: AppView) -> float:
        return min(added_load(view, point) for point in options[view.app])

    gears = {}
    for view in sorted(snapshot.apps, key=lambda view: (-heaviness(view), view.app)):
        meeting = [point for point in options[view.app] if point.latency_ms <= view.target_ms]
        if meeting:
            fewest = min(point.cores for point in meeting)
            pool = [point for point in meeting if point.cores == fewest]
        else:
            pool = [min(options[view.app], key=lambda point: (point.latency_ms, point.cores))]

        def resulting_load(point: OperatingPoint, view: AppView = view) -> tuple[float, int]:
            stays = view.gear is not None and view.gear.unit == point.unit
            return load[point.unit] + added_load(view, point) - STAY * stays, rank[point.unit]

        chosen = min(pool, key=resulting_load)
        load[chosen.unit] += added_load(view, chosen)
        gears[view.app] = gear_of(chosen)
    return Plan(
        gears={view.app: gears[view.app] for view in snapshot.apps},
        clocks={unit.name: unit.mhz_allowed[-1] for unit in snapshot.units},
    )
