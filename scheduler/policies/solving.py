"""Policies that solve an optimisation problem: everything together, or first the networks and then the clocks.

`scheduler.solver` finds the optimum of a problem. This module poses problems until the waiting that one counts is the
waiting of its optimum, and decides whether a change of gears is worth it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from scheduler.objectives import OBJECTIVES, Quantity
from scheduler.placement import numbered
from scheduler.policies.pacing import paces_of
from scheduler.policies.posing import evaluate_choice, evaluate_posed, problem_of
from scheduler.policies.proof import within_of
from scheduler.policies.protocol import gear_of, points_of, top_points
from scheduler.policies.waiting import wait_shares_of
from scheduler.problem import Allocation, OperatingPoint, Problem
from scheduler.solver import EXACT_DEMANDS, Evaluation, bounded, solve
from scheduler.views import Gear, Plan, Snapshot

HYSTERESIS = 0.02
"""Share of power that `Joint` must save, at no greater violation, before it changes a gear."""
HORIZON_S = 10.0
"""Time in which a change of gears must have saved what it takes itself."""
PREPARE_S = 0.1
"""CPU time at a core's top clock to make a network ready. Measured for the first time and again: medians of 0.04 to
0.30 s (docs/measurements.md, "Preparing"); a simulation charges as much (`Costs.prepare_ms`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A point and CPUs for each application, and a clock for each unit.

    Attributes:
        points: by application, its point.
        mhz: by unit, its clock.
        cpus: by application, its CPUs, counted from 0 on its unit; (0,) on a GPU.
        figures: what it comes to by the model of contention.
        optimal: True if this is proven to be the optimum of the problem with the waiting that it has itself.
        within: share by which a better choice could be better at most; None where that is not known.
    """

    points: Mapping[str, OperatingPoint]
    mhz: Mapping[str, float]
    cpus: Mapping[str, tuple[int, ...]]
    figures: Evaluation
    optimal: bool
    within: float | None = None

    @property
    def gears(self) -> tuple[tuple[str, Gear], ...]:
        """Each application with its gear, in the order of the problem's demands."""
        return tuple((app, gear_of(point)) for app, point in self.points.items())


class Joint:
    """The policy that decides on everything together: the optimum of the snapshot's problem.

    Gears change only for a reason. The gears in force stay if, at their best clocks, they are as good in all that the
    objective weighs before power, and the optimum saves less than a share `hysteresis` of power, or within `HORIZON_S`
    less than the change takes (`change_j`). What mends a target is changed at once, whatever it takes.

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
        return Plan(
            gears=dict(chosen.gears),
            clocks=chosen.mhz,
            cpus=_numbers(chosen, snapshot),
            optimal=chosen.optimal,
            within=chosen.within,
            paces=paces_of(chosen.points, chosen.mhz, snapshot),
        )

    def choose(self, snapshot: Snapshot) -> Chosen:
        """Return the choice; its `optimal` and `within` are those of the best one, also where gears in force stay."""
        best = _best(snapshot)
        if best.gears == tuple((view.app, view.gear) for view in snapshot.apps):
            return _on_held_cpus(best, snapshot)
        in_gear = _with_gears_kept(snapshot)
        if in_gear is not None:
            kept = _on_held_cpus(_best(in_gear, deep=False), snapshot)
            least_w = change_j(snapshot, dict(best.gears)) / HORIZON_S
            if self._as_good(_judged(snapshot, kept.figures), _judged(snapshot, best.figures), least_w):
                return replace(kept, optimal=best.optimal, within=best.within)
        return best

    def _as_good(self, kept: _Judgement, best: _Judgement, least_w: float) -> bool:
        least_w = max(least_w, self._hysteresis * kept.power_w)
        return kept.above <= best.above and kept.power_w - best.power_w <= least_w


def change_j(snapshot: Snapshot, gears: Mapping[str, Gear]) -> float:
    """Return the energy that a change to these gears takes, in joules: that of making networks ready.

    The rest of a change is orders to workers, which take well below a millisecond, and no request waits: the old gear
    serves until the new one is ready. A network is ready already if it ran on as many cores of another CPU unit.

    Each network takes `PREPARE_S` of the CPU unit whose top clock takes the least power, at the clock at which networks
    are made ready (`UnitView.least_edp_mhz`), where the unit stands higher than its lowest clock for that time. With
    0.3 W there, 0.1 W at rest and half of the top clock it is 0.2 s · 0.2 W = 40 mJ a network. Where power is unknown
    it is 0.
    """
    units = {unit.name: unit for unit in snapshot.units}
    cpus = [unit for unit in snapshot.units if unit.kind == "cpu" and unit.static_w and unit.dynamic_w]
    housekeeper = min(cpus, key=lambda unit: unit.dynamic_w[-1] if unit.dynamic_w else 0.0, default=None)
    if housekeeper is None or housekeeper.static_w is None or housekeeper.dynamic_w is None:
        return 0.0

    def form(gear: Gear) -> tuple[str, int, str]:
        kind = units[gear.unit].kind if gear.unit in units else gear.unit
        return gear.subnet, gear.cores, "cpu" if kind == "cpu" else gear.unit

    made = sum(view.gear is not None and form(view.gear) != form(gears[view.app]) for view in snapshot.apps)
    place = housekeeper.mhz_allowed.index(housekeeper.least_edp_mhz)
    busy_s = PREPARE_S * housekeeper.mhz_allowed[-1] / housekeeper.mhz_allowed[place]
    above_w = housekeeper.dynamic_w[place] + housekeeper.static_w[place] - housekeeper.static_w[0]
    return made * busy_s * above_w


def _with_gears_kept(snapshot: Snapshot) -> Snapshot | None:
    """Return the snapshot with only clocks and CPUs left to choose; None if a gear is missing or no longer possible."""
    views = tuple(replace(view, points=points_of(view.gear, view)) for view in snapshot.apps)
    return replace(snapshot, apps=views) if all(view.points for view in views) else None


BUDGET = 3_000_000
"""Nodes that one search may look at; it then took 0.2 to 0.4 s of one core of machine C (four problems of twelve
applications, 2026-12-02). Of 36 random problems of eight applications on a board like Xavier NX one needed more."""
FIRST_SHARES = (0.5, 0.1)
"""Parts of others' services that are taken to be waited for before anything is known of who shares with whom."""
ROUNDS = 3
"""Most problems that are solved from one such part on."""


class _Round(NamedTuple):
    """A problem that was posed on the way to a choice, and its answer.

    Attributes:
        problem: the problem.
        solved: its answer.
        found: by application, the part of others' services that is waited for at the answer.
        figures: what the answer comes to with this waiting.
        settled: True if that is the waiting in the problem.
    """

    problem: Problem
    solved: Allocation
    found: dict[str, float]
    figures: Evaluation
    settled: bool


def _best(snapshot: Snapshot, *, deep: bool = True) -> Chosen:
    """Return the best choice that is met on the way to one that is the optimum for its own waiting.

    How long an application waits depends on who shares its CPUs, and the solver chooses that. So a problem is solved
    with parts of others' services that may be waited for; the model of contention says what is really waited for at the
    optimum, and with these parts the problem is solved again, until the same choice comes out: it is then the optimum
    for the waiting that it has. From a part of 0.5 on, applications that would hardly ever meet may be kept apart. So
    where somebody is late, perhaps for that, the search begins once more with less waiting.

    Choices may chase each other, each with too little waiting for those that it brings together. Where nothing has
    settled and somebody is late, problems follow with the most that each application has been found to wait for, as
    long as that lessens the violation. Where there are too many applications for a proof such a problem is searched
    deeply, once.

    All choices are valued with the waiting that they have themselves, and the best one is returned. Where one of these
    problems was too hard for a proof, the others are as hard, and have a tenth of its nodes.

    Args:
        snapshot: the snapshot.
        deep: False where gears are given, so that no deeper search can find others.
    """
    rounds: list[_Round] = []

    def least() -> float:
        return min((one.figures.violation for one in rounds), default=math.inf)

    for share in FIRST_SHARES:
        if least() > 0:
            _settle(snapshot, {view.app: share for view in snapshot.apps}, ROUNDS, rounds)

    def with_the_most(start: Allocation | None = None) -> None:
        most = {view.app: max(one.found[view.app] for one in rounds) for view in snapshot.apps}
        _settle(snapshot, most, 1, rounds, start)

    if deep and len(snapshot.apps) > EXACT_DEMANDS:
        with_the_most(_first(snapshot, rounds).solved)
    before = math.inf
    while 0 < least() < before and not any(one.settled for one in rounds):
        before = least()
        with_the_most()
    best = _first(snapshot, rounds)
    return Chosen(
        points=best.solved.choice,
        mhz=best.solved.mhz,
        cpus=best.solved.cpus,
        figures=best.figures,
        optimal=best.settled and best.solved.optimal,
        within=within_of(bounded(best.problem, best.solved), best.problem) if best.settled else None,
    )


def _first(snapshot: Snapshot, rounds: Sequence[_Round]) -> _Round:
    """Return the round of the best answer, of equals one that is proven."""
    return min(rounds, key=lambda one: (_judged(snapshot, one.figures), not (one.settled and one.solved.optimal)))


def _settle(
    snapshot: Snapshot, shares: dict[str, float], count: int, rounds: list[_Round], start: Allocation | None = None
) -> None:
    """Append rounds until the answer of one is the optimum for its own waiting, or until there are `count` more.

    With an answer to start from the search is deep.
    """
    problem = problem_of(snapshot, shares)
    solved = start
    for _ in range(count):
        budget = BUDGET if all(one.solved.optimal for one in rounds) else BUDGET // 10
        solved = solve(problem, budget=budget, start=solved, bounds=False, deep=start is not None)
        there = wait_shares_of(snapshot, solved.choice, solved.cpus)
        # Of one that shares with nobody there is nothing to learn.
        there = {app: there[app] if _shares(solved, app) else shares[app] for app in shares}
        settled = there == shares
        following = problem if settled else problem_of(snapshot, there)
        figures = evaluate_posed(following, there, solved.choice, solved.mhz, solved.cpus)
        rounds.append(_Round(problem, solved, there, figures, settled))
        if settled:
            break
        shares, problem = there, following


def _shares(solved: Allocation, app: str) -> bool:
    mine, unit = set(solved.cpus[app]), solved.choice[app].unit
    return any(
        other != app and point.unit == unit and not mine.isdisjoint(solved.cpus[other])
        for other, point in solved.choice.items()
    )


def _on_held_cpus(chosen: Chosen, snapshot: Snapshot) -> Chosen:
    """Return a choice of the gears in force with the CPUs in force, unit by unit, where these are as good."""
    for unit in snapshot.units:
        place = {number: count for count, number in enumerate(unit.cpus_online)}
        here = [view for view in snapshot.apps if chosen.points[view.app].unit == unit.name]
        held = {view.app: tuple(place[number] for number in view.cpus if number in place) for view in here}
        same = all(chosen.cpus[app] == counts for app, counts in held.items())
        complete = all(len(counts) == chosen.points[app].cores for app, counts in held.items())
        if unit.name in chosen.figures.shared and complete and not same:
            cpus = {**chosen.cpus, **held}
            figures = evaluate_choice(snapshot, chosen.points, chosen.mhz, cpus)
            other = replace(chosen, cpus=cpus, figures=figures)
            if _judged(snapshot, figures).above <= _judged(snapshot, chosen.figures).above:
                chosen = other
    return chosen


def _numbers(chosen: Chosen, snapshot: Snapshot) -> dict[str, tuple[int, ...]]:
    """Return by application on a CPU unit the kernel's numbers of its CPUs."""
    numbers: dict[str, tuple[int, ...]] = {}
    for unit in snapshot.units:
        if unit.kind == "cpu":
            here = [view for view in snapshot.apps if chosen.points[view.app].unit == unit.name]
            before = {
                view.app: view.cpus if view.gear is not None and view.gear.unit == unit.name else () for view in here
            }
            numbers |= numbered({view.app: chosen.cpus[view.app] for view in here}, unit.cpus_online, before)
    return {app: numbers[app] for app in chosen.points if app in numbers}


class _Judgement(NamedTuple):
    """The value of a choice, compared lexicographically; less is better.

    Attributes:
        above: the quantities that the objective weighs before power, accuracy with its sign turned.
        power_w: power of all units.
    """

    above: tuple[float, ...]
    power_w: float


def _judged(snapshot: Snapshot, figures: Evaluation) -> _Judgement:
    def lessened(quantity: Quantity) -> float:
        value = figures.of(quantity)
        return round(-value if quantity.raised else value, 9)

    above = [quantity for quantity in OBJECTIVES[snapshot.objective].levels if quantity is not Quantity.POWER]
    return _Judgement(tuple(map(lessened, above)), figures.power_w)


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
        chosen = _best(replace(snapshot, apps=in_gear))
        return Plan(gears=gears, clocks=chosen.mhz, cpus=_numbers(chosen, snapshot))


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
