"""The candidates for one or more intervals, and the model's prediction for each of them.

Nothing is simulated here: the scheduler's model says which candidates are worth a simulation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from scheduler.objectives import OBJECTIVES
from scheduler.policies import gear_of
from scheduler.profile import Profile, RungProfile, ServiceTime
from scheduler.solver import solve
from scheduler.views import Gear, Plan
from workloads.hindsight.candidate import Candidate
from workloads.hindsight.interval_model import IntervalModel
from workloads.hindsight.intervals import Interval
from workloads.mix.arrivals import FloatArray, Saturate
from workloads.simulator import SimulationError, SimulationPlan

LATENCY_FACTORS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.35, 1.15, 1.4, 2.0)
"""Factors on modelled latencies at which the model is asked for its optimum. The model is cautious about shared cores
and does not know the service time of each request, so what it calls late may be on time, and the other way round."""

_CLOCK_STEPS = (-1, 1, -2, 2)
"""Steps by which a neighbour's clock differs."""

Item = TypeVar("Item")


class SearchSpace:
    """All candidates for one or more intervals over which one candidate is held.

    Args:
        plan: the simulation.
        intervals: one after another, without gaps.
        arrivals_s: by application, when its requests arrive.

    Attributes:
        intervals: as given.
        apps: the applications present in any of the intervals, in the order of a candidate's gears.
        gears: for each of these applications, the gears that are worth a try.
    """

    def __init__(
        self, plan: SimulationPlan, intervals: Sequence[Interval], arrivals_s: Mapping[str, FloatArray]
    ) -> None:
        self.intervals = intervals
        self.apps = tuple(dict.fromkeys(app for interval in intervals for app in interval.targets))
        self._plan = plan
        profiles = {app: self._worth_a_try(app) for app in self.apps}
        self.gears = [self._gears(app, profiles[app]) for app in self.apps]
        self._accuracies = {
            app: {rung.subnet: rung.accuracy or 0.0 for rung in profiles[app].rungs} for app in self.apps
        }
        closed = {one.app.name for one in plan.mix.all_apps() if isinstance(one.app.arrivals, Saturate)}
        self._models = [
            IntervalModel(
                plan,
                interval,
                # A closed loop has no rate of its own; one request for each target keeps it within the target.
                rates_hz={
                    app: 1000 / target.latency_ms if app in closed else _rate_hz(arrivals_s[app], interval)
                    for app, target in interval.targets.items()
                },
                profiles=profiles,
                apps=self.apps,
            )
            for interval in intervals
        ]

    def plan_of(self, candidate: Candidate) -> Plan:
        """Return a candidate as a policy's answer; applications that are absent get a gear that is always possible.

        Absent applications need one: of several events at one moment the manager is told one after another, and it asks
        for a plan each time.
        """
        gears = gears_at_rest(self._plan) | dict(zip(self.apps, candidate.gears, strict=True))
        clocks = {unit.name: mhz for unit, mhz in zip(self._plan.board.units, candidate.clocks, strict=True)}
        return Plan(gears=gears, clocks=clocks)

    # ------------------------------------------------------------ what the model predicts

    def cost_j(self, candidate: Candidate) -> float:
        """Return the predicted cost of a candidate: energy in joules, less what its accuracy is worth."""
        return math.fsum(model.energy_j(candidate) for model in self._models) - self.accuracy_credit_j(candidate)

    def accuracy_credit_j(self, candidate: Candidate) -> float:
        """Return what the accuracy of a candidate is worth in joules: nothing unless the objective seeks accuracy.

        There a hundredth of accuracy, weighted over applications and time, is worth all that the board can use.
        """
        if not OBJECTIVES[self._plan.mix.objective].seeks_accuracy:
            return 0.0
        accurate_s = math.fsum(
            interval.length_s * target.weight * self._accuracies[app][candidate.gears[self.apps.index(app)].subnet]
            for interval in self.intervals
            for app, target in interval.targets.items()
        )
        return accurate_s * joules_per_accuracy(self._plan) / self._plan.mix.duration_s

    def violation(self, candidate: Candidate, latency_factor: float = 1.0) -> float:
        """Return the violation predicted with latencies times a factor; infinite where a unit is overloaded."""
        total = 0.0
        for model in self._models:
            here = model.violation(candidate, latency_factor)
            if here is None:
                return math.inf
            total += here
        return total

    # ------------------------------------------------------------ candidates

    def first_candidates(self) -> list[Candidate]:
        """Return the model's optimum at each of `LATENCY_FACTORS`, each candidate once.

        For several intervals it is the end of a descent that starts at a mixture of their optima.
        """
        found = []
        for latency_factor in LATENCY_FACTORS:
            start = self._optimum(latency_factor)
            found.append(start if len(self._models) == 1 else self._descent(start, latency_factor))
        return list(dict.fromkeys(found))

    def neighbours(self, candidate: Candidate) -> Iterator[Candidate]:
        """Yield the candidates a step away: one or two clocks moved, or another gear and at most one clock moved.

        With two units, each at the second of its four clocks, and one application of six gears these are 6 single moves
        of a clock, 9 pairs of moves, and 5 · 7 with another gear.
        """
        # A second clock, or a clock with a gear, moves in the same step: the first change alone often makes requests
        # late or saves nothing, so a search by single changes would stop there.
        moves = list(self._clock_moves(candidate.clocks))
        for number, one in enumerate(moves):
            clocks = _replaced(candidate.clocks, one)
            yield replace(candidate, clocks=clocks)
            # Each pair once, in the order of `moves`; never two moves of the same unit.
            for other in moves[number + 1 :]:
                if other[0] != one[0]:
                    yield replace(candidate, clocks=_replaced(clocks, other))
        for place, gears in enumerate(self.gears):
            for gear in gears:
                if gear != candidate.gears[place]:
                    geared = replace(candidate, gears=_replaced(candidate.gears, (place, gear)))
                    yield geared
                    for one in moves:
                        yield replace(geared, clocks=_replaced(candidate.clocks, one))

    def _clock_moves(self, clocks: tuple[float, ...]) -> Iterator[tuple[int, float]]:
        """Yield a unit's place and a clock one or two steps from its present one, in MHz."""
        for place, (unit, mhz) in enumerate(zip(self._plan.board.units, clocks, strict=True)):
            at = unit.mhz.index(mhz)
            for step in _CLOCK_STEPS:
                if 0 <= at + step < len(unit.mhz):
                    yield place, unit.mhz[at + step]

    def _optimum(self, latency_factor: float) -> Candidate:
        """Return the model's optimum: for several intervals, gears of the fullest one and the highest clocks of all."""
        # From the interval with the most applications down: an application keeps the gear of the first that has it.
        found = [
            solve(model.problem(latency_factor)) for model in sorted(self._models, key=_number_of_demands, reverse=True)
        ]
        gears: dict[str, Gear] = {}
        for allocation in found:
            gears = {app: gear_of(point) for app, point in allocation.choice.items()} | gears
        return Candidate(
            gears=tuple(
                gears[app] if gears[app] in possible else possible[0]
                for app, possible in zip(self.apps, self.gears, strict=True)
            ),
            # A unit that is away has no clock in that interval.
            clocks=tuple(
                max(allocation.mhz.get(unit.name, unit.mhz[0]) for allocation in found)
                for unit in self._plan.board.units
            ),
        )

    def _descent(self, candidate: Candidate, latency_factor: float) -> Candidate:
        """Go to the best neighbour in the model as long as it is better: less violation, then less cost.

        The sum over intervals has no exact solver, so this is steepest descent, which ends in a local optimum.
        """
        at = (self.violation(candidate, latency_factor), self.cost_j(candidate))
        while True:
            best, best_at = candidate, at
            for neighbour in self.neighbours(candidate):
                cost_j = self.cost_j(neighbour)
                # Where nothing is late, a dearer one cannot be better. This saves evaluating its violation.
                if at[0] <= 0 and cost_j >= best_at[1]:
                    continue
                neighbour_at = (self.violation(neighbour, latency_factor), cost_j)
                if neighbour_at < best_at:
                    best, best_at = neighbour, neighbour_at
            if best is candidate:
                return candidate
            candidate, at = best, best_at

    # ------------------------------------------------------------ gears that are worth a try

    def _worth_a_try(self, app: str) -> Profile:
        """Return an application's profile with the networks that meet every floor here and that no other one dominates.

        Where no network meets the floors, all count as meeting them.
        """
        profile = self._plan.profiles[app]
        floor = max(interval.targets[app].min_accuracy for interval in self.intervals if app in interval.targets)
        rungs = profile.above(floor).rungs
        accuracy_counts = OBJECTIVES[self._plan.mix.objective].seeks_accuracy
        # A network is left out if another is no worse, and is either better or, if they are equal, listed earlier.
        kept = [
            rung
            for place, rung in enumerate(rungs)
            if not any(
                _is_no_worse(other, rung, accuracy_counts=accuracy_counts)
                and (other_place < place or not _is_no_worse(rung, other, accuracy_counts=accuracy_counts))
                for other_place, other in enumerate(rungs)
                if other_place != place
            )
        ]
        return replace(profile, rungs=tuple(kept))

    def _gears(self, app: str, profile: Profile) -> list[Gear]:
        """Return the gears that are possible in every interval in which the application is present.

        Raises:
            SimulationError: if there is none, since no unit that it was profiled for is there all that time.
        """
        limits = [interval.limits for interval in self.intervals if app in interval.targets]
        fewest_cores = {
            unit.name: min(len(limit[unit.name].cpus_online) for limit in limits) for unit in self._plan.board.units
        }
        found = [
            Gear(subnet=rung.subnet, unit=unit.name, cores=time.cores)
            for rung in profile.rungs
            for time in rung.times
            for unit in self._plan.board.units
            if unit.kind == time.kind and time.cores <= fewest_cores[unit.name]
        ]
        if not found:
            raise SimulationError(
                f"policy {self._plan.policy!r} looks for one gear for the whole run, and app {app!r} has none: no unit "
                "that it was profiled for is there all the time; take another policy, or leave out an event cores=0."
            )
        return found


def gears_at_rest(plan: SimulationPlan) -> dict[str, Gear]:
    """Return by application a gear that is always possible: one on the fewest cores that it was measured for."""
    units = {unit.kind: unit.name for unit in reversed(plan.board.units)}
    gears = {}
    for app, profile in plan.profiles.items():
        measured = [(rung, time) for rung in profile.rungs for time in rung.times if time.kind in units]
        rung, time = min(measured, key=lambda one: one[1].cores)
        gears[app] = Gear(subnet=rung.subnet, unit=units[time.kind], cores=time.cores)
    return gears


def joules_per_accuracy(plan: SimulationPlan) -> float:
    """Return the joules that an accuracy of 1, at weight 1 all the time, is worth where the objective seeks accuracy.

    It is a hundred times all that the board can use: 50,000 J for 100 s on a board of at most 5 W.
    """
    most_w = math.fsum(
        (unit.static_w or (0.0,))[-1] + unit.cores * (unit.dynamic_w or (0.0,))[-1] for unit in plan.board.units
    )
    return 100 * most_w * plan.mix.duration_s


def _number_of_demands(model: IntervalModel) -> int:
    return len(model.problem(1.0).demands)


def _replaced(items: tuple[Item, ...], move: tuple[int, Item]) -> tuple[Item, ...]:
    """Return the items with the one at a place replaced."""
    place, item = move
    return (*items[:place], item, *items[place + 1 :])


def _is_no_worse(one: RungProfile, other: RungProfile, *, accuracy_counts: bool) -> bool:
    """Return True if a network is measured wherever the other is, nowhere slower, and no less accurate if that counts.

    Service times are compared by mean and by maximum. Those of networks with memory shares of their own are compared in
    the part that the clock stretches and in the other, so that it holds at every clock.
    """
    if accuracy_counts and (one.accuracy or 0.0) < (other.accuracy or 0.0):
        return False
    times = {(time.kind, time.cores): time for time in one.times}
    for slow in other.times:
        fast = times.get((slow.kind, slow.cores))
        if fast is None or (fast.memory_share is None) != (slow.memory_share is None):
            return False
        if any(of_fast > of_slow for of_fast, of_slow in zip(_parts_ms(fast), _parts_ms(slow), strict=True)):
            return False
    return True


def _parts_ms(time: ServiceTime) -> list[float]:
    """Return the mean and the maximum of a service time, each in the parts that are told apart."""
    shares = (1.0,) if time.memory_share is None else (time.memory_share, 1 - time.memory_share)
    return [share * ms for ms in (time.mean_ms, time.samples_ms[-1]) for share in shares]


def _rate_hz(arrivals_s: FloatArray, interval: Interval) -> float:
    first, last = np.searchsorted(arrivals_s, [interval.from_s, interval.to_s])
    return float(last - first) / interval.length_s
