"""Simulates candidates, and says what each one cost in its intervals and which requests on time it leaves missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import total_ordering

import numpy as np
from numpy.typing import NDArray

from actors.requests.records import Status
from scheduler.objectives import OBJECTIVES
from scheduler.policies import Policy
from scheduler.views import Plan
from workloads.hindsight.candidate import Candidate
from workloads.hindsight.intervals import Interval
from workloads.hindsight.script import Script
from workloads.hindsight.search_space import SearchSpace, joules_per_accuracy
from workloads.mix.arrivals import FloatArray
from workloads.simulator import Costs, Simulated, SimulationPlan, simulate

COSTS = replace(Costs.none(), wake_ms=Costs().wake_ms)
"""Costs of managing for the policies of hindsight. All decisions were made before the run, so managing is free. Workers
take their usual time to wake up; else a plan could rely on which of two requests that arrive together is first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The result of one candidate in the intervals over which it was held, in one simulated run.

    Attributes:
        cost_j: energy of the units in joules, less what the accuracy is worth (`SearchSpace.accuracy_credit_j`).
        missing_on_time: by application, how many more of the requests that arrived here had to be on time for its slo.
            With slo 0.9 and 100 requests of which 85 were on time it is 5; below 0, requests can be spared.
        over_cap: relative excess of power over the cap, times the share of the run for which it lasted.
    """

    cost_j: float
    missing_on_time: Mapping[str, float]
    over_cap: float


@total_ordering
@dataclass(frozen=True, slots=True)
class RunScore:
    """The result of a whole simulated run; the lesser of two is the better one.

    Attributes:
        violation: Σ weight · what the share on time lacks of the slo, plus Σ `Score.over_cap`.
        cost_j: energy of the units in joules, less what the accuracy is worth.
    """

    violation: float
    cost_j: float

    def __lt__(self, other: RunScore) -> bool:
        # Violations are sums of rounded terms: differences this small are none.
        if abs(self.violation - other.violation) > 1e-9:
            return self.violation < other.violation
        return self.cost_j < other.cost_j


class Scorer:
    """Simulates one plan's mix on its board with its seed, and scores candidates; managing costs nothing.

    Args:
        plan: the simulation.
        spaces: one search space after another; together they cover the whole run.
        epoch_s: time between two decisions; each space begins at a multiple of it, or at an event.

    Attributes:
        weights: by application, the violation that one request too many that is late comes to.
    """

    def __init__(self, plan: SimulationPlan, spaces: Sequence[SearchSpace], *, epoch_s: float) -> None:
        self._plan = replace(plan, costs=COSTS, epoch_s=epoch_s)
        self._spaces = spaces
        self._begins_s = np.array([space.intervals[0].from_s for space in spaces])
        self._targets = {one.app.name: one.targets[-1] for one in plan.mix.all_apps()}
        arrivals_s = plan.mix.arrivals_s(plan.seed)
        self.weights = {app: one.weight / max(1, len(arrivals_s[app])) for app, one in self._targets.items()}

    def plans(self, candidates: Sequence[Candidate]) -> list[tuple[float, Plan]]:
        """Return candidates, one for each space, as plans, each with the time in seconds at which it begins."""
        plans = [space.plan_of(candidate) for space, candidate in zip(self._spaces, candidates, strict=True)]
        return list(zip(self._begins_s.tolist(), plans, strict=True))

    def script(self, candidates: Sequence[Candidate]) -> Script:
        """Return the policy that puts candidates, one for each space, in force."""
        return Script(self.plans(candidates))

    def score(self, candidates: Sequence[Candidate]) -> tuple[RunScore, list[Score]]:
        """Simulate candidates, one for each space, and return the score of the run and of each of them."""
        simulated = self.simulate(self.script(candidates))
        missing = {app: self._missing_on_time(simulated, app) for app in self._targets}
        busy = [self._busy_cores(simulated, number) for number in range(len(self._plan.board.units))]
        scores = []
        for number, (space, candidate) in enumerate(zip(self._spaces, candidates, strict=True)):
            energies_j = [self._energy_j(interval, candidate, busy) for interval in space.intervals]
            over = [self._over_cap(interval, j) for interval, j in zip(space.intervals, energies_j, strict=True)]
            scores.append(
                Score(
                    cost_j=math.fsum(energies_j) - space.accuracy_credit_j(candidate),
                    missing_on_time={app: float(by_space[number]) for app, by_space in missing.items()},
                    over_cap=math.fsum(over),
                )
            )
        run = run_score(self._plan, simulated)
        return replace(run, violation=run.violation + math.fsum(score.over_cap for score in scores)), scores

    def simulate(self, policy: Policy) -> Simulated:
        """Simulate the run under any policy."""
        return simulate(replace(self._plan, make_policy=lambda: policy), log=False)

    # ------------------------------------------------------------ by search space

    def _missing_on_time(self, simulated: Simulated, app: str) -> FloatArray:
        """Return by space: slo · requests that arrived in it - those of them that were on time."""
        records = simulated.records[app]
        latencies_ms = (records["end_s"] - records["arrival_s"]) * 1000
        on_time = (records["status"] == Status.COMPLETED) & (latencies_ms <= records["target_ms"])
        slo = self._targets[app].slo
        return slo * self._by_space(simulated.arrivals_s[app]) - self._by_space(records["arrival_s"][on_time])

    def _by_space(self, arrivals_s: FloatArray) -> FloatArray:
        """Count arrivals by the space in which they fall."""
        places = np.searchsorted(self._begins_s, arrivals_s, side="right") - 1
        return np.bincount(places, minlength=len(self._begins_s)).astype(float)

    def _busy_cores(self, simulated: Simulated, unit: int) -> _BusyCores:
        """Read when requests had cores of a unit, given by its number on the board."""
        kind = self._plan.board.units[unit].kind
        records, activities = [], []
        for app, of_app in simulated.records.items():
            here = of_app[of_app["unit"] == unit]
            rungs = self._plan.profiles[app].rungs
            forms = zip(here["subnet"].tolist(), here["cores"].tolist(), strict=True)
            times = [self._plan.profiles[app].service(rungs[place].subnet, kind, cores) for place, cores in forms]
            records.append(here)
            activities += [time.activity for time in times]
        return _BusyCores.of(np.concatenate(records), np.array(activities))

    def _energy_j(self, interval: Interval, candidate: Candidate, busy: Sequence[_BusyCores]) -> float:
        """Return the energy of the units in an interval, by the simulator's own formula; heat is left out.

        A simulation has one energy for the whole run, so it is computed anew for each interval from the times in which
        requests had cores. A unit that can be switched off and is not used counts as off all the time.
        """
        total_j = 0.0
        for unit, mhz, cores in zip(self._plan.board.units, candidate.clocks, busy, strict=True):
            if unit.static_w is None or unit.dynamic_w is None:
                continue
            place = unit.mhz.index(interval.held(unit, mhz))
            load = interval.limits[unit.name].other_load
            any_s, core_s, active_s = cores.within(interval.from_s, interval.to_s)
            if not any_s and unit.off_w is not None:
                total_j += unit.off_w * interval.length_s
                continue
            others_s = load * (interval.length_s * len(interval.limits[unit.name].cpus_online) - core_s)
            static_s = interval.length_s if load else any_s + unit.idle_share * (interval.length_s - any_s)
            total_j += unit.static_w[place] * static_s + unit.dynamic_w[place] * (active_s + others_s)
        return total_j

    def _over_cap(self, interval: Interval, energy_j: float) -> float:
        """Return the relative excess of mean power over the cap, times the interval's share of the run."""
        if interval.power_cap_w is None:
            return 0.0
        excess = energy_j / interval.length_s / interval.power_cap_w - 1
        return max(0.0, excess) * interval.length_s / self._plan.mix.duration_s


def run_score(plan: SimulationPlan, simulated: Simulated) -> RunScore:
    """Return the score of a whole simulated run of a plan, under any policy; a power cap is left out."""
    late = accuracy = 0.0
    for presence in plan.mix.all_apps():
        app, target = simulated.summary.apps[presence.app.name], presence.targets[-1]
        late += target.weight * max(0.0, app.slo - (1.0 if app.on_time is None else app.on_time))
        accuracy += target.weight * (app.accuracy.value or 0.0) * (presence.to_s - presence.from_s)
    if OBJECTIVES[plan.mix.objective].seeks_accuracy:
        credit_j = accuracy * (joules_per_accuracy(plan) / plan.mix.duration_s)
    else:
        credit_j = 0.0
    return RunScore(late, (simulated.summary.energy.units_j or 0.0) - credit_j)


@dataclass(frozen=True, slots=True)
class _BusyCores:
    """The times at which requests had cores of one unit: one entry for each request, in order of their begins."""

    start_s: FloatArray
    end_s: FloatArray
    cores: FloatArray
    active: FloatArray
    """The same times the activity of the network that ran."""
    latest_end_s: FloatArray
    """The latest end of all requests before this one."""

    @classmethod
    def of(cls, records: NDArray[np.void], activities: FloatArray) -> _BusyCores:
        """Read the records of all requests of a unit, each with its activity."""
        order = np.argsort(records["start_s"], kind="stable")
        records, activities = records[order], activities[order]
        ends = np.maximum.accumulate(np.concatenate([[-np.inf], records["end_s"]]))
        cores = records["cores"].astype(float)
        return cls(records["start_s"], records["end_s"], cores, cores * activities, ends[:-1])

    def within(self, from_s: float, to_s: float) -> tuple[float, float, float]:
        """Return for a span the seconds in which any core was busy, and two sums over cores.

        One is of their busy seconds, the other of these times the activity of what ran.
        """
        end_s = np.minimum(self.end_s, to_s)
        spans_s = np.maximum(end_s - np.maximum(self.start_s, from_s), 0)
        # Of each request only the time after all earlier ones had ended, so that no second counts twice.
        fresh_s = np.maximum(end_s - np.maximum(np.maximum(self.start_s, self.latest_end_s), from_s), 0)
        return float(fresh_s.sum()), float((spans_s * self.cores).sum()), float((spans_s * self.active).sum())
