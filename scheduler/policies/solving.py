"""Policies that solve the snapshot's problem: everything together, or first the networks and then the clocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, assert_never, cast

from scheduler.board import BoardUnit
from scheduler.objectives import OBJECTIVES, Quantity
from scheduler.policies.protocol import gear_of, points_of, top_points
from scheduler.policies.sharing import evaluate_by_cpu, evaluate_likely, may_crowd, several_cores
from scheduler.problem import Demand, Kind, OperatingPoint, Points, Problem, Unit
from scheduler.solver import solve
from scheduler.views import Gear, Plan, Snapshot, UnitView

HYSTERESIS = 0.02
"""Share of power that `Joint` must save at no greater violation before it changes a gear."""


def unit_of(unit: UnitView | BoardUnit) -> Unit:
    """Return a unit as the solver sees it: with its cores online and the clocks allowed.

    Where its power is not known it counts as nothing, so that only violation (and accuracy) is weighed.
    """
    match unit:
        case UnitView():
            cores, mhz = unit.cores_online, unit.mhz_allowed
        case BoardUnit():
            cores, mhz = unit.cores, unit.mhz
        case _:
            assert_never(unit)
    static_w = unit.static_w or (0.0,) * len(mhz)
    return Unit(name=unit.name, kind=cast(Kind, unit.kind), cores=cores, mhz=mhz, static_w=static_w)


def problem_of(snapshot: Snapshot) -> Problem:
    """The optimisation problem that a snapshot poses.

    What requests have turned out to take and to wait for, less than foreseen, is what counts: own_ratio · own +
    wait_ratio · waits <= target is own + wait_ratio / own_ratio · waits <= target / own_ratio.
    """
    demands = tuple(
        Demand(
            app=view.app,
            rate_hz=view.rate_hz,
            target_ms=view.target_ms / view.own_ratio,
            wait_share=view.wait_ratio / view.own_ratio,
            min_accuracy=view.min_accuracy,
            weight=view.weight,
            points=view.points,
        )
        for view in snapshot.apps
    )
    units = tuple(unit_of(unit) for unit in snapshot.units)
    return Problem(units=units, demands=demands, objective=snapshot.objective, power_cap_w=snapshot.power_cap_w)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A point for each application, and a clock for each unit.

    Attributes:
        points: by application.
        mhz: by unit.
        optimal: whether it is proven to be the problem's optimum.
    """

    points: Mapping[str, OperatingPoint]
    mhz: Mapping[str, float]
    optimal: bool

    @property
    def gears(self) -> tuple[tuple[str, Gear], ...]:
        """By application, its gear."""
        return tuple((app, gear_of(point)) for app, point in self.points.items())


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
        chosen = self.choose(snapshot)
        return Plan(gears=dict(chosen.gears), clocks=chosen.mhz, optimal=chosen.optimal)

    def choose(self, snapshot: Snapshot) -> Chosen:
        """What is decided on; `optimal` is the best one's, also where the gears in force stay."""
        problem = problem_of(snapshot)
        best = _best(problem)
        if best.gears == tuple((view.app, view.gear) for view in snapshot.apps):
            return best
        kept_problem = _with_gears_kept(problem, snapshot)
        if kept_problem is not None:
            kept = _best(kept_problem, in_gear=True)
            if self._as_good(_judged(problem, kept), _judged(problem, best)):
                return replace(kept, optimal=best.optimal)
        return best

    def _as_good(self, kept: _Judgement, best: _Judgement) -> bool:
        return kept.above <= best.above and best.power_w >= kept.power_w * (1 - self._hysteresis)


def _with_gears_kept(problem: Problem, snapshot: Snapshot) -> Problem | None:
    """The problem with only the clocks left to choose; None where a gear is missing or no longer possible."""
    demands = []
    for view, demand in zip(snapshot.apps, problem.demands, strict=True):
        points = points_of(view.gear, view)
        if not points:
            return None
        demands.append(replace(demand, points=points))
    return replace(problem, demands=tuple(demands))


_LESS_WAITING = (0.4, 0.1)
"""Factors on what waiting counts, with which a problem is solved again."""


def _best(problem: Problem, *, in_gear: bool = False) -> Chosen:
    """The optimum; where that is late, or applications may share several cores, what is best near it.

    The problem has a request wait for one of every other application on its unit, whichever core that runs on and
    however seldom it does. So it gives a unit of several cores too high a clock, or moves applications off it; and of
    two that would hardly ever meet on a core it puts one where that is late every time. Here the optima of problems
    with less waiting are candidates as well, and shared units get the clocks that are best CPU by CPU.

    Args:
        problem: to solve.
        in_gear: whether only the clocks are left to choose.
    """
    solved = solve(problem)
    best = Chosen(points=solved.choice, mhz=solved.mhz, optimal=solved.optimal)
    late = solved.violation > 0
    if not (late or several_cores(problem)):
        return best
    by_gears = {best.gears: best}
    if not in_gear and (late or may_crowd(problem)):
        for factor in _LESS_WAITING:
            solved = solve(_with_waits_times(factor, problem))
            other = Chosen(points=solved.choice, mhz=solved.mhz, optimal=False)
            by_gears.setdefault(other.gears, other)
    candidates = [_at_best_clocks(problem, one) for one in by_gears.values()]
    return min(candidates, key=lambda one: _judged(problem, one))


def _at_best_clocks(problem: Problem, chosen: Chosen) -> Chosen:
    """The same gears, with one shared unit after another at the clock that is best CPU by CPU."""
    shared = evaluate_by_cpu(problem, chosen.points, chosen.mhz).shared
    for unit in (unit for unit in problem.units if unit.name in shared):
        at_clocks = [_at_clock(problem, chosen, unit, mhz) for mhz in unit.mhz]
        chosen = min((one for one in at_clocks if one is not None), key=lambda one: _judged(problem, one))
    return chosen


def _at_clock(problem: Problem, chosen: Chosen, unit: Unit, mhz: float) -> Chosen | None:
    """The same gears with a unit at that clock; None where an application has no point for it."""
    if mhz == chosen.mhz[unit.name]:
        return chosen
    points = dict(chosen.points)
    for demand in problem.demands:
        point = points[demand.app]
        if point.unit == unit.name:
            in_gear = Points.of(demand.points).by_gear[point.subnet, point.unit, point.cores]
            at_clock = next((other for other in in_gear if other.mhz == mhz), None)
            if at_clock is None:
                return None
            points[demand.app] = at_clock
    return Chosen(points=points, mhz={**chosen.mhz, unit.name: mhz}, optimal=False)


def _with_waits_times(factor: float, problem: Problem) -> Problem:
    demands = (replace(demand, wait_share=demand.wait_share * factor) for demand in problem.demands)
    return replace(problem, demands=tuple(demands))


class _Judgement(NamedTuple):
    """How good a choice is; less is better."""

    above: tuple[float, ...]
    """What the objective weighs before power."""
    power_w: float


def _judged(problem: Problem, chosen: Chosen) -> _Judgement:
    """Judges CPU by CPU, half-way between the worst and what is likely: arrivals may keep step, or not."""
    worst = evaluate_by_cpu(problem, chosen.points, chosen.mhz)
    likely = evaluate_likely(problem, chosen.points, chosen.mhz) if worst.violation > 0 else worst

    def lessened(quantity: Quantity) -> float:
        middle = (worst.of(quantity) + likely.of(quantity)) / 2
        return round(-middle if quantity.raised else middle, 9)

    above = [quantity for quantity in OBJECTIVES[problem.objective].levels if quantity is not Quantity.POWER]
    return _Judgement(tuple(map(lessened, above)), worst.power_w)


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
        clocks = _best(problem_of(replace(snapshot, apps=in_gear)), in_gear=True).mhz
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
