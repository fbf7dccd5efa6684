"""Clamps: the clock that each application's gear needs, told to the governor schedutil-uclamp.

A shared unit is taken as one server, in the worst case (`scheduler.solver.evaluation` lists the models). Unlike in
`evaluate`, every wait counts in full: what the manager has learned of waiting (`AppView.own_ratio`,
`AppView.wait_ratio`) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.policies.protocol import points_of
from scheduler.problem import FULL_LOAD, OperatingPoint
from scheduler.views import AppView, Gear, Snapshot, UnitView


def clamps_of(gears: Mapping[str, Gear], snapshot: Snapshot) -> dict[str, float]:
    """Return the lowest allowed clock at which each gear meets its target beside the others' gears.

    On cores of its own a gear of 40 ms at 1000 MHz and 20 ms at 2000 MHz needs 1000 MHz for a target of 50 ms, and
    2000 MHz for one of 30 ms. Where no clock is enough, the highest allowed clock stands.

    Args:
        gears: by application, for every application of the snapshot.
        snapshot: the snapshot that the gears were chosen for.

    Returns:
        MHz by application; applications on a GPU are left out.
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
    """Return the points of a gear by their clock in MHz."""
    return {point.mhz: point for point in points_of(gear, view)}


def _meets(
    mhz: float,
    app: str,
    beside: list[str],
    unit: UnitView,
    views: Mapping[str, AppView],
    points: Mapping[str, Mapping[float, OperatingPoint]],
) -> bool:
    """Return True if an application meets its target at that clock and its unit can bear all that share it.

    Args:
        mhz: the clock of the unit.
        app: the application.
        beside: the applications that it shares the unit with.
        unit: the unit.
        views: by application.
        points: by application, its gear's points by clock.
    """
    together = [app, *beside]
    if any(mhz not in points[one] for one in together):  # a gear without a point here is overloaded by itself
        return False
    at = {one: points[one][mhz] for one in together}
    latency_ms = at[app].latency_ms + sum(at[other].busy_ms for other in beside)
    taken_ms = sum(views[one].rate_hz * at[one].busy_ms * at[one].cores for one in together)
    fits = not beside or taken_ms <= FULL_LOAD * 1000 * unit.cores_online
    return fits and latency_ms <= views[app].target_ms
