"""The rules by which requests get clocks of their own, for the units of a plan that can have that."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.points import planned_share
from scheduler.policies.protocol import gear_of, points_of
from scheduler.problem import OperatingPoint
from scheduler.request_clock import Pace
from scheduler.views import AppView, Snapshot


def paces_of(points: Mapping[str, OperatingPoint], mhz: Mapping[str, float], snapshot: Snapshot) -> dict[str, Pace]:
    """Return the rule for each application on a unit that can be paced.

    - On cores of its own, an application of periodic requests goes down to the clock at which its network takes the
      least energy, and each request ends within the period.
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
    for unit in snapshot.units:
        if not unit.paced:
            continue
        here = {app: point for app, point in points.items() if point.unit == unit.name}
        alone = sum(point.cores for point in here.values()) <= unit.cores_online
        planned_mhz = mhz[unit.name]
        for app, point in here.items():
            view = views[app]
            regular = view.arrivals == "periodic"
            paces[app] = Pace(
                least_mhz=_thriftiest(point, view) if alone and regular else planned_mhz,
                most_mhz=None if snapshot.power_cap_w is None else planned_mhz,
                share=planned_share(view.slo),
                period_ms=1000 / view.rate_hz if regular and view.rate_hz else None,
                slowdown=view.service_ratio,
            )
    return paces


def _thriftiest(point: OperatingPoint, view: AppView) -> float:
    """Return the clock at which a gear takes the least energy, the lowest of several."""
    in_gear = points_of(gear_of(point), view)
    return min(in_gear, key=lambda other: (other.energy_mj, other.mhz)).mhz
