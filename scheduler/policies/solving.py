"""Policies that solve the snapshot's problem: everything together, or first the networks and then the clocks."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from scheduler.policies.protocol import gear_of, points_of, top_points
from scheduler.policies.sharing import outcome, several_cores
from scheduler.problem import Allocation, Demand, Kind, Problem, Unit
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
    """The optimum; where it seems late on units of several cores, what is best CPU by CPU of a few looser problems'.

    Seen as one server such a unit looks overloaded long before it is, and the optimum then makes every request short,
    by many cores, where it should let them run side by side.
    """
    best = solve(problem)
    if best.violation <= 0 or not several_cores(problem):
        return best
    looser = [solve(_with_targets_times(factor, problem)) for factor in _LOOSER]
    candidates = [best, *(replace(one, optimal=False, bound=best.bound) for one in looser)]
    return min(candidates, key=lambda one: _rank(_outcome(problem, one), problem.objective))


def _with_targets_times(factor: float, problem: Problem) -> Problem:
    demands = (replace(demand, latency_ms=demand.latency_ms * factor) for demand in problem.demands)
    return replace(problem, demands=tuple(demands))


def _rank(evaluation: Evaluation, objective: str) -> tuple[float, ...]:
    """Less is better."""
    largest = round(evaluation.largest_term, 9) if objective == "fair" else 0.0
    accuracy = -evaluation.accuracy if objective == "accuracy" else 0.0
    return largest, round(evaluation.violation, 9), accuracy, evaluation.power_w


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
        clocks = solve(problem_of(replace(snapshot, apps=in_gear))).mhz
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
