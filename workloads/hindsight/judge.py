"""Simulates gears and clocks by stretch, and says of each stretch what it cost and which requests it owes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import total_ordering

import numpy as np

from actors.requests.records import Status
from scheduler.objectives import OBJECTIVES
from scheduler.policies import Policy, Scripted, gear_of
from scheduler.views import AppView, Gear, Plan, Snapshot
from workloads.hindsight.scene import Choice
from workloads.hindsight.sections import Section
from workloads.hindsight.stretch import Stretch, accuracy_worth_j
from workloads.mix.arrivals import FloatArray
from workloads.simulator import Costs, Simulated, SimulationPlan, simulate

COSTS = replace(Costs.none(), wake_ms=Costs().wake_ms)
"""Where hindsight's policies run: what they do was settled before the run, so managing is free. Workers wake up as
ever, or a plan could rest on who is first of two that arrive together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What one stretch had of a simulated run.

    Attributes:
        cost: energy of the units in joules, less what the accuracy is worth (`Stretch.worth`).
        debts: by application, how many requests more had to be on time for its slo, of those that arrived here; below
            0 it has some to spare.
        over_cap: relative excess of power over the cap, times the share of the run for which it lasted.
    """

    cost: float
    debts: Mapping[str, float]
    over_cap: float


@total_ordering
@dataclass(frozen=True, slots=True)
class Run:
    """A simulated run as a whole; the lesser of two is the better one.

    Attributes:
        violation: Σ weight · what the share on time lacks of the slo, plus `Share.over_cap`.
        cost: energy of the units in joules, less what the accuracy is worth.
    """

    violation: float
    cost: float

    def __lt__(self, other: Run) -> bool:
        if abs(self.violation - other.violation) > 1e-9:
            return self.violation < other.violation
        return self.cost < other.cost


class Judge:
    """Simulates one plan's mix on its board with its seed; managing costs nothing.

    Args:
        plan: of the simulation.
        stretches: that cover the whole run.
        epoch_s: between two decisions; each stretch begins with one, or with an event.

    Attributes:
        weights: by application, the violation that one request too many, late, comes to.
    """

    def __init__(self, plan: SimulationPlan, stretches: Sequence[Stretch], *, epoch_s: float) -> None:
        self._plan = replace(plan, costs=COSTS, epoch_s=epoch_s)
        self._stretches = stretches
        self._borders_s = np.array([stretch.sections[0].from_s for stretch in stretches])
        self._presences = plan.mix.all_apps()
        self._targets = {one.app.name: plan.mix.targets_of(one.app.name)[-1] for one in self._presences}
        arrivals_s = plan.mix.arrivals_s(plan.seed)
        self.weights = {app: one.weight / max(1, len(arrivals_s[app])) for app, one in self._targets.items()}

    def plans(self, choices: Sequence[Choice]) -> list[tuple[float, Plan]]:
        """These choices, one for each stretch, as plans and when each begins."""
        plans = [stretch.plan_of(choice) for stretch, choice in zip(self._stretches, choices, strict=True)]
        return list(zip(self._borders_s.tolist(), plans, strict=True))

    def script(self, choices: Sequence[Choice]) -> Script:
        """The policy that puts them in force."""
        return Script(self.plans(choices))

    def judge(self, choices: Sequence[Choice]) -> tuple[Run, list[Share]]:
        """Simulates one choice for each stretch."""
        simulated = self.simulate(self.script(choices))
        debts = {app: self._debts(simulated, app) for app in self._targets}
        taken = [_Taken.of(simulated, number) for number in range(len(self._plan.board.units))]
        shares = []
        for number, (stretch, choice) in enumerate(zip(self._stretches, choices, strict=True)):
            energies_j = [self._energy_j(section, choice, taken) for section in stretch.sections]
            over = [self._over_cap(section, j) for section, j in zip(stretch.sections, energies_j, strict=True)]
            shares.append(
                Share(
                    cost=math.fsum(energies_j) - stretch.worth(choice),
                    debts={app: float(owed[number]) for app, owed in debts.items()},
                    over_cap=math.fsum(over),
                )
            )
        run = self.whole(simulated)
        return replace(run, violation=run.violation + math.fsum(share.over_cap for share in shares)), shares

    def simulate(self, policy: Policy) -> Simulated:
        """Simulates any policy."""
        return simulate(replace(self._plan, make_policy=lambda: policy), log=False)

    def whole(self, simulated: Simulated) -> Run:
        """A simulation as a whole, whatever its policy; a power cap is left out."""
        late = worth = 0.0
        for presence in self._presences:
            app = simulated.summary.apps[presence.app.name]
            target = self._targets[presence.app.name]
            late += target.weight * max(0.0, app.slo - (1.0 if app.on_time is None else app.on_time))
            worth += target.weight * (app.accuracy.value or 0.0) * (presence.to_s - presence.from_s)
        if OBJECTIVES[self._plan.mix.objective].seeks_accuracy:
            worth *= accuracy_worth_j(self._plan) / self._plan.mix.duration_s
        else:
            worth = 0.0
        return Run(late, (simulated.summary.energy.units_j or 0.0) - worth)

    # ------------------------------------------------------------ by stretch

    def _debts(self, simulated: Simulated, app: str) -> FloatArray:
        """By stretch: slo · requests that arrived in it - those of them that were on time."""
        records = simulated.records[app]
        latencies_ms = (records["end_s"] - records["arrival_s"]) * 1000
        on_time = (records["status"] == Status.COMPLETED) & (latencies_ms <= records["target_ms"])
        slo = self._targets[app].slo
        return slo * self._by_stretch(simulated.arrivals_s[app]) - self._by_stretch(records["arrival_s"][on_time])

    def _by_stretch(self, arrivals_s: FloatArray) -> FloatArray:
        places = np.searchsorted(self._borders_s, arrivals_s, side="right") - 1
        return np.bincount(places, minlength=len(self._borders_s)).astype(float)

    def _energy_j(self, section: Section, choice: Choice, taken: Sequence[_Taken]) -> float:
        """Energy of the units in a section, as the simulator reckons it; heat left out."""
        total_j = 0.0
        for unit, mhz, cores in zip(self._plan.board.units, choice.clocks, taken, strict=True):
            if unit.static_w is None or unit.dynamic_w is None:
                continue
            place = unit.mhz.index(section.held(unit, mhz))
            load = section.limits[unit.name].other_load
            any_s, core_s = cores.within(section.from_s, section.to_s)
            others_s = load * (section.length_s * section.limits[unit.name].cores_online - core_s)
            static_s = section.length_s if load else any_s + unit.idle_share * (section.length_s - any_s)
            total_j += unit.static_w[place] * static_s + unit.dynamic_w[place] * (core_s + others_s)
        return total_j

    def _over_cap(self, section: Section, energy_j: float) -> float:
        if section.power_cap_w is None:
            return 0.0
        excess = energy_j / section.length_s / section.power_cap_w - 1
        return max(0.0, excess) * section.length_s / self._plan.mix.duration_s


@dataclass(frozen=True, slots=True)
class _Taken:
    """When requests had cores of one unit, in order of their begins."""

    start_s: FloatArray
    end_s: FloatArray
    cores: FloatArray
    until_s: FloatArray
    """The latest end of those before."""

    @classmethod
    def of(cls, simulated: Simulated, unit: int) -> _Taken:
        records = np.concatenate(list(simulated.records.values()))
        records = records[records["unit"] == unit]
        records = records[np.argsort(records["start_s"], kind="stable")]
        ends = np.maximum.accumulate(np.concatenate([[-np.inf], records["end_s"]]))
        return cls(records["start_s"], records["end_s"], records["cores"].astype(float), ends[:-1])

    def within(self, from_s: float, to_s: float) -> tuple[float, float]:
        """Time in which any core was taken, and time summed over cores."""
        end_s = np.minimum(self.end_s, to_s)
        spans_s = np.maximum(end_s - np.maximum(self.start_s, from_s), 0)
        fresh_s = np.maximum(end_s - np.maximum(np.maximum(self.start_s, self.until_s), from_s), 0)
        return float(fresh_s.sum()), float((spans_s * self.cores).sum())


class Script(Scripted):
    """A script in which a gear waits for its cores.

    Of several events at one moment the manager is told one after another, and it asks for a plan each time: the first
    time cores may not be online yet that will be at once. Until then an application keeps the gear that it has.
    """

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        plan = super().decide(snapshot)
        online = {unit.name: unit.cores_online for unit in snapshot.units}
        return replace(plan, gears={view.app: _possible(plan.gears[view.app], view, online) for view in snapshot.apps})


def _possible(gear: Gear, view: AppView, online: Mapping[str, int]) -> Gear:
    if gear.cores <= online[gear.unit]:
        return gear
    return view.gear or gear_of(view.points[0])
