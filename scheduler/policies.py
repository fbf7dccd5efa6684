"""Policies: from a snapshot of applications and units to a plan of gears and clocks.

A policy's name is `NETWORKS[+CLOCKS]`: who chooses sub-networks and cores, and who chooses clocks.

- `joint`: sub-networks, cores, units and clocks of all applications together (`scheduler.solve`).
- `largest`: for each application the largest sub-network that met its target alone at the top clock when it began.
- `floor`: for each application the smallest sub-network that meets its accuracy floor.

CLOCKS is a kernel governor's name; left out, `joint` sets its own clocks and the others run at the top clock. A bare
governor's name means `largest` under that governor, which is what a board does that leaves it all to Linux.

A policy sees snapshots only. It does not know how a plan is carried out, nor what the time is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol, cast

from scheduler.governors import GOVERNORS
from scheduler.problem import Allocation, Demand, Kind, OperatingPoint, Problem, Unit, did_you_mean
from scheduler.solve import Evaluation, evaluate, solve
from scheduler.views import AppView, Gear, Plan, Snapshot, UnitView

HYSTERESIS = 0.02
"""Share of power that `joint` must save at no greater violation before it changes a gear."""

STAY = 0.1
"""Load that another unit must have less before an application with a fixed network is moved there."""


class PolicyError(ValueError):
    """A policy's name that means nothing, or a plan that cannot be carried out."""


class Policy(Protocol):
    """Decides on gears and clocks."""

    def decide(self, snapshot: Snapshot) -> Plan:
        """A gear for every application of the snapshot and a clock, or a governor, for every unit."""
        ...


# ---------------------------------------------------------------- joint


def problem_of(snapshot: Snapshot) -> Problem:
    """The optimisation problem that a snapshot poses.

    Where the power of a unit is not known it counts as nothing, so that only violation (and accuracy) is weighed.
    """
    units = tuple(
        Unit(
            name=unit.name,
            kind=cast(Kind, unit.kind),
            cores=unit.cores_online,
            mhz=unit.mhz_allowed,
            static_w=unit.static_w or (0.0,) * len(unit.mhz_allowed),
        )
        for unit in snapshot.units
    )
    demands = tuple(
        Demand(
            app=view.app,
            rate_hz=view.rate_hz,
            latency_ms=view.target_ms,
            min_accuracy=view.min_accuracy,
            weight=view.weight,
            points=view.points,
        )
        for view in snapshot.apps
    )
    return Problem(units=units, demands=demands, objective=snapshot.objective, power_cap_w=snapshot.power_cap_w)


class Joint:
    """Everything together: the optimum of the snapshot's problem.

    Gears change only for a reason: where the gears in force, at their best clocks, have no greater violation (and,
    for objective "accuracy", no less accuracy) and the optimum saves less than a share `hysteresis` of power, they
    stay.
    """

    def __init__(self, *, hysteresis: float = HYSTERESIS) -> None:
        self._hysteresis = hysteresis

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        problem = problem_of(snapshot)
        best = solve(problem)
        kept_problem = _with_gears_kept(problem, snapshot)
        if kept_problem is not None:
            kept = solve(kept_problem)
            if self._as_good(_outcome(problem, kept), _outcome(problem, best), problem.objective):
                return _plan_of(kept, optimal=best.optimal)
        return _plan_of(best, optimal=best.optimal)

    def _as_good(self, kept: Evaluation, best: Evaluation, objective: str) -> bool:
        tie = 1e-9
        return (
            kept.violation <= best.violation + tie
            and (objective != "fair" or kept.largest_term <= best.largest_term + tie)
            and (objective != "accuracy" or kept.accuracy >= best.accuracy - tie)
            and best.power_w >= kept.power_w * (1 - self._hysteresis)
        )


def _with_gears_kept(problem: Problem, snapshot: Snapshot) -> Problem | None:
    """The problem with only the clocks left to choose; None where a gear is missing or no longer possible."""
    demands = []
    for view, demand in zip(snapshot.apps, problem.demands, strict=True):
        points = _points_of(view.gear, view)
        if not points:
            return None
        demands.append(replace(demand, points=points))
    return replace(problem, demands=tuple(demands))


def _points_of(gear: Gear | None, view: AppView) -> tuple[OperatingPoint, ...]:
    if gear is None:
        return ()
    subnet, unit, cores = gear.subnet, gear.unit, gear.cores
    return tuple(p for p in view.points if p.subnet == subnet and p.unit == unit and p.cores == cores)


def _outcome(problem: Problem, allocation: Allocation) -> Evaluation:
    return evaluate(problem, allocation.choice, allocation.mhz)


def _plan_of(allocation: Allocation, *, optimal: bool) -> Plan:
    gears = {app: gear_of(point) for app, point in allocation.choice.items()}
    return Plan(gears=gears, clocks=allocation.mhz, optimal=optimal)


def gear_of(point: OperatingPoint) -> Gear:
    """The gear that a point is one clock of."""
    return Gear(subnet=point.subnet, unit=point.unit, cores=point.cores)


# ---------------------------------------------------------------- fixed networks


class Largest:
    """The paper's baseline: each application's network is chosen once and then stays.

    Chosen at the first decision that the application is part of, from the targets then in force: the largest
    sub-network that meets the latency target alone on some unit at the top clock; the smallest if none does. A
    later target does not change it. Only where no operating point of it is left, because its floor was raised above
    it or every unit would be overloaded by it, is it chosen anew.

    Units and cores are as `place` says, clocks the highest allowed.
    """

    def __init__(self) -> None:
        self._subnets: dict[str, str] = {}

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        tops = {view.app: _top_points(view, snapshot) for view in snapshot.apps}
        for view in snapshot.apps:
            ladder = _ladder(tops[view.app])
            if self._subnets.get(view.app) not in ladder:
                meeting = [p.subnet for p in tops[view.app] if p.latency_ms <= view.target_ms]
                self._subnets[view.app] = max(meeting or ladder[:1], key=ladder.index)
        return place(snapshot, {view.app: self._subnets[view.app] for view in snapshot.apps})


class Floor:
    """For each application the smallest sub-network that meets its accuracy floor, the most accurate if none does.

    It follows the floor when that changes. Units and cores are as `place` says, clocks the highest allowed.
    """

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        return place(snapshot, {view.app: self._subnet(view, snapshot) for view in snapshot.apps})

    def _subnet(self, view: AppView, snapshot: Snapshot) -> str:
        points = _top_points(view, snapshot)
        meeting = [point.subnet for point in points if point.accuracy >= view.min_accuracy]
        if meeting:
            return min(meeting, key=_ladder(points).index)
        return max(points, key=lambda point: point.accuracy).subnet


def place(snapshot: Snapshot, subnets: Mapping[str, str]) -> Plan:
    """Units and cores for given networks, as a load balancer would choose them, at the highest clocks allowed.

    Applications are placed in falling order of load. Each gets the fewest cores with which it meets its target
    somewhere, and of the units where it then does the one that ends up least loaded (stock Linux spreads load over
    idle cores, and over clusters by their capacity); it is moved off its present unit only for `STAY` less load.
    Where it meets its target nowhere it gets its fastest point. What others on the unit do to its latency is not
    foreseen.
    """
    slots = {unit.name: 1 if unit.kind == "gpu" else unit.cores_online for unit in snapshot.units}
    rank = {unit.name: place for place, unit in enumerate(snapshot.units)}
    load = dict.fromkeys(slots, 0.0)
    options = {
        view.app: [point for point in _top_points(view, snapshot) if point.subnet == subnets[view.app]]
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


def _top_points(view: AppView, snapshot: Snapshot) -> list[OperatingPoint]:
    top_mhz = {unit.name: unit.mhz_allowed[-1] for unit in snapshot.units}
    return [point for point in view.points if point.mhz == top_mhz[point.unit]]


def _ladder(points: list[OperatingPoint]) -> list[str]:
    """The sub-networks of points, in their order: smallest first."""
    return list(dict.fromkeys(point.subnet for point in points))


# ---------------------------------------------------------------- clocks left to a governor


class UnderGovernor:
    """Another policy's gears, with the clock of every unit left to a kernel governor.

    `joint` under a governor still solves for gears and clocks together; then the clocks it found are thrown away,
    as if an application-level manager ran on a kernel that goes its own way.
    """

    def __init__(self, policy: Policy, governor: str) -> None:
        self._policy = policy
        self._governor = governor

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        plan = self._policy.decide(snapshot)
        return replace(plan, clocks=dict.fromkeys(plan.clocks, self._governor), optimal=None)


# ---------------------------------------------------------------- names and checks

NETWORKS: Mapping[str, type[Joint] | type[Largest] | type[Floor]] = {
    "joint": Joint,
    "largest": Largest,
    "floor": Floor,
}
"""By the first half of a policy's name, what chooses sub-networks and cores."""


def make_policy(name: str) -> Policy:
    """The policy of that name, fresh: it has decided nothing yet.

    Args:
        name: `NETWORKS`, `NETWORKS+GOVERNOR` or `GOVERNOR`.

    Raises:
        PolicyError: the name means none.
    """
    known = f"give one of {', '.join(NETWORKS)}, alone or with +GOVERNOR, or a GOVERNOR: {', '.join(GOVERNORS)}."
    if ":" in name or name.endswith(".py"):
        raise PolicyError(f"policy {name!r}: policies are not read from files; {known}")
    networks, plus, governor = name.partition("+")
    if not plus and networks in GOVERNORS:
        return UnderGovernor(Largest(), networks)
    if networks not in NETWORKS:
        names = NETWORKS if plus else [*NETWORKS, *GOVERNORS]
        raise PolicyError(f"policy {name!r}: {networks!r} is unknown; {known}{did_you_mean(networks, names)}")
    policy = NETWORKS[networks]()
    if not plus:
        return policy
    if governor not in GOVERNORS:
        mend = did_you_mean(governor, GOVERNORS)
        raise PolicyError(f"policy {name!r}: governor {governor!r} is unknown; {known}{mend}")
    return UnderGovernor(policy, governor)


def appraise(plan: Plan, snapshot: Snapshot) -> Evaluation | None:
    """What a plan comes to by the scheduler's model.

    None where the model does not say: a governor has a clock, or a gear would be so overloaded at its clock that it is
    no operating point.
    """
    mhz = {unit: clock for unit, clock in plan.clocks.items() if not isinstance(clock, str)}
    if len(mhz) < len(plan.clocks):
        return None
    chosen = {}
    for view in snapshot.apps:
        gear = plan.gears[view.app]
        here = [point for point in _points_of(gear, view) if point.mhz == mhz[gear.unit]]
        if not here:
            return None
        chosen[view.app] = here[0]
    lean = tuple(replace(view, points=(chosen[view.app],)) for view in snapshot.apps)
    return evaluate(problem_of(replace(snapshot, apps=lean)), chosen, mhz)


def check_plan(plan: Plan, snapshot: Snapshot, possible: Mapping[str, frozenset[Gear]]) -> None:
    """Refuse a plan that cannot be carried out, whoever made it.

    Args:
        plan: the plan.
        snapshot: what it answers.
        possible: by application, the gears that were profiled on this board.

    Raises:
        PolicyError: an application or a unit is missing or unknown, a gear was never profiled or has more cores
            than are online, a clock is not allowed, or a governor is unknown.
    """
    units = {unit.name: unit for unit in snapshot.units}
    _check_names("gears", "app", plan.gears, [view.app for view in snapshot.apps])
    _check_names("clocks", "unit", plan.clocks, list(units))
    for app, gear in plan.gears.items():
        if gear not in possible[app]:
            raise PolicyError(f"plan: gear of {app!r} is {gear!r}, which was not profiled on this board.")
        unit = units[gear.unit]
        if unit.kind == "cpu" and gear.cores > unit.cores_online:
            raise PolicyError(
                f"plan: gear of {app!r} has {gear.cores!r} cores; {gear.unit!r} has {unit.cores_online} online."
            )
    for name, clock in plan.clocks.items():
        _check_clock(units[name], clock)


def _check_names(field: str, noun: str, given: Mapping[str, object], wanted: list[str]) -> None:
    for name in wanted:
        if name not in given:
            raise PolicyError(f"plan: {field} lacks {noun} {name!r}; a plan names every {noun}.")
    for name in given:
        if name not in wanted:
            raise PolicyError(f"plan: {field} has {noun} {name!r}, which is unknown.{did_you_mean(name, wanted)}")


def _check_clock(unit: UnitView, clock: float | str) -> None:
    if isinstance(clock, str):
        if clock not in GOVERNORS:
            mend = did_you_mean(clock, GOVERNORS)
            raise PolicyError(f"plan: clock of {unit.name!r} is {clock!r}, which is no governor.{mend}")
    elif clock not in unit.mhz_allowed:
        raise PolicyError(f"plan: clock of {unit.name!r} is {clock!r}; allowed now are {unit.mhz_allowed}.")
