"""What the governor schedutil-uclamp is told: for each application the clock that its gear needs.

It goes by the operating points and by `scheduler.problem`'s rules for units that applications share.
"""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.problem import FULL_LOAD, OperatingPoint
from scheduler.views import AppView, Gear, Snapshot, UnitView


def clamps_of(gears: Mapping[str, Gear], snapshot: Snapshot) -> dict[str, float]:
    """By application on a CPU, the lowest allowed clock at which its gear meets its target beside the others' gears.

    Where no clock does: the highest allowed.

    Args:
        gears: of every application of the snapshot.
        snapshot: what the gears were chosen for.
    """
    views = {view.app: view for view in snapshot.apps}
    clamps_mhz = {}
    for unit in snapshot.units:
        if unit.kind != "cpu":
            continue
        here = [app for app, gear in gears.items() if gear.unit == unit.name]
        points = {app: _by_clock(gears[app], views[app]) for app in here}
        shared = sum(gears[app].cores for app in here) > unit.cores_online
        for app in here:
            beside = [other for other in here if shared and other != app]
            enough = (mhz for mhz in unit.mhz_allowed if _meets(mhz, app, beside, unit, views, points))
            clamps_mhz[app] = next(enough, unit.mhz_allowed[-1])
    return clamps_mhz


def _by_clock(gear: Gear, view: AppView) -> dict[float, OperatingPoint]:
    return {
        point.mhz: point
        for point in view.points
        if (point.subnet, point.unit, point.cores) == (gear.subnet, gear.unit, gear.cores)
    }


def _meets(
    mhz: float,
    app: str,
    beside: list[str],
    unit: UnitView,
    views: Mapping[str, AppView],
    points: Mapping[str, Mapping[float, OperatingPoint]],
) -> bool:
    together = [app, *beside]
    if any(mhz not in points[one] for one in together):  # overloaded at that clock all by itself
        return False
    at = {one: points[one][mhz] for one in together}
    latency_ms = at[app].latency_ms + sum(at[other].busy_ms for other in beside)
    taken_ms = sum(views[one].rate_hz * at[one].busy_ms * at[one].cores for one in together)
    fits = not beside or taken_ms <= FULL_LOAD * 1000 * unit.cores_online
    return fits and latency_ms <= views[app].target_ms
