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
        there = replace(snapshot, apps=views, units=(unit,), power_cap_w=None)
        late = {mhz: _late(mhz, plan, there, cpus) for mhz in unit.mhz_allowed}
        for view in views:
            enough = (mhz for mhz in unit.mhz_allowed if view.app not in late[mhz])
            clamps_mhz[view.app] = next(enough, unit.mhz_allowed[-1])
    return clamps_mhz


def _late(mhz: float, plan: Plan, there: Snapshot, cpus: Mapping[str, tuple[int, ...]]) -> set[str]:
    """Return the applications of a unit that miss their target at a clock.

    A gear without a point at the clock keeps its cores busy all the time there. Nothing can be said of the others
    beside it, so all are late; and so are all on a unit of which a CPU is overloaded.

    Args:
        mhz: the clock.
        plan: has their gears.
        there: the snapshot of that unit and its applications alone.
        cpus: by application its CPUs, counted from 0.
    """
    choice: dict[str, OperatingPoint] = {}
    for view in there.apps:
        for point in points_of(plan.gears[view.app], view):
            if point.mhz == mhz:
                choice[view.app] = point
    unit: UnitView = there.units[0]
    everyone = {view.app for view in there.apps}
    if len(choice) < len(everyone):
        return everyone
    figures = evaluate_choice(there, choice, {unit.name: mhz}, {app: cpus[app] for app in choice})
    if figures.unit_terms[unit.name] > 0 and len(everyone) > 1:
        return everyone
    targets_ms = {view.app: view.target_ms / view.own_ratio for view in there.apps}
    return {app for app in everyone if figures.latency_ms[app] > targets_ms[app]}
