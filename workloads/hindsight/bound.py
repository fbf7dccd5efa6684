"""A lower bound on the energy of the units: no policy that keeps to every slo and floor can take less.

It is the optimum of a linear program, solved by HiGHS. The program is a relaxation of the simulation: whatever a
policy does in a simulated run are values of the variables that fulfil every row, at no more than the run's energy. So
the least energy under these rows is at most that of any policy. What makes it a relaxation:

- Units mix their clocks freely in time, request by request, at no delay; idle time is spent at the cheapest clock.
- A request may be served in any gear of its application that is allowed at any time from its arrival to its deadline,
  by the fastest allowed network of that gear. Other applications only take core time away.
- Which requests are on time, late or dropped is free, wherever in the run they are; only their numbers count.
- A request whose deadline is after the end of the run costs nothing; nor does managing, preparing or waking up.
- Lost cores are still there; heat sets no limit, and leaks as at the coldest ambient of the run. A clock above a limit
  remains for as long as changing a clock takes. A closed loop asks for nothing.

Not relaxed: each request takes the service time that the seed draws for it, with its noise, and so many times as long
while a unit is slowed down; mean service is within the targets; an application serves one request at a time; static
power and load that is not ours cost the same at every clock; who is not on time is served late, but for as many
requests as may be dropped.

Why the requests that are late can't be left out. Of the n requests of an application, f are due after the end. A run
that leaves none in flight ends each of the n - f others on time, late or by dropping it. At least slo · n - f of them
are on time. At most d are dropped, the argument `dropped`. So n - f - d are served, on time or late, and each holds its
cores until its work is done; what it holds them for beyond the least work of its gear is left out. Three facts say
where the time of a late request may lie:

- It begins after its arrival, and with drop rule `late` before its deadline, since a queue drops its head then.
- Its least work is over by the time that it takes at the slowest clock, beside the most load that is not ours.
- Work after the end of the run costs nothing there. With rule `late` that is so for at most one request of an
  application, the one in service at the end, since one that waits and is late is dropped; with the others, which let
  late ones wait, also for as many as its queue holds.

A policy meets an slo if that share of all requests submitted is on time; a run's `on_time` leaves requests that were
due only after the end out of account, so the bound is for runs that leave none. docs/hindsight.md has the program as
formulas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from actors.requests.draws import Draws
from scheduler.board import BoardUnit
from scheduler.inputs import UnitInputs
from scheduler.messages import AmbientChanged
from scheduler.profile import Profile
from workloads.hindsight.bound_gears import BoundGear, gears_of, least_activity
from workloads.hindsight.intervals import Interval, intervals_of
from workloads.hindsight.linear_program import LinearProgram
from workloads.hindsight.request_work import Draw, least_work_s, most_work_s, parts_of, work_ms
from workloads.mix.app import App
from workloads.mix.arrivals import FloatArray, Saturate
from workloads.mix.mix import Presence
from workloads.simulator import SimulationPlan
from workloads.simulator.progress import MAX_OTHER_LOAD_SIMULATED

_Terms = dict[int, float]
"""Factors by variable of the linear program."""

_TermsByClock = dict[tuple[int, str, float], _Terms]
"""Terms by an interval's number, a unit and a clock in MHz."""


_NONE_DROPPED: Mapping[str, int] = MappingProxyType({})


def lower_bound_j(plan: SimulationPlan, dropped: Mapping[str, int] = _NONE_DROPPED) -> float | None:
    """Return the energy of the units that no policy can go below while it meets every slo and every floor.

    One core of 1 W static and 2 W dynamic power that serves nine requests of 10 ms within 1 s takes at least
    1 + 9 · 0.010 · 2 = 1.18 J. With an slo of 0.5 that is so too, unless requests may be dropped.

    Args:
        plan: the run; its policy and costs are ignored, its seed counts.
        dropped: by application, how many requests the policy may drop; 0 for one that is not named.

    Returns:
        Joules over the mix's duration; None where the power of a unit is unknown, or no policy can meet every slo.
    """
    if not plan.board.powered:
        return None
    return _Bound(plan, dropped).solve()


@dataclass(frozen=True, slots=True)
class _UnitVariables:
    """The variables of one unit in one interval, and what it does there at each clock.

    Attributes:
        active: by clock, the variable for the seconds in which any core is busy.
        unit: the unit.
        free: share of each core that is free of load that is not ours.
        slowdown: how many times as long requests take there as clock and load explain.
        dynamic_w: by clock, the power of one busy core at an activity of 1.
        others: share of that power that is counted for every core already, whoever uses it.
        top_mhz: the highest clock that the limits allow.
    """

    active: Mapping[float, int]
    unit: BoardUnit
    free: float
    slowdown: float
    dynamic_w: Mapping[float, float]
    others: float
    top_mhz: float

    def paces(self, memory_share: float | None) -> dict[float, float]:
        """Return by clock the profiled seconds of work that a busy core gets through in a second."""
        return {mhz: self.unit.pace(mhz, memory_share) * self.free / self.slowdown for mhz in self.unit.mhz}


@dataclass(frozen=True, slots=True)
class _RequestGroup:
    """Requests of one application that could be served in the same intervals, at the same target and floor.

    Attributes:
        intervals: numbers of the intervals from arrival to deadline.
        target_s: the latency target.
        min_accuracy: the lowest floor in that time.
        draws: the share in the distribution of service times, the size and the noise of each request, rising.
        last_due_s: the latest of their deadlines.
    """

    intervals: range
    target_s: float
    min_accuracy: float
    draws: Sequence[Draw]
    last_due_s: float


@dataclass(frozen=True, slots=True)
class _Served:
    """The variables that count requests of an application served: on time, and late; each with factor 1."""

    on_time: _Terms
    late: _Terms


class _Bound:
    """The linear program while it is put together."""

    def __init__(self, plan: SimulationPlan, dropped: Mapping[str, int]) -> None:
        self._plan = plan
        self._dropped = dropped
        self._program = LinearProgram()
        self._intervals = intervals_of(plan)
        self._begins_s = [interval.from_s for interval in self._intervals]
        self._leakage = _leakage(plan)
        self._units = [
            {unit.name: self._unit_variables(unit, interval) for unit in plan.board.units}
            for interval in self._intervals
        ]
        self._core_time: _TermsByClock = {}

    def solve(self) -> float | None:
        """Add every application's demand, and return the least energy in joules; None where it can't be met."""
        for presence in self._plan.mix.all_apps():
            if not isinstance(presence.app.arrivals, Saturate):
                self._demand(presence)
        # Core time of all applications together ≤ cores · time in which any core is busy. That holds in a run, since no
        # more than all cores of the unit are busy at a moment.
        for (number, unit, mhz), taken in self._core_time.items():
            active = self._units[number][unit].active[mhz]
            self._program.at_most({**taken, active: -float(self._plan.board.unit(unit).cores)}, 0.0)
        return self._program.minimum()

    # ------------------------------------------------------------ units

    def _unit_variables(self, unit: BoardUnit, interval: Interval) -> _UnitVariables:
        """Add a unit's time in an interval: at each clock, active or idle, together the length of the interval."""
        limits = interval.limits[unit.name]
        load = min(limits.other_load, MAX_OTHER_LOAD_SIMULATED)
        # A request takes the place of other load on its cores. One of less activity than that load counts from the
        # start, so that no request costs less than nothing.
        others = min(load, least_activity(self._plan.profiles.values(), unit.kind))
        top_mhz = _top_mhz(unit, limits)
        assert unit.static_w is not None
        assert unit.dynamic_w is not None
        active: dict[float, int] = {}
        whole: _Terms = {}
        for mhz, static_w, dynamic_w in zip(unit.mhz, unit.static_w, unit.dynamic_w, strict=True):
            # A clock above the limit stays for one transition, until the limit is obeyed, and up to one more where
            # another clock is asked for meanwhile: that begins the transition anew.
            upper_s = interval.length_s if mhz <= top_mhz else min(interval.length_s, 2e-6 * unit.transition_us)
            leaked_w = static_w * self._leakage[unit.name]
            others_w = dynamic_w * others * len(limits.cpus_online)
            idle_share = 1.0 if load else unit.idle_share
            active[mhz] = self._program.variable(static_w + leaked_w + others_w, upper_s)
            idle = self._program.variable(static_w * idle_share + leaked_w + others_w, upper_s)
            whole |= {active[mhz]: 1.0, idle: 1.0}
        if unit.off_w is not None:
            leaked_w = min(0.0, self._leakage[unit.name]) * unit.static_w[-1]
            whole[self._program.variable(unit.off_w + leaked_w, interval.length_s)] = 1.0
        self._program.equal(whole, interval.length_s)
        return _UnitVariables(
            active=active,
            unit=unit,
            free=1 - load,
            slowdown=interval.slowdowns[unit.name],
            dynamic_w=dict(zip(unit.mhz, unit.dynamic_w, strict=True)),
            others=others,
            top_mhz=top_mhz,
        )

    # ------------------------------------------------------------ applications

    def _demand(self, presence: Presence) -> None:
        """Require that enough of an application's requests are served, and enough of these on time."""
        app = presence.app
        profile = self._plan.profiles[app.name]
        arrivals_s = self._plan.mix.arrivals_s(self._plan.seed)[app.name]
        groups = self._groups(presence, profile, arrivals_s)
        due = sum(len(group.draws) for group in groups)
        # Requests on time ≥ slo · all requests; those that are due after the end count as on time at no cost.
        on_time = math.ceil(presence.targets[-1].slo * len(arrivals_s) - 1e-9) - (len(arrivals_s) - due)
        served = due - self._dropped.get(app.name, 0) - self._most_unfinished(presence, profile, groups)
        own_time: _TermsByClock = {}
        counted = [self._serve(app, profile, group, own_time, some_late=served > on_time) for group in groups]
        on_time_terms = {variable: one for group in counted for variable, one in group.on_time.items()}
        late_terms = {variable: one for group in counted for variable, one in group.late.items()}
        self._program.at_least(on_time_terms, on_time)
        self._program.at_least(on_time_terms | late_terms, served)
        # An application serves one request at a time, so its requests take no longer than the unit is active.
        for (number, unit, mhz), taken in own_time.items():
            self._program.at_most({**taken, self._units[number][unit].active[mhz]: -1.0}, 0.0)

    def _groups(self, presence: Presence, profile: Profile, arrivals_s: FloatArray) -> list[_RequestGroup]:
        """Return an application's requests in groups, but for those that are due after the run.

        Requests of a group differ in their service times only, so the program need not tell them apart.
        """
        targets = presence.targets
        draws = Draws(self._plan.seed, presence.app.name, self._plan.mix.noise)
        found: dict[tuple[int, int, float, float], list[tuple[Draw, float]]] = {}
        for index, arrival_s in enumerate(arrivals_s.tolist()):
            target = [one for one in targets if one.from_s <= arrival_s][-1]
            due_s = arrival_s + target.latency_ms / 1000
            if due_s >= self._plan.mix.duration_s:
                continue
            floors = [target.min_accuracy, *(one.min_accuracy for one in targets if arrival_s < one.from_s <= due_s)]
            key = (self._number_at(arrival_s), self._number_at(due_s), target.latency_ms / 1000, min(floors))
            draw = (draws.share(index), profile.size(index), draws.factor(index))
            found.setdefault(key, []).append((draw, due_s))
        # By the work of one network, so that the parts of a group are of similar requests; others differ little in it.
        of_all = profile.rungs[0].times[0]
        return [
            _RequestGroup(
                intervals=range(first, last + 1),
                target_s=target_s,
                min_accuracy=min_accuracy,
                draws=sorted((draw for draw, _ in of_group), key=lambda draw: (work_ms(of_all, draw), draw)),
                last_due_s=max(due_s for _, due_s in of_group),
            )
            for (first, last, target_s, min_accuracy), of_group in found.items()
        ]

    def _number_at(self, at_s: float) -> int:
        """Return the number of the interval in which a moment lies; the last one for all after it."""
        return int(np.searchsorted(self._begins_s, at_s, side="right")) - 1

    def _most_unfinished(self, presence: Presence, profile: Profile, groups: Sequence[_RequestGroup]) -> int:
        """Return how many requests due within the run may at most be served after it, at no cost."""
        app = presence.app
        if app.drop != "late":
            return app.queue_bound(presence.length_s) + 1
        for group in groups:
            for gear in gears_of(self._plan.board, profile, group.min_accuracy):
                work_s = most_work_s(gear.times, group.draws)
                if self._over_s(app, gear, group, work_s) > self._plan.mix.duration_s:
                    return 1
        return 0

    def _over_s(self, app: App, gear: BoundGear, group: _RequestGroup, work_s: float) -> float:
        """Return by when so much work of each request of a group is over, late or not, if it is served at all."""
        if app.drop != "late":
            return math.inf
        there = [here[gear.unit.name] for here in self._units[group.intervals.start :]]
        slowest = min(min(here.paces(gear.memory_share).values()) for here in there)
        return group.last_due_s + work_s / slowest

    def _serve(
        self, app: App, profile: Profile, group: _RequestGroup, own_time: _TermsByClock, *, some_late: bool
    ) -> _Served:
        """Add variables for a group's requests by quantile group and gear, and for the time these take.

        Args:
            app: the application.
            profile: its profile.
            group: requests of it.
            own_time: by interval, unit and clock, the variables for the application's time there; added to.
            some_late: False if enough are served where no more are than have to be on time.
        """
        program = self._program
        parts = parts_of(group.draws)
        counts: list[_Terms] = [{} for _ in parts]
        served = _Served({}, {})
        for gear in gears_of(self._plan.board, profile, group.min_accuracy):
            work_s = [least_work_s(gear.times, part) for part in parts]
            # A request that takes longer than the target at the fastest clock of all can't be on time in this gear.
            reach_s = self._fastest_pace(gear, group.intervals) * group.target_s * (1 + 1e-9)
            ways = [(served.on_time, group.intervals, [place for place, work in enumerate(work_s) if work <= reach_s])]
            if some_late:
                last = self._number_at(self._over_s(app, gear, group, max(work_s)))
                ways.append((served.late, range(group.intervals.start, last + 1), list(range(len(parts)))))
            for terms, intervals, places in ways:
                if not places:
                    continue
                variables = {place: program.variable(0.0, float(len(parts[place]))) for place in places}
                paces = self._times(gear, intervals, own_time)
                # Σ time · pace = Σ requests · work: all work is done.
                done = {variable: -work_s[place] for place, variable in variables.items()}
                program.equal({**paces, **done}, 0.0)
                if terms is served.on_time:
                    # Σ time ≤ Σ requests · target: no request on time is served for longer than its target, so the
                    # mean is not either.
                    within = dict.fromkeys(variables.values(), -group.target_s)
                    program.at_most({**dict.fromkeys(paces, 1.0), **within}, 0.0)
                for place, variable in variables.items():
                    counts[place][variable] = terms[variable] = 1.0
        # Over all gears no more requests are served than there are.
        for part, count in zip(parts, counts, strict=True):
            program.at_most(count, float(len(part)))
        return served

    def _times(self, gear: BoundGear, intervals: range, own_time: _TermsByClock) -> _Terms:
        """Add a variable for the time that requests take in a gear in each interval at each clock.

        Returns:
            The pace at which each gets through work.
        """
        paces: _Terms = {}
        for number in intervals:
            here = self._units[number][gear.unit.name]
            for mhz, pace in here.paces(gear.memory_share).items():
                time = self._program.variable(
                    gear.cores * here.dynamic_w[mhz] * (gear.activity - here.others), math.inf
                )
                paces[time] = pace
                self._core_time.setdefault((number, gear.unit.name, mhz), {})[time] = float(gear.cores)
                own_time.setdefault((number, gear.unit.name, mhz), {})[time] = 1.0
        return paces

    def _fastest_pace(self, gear: BoundGear, intervals: range) -> float:
        """Return the fastest pace of a gear in these intervals.

        While a clock changes, that of the interval before is still in force, so that interval counts too.
        """
        here = [self._units[number][gear.unit.name] for number in range(max(0, intervals.start - 1), intervals.stop)]
        pace = gear.unit.pace(max(variables.top_mhz for variables in here), gear.memory_share)
        return pace / min(variables.slowdown for variables in here)


def _leakage(plan: SimulationPlan) -> dict[str, float]:
    """Return by unit the share by which static power is above the stated one at the coldest ambient of the run.

    A share of -0.2 is 20 % below; 0 where a unit has no thermal model.
    """
    changed_c = [event.change.ambient_c for _, event in plan.events if isinstance(event.change, AmbientChanged)]
    coldest_c = min([plan.board.ambient_c, *changed_c])
    return {
        unit.name: max(-1.0, unit.thermal.static_per_c * (coldest_c - unit.thermal.reference_c))
        if unit.thermal is not None
        else 0.0
        for unit in plan.board.units
    }


def _top_mhz(unit: BoardUnit, limits: UnitInputs) -> float:
    return unit.allowed(limits.max_mhz)[-1]
