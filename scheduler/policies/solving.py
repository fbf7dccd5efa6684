"""Policies that solve the snapshot's problem: everything together, or first the networks and then the clocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from scheduler.policies.protocol import gear_of, points_of, top_points
from scheduler.policies.sharing import crowded_units, outcome, several_cores
from scheduler.problem import Allocation, Demand, Kind, Points, Problem, Unit
from scheduler.solve import Evaluation, solve
from scheduler.views import Plan, Snapshot

HYSTERESIS = 0.02
"""Share of power that `Joint` must save at no greater violation before it changes a gear."""


def problem_of(snapshot: Snapshot) -> Problem:
    """The optimisation problem that a snapshot poses.

    Where latencies have turned out shorter than foreseen, targets are as much longer, for the model to agree with.
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
            latency_ms=view.target_ms / view.latency_ratio,
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

    solves = True

    def __init__(self, *, hysteresis: float = HYSTERESIS) -> None:
        self._hysteresis = hysteresis

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        allocation = self.allocate(snapshot)
        gears = {app: gear_of(point) for app, point in allocation.choice.items()}
        return Plan(gears=gears, clocks=allocation.mhz, optimal=allocation.optimal)

    def allocate(self, snapshot: Snapshot) -> Allocation:
        """What is chosen; `optimal` and `bound` are the optimum's, also where the gears in force stay."""
        problem = problem_of(snapshot)
        best = _solved(problem)
        if all(gear_of(best.choice[view.app]) == view.gear for view in snapshot.apps):
            return best
        kept_problem = _with_gears_kept(problem, snapshot)
        if kept_problem is not None:
            kept = _solved(kept_problem)
            if self._as_good(_outcome(problem, kept), _outcome(problem, best), problem.objective):
                return replace(kept, optimal=best.optimal, bound=best.bound)
        return best

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
        points = points_of(view.gear, view)
        if not points:
            return None
        demands.append(replace(demand, points=points))
    return replace(problem, demands=tuple(demands))


def _outcome(problem: Problem, allocation: Allocation) -> Evaluation:
    return outcome(problem, allocation.choice, allocation.mhz)


_LOOSER = (1.5, 2.5)
"""Factors on the targets with which a problem is solved again."""


def _solved(problem: Problem) -> Allocation:
    """The optimum; where applications share a unit of several cores, what is best CPU by CPU near it.

    Seen as one server such a unit needs a higher clock than it does, and looks overloaded long before it is. The
    optimum then makes every request short, by many cores, where it should let them run side by side. So where it seems
    late a few looser problems' optima are candidates too; each gets the clocks that are best CPU by CPU.
    """
    best = solve(problem)
    if not several_cores(problem):
        return best
    crowded = crowded_units(problem, _outcome(problem, best))
    candidates = [_at_best_clocks(problem, best, crowded)]
    if best.violation > 0:
        for factor in _LOOSER:
            looser = replace(solve(_with_targets_times(factor, problem)), optimal=False, bound=best.bound)
            candidates.append(_at_best_clocks(problem, looser, problem.units))
    return min(candidates, key=lambda one: _rank(problem, one))


def _at_best_clocks(problem: Problem, allocation: Allocation, units: Sequence[Unit]) -> Allocation:
    """The same gears, with one of these units after another at the clock that is best CPU by CPU."""
    for unit in units:
        at_clocks = [_at_clock(problem, allocation, unit, mhz) for mhz in unit.mhz]
        allocation = min((one for one in at_clocks if one is not None), key=lambda one: _rank(problem, one))
    return allocation


def _at_clock(problem: Problem, allocation: Allocation, unit: Unit, mhz: float) -> Allocation | None:
    """The same gears with a unit at that clock; None where an application has no point for it."""
    if mhz == allocation.mhz[unit.name]:
        return allocation
    choice = dict(allocation.choice)
    for demand in problem.demands:
        point = choice[demand.app]
        if point.unit == unit.name:
            in_gear = Points.of(demand.points).by_gear[point.subnet, point.unit, point.cores]
            at_clock = next((other for other in in_gear if other.mhz == mhz), None)
            if at_clock is None:
                return None
            choice[demand.app] = at_clock
    return replace(allocation, choice=choice, mhz={**allocation.mhz, unit.name: mhz}, optimal=False)


def _with_targets_times(factor: float, problem: Problem) -> Problem:
    demands = (replace(demand, latency_ms=demand.latency_ms * factor) for demand in problem.demands)
    return replace(problem, demands=tuple(demands))


def _rank(problem: Problem, allocation: Allocation) -> tuple[float, ...]:
    """Less is better, CPU by CPU."""
    came_to = _outcome(problem, allocation)
    largest = round(came_to.largest_term, 9) if problem.objective == "fair" else 0.0
    accuracy = -came_to.accuracy if problem.objective == "accuracy" else 0.0
    return largest, round(came_to.violation, 9), accuracy, came_to.power_w


class TwoStage:
    """First the gears, as if clocks could not be changed, then the clocks for those gears.

    The first stage is `Joint` with nothing but the highest clocks allowed, its hysteresis included; the second solves
    for the clocks that serve those gears best. What it cannot find is a gear that pays only at a lower clock, such as
    more cores or another unit: that is what deciding on both together adds.
    """

    solves = True

    def __init__(self) -> None:
        self._first = Joint()

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        gears = self._first.decide(_at_top(snapshot)).gears
        in_gear = tuple(replace(view, points=points_of(gears[view.app], view)) for view in snapshot.apps)
        clocks = _solved(problem_of(replace(snapshot, apps=in_gear))).mhz
        return Plan(gears=gears, clocks=clocks)


def _at_top(snapshot: Snapshot) -> Snapshot:
    """The snapshot of a board whose units have one clock, the highest allowed."""
    return replace(
        snapshot,
        apps=tuple(replace(view, points=tuple(top_points(view, snapshot))) for view in snapshot.apps),
        units=tuple(
            replace(
                unit,
                mhz_allowed=unit.mhz_allowed[-1:],
                static_w=unit.static_w and unit.static_w[-1:],
                dynamic_w=unit.dynamic_w and unit.dynamic_w[-1:],
            )
            for unit in snapshot.units
        ),
    )
