"""Policies that solve an optimisation problem: everything together, or first the networks and then the clocks.

`scheduler.solver` finds the optimum of a problem; this module poses the problem, looks near the optimum with the finer
models of `scheduler.policies.sharing`, and decides whether a change of gears is worth it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, assert_never, cast

from scheduler.board import BoardUnit
from scheduler.objectives import OBJECTIVES, Quantity
from scheduler.policies.pacing import paces_of
from scheduler.policies.proof import within_of
from scheduler.policies.protocol import gear_of, points_of, top_points
from scheduler.policies.sharing import evaluate_by_cpu, evaluate_likely, may_crowd, several_cores
from scheduler.problem import Demand, Kind, OperatingPoint, Points, Problem, Unit
from scheduler.solver import solve
from scheduler.views import Gear, Plan, Snapshot, UnitView

HYSTERESIS = 0.02
"""Share of power that `Joint` must save, at no greater violation, before it changes a gear."""


def unit_of(unit: UnitView | BoardUnit) -> Unit:
    """Return a unit as the solver sees it: with its cores online and the clocks allowed.

    Where its power is not known it counts as nothing, so that only violation (and accuracy) is weighed. Its power with
    no load is that of an idle unit: what a busy one takes on top is in the points (`scheduler.points`).
    """
    match unit:
        case UnitView():
            cores, mhz = unit.cores_online, unit.mhz_allowed
        case BoardUnit():
            cores, mhz = unit.cores, unit.mhz
        case _:
            assert_never(unit)
    static_w = unit.static_w or (0.0,) * len(mhz)
    if isinstance(unit, UnitView) and unit.paced:
        static_w = (static_w[0],) * len(mhz)  # whatever clock its requests get, it rests at its lowest
    return Unit(
        name=unit.name,
        kind=cast(Kind, unit.kind),
        cores=cores,
        mhz=mhz,
        static_w=tuple(unit.idle_share * watts for watts in static_w),
        off_w=unit.off_w,
    )


def problem_of(snapshot: Snapshot) -> Problem:
    """Return the optimisation problem that a snapshot poses.

    Requests may have turned out to take less, and to wait for less, than foreseen. The target is then met where
    own_ratio · own + wait_ratio · waits <= target. The solver knows one factor, on waits, so both sides are divided by
    own_ratio: own + (wait_ratio / own_ratio) · waits <= target / own_ratio. A target of 80 ms with an own_ratio of 0.8
    and a wait_ratio of 0.4 becomes one of 100 ms, with half of the waiting counted.
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
        points: by application, its point.
        mhz: by unit, its clock.
        optimal: True if this is proven to be the problem's optimum.
        within: share by which a better choice could be better at most; None where that is not known.
    """

    points: Mapping[str, OperatingPoint]
    mhz: Mapping[str, float]
    optimal: bool
    within: float | None = None

    @property
    def gears(self) -> tuple[tuple[str, Gear], ...]:
        """Each application with its gear, in the order of the problem's demands."""
        return tuple((app, gear_of(point)) for app, point in self.points.items())


class Joint:
    """The policy that decides on everything together: the optimum of the snapshot's problem.

    Gears change only for a reason. The gears in force stay if, at their best clocks, they are as good in all that the
    objective weighs before power, and the optimum saves less than a share `hysteresis` of power.

    Args:
        hysteresis: share of power that a change of gears must save, 0 to 1.
        paces: True if requests get clocks of their own on units that can have that; else each unit stands at its clock.
    """

    solves = True

    def __init__(self, *, hysteresis: float = HYSTERESIS, paces: bool = True) -> None:
        self.paces = paces
        self._hysteresis = hysteresis

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        chosen = self.choose(snapshot)
        paces = paces_of(chosen.points, chosen.mhz, snapshot)
        return Plan(
            gears=dict(chosen.gears), clocks=chosen.mhz, optimal=chosen.optimal, within=chosen.within, paces=paces
        )

    def choose(self, snapshot: Snapshot) -> Chosen:
        """Return the choice; its `optimal` and `within` are those of the best one, also where gears in force stay."""
        problem = problem_of(snapshot)
        best = _best(problem)
        if best.gears == tuple((view.app, view.gear) for view in snapshot.apps):
            return best
        kept_problem = _with_gears_kept(problem, snapshot)
        if kept_problem is not None:
            kept = _best(kept_problem, in_gear=True)
            if self._as_good(_judged(problem, kept), _judged(problem, best)):
                return replace(kept, optimal=best.optimal, within=best.within)
        return best

    def _as_good(self, kept: _Judgement, best: _Judgement) -> bool:
        return kept.above <= best.above and best.power_w >= kept.power_w * (1 - self._hysteresis)


def _with_gears_kept(problem: Problem, snapshot: Snapshot) -> Problem | None:
    """Return the problem with only the clocks left to choose; None if a gear is missing or no longer possible."""
    demands = []
    for view, demand in zip(snapshot.apps, problem.demands, strict=True):
        points = points_of(view.gear, view)
        if not points:
            return None
        demands.append(replace(demand, points=points))
    return replace(problem, demands=tuple(demands))


_LESS_WAITING = (0.4, 0.1)
"""Factors on `wait_share` with which a problem is solved again for more candidates."""


def _best(problem: Problem, *, in_gear: bool = False) -> Chosen:
    """Return the optimum, or a better choice near it by the finer models of contention.

    In the solver's model a request waits for a service of every other application on its unit: on whichever core that
    runs, and however seldom. This is too cautious in two ways. A unit of several cores gets too high a clock, or loses
    applications to other units. And two applications that would hardly ever meet on a core are kept apart, even where
    one of them then runs on a unit on which it is late every time.

    So where the optimum is late, or applications may share several cores, problems with less waiting give more
    candidates, and shared units get the clocks that are best CPU by CPU.

    Args:
        problem: the problem to solve.
        in_gear: True if only the clocks are left to choose.
    """
    solved = solve(problem)
    best = Chosen(points=solved.choice, mhz=solved.mhz, optimal=solved.optimal, within=within_of(solved, problem))
    late = solved.violation > 0
    if not (late or several_cores(problem)):
        return best
    # Candidates: the optimum, and the optima for which less waiting counts, one for each set of gears.
    by_gears = {best.gears: best}
    if not in_gear and (late or may_crowd(problem)):
        for factor in _LESS_WAITING:
            solved = solve(_with_waits_times(factor, problem))
            other = Chosen(points=solved.choice, mhz=solved.mhz, optimal=False)
            by_gears.setdefault(other.gears, other)
    # Each set of gears at its own best clocks; then the one that is best by the finer models.
    candidates = [_at_best_clocks(problem, one) for one in by_gears.values()]
    return min(candidates, key=lambda one: _judged(problem, one))


def _at_best_clocks(problem: Problem, chosen: Chosen) -> Chosen:
    """Return the same gears, with one shared unit after another at the clock that is best CPU by CPU."""
    shared = evaluate_by_cpu(problem, chosen.points, chosen.mhz).shared
    for unit in (unit for unit in problem.units if unit.name in shared):
        at_clocks = [_at_clock(problem, chosen, unit, mhz) for mhz in unit.mhz]
        chosen = min((one for one in at_clocks if one is not None), key=lambda one: _judged(problem, one))
    return chosen


def _at_clock(problem: Problem, chosen: Chosen, unit: Unit, mhz: float) -> Chosen | None:
    """Return the same gears with a unit at that clock; None if an application has no point for it."""
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
    """Return the problem with waiting counted that many times as much."""
    demands = (replace(demand, wait_share=demand.wait_share * factor) for demand in problem.demands)
    return replace(problem, demands=tuple(demands))


class _Judgement(NamedTuple):
    """The value of a choice, compared lexicographically; less is better.

    Attributes:
        above: the quantities that the objective weighs before power, accuracy with its sign turned.
        power_w: power of all units.
    """

    above: tuple[float, ...]
    power_w: float


def _judged(problem: Problem, chosen: Chosen) -> _Judgement:
    """Judge a choice CPU by CPU, half-way between the worst case and the likely one.

    Arrivals that keep step may meet at every request, which is the worst case, and others only now and then. A choice
    with a violation of 0.4 in the worst case and of 0.1 in the likely one is judged at 0.25.
    """
    worst = evaluate_by_cpu(problem, chosen.points, chosen.mhz)
    likely = evaluate_likely(problem, chosen.points, chosen.mhz) if worst.violation > 0 else worst

    def lessened(quantity: Quantity) -> float:
        middle = (worst.of(quantity) + likely.of(quantity)) / 2
        return round(-middle if quantity.raised else middle, 9)

    above = [quantity for quantity in OBJECTIVES[problem.objective].levels if quantity is not Quantity.POWER]
    return _Judgement(tuple(map(lessened, above)), worst.power_w)


class TwoStage:
    """The policy that decides in two stages: first the gears, as if clocks were fixed, then the clocks for them.

    The first stage is `Joint`, its hysteresis included, with the highest clocks allowed and no others. The second
    solves for the clocks that serve those gears best. The policy cannot find a gear that pays only at a lower clock,
    such as more cores or another unit; deciding on both together can.
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
    """Return the snapshot of a board whose units have one clock, the highest allowed."""
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
