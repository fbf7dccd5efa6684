"""The rules by which requests get clocks of their own, for the units of a plan that can have that."""

from __future__ import annotations

import math
from collections.abc import Mapping

from scheduler.points import planned_share
from scheduler.policies.protocol import gear_of, points_of
from scheduler.problem import OperatingPoint
from scheduler.request_clock import Pace, changes_mj
from scheduler.views import AppView, Snapshot, UnitView


def paces_of(points: Mapping[str, OperatingPoint], mhz: Mapping[str, float], snapshot: Snapshot) -> dict[str, Pace]:
    """Return the rule for each application on a unit that can be paced.

    - A unit rests at its lowest clock while nobody is served, if that saves more than the changes of clock take. Else
      it stands at the plan's clock, and only a request that is late gets a higher one.
    - On cores of its own, an application of periodic requests then goes down to the clock at which its network takes
      the least energy, and each request ends within the period.
    - Elsewhere its clock does not go below the plan's. On a shared unit others wait for its requests, and where
      requests come at random the next may be close: the plan allows for both at its own clock alone.
    - Under a power cap its clock does not go above the plan's.

    Args:
        points: by application, its point in the plan.
        mhz: by unit, its clock in the plan.
        snapshot: the snapshot that the plan answers.
    """
    views = {view.app: view for view in snapshot.apps}
    paces = {}
    change_mj = changes_mj((unit.mhz_allowed, unit.dynamic_w) for unit in snapshot.units if unit.kind == "cpu")
    for unit in snapshot.units:
        if not unit.paced:
            continue
        here = {app: point for app, point in points.items() if point.unit == unit.name}
        alone = sum(point.cores for point in here.values()) <= unit.cores_online
        planned_mhz = mhz[unit.name]
        least = {app: _least(point, views[app], alone=alone) for app, point in here.items()}
        rests = _saves_w(unit, here, least, views, change_mj) > 0
        for app in here:
            view = views[app]
            paces[app] = Pace(
                rest_mhz=unit.mhz_allowed[0] if rests else planned_mhz,
                least_mhz=least[app].mhz if rests else planned_mhz,
                most_mhz=None if snapshot.power_cap_w is None else planned_mhz,
                share=planned_share(view.slo),
                period_ms=_period_ms(view),
                slowdown=view.service_ratio * unit.slowdown * (1 + view.margin),
            )
    return paces


def _period_ms(view: AppView) -> float | None:
    return 1000 / view.rate_hz if view.arrivals == "periodic" and view.rate_hz else None


def _least(point: OperatingPoint, view: AppView, *, alone: bool) -> OperatingPoint:
    """Return the point of a gear at the lowest clock that its requests may have."""
    if not alone or view.arrivals != "periodic":
        return point
    return min(points_of(gear_of(point), view), key=lambda other: (other.energy_mj, other.mhz))


def _usual(point: OperatingPoint, least: OperatingPoint, view: AppView) -> OperatingPoint:
    """Return the point at the clock of a request that begins as it arrives."""
    within_ms = min(view.target_ms, _period_ms(view) or math.inf)
    slower = [
        other
        for other in points_of(gear_of(point), view)
        if least.mhz <= other.mhz < point.mhz and other.latency_ms <= within_ms
    ]
    return min(slower, key=lambda other: other.mhz, default=point)


def _saves_w(
    unit: UnitView,
    here: Mapping[str, OperatingPoint],
    least: Mapping[str, OperatingPoint],
    views: Mapping[str, AppView],
    change_mj: float,
) -> float:
    """Return the power that a unit saves by resting at its lowest clock and by slower requests, in watts.

    A unit of 0.3 W at the plan's clock and 0.1 W at its lowest that is busy for a quarter of the time saves 0.15 W,
    less what the changes of clock take, which is in the points.
    """
    if unit.static_w is None or not here:
        return 0.0
    planned_w = unit.static_w[unit.mhz_allowed.index(next(iter(here.values())).mhz)]
    busy = sum(views[app].rate_hz * point.busy_ms / 1000 for app, point in here.items())
    saved_w = unit.idle_share * (planned_w - unit.static_w[0]) * max(0.0, 1 - busy)
    for app, point in here.items():
        usual = _usual(point, least[app], views[app])
        # Standing at the plan's clock takes no changes.
        planned_mj = point.energy_mj - (change_mj if point.mhz > unit.mhz_allowed[0] else 0.0)
        saved_w += views[app].rate_hz * (planned_mj - usual.energy_mj) / 1000
    return saved_w
