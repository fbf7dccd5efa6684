"""Checks of a plan: what it comes to by the scheduler's model, and whether it can be carried out at all."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.errors import did_you_mean
from scheduler.governors import GOVERNORS
from scheduler.placement import assign_cpus
from scheduler.policies.posing import evaluate_choice
from scheduler.policies.protocol import PolicyError, points_of
from scheduler.solver import Evaluation
from scheduler.views import Gear, Plan, Snapshot, UnitView


def cpus_of(plan: Plan, snapshot: Snapshot) -> dict[str, tuple[int, ...]]:
    """Return by application the CPUs that a plan gives it, or that `assign_cpus` gives it where the plan leaves that.

    Args:
        plan: the plan.
        snapshot: the snapshot that it answers; applications keep what they have where they can (`AppView.cpus`).

    Returns:
        By application, in the order of the plan's gears, the kernel's numbers; `()` on a GPU.
    """
    usable = {
        unit.name: unit.cpus_online[: plan.awake_cpus.get(unit.name)] for unit in snapshot.units if unit.kind == "cpu"
    }
    held = {view.app: (view.gear.unit, view.cpus) for view in snapshot.apps if view.gear is not None}
    return {**assign_cpus(usable, plan.gears, held, loads_of(plan, snapshot)), **plan.cpus}


def appraise(plan: Plan, snapshot: Snapshot, cpus: Mapping[str, tuple[int, ...]] | None = None) -> Evaluation | None:
    """Evaluate a plan CPU by CPU, with the waiting that the model of contention foresees.

    Args:
        plan: the plan.
        snapshot: the snapshot that it answers.
        cpus: what `cpus_of` returns, where that is known already.

    Returns:
        The evaluation; None if the model cannot tell, because a governor sets a clock, or because a gear would be so
        overloaded at its clock that it has no operating point there.
    """
    mhz = {unit: clock for unit, clock in plan.clocks.items() if not isinstance(clock, str)}
    if len(mhz) < len(plan.clocks):
        return None
    chosen = {}
    for view in snapshot.apps:
        gear = plan.gears[view.app]
        here = [point for point in points_of(gear, view) if point.mhz == mhz[gear.unit]]
        if not here:
            return None
        chosen[view.app] = here[0]
    return evaluate_choice(snapshot, chosen, mhz, counted(cpus or cpus_of(plan, snapshot), plan.gears, snapshot))


def counted(
    cpus: Mapping[str, tuple[int, ...]], gears: Mapping[str, Gear], snapshot: Snapshot
) -> dict[str, tuple[int, ...]]:
    """Return CPUs as a problem counts them, from 0 on each unit, for the kernel's numbers; (0,) on a GPU."""
    units = {unit.name: unit for unit in snapshot.units}
    return {
        app: tuple(units[gears[app].unit].cpus_online.index(number) for number in numbers) or (0,)
        for app, numbers in cpus.items()
    }


def loads_of(plan: Plan, snapshot: Snapshot) -> dict[str, float]:
    """Return by application the share of each of its cores that its planned gear takes at the highest clock allowed."""
    loads = {}
    for view in snapshot.apps:
        points = points_of(plan.gears[view.app], view)
        if points:
            loads[view.app] = view.rate_hz * max(points, key=lambda point: point.mhz).busy_ms / 1000
    return loads


def check_plan(plan: Plan, snapshot: Snapshot, possible: Mapping[str, frozenset[Gear]]) -> None:
    """Refuse a plan that cannot be carried out, whoever made it.

    Args:
        plan: the plan.
        snapshot: the snapshot that it answers.
        possible: by application, the gears that were profiled on this board.

    Raises:
        PolicyError: it is no plan; an application or a unit is missing or unknown, a gear was never profiled or has
            more cores than are online, a clock is not allowed, or a governor is unknown.
    """
    if not isinstance(plan, Plan):
        raise PolicyError(f"decide returned {plan!r}; return a Plan(gears=..., clocks=...).")
    units = {unit.name: unit for unit in snapshot.units}
    _check_names("gears", "app", plan.gears, [view.app for view in snapshot.apps])
    _check_names("clocks", "unit", plan.clocks, list(units))
    for app, gear in plan.gears.items():
        _check_gear(app, gear, units, possible[app])
    for name, clock in plan.clocks.items():
        _check_clock(units[name], clock)
    _check_paces(plan, units)
    _check_cpus(plan, units)
    for name, count in plan.awake_cpus.items():
        _check_awake(name, count, units)
        wide = [app for app, gear in plan.gears.items() if gear.unit == name and gear.cores > count]
        if wide:
            raise PolicyError(
                f"plan: awake_cpus of {name!r} is {count!r}, but {wide[0]!r} has {plan.gears[wide[0]].cores} cores"
                " there; keep at least as many awake."
            )


def _check_names(field: str, noun: str, given: Mapping[str, object], wanted: list[str]) -> None:
    for name in wanted:
        if name not in given:
            raise PolicyError(f"plan: {field} lacks {noun} {name!r}; a plan names every {noun}.")
    for name in given:
        if name not in wanted:
            raise PolicyError(f"plan: {field} has {noun} {name!r}, which is unknown.{did_you_mean(name, wanted)}")


def _check_gear(app: str, gear: Gear, units: Mapping[str, UnitView], possible: frozenset[Gear]) -> None:
    owner = f"plan: gear of {app!r}"
    if not isinstance(gear, Gear):
        raise PolicyError(f"{owner} is {gear!r}; a gear is a Gear(subnet=..., unit=..., cores=...).")
    unit = units.get(gear.unit)
    if unit is None:
        raise PolicyError(f"{owner} is on {gear.unit!r}, which is no unit.{did_you_mean(gear.unit, units)}")
    if unit.kind == "cpu" and gear.cores > unit.cores_online:
        raise PolicyError(
            f"{owner} has {gear.cores!r} cores; {gear.unit!r} has {unit.cores_online} online: ask for at most as many."
        )
    subnets = {one.subnet for one in possible}
    if gear.subnet not in subnets:
        raise PolicyError(
            f"{owner} has sub-network {gear.subnet!r}, which is not of its ladder.{did_you_mean(gear.subnet, subnets)}"
        )
    if gear not in possible:
        raise PolicyError(f"{owner} is {gear!r}, which was not profiled here; take one of the snapshot's points.")


def _check_paces(plan: Plan, units: Mapping[str, UnitView]) -> None:
    for app in plan.paces:
        if app not in plan.gears:
            raise PolicyError(f"plan: paces has app {app!r}, which is unknown.{did_you_mean(app, plan.gears)}")
        unit = plan.gears[app].unit
        if not units[unit].paced or isinstance(plan.clocks[unit], str):
            why = "is not `paced`" if not units[unit].paced else f"is left to {plan.clocks[unit]!r}"
            raise PolicyError(f"plan: paces has {app!r}, but its unit {unit!r} {why}; leave {app!r} out.")
        rest = [other for other, gear in plan.gears.items() if gear.unit == unit and other not in plan.paces]
        if rest:
            raise PolicyError(f"plan: paces has {app!r} and lacks {rest[0]!r}, which is on {unit!r} too; add it.")


def _check_cpus(plan: Plan, units: Mapping[str, UnitView]) -> None:
    for app, numbers in plan.cpus.items():
        if app not in plan.gears:
            raise PolicyError(f"plan: cpus has app {app!r}, which is unknown.{did_you_mean(app, plan.gears)}")
        gear = plan.gears[app]
        online = units[gear.unit].cpus_online
        if units[gear.unit].kind == "gpu":
            raise PolicyError(f"plan: cpus has {app!r}, which is on the GPU {gear.unit!r}; leave it out.")
        if not len(numbers) == len(set(numbers)) == gear.cores or not set(numbers) <= set(online):
            raise PolicyError(
                f"plan: cpus of {app!r} are {tuple(numbers)}; its gear has {gear.cores} cores on {gear.unit!r}: name as"
                f" many of its CPUs online, {online}."
            )
        rest = [other for other, its in plan.gears.items() if its.unit == gear.unit and other not in plan.cpus]
        if rest:
            raise PolicyError(f"plan: cpus has {app!r} and lacks {rest[0]!r}, which is on {gear.unit!r} too; add it.")


def _check_clock(unit: UnitView, clock: float | str) -> None:
    if isinstance(clock, str):
        if clock not in GOVERNORS:
            hint = did_you_mean(clock, GOVERNORS)
            raise PolicyError(f"plan: clock of {unit.name!r} is {clock!r}, which is no governor.{hint}")
    elif clock not in unit.mhz_allowed:
        raise PolicyError(f"plan: clock of {unit.name!r} is {clock!r}; allowed now are {unit.mhz_allowed}.")


def _check_awake(name: str, count: int, units: Mapping[str, UnitView]) -> None:
    if name not in units:
        raise PolicyError(f"plan: awake_cpus has {name!r}, which is no unit.{did_you_mean(name, units)}")
    online = units[name].cores_online
    if not (isinstance(count, int) and 1 <= count <= online):
        raise PolicyError(f"plan: awake_cpus of {name!r} is {count!r}; it must be from 1 to {online}, all online.")
