"""A stretch of time in which gears and clocks stay the same, and what is worth trying there.

A stretch is one or more sections of a mix. Nothing is simulated here: the scheduler's model sorts what is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from scheduler.objectives import OBJECTIVES
from scheduler.policies import gear_of
from scheduler.profile import Profile, RungProfile
from scheduler.solver import solve
from scheduler.views import Gear, Plan
from workloads.hindsight.scene import Choice, Scene
from workloads.hindsight.sections import Section
from workloads.mix.arrivals import FloatArray, Saturate
from workloads.simulator import SimulationPlan

EASES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.35, 1.15, 1.4, 2.0)
"""Factors on modelled latencies at which the model is asked for its optimum: it is cautious about shared cores and
knows no luck, so what it calls late may be on time, and the other way round."""

_STEPS = (-1, 1, -2, 2)
"""Steps by which a clock moves."""

Item = TypeVar("Item")


class Stretch:
    """One stretch.

    Args:
        plan: of the simulation.
        sections: that it consists of, one after another.
        arrivals_s: by application, of its requests.

    Attributes:
        sections: as given.
        apps: those present in any of them, in the order of a choice's gears.
        gears: of each of them, those worth a try.
    """

    def __init__(self, plan: SimulationPlan, sections: Sequence[Section], arrivals_s: Mapping[str, FloatArray]) -> None:
        self.sections = sections
        self.apps = tuple(dict.fromkeys(app for section in sections for app in section.targets))
        self._plan = plan
        profiles = {app: self._worth_a_try(app) for app in self.apps}
        self.gears = [self._gears(app, profiles[app]) for app in self.apps]
        self._values = {app: {rung.subnet: rung.accuracy or 0.0 for rung in profiles[app].rungs} for app in self.apps}
        closed = {one.app.name for one in plan.mix.all_apps() if isinstance(one.app.arrivals, Saturate)}
        self._scenes = [
            Scene(
                plan,
                section,
                rates_hz={
                    app: 1000 / target.latency_ms if app in closed else _rate_hz(arrivals_s[app], section)
                    for app, target in section.targets.items()
                },
                profiles=profiles,
                apps=self.apps,
            )
            for section in sections
        ]

    def plan_of(self, choice: Choice) -> Plan:
        """A choice as a policy's answer; applications that are not here get a gear that is always possible.

        Where several things happen at once, the manager is told of one after another, and asks for a plan each time.
        """
        gears = gears_at_rest(self._plan) | dict(zip(self.apps, choice.gears, strict=True))
        clocks = {unit.name: mhz for unit, mhz in zip(self._plan.board.units, choice.clocks, strict=True)}
        return Plan(gears=gears, clocks=clocks)

    # ------------------------------------------------------------ what the model expects

    def cost(self, choice: Choice) -> float:
        """What a choice is expected to cost: joules, less what its accuracy is worth."""
        return math.fsum(scene.energy_j(choice) for scene in self._scenes) - self.worth(choice)

    def worth(self, choice: Choice) -> float:
        """What the accuracy of a choice is worth in joules: nothing unless the objective seeks accuracy.

        There a hundredth of accuracy, weighted over applications and time, is worth all that the board can use.
        """
        if not OBJECTIVES[self._plan.mix.objective].seeks_accuracy:
            return 0.0
        accurate_s = math.fsum(
            section.length_s * target.weight * self._values[app][choice.gears[self.apps.index(app)].subnet]
            for section in self.sections
            for app, target in section.targets.items()
        )
        return accurate_s * accuracy_worth_j(self._plan) / self._plan.mix.duration_s

    def lateness(self, choice: Choice, ease: float = 1.0) -> float:
        """The model's violation with latencies times `ease`; infinite where a unit would be overloaded."""
        late = 0.0
        for scene in self._scenes:
            here = scene.lateness(choice, ease)
            if here is None:
                return math.inf
            late += here
        return late

    # ------------------------------------------------------------ what is worth trying

    def starts(self) -> list[Choice]:
        """The model's optimum at each of `EASES`; of several sections a descent from the optimum of them all."""
        found = []
        for ease in EASES:
            start = self._optimum(ease)
            found.append(start if len(self._scenes) == 1 else self._descent(start, ease))
        return list(dict.fromkeys(found))

    def near(self, choice: Choice) -> Iterator[Choice]:
        """Choices a step away: one or two clocks moved, or another gear for one application and at most one clock."""
        moves = list(self._moves(choice.clocks))
        for number, one in enumerate(moves):
            clocks = _moved(choice.clocks, one)
            yield replace(choice, clocks=clocks)
            for other in moves[number + 1 :]:
                if other[0] != one[0]:
                    yield replace(choice, clocks=_moved(clocks, other))
        for seat, gears in enumerate(self.gears):
            for gear in gears:
                if gear != choice.gears[seat]:
                    geared = replace(choice, gears=_moved(choice.gears, (seat, gear)))
                    yield geared
                    for one in moves:
                        yield replace(geared, clocks=_moved(choice.clocks, one))

    def _moves(self, clocks: tuple[float, ...]) -> Iterator[tuple[int, float]]:
        """The place of a unit, and a clock a step or two from its own."""
        for place, (unit, mhz) in enumerate(zip(self._plan.board.units, clocks, strict=True)):
            at = unit.mhz.index(mhz)
            for step in _STEPS:
                if 0 <= at + step < len(unit.mhz):
                    yield place, unit.mhz[at + step]

    def _optimum(self, ease: float) -> Choice:
        """The model's optimum; of several sections the gears of the fullest, and of all the highest clocks."""
        found = [solve(scene.problem(ease)) for scene in sorted(self._scenes, key=_demands, reverse=True)]
        gears: dict[str, Gear] = {}
        for allocation in found:
            gears = {app: gear_of(point) for app, point in allocation.choice.items()} | gears
        return Choice(
            gears=tuple(
                gears[app] if gears[app] in possible else possible[0]
                for app, possible in zip(self.apps, self.gears, strict=True)
            ),
            clocks=tuple(max(allocation.mhz[unit.name] for allocation in found) for unit in self._plan.board.units),
        )

    def _descent(self, choice: Choice, ease: float) -> Choice:
        """The least late, then cheapest choice that steps downhill in the model lead to."""
        at = (self.lateness(choice, ease), self.cost(choice))
        while True:
            best, best_at = choice, at
            for near in self.near(choice):
                cost = self.cost(near)
                if at[0] <= 0 and cost >= best_at[1]:
                    continue
                near_at = (self.lateness(near, ease), cost)
                if near_at < best_at:
                    best, best_at = near, near_at
            if best is choice:
                return choice
            choice, at = best, best_at

    # ------------------------------------------------------------ networks

    def _worth_a_try(self, app: str) -> Profile:
        """The networks that keep to every floor here, without those that another beats in every way.

        Where none keeps to them, all are left.
        """
        profile = self._plan.profiles[app]
        floor = max(section.targets[app].min_accuracy for section in self.sections if app in section.targets)
        rungs = profile.above(floor).rungs
        accurate = OBJECTIVES[self._plan.mix.objective].seeks_accuracy
        kept = [
            rung
            for place, rung in enumerate(rungs)
            if not any(
                _is_no_worse(other, rung, accurate=accurate)
                and (other_place < place or not _is_no_worse(rung, other, accurate=accurate))
                for other_place, other in enumerate(rungs)
                if other_place != place
            )
        ]
        return replace(profile, rungs=tuple(kept))

    def _gears(self, app: str, profile: Profile) -> list[Gear]:
        """Gears that are possible in every section in which the application is present."""
        fewest = {
            unit.name: min(section.unit(unit).cores for section in self.sections if app in section.targets)
            for unit in self._plan.board.units
        }
        return [
            Gear(subnet=rung.subnet, unit=unit.name, cores=time.cores)
            for rung in profile.rungs
            for time in rung.times
            for unit in self._plan.board.units
            if unit.kind == time.kind and time.cores <= fewest[unit.name]
        ]


def gears_at_rest(plan: SimulationPlan) -> dict[str, Gear]:
    """By application, a gear that is always possible: one on the fewest cores that it was measured for."""
    units = {unit.kind: unit.name for unit in reversed(plan.board.units)}
    gears = {}
    for app, profile in plan.profiles.items():
        measured = [(rung, time) for rung in profile.rungs for time in rung.times if time.kind in units]
        rung, time = min(measured, key=lambda one: one[1].cores)
        gears[app] = Gear(subnet=rung.subnet, unit=units[time.kind], cores=time.cores)
    return gears


def _demands(scene: Scene) -> int:
    return len(scene.problem(1.0).demands)


def _moved(items: tuple[Item, ...], move: tuple[int, Item]) -> tuple[Item, ...]:
    place, item = move
    return (*items[:place], item, *items[place + 1 :])


def _is_no_worse(one: RungProfile, other: RungProfile, *, accurate: bool) -> bool:
    """Whether a network is measured wherever the other is, nowhere slower, and no less accurate if that counts."""
    if accurate and (one.accuracy or 0.0) < (other.accuracy or 0.0):
        return False
    times = {(time.kind, time.cores): time for time in one.times}
    for slow in other.times:
        fast = times.get((slow.kind, slow.cores))
        if fast is None or fast.mean_ms > slow.mean_ms or fast.samples_ms[-1] > slow.samples_ms[-1]:
            return False
    return True


def _rate_hz(arrivals_s: FloatArray, section: Section) -> float:
    first, last = np.searchsorted(arrivals_s, [section.from_s, section.to_s])
    return float(last - first) / section.length_s


def accuracy_worth_j(plan: SimulationPlan) -> float:
    """Joules that an accuracy of 1, at weight 1 all the time, is worth: a hundred times all that the board can use."""
    most_w = math.fsum(
        (unit.static_w or (0.0,))[-1] + unit.cores * (unit.dynamic_w or (0.0,))[-1] for unit in plan.board.units
    )
    return 100 * most_w * plan.mix.duration_s
