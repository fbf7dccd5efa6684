"""Policies that solve an optimisation problem: everything together, or first the networks and then the clocks.

`scheduler.solver` finds the optimum of a problem. This module poses problems until the waiting that one counts is the
waiting of its optimum, and decides whether a change of gears is worth it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from scheduler.objectives import OBJECTIVES, Quantity
from scheduler.placement import numbered
from scheduler.policies.pacing import paces_of
from scheduler.policies.posing import evaluate_choice, problem_of
from scheduler.policies.proof import within_of
from scheduler.policies.protocol import gear_of, points_of, top_points
from scheduler.policies.waiting import wait_shares_of
from scheduler.problem import Allocation, OperatingPoint
from scheduler.solver import Evaluation, bounded, solve
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
            kept = _on_held_cpus(_best(in_gear), snapshot)
            least_w = change_j(snapshot, dict(best.gears)) / HORIZON_S
            if self._as_good(_judged(snapshot, kept), _judged(snapshot, best), least_w):
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


def _best(snapshot: Snapshot) -> Chosen:
    """Return the best choice that is met on the way to one that is the optimum for its own waiting.

    How long an application waits depends on who shares its CPUs, and the solver chooses that. So a problem is solved
    with parts of others' services that may be waited for; the model of contention says what is really waited for at the
    optimum, and with these parts the problem is solved again, until the same choice comes out: it is then the optimum
    for the waiting that it has. From a part of 0.5 on, applications that would hardly ever meet may be kept apart. So
    where somebody is late, perhaps for that, the search begins once more with less waiting.

    All choices are valued with the waiting that they have themselves, and the best one is returned.
    """
    found: list[Chosen] = []
    for share in FIRST_SHARES:
        if not found or min(one.figures.violation for one in found) > 0:
            found += _settled(snapshot, share)
    return min(found, key=lambda one: (_judged(snapshot, one), not one.optimal))


def _settled(snapshot: Snapshot, share: float) -> list[Chosen]:
    """Return the choices that are met until one is the optimum for its own waiting, or until `ROUNDS` are over."""
    shares = {view.app: share for view in snapshot.apps}
    found: list[Chosen] = []
    solved: Allocation | None = None
    for _ in range(ROUNDS):
        problem = problem_of(snapshot, shares)
        solved = solve(problem, budget=BUDGET, start=solved, bounds=False)
        there = wait_shares_of(snapshot, solved.choice, solved.cpus)
        figures = evaluate_choice(snapshot, solved.choice, solved.mhz, solved.cpus, there)
        # Of one that shares with nobody there is nothing to learn.
        there = {app: there[app] if _shares(solved, app) else shares[app] for app in shares}
        settled = there == shares
        found.append(
            Chosen(
                points=solved.choice,
                mhz=solved.mhz,
                cpus=solved.cpus,
                figures=figures,
                optimal=settled and solved.optimal,
                within=within_of(bounded(problem, solved), problem) if settled else None,
            )
        )
        if settled:
            break
        shares = there
    return found


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
            if _judged(snapshot, other).above <= _judged(snapshot, chosen).above:
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


def _judged(snapshot: Snapshot, chosen: Chosen) -> _Judgement:
    def lessened(quantity: Quantity) -> float:
        value = chosen.figures.of(quantity)
        return round(-value if quantity.raised else value, 9)

    above = [quantity for quantity in OBJECTIVES[snapshot.objective].levels if quantity is not Quantity.POWER]
    return _Judgement(tuple(map(lessened, above)), chosen.figures.power_w)


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
