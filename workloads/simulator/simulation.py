"""Runs a simulation and adds it up: summary, records and epoch log are those that a run on a board has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduler.manager import Manager
from scheduler.views import Gear
from workloads.mix.arrivals import FloatArray
from workloads.mix.briefing import app_spec, drained_s
from workloads.mix.mix import Presence
from workloads.results.requests import submitted_s
from workloads.results.summarize import AppRecords, summarize_manager, summarize_run
from workloads.results.summary import Summary, UnitSummary, energy_summary
from workloads.simulator.agenda import Agenda
from workloads.simulator.board import SimulatedBoard
from workloads.simulator.driver import Driver, Entry
from workloads.simulator.plan import SimulationPlan
from workloads.simulator.residency import Residency
from workloads.simulator.server import SimulatedServer

_LEAD_S = 1.0
"""Board time from the start of managing to t = 0: the first gears are in force by then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulated:
    """The result of a simulation.

    Attributes:
        summary: the summary, schema 1; a figure that a simulation does not have is null.
        records: by application, its requests, of dtype `actors.requests.records.RECORD`.
        arrivals_s: by application, the arrival times of all its requests.
        entries: the epoch log, each entry a map with `kind` and `now_s`; empty if it was not kept.
        residency: by unit, the time that it spent at each clock.
        managing_j: the part of the units' energy that managing took, in joules; None where power is unknown.
        decisions: number of plans that the policy was asked for.
    """

    summary: Summary
    records: Mapping[str, NDArray[np.void]]
    arrivals_s: Mapping[str, FloatArray]
    entries: list[Entry]
    residency: Mapping[str, Residency]
    managing_j: float | None
    decisions: int


def simulate(plan: SimulationPlan, *, log: bool = True) -> Simulated:
    """Run a plan to its end.

    Args:
        plan: the run.
        log: True to keep the epoch log.

    Raises:
        SimulationError: if the policy raises, or asks for something impossible.
    """
    return _Simulation(plan, log).run()


@dataclass(frozen=True, slots=True)
class _Meters:
    """A unit's meters at a moment."""

    residency: Residency
    energy_j: float
    clock_changes: int


class _Simulation:
    """One run: put together, driven to the end of its last drain, and added up."""

    def __init__(self, plan: SimulationPlan, log: bool) -> None:
        self._plan = plan
        self._keeps_log = log
        self._agenda = agenda = Agenda(-_LEAD_S)
        self._arrivals_s = plan.mix.arrivals_s(plan.seed)
        self._board = SimulatedBoard(
            plan.board,
            agenda,
            clock_ms=plan.costs.clock_ms if plan.costs.on_board else 0.0,
            governors_sample=plan.governors_sample,
        )
        self._presences = {presence.app.name: presence for presence in plan.mix.all_apps()}
        self._servers = {
            name: self._server(presence, slot) for slot, (name, presence) in enumerate(self._presences.items())
        }
        self._entries: list[Entry] = []
        self._gears: dict[str, list[Gear]] = {name: [] for name in self._presences}
        policy = plan.make_policy()
        self._manager = Manager(
            board=plan.board,
            apps=[app_spec(one, plan.profiles[name]) for name, one in self._presences.items()],
            policy=policy,
            objective=plan.mix.objective,
            power_cap_w=plan.mix.power_cap_w,
            epoch_s=plan.epoch_s,
            logs_epochs=log,
            prepares_on=plan.board.housekeeper.name if plan.costs.on_board and plan.costs.prepare_ms else None,
        )
        self._driver = Driver(
            self._manager,
            board=self._board,
            servers=self._servers,
            agenda=agenda,
            costs=plan.costs,
            events=plan.events,
            present=frozenset(name for name, presence in self._presences.items() if presence.from_s <= 0),
            epoch_s=plan.epoch_s,
            policy=plan.policy,
            solves=bool(getattr(policy, "solves", False)),
            log=self._keep,
        )
        self._last_s = plan.mix.duration_s
        for name, presence in self._presences.items():
            agenda.at(presence.to_s, self._leave, name)

    def run(self) -> Simulated:
        """Run to the end of the last drain, and return what came of it.

        Meters count from t = 0 to the mix's duration: the lead and the drains are outside of the summary.
        """
        self._agenda.run(0.0)
        before = self._meters()
        self._agenda.run(self._plan.mix.duration_s)
        after = self._meters()
        self._agenda.run(self._last_s)
        return self._added_up(before, after)

    def _server(self, presence: Presence, slot: int) -> SimulatedServer:
        app = presence.app
        return SimulatedServer(
            app,
            slot=slot,
            profile=self._plan.profiles[app.name],
            targets=presence.targets,
            arrivals_s=self._arrivals_s[app.name],
            until_s=presence.to_s,
            seed=self._plan.seed,
            noise=self._plan.mix.noise,
            wake_ms=self._plan.costs.wake_ms,
            units=self._board.units,
            agenda=self._agenda,
        )

    # ------------------------------------------------------------ on the way

    def _leave(self, name: str) -> None:
        presence = self._presences[name]
        end_s = drained_s(presence, presence.to_s)
        self._last_s = max(self._last_s, end_s)
        self._servers[name].drain(end_s)

    def _keep(self, entry: Entry) -> None:
        if entry["kind"] == "gear" and entry["to"] is not None:
            self._gears[entry["app"]].append(Gear.of(entry["to"]))
        if self._keeps_log:
            self._entries.append(entry)

    def _meters(self) -> dict[str, _Meters]:
        return {
            name: _Meters(
                self._board.residency(name), unit.meters.energy_j + self._board.leaked_j(name), unit.clock_changes
            )
            for name, unit in self._board.units.items()
        }

    # ------------------------------------------------------------ what came of it

    def _added_up(self, before: Mapping[str, _Meters], after: Mapping[str, _Meters]) -> Simulated:
        plan = self._plan
        apps = {name: self._app_records(name) for name in self._servers}
        residency = {name: after[name].residency.since(before[name].residency) for name in after}
        powered = plan.board.powered
        units_j = math.fsum(after[name].energy_j - before[name].energy_j for name in after) if powered else None
        duration_s = plan.mix.duration_s
        summary = summarize_run(
            plan,
            backend="sim",
            duration_s=duration_s,
            time_scale=1.0,
            apps=apps,
            units={
                name: self._unit_summary(name, residency[name], after[name].clock_changes - before[name].clock_changes)
                for name in after
            },
            energy=energy_summary(
                units_j, plan.board.board_j(units_j, duration_s), units_source=plan.board.energy_source
            ),
            manager=summarize_manager(epochs=self._driver.epochs),
            host=None,
        )
        return Simulated(
            summary=summary,
            records={name: app.records for name, app in apps.items()},
            arrivals_s={name: app.arrivals_s for name, app in apps.items()},
            entries=self._entries,
            residency=residency,
            managing_j=math.fsum(residency[unit.name].managing_j(unit) for unit in plan.board.units)
            if powered
            else None,
            decisions=self._manager.decisions,
        )

    def _app_records(self, name: str) -> AppRecords:
        presence, records = self._presences[name], self._servers[name].records()
        return AppRecords(
            arrivals_s=submitted_s(presence.app.arrivals, self._arrivals_s[name], records),
            records=records,
            targets=presence.targets,
            ladder=self._plan.profiles[name].rungs,
            gears=self._gears[name],
            end_s=drained_s(presence, presence.to_s),
        )

    def _unit_summary(self, name: str, residency: Residency, clock_changes: int) -> UnitSummary:
        duration_s = self._plan.mix.duration_s
        cores = self._plan.board.unit(name).cores
        return UnitSummary(
            busy=min(1.0, math.fsum(residency.busy_s) / (cores * duration_s)),
            clock_changes=clock_changes,
            mean_mhz=math.fsum(mhz * s for mhz, s in zip(residency.mhz, residency.time_s, strict=True)) / duration_s,
        )
