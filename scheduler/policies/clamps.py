"""Clamps: the clock that each application's gear needs, told to the governor schedutil-uclamp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scheduler.policies.checks import counted, cpus_of
from scheduler.policies.posing import evaluate_choice
from scheduler.policies.protocol import points_of
from scheduler.problem import OperatingPoint
from scheduler.views import Plan, Snapshot, UnitView


def clamps_of(plan: Plan, snapshot: Snapshot) -> dict[str, float]:
    """Return the lowest allowed clock at which each gear meets its target beside the others' gears.

    On cores of its own a gear of 40 ms at 1000 MHz and 20 ms at 2000 MHz needs 1000 MHz for a target of 50 ms, and
    2000 MHz for one of 30 ms. Beside others on its CPUs it waits as the model of contention foresees, and no CPU may be
    overloaded. Where no clock is enough, the highest allowed clock stands.

    Args:
        plan: has a gear for every application of the snapshot; its clocks do not count.
        snapshot: the snapshot that the gears were chosen for.

    Returns:
        MHz by application; applications on a GPU are left out.
    """
    cpus = counted(cpus_of(plan, snapshot), plan.gears, snapshot)
    clamps_mhz = {}
    for unit in snapshot.units:
        if unit.kind != "cpu":
            continue
        views = tuple(view for view in snapshot.apps if plan.gears[view.app].unit == unit.name)
        there = replace(snapshot, apps=views, power_cap_w=None)
        late = {mhz: _late(unit, mhz, plan, there, cpus) for mhz in unit.mhz_allowed}
        for view in views:
            enough = (mhz for mhz in unit.mhz_allowed if view.app not in late[mhz])
            clamps_mhz[view.app] = next(enough, unit.mhz_allowed[-1])
    return clamps_mhz


def _late(unit: UnitView, mhz: float, plan: Plan, there: Snapshot, cpus: Mapping[str, tuple[int, ...]]) -> set[str]:
    """Return the applications of a unit that miss their target at a clock, or that share an overloaded CPU.

    A gear without a point at the clock would keep its cores busy all the time. It is late, and so is whoever shares a
    CPU with it.

    Args:
        unit: the unit.
        mhz: the clock.
        plan: has their gears.
        there: the snapshot with its applications alone.
        cpus: by application its CPUs, counted from 0.
    """
    points: dict[str, OperatingPoint] = {}
    for view in there.apps:
        points.update((view.app, one) for one in points_of(plan.gears[view.app], view) if one.mhz == mhz)
    full = {cpu for view in there.apps if view.app not in points for cpu in cpus[view.app]}
    rest = tuple(view for view in there.apps if full.isdisjoint(cpus[view.app]))
    clocks = {one.name: one.mhz_allowed[0] for one in there.units} | {unit.name: mhz}
    choice = {view.app: points[view.app] for view in rest}
    figures = evaluate_choice(replace(there, apps=rest), choice, clocks, {app: cpus[app] for app in choice})
    overloaded = figures.unit_terms[unit.name] > 0
    meets = {
        view.app
        for view in rest
        if figures.latency_ms[view.app] <= view.target_ms / view.own_ratio
        and not (overloaded and figures.waits_ms[view.app])
    }
    return {view.app for view in there.apps} - meets
