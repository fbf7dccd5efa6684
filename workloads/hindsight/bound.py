"""A lower bound on the energy of the units: what no policy that keeps to every slo and floor can go below.

It is the optimum of a linear program (HiGHS), a relaxation of the simulation. Made easier than it is:

- Units mix their clocks freely in time, request by request, at no delay; idle time is spent at the cheapest clock.
- A request may be served in any gear of its application that is allowed at any time from its arrival to its deadline,
  by the fastest allowed network of that gear. Other applications are felt only as core time that is no longer there.
- The requests that the slo lets go are the most expensive ones, wherever in the run they are.
- A request whose deadline is after the end of the run costs nothing; nor does managing, preparing or waking up.
- Cores that are lost are still there; heat sets no limit, and leaks as at the coldest ambient of the run. Clocks above
  a limit remain for as long as changing a clock takes. A closed loop asks for nothing.

Kept as it is: each request takes the service time that the seed draws for it; mean service within the targets; one
request of an application at a time; static power and load that is not ours at every clock.

A policy meets an slo if that share of all requests submitted is on time; a run's `on_time` leaves requests in flight
at the very end out of account, so the bound is for runs that leave none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from actors.requests.draws import Draws, at_share
from scheduler.board import Board, BoardUnit
from scheduler.inputs import UnitInputs
from scheduler.messages import AmbientChanged
from scheduler.profile import Profile, ServiceTime
from workloads.hindsight.program import Program
from workloads.hindsight.sections import Section, sections_of
from workloads.mix.arrivals import FloatArray, Saturate
from workloads.mix.mix import Presence
from workloads.simulator import SimulationPlan
from workloads.simulator.unit import MAX_OTHER_LOAD_SIMULATED

_LOTS = 12
"""Into how many lots of like luck the requests of a group are put; each lot is as cheap as its luckiest request."""


def lower_bound_j(plan: SimulationPlan) -> float | None:
    """The energy of the units that no policy can go below while every application meets its slo and its floor.

    Args:
        plan: the run; its policy and costs do not matter, its seed does.

    Returns:
        Joules over the mix's duration; None where the power of a unit is unknown, or no policy can meet every slo.
    """
    if not plan.board.powered:
        return None
    return _Bound(plan).solve()


@dataclass(frozen=True, slots=True)
class _Stay:
    """A unit in a section: by clock, a column for the time that any core is busy there, and its pace."""

    active: Mapping[float, int]
    paces: Mapping[float, float]
    """Profiled seconds that a request gets through in a second, by clock."""
    dynamic_w: Mapping[float, float]
    """Of one busy core, beyond what others would use of it."""
    top_mhz: float


@dataclass(frozen=True, slots=True)
class _Group:
    """Requests of one application that could be served in the same sections, at the same target and floor."""

    reach: range
    target_s: float
    min_accuracy: float
    luck: FloatArray
    """Of each, rising, shape (n,)."""


class _Bound:
    """The program while it is put together."""

    def __init__(self, plan: SimulationPlan) -> None:
        self._plan = plan
        self._program = Program()
        self._sections = sections_of(plan)
        self._colder = _leakage(plan)
        self._stays = [
            {unit.name: self._stay(unit, section) for unit in plan.board.units} for section in self._sections
        ]
        self._core_time: dict[tuple[int, str, float], dict[int, float]] = {}

    def solve(self) -> float | None:
        for presence in self._plan.mix.all_apps():
            if not isinstance(presence.app.arrivals, Saturate):
                self._ask(presence)
        for (number, unit, mhz), taken in self._core_time.items():
            active = self._stays[number][unit].active[mhz]
            self._program.at_most({**taken, active: -float(self._plan.board.unit(unit).cores)}, 0.0)
        return self._program.least()

    # ------------------------------------------------------------ units

    def _stay(self, unit: BoardUnit, section: Section) -> _Stay:
        """A unit's time in a section: at each clock, active or idle."""
        limits = section.limits[unit.name]
        load = min(limits.other_load, MAX_OTHER_LOAD_SIMULATED)
        top_mhz = _top_mhz(unit, limits)
        assert unit.static_w is not None
        assert unit.dynamic_w is not None
        active: dict[float, int] = {}
        whole: dict[int, float] = {}
        for mhz, static_w, dynamic_w in zip(unit.mhz, unit.static_w, unit.dynamic_w, strict=True):
            most_s = section.length_s if mhz <= top_mhz else min(section.length_s, 2e-6 * unit.transition_us)
            leaked_w = static_w * self._colder[unit.name]
            others_w = dynamic_w * load * limits.cores_online
            idle_share = 1.0 if load else unit.idle_share
            active[mhz] = self._program.column(static_w + leaked_w + others_w, most_s)
            idle = self._program.column(static_w * idle_share + leaked_w + others_w, most_s)
            whole |= {active[mhz]: 1.0, idle: 1.0}
        self._program.equal(whole, section.length_s)
        return _Stay(
            active=active,
            paces={mhz: unit.pace(mhz) * (1 - load) for mhz in unit.mhz},
            dynamic_w={mhz: w * (1 - load) for mhz, w in zip(unit.mhz, unit.dynamic_w, strict=True)},
            top_mhz=top_mhz,
        )

    # ------------------------------------------------------------ applications

    def _ask(self, presence: Presence) -> None:
        """Has enough of an application's requests served on time."""
        app = presence.app.name
        arrivals_s = self._plan.mix.arrivals_s(self._plan.seed)[app]
        slo = self._plan.mix.targets_of(app)[-1].slo
        groups, free = self._groups(app, arrivals_s)
        own_time: dict[tuple[int, str, float], dict[int, float]] = {}
        on_time: dict[int, float] = {}
        for group in groups:
            on_time |= self._serve(self._plan.profiles[app], group, own_time)
        self._program.at_least(on_time, math.ceil(slo * len(arrivals_s) - 1e-9) - free)
        for (number, unit, mhz), taken in own_time.items():
            self._program.at_most({**taken, self._stays[number][unit].active[mhz]: -1.0}, 0.0)

    def _groups(self, app: str, arrivals_s: FloatArray) -> tuple[list[_Group], int]:
        """An application's requests in groups, and how many need no group because they can end after the run."""
        targets = self._plan.mix.targets_of(app)
        begins_s = [section.from_s for section in self._sections]
        draws = Draws(self._plan.seed, app)
        luck: dict[tuple[int, int, float, float], list[float]] = {}
        free = 0
        for index, arrival_s in enumerate(arrivals_s.tolist()):
            target = [one for one in targets if one.from_s <= arrival_s][-1]
            due_s = arrival_s + target.latency_ms / 1000
            if due_s >= self._plan.mix.duration_s:
                free += 1
                continue
            floors = [target.min_accuracy, *(one.min_accuracy for one in targets if arrival_s < one.from_s <= due_s)]
            first, last = (int(np.searchsorted(begins_s, at_s, side="right")) - 1 for at_s in (arrival_s, due_s))
            key = (first, last, target.latency_ms / 1000, min(floors))
            luck.setdefault(key, []).append(draws.share(index))
        groups = [
            _Group(range(first, last + 1), target_s, min_accuracy, np.sort(shares))
            for (first, last, target_s, min_accuracy), shares in luck.items()
        ]
        return groups, free

    def _serve(
        self, profile: Profile, group: _Group, own_time: dict[tuple[int, str, float], dict[int, float]]
    ) -> dict[int, float]:
        """Columns for a group's requests in each lot and gear, and for the time these take.

        Args:
            profile: of the application.
            group: of its requests.
            own_time: by section, unit and clock, columns of the application's time there; added to.

        Returns:
            The columns that count requests served on time, each with 1.
        """
        program = self._program
        lots = np.array_split(group.luck, min(_LOTS, len(group.luck)))
        counts: list[dict[int, float]] = [{} for _ in lots]
        for unit, cores, times in _gears(self._plan.board, profile, group.min_accuracy):
            work_s = [_least_work_s(times, float(lot[0])) for lot in lots]
            pace = self._fastest(unit, group.reach)
            served = {
                program.column(0.0, float(len(lot))): (number, work)
                for number, (lot, work) in enumerate(zip(lots, work_s, strict=True))
                if work <= pace * group.target_s * (1 + 1e-9)
            }
            if not served:
                continue
            covered = {column: -work for column, (_, work) in served.items()}
            within = {column: -group.target_s for column in served}
            for number in group.reach:
                stay = self._stays[number][unit.name]
                for mhz, pace in stay.paces.items():
                    taken = program.column(cores * stay.dynamic_w[mhz], math.inf)
                    covered[taken], within[taken] = pace, 1.0
                    self._core_time.setdefault((number, unit.name, mhz), {})[taken] = float(cores)
                    own_time.setdefault((number, unit.name, mhz), {})[taken] = 1.0
            program.equal(covered, 0.0)
            program.at_most(within, 0.0)
            for column, (number, _) in served.items():
                counts[number][column] = 1.0
        for lot, count in zip(lots, counts, strict=True):
            program.at_most(count, float(len(lot)))
        return {column: 1.0 for count in counts for column in count}

    def _fastest(self, unit: BoardUnit, reach: range) -> float:
        """The fastest pace of a unit in these sections; while a clock changes, that of the section before still is."""
        stays = [self._stays[number][unit.name] for number in range(max(0, reach.start - 1), reach.stop)]
        return unit.pace(max(stay.top_mhz for stay in stays))


def _leakage(plan: SimulationPlan) -> dict[str, float]:
    """By unit, by which share of itself static power is above the stated one at the coldest ambient of the run."""
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


def _gears(
    board: Board, profile: Profile, min_accuracy: float
) -> Iterator[tuple[BoardUnit, int, Sequence[ServiceTime]]]:
    """Each unit and number of cores that was profiled for it, with the times there of all networks allowed."""
    times: dict[tuple[str, int], list[ServiceTime]] = {}
    for rung in profile.above(min_accuracy).rungs:
        for time in rung.times:
            times.setdefault((time.kind, time.cores), []).append(time)
    for unit in board.units:
        for (kind, cores), here in times.items():
            if kind == unit.kind and cores <= unit.cores:
                yield unit, cores, here


def _least_work_s(times: Sequence[ServiceTime], luck: float) -> float:
    """Profiled time of a request of that luck in whichever network is fastest for it."""
    return min(at_share(time.samples_ms, luck) for time in times) / 1000
