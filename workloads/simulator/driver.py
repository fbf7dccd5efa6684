"""The manager's driver in virtual time: brings it telemetry, events and answers, and carries out its effects.

It is the counterpart of `actors.control.loop`. Managing costs what `Costs` says: the manager does one thing after
another, an effect leaves when it has decided, is carried out a call later, and its acknowledgement takes as long again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, assert_never

from scheduler.manager import Manager
from scheduler.messages import (
    Activate,
    Activated,
    AmbientChanged,
    AppJoined,
    AppLeft,
    BoardEvent,
    ClockSet,
    Effect,
    Happening,
    HiddenEvent,
    Log,
    Message,
    Pin,
    Pinned,
    Prepare,
    Prepared,
    SetClock,
    StartWorker,
    StopWorker,
    SwitchUnit,
    Telemetry,
    Tick,
    UnitLimited,
    UnitSlowed,
    UnitSwitched,
)
from scheduler.views import Gear
from workloads.simulator.agenda import Agenda
from workloads.simulator.board import SimulatedBoard
from workloads.simulator.plan import Costs, SimulationError
from workloads.simulator.server import SimulatedServer

Entry = dict[str, Any]


class Driver:
    """Drives one manager through a simulation.

    Args:
        manager: the manager.
        board: the simulated board.
        servers: by application, its server; applications that come later are included.
        agenda: the agenda of the simulation.
        costs: costs of managing.
        events: the mix's events as (at_s, event), rising.
        present: applications that are present from the start.
        epoch_s: time between two ticks.
        policy: name of the policy, for messages.
        solves: True if the policy solves an optimisation problem, which costs more.
        log: called with each entry of the epoch log.

    Attributes:
        epochs: number of ticks so far.
    """

    def __init__(
        self,
        manager: Manager,
        *,
        board: SimulatedBoard,
        servers: Mapping[str, SimulatedServer],
        agenda: Agenda,
        costs: Costs,
        events: tuple[tuple[float, Happening], ...],
        present: frozenset[str],
        epoch_s: float,
        policy: str,
        solves: bool,
        log: Callable[[Entry], None],
    ) -> None:
        self.epochs = 0
        self._manager = manager
        self._board = board
        self._servers = servers
        self._agenda = agenda
        self._costs = costs
        self._present = set(present)
        self._epoch_s = epoch_s
        self._policy = policy
        self._solves = solves
        self._write = log
        self._free_s = agenda.now_s
        self._ready: set[tuple[str, Gear]] = set()
        self._preparing: dict[tuple[str, Gear], list[Prepared]] = {}
        """The answers that wait for a network."""
        self._started_s = agenda.now_s
        for at_s, event in events:
            agenda.at(at_s, self._happens, event)
        agenda.at(agenda.now_s, self._tick)

    # ------------------------------------------------------------ what happens

    def _tick(self, _: object) -> None:
        """Begin an epoch: bring the manager telemetry, then the tick."""
        self._busy_with(self._costs.of_epoch_ms(len(self._present)))
        reports = tuple(server.telemetry() for name, server in self._servers.items() if name in self._present)
        units = self._board.telemetry()
        powers = [unit.power_w for unit in units if unit.power_w is not None]
        power_w = sum(powers) if len(powers) == len(units) else None
        self._tell(Telemetry(apps=reports, units=units, power_w=power_w))
        self.epochs += 1
        self._tell(Tick(epoch=self.epochs))
        # By multiplication, so that a thousand epochs of 0.1 s end at 100 s.
        self._agenda.at(self._started_s + self.epochs * self._epoch_s, self._tick)

    def _happens(self, event: Happening) -> None:
        """Change the board or the applications as an event says, then tell the manager, if it may know."""
        change = event.change
        if isinstance(change, BoardEvent):
            self._do_to_board(change)
        elif isinstance(change, AppJoined):
            self._present.add(change.app)
        elif isinstance(change, AppLeft):
            self._present.discard(change.app)
        if isinstance(event, HiddenEvent):
            self._write({"kind": "event", "now_s": self._agenda.now_s, "text": event.text})
        else:
            self._tell(event)

    def _do_to_board(self, change: BoardEvent) -> None:
        match change:
            case UnitLimited():
                self._board.limit(change)
            case UnitSlowed():
                self._board.slow(change)
            case AmbientChanged():
                self._board.set_ambient(change.ambient_c)
            case _:
                assert_never(change)

    # ------------------------------------------------------------ messages and effects

    def _tell(self, message: Message) -> None:
        """Bring the manager a message, and carry its effects out when it has had time to decide."""
        decisions = self._manager.decisions
        effects = self._manager.on(message, self._agenda.now_s)
        if self._manager.decisions > decisions:
            self._busy_with(self._costs.of_decision_ms(len(self._present), solves=self._solves))
        sent_s = max(self._agenda.now_s, self._free_s) + 1e-3 * self._costs.call_ms
        for effect in effects:
            if isinstance(effect, Log):
                self._log(effect)
            else:
                self._agenda.at(sent_s, self._carry_out, effect)

    def _busy_with(self, cpu_ms: float) -> None:
        """Let the manager compute for a time; what it sends after that leaves later."""
        took_s = self._spend(cpu_ms, urgent=True)
        self._free_s = max(self._free_s, self._agenda.now_s) + took_s

    def _log(self, log: Log) -> None:
        if log.kind == "policy_failed":
            raise SimulationError(
                f"policy {self._policy!r} failed at {max(0.0, self._agenda.now_s):g} s: {log.fields['error']}"
            )
        self._write({"kind": log.kind, "now_s": self._agenda.now_s, **log.fields})

    def _carry_out(self, effect: Effect) -> None:
        """Carry out an effect now, and have the manager told when that is done."""
        now_s = self._agenda.now_s
        answered_s = now_s + 1e-3 * self._costs.call_ms
        match effect:
            case Prepare(app=app, gear=gear, plan=plan):
                self._prepare(Prepared(app=app, gear=gear, plan=plan))
            case Pin(app=app, unit=unit, cpus=cpus, plan=plan):
                self._agenda.at(answered_s, self._tell, Pinned(app=app, unit=unit, cpus=cpus, plan=plan))
            case Activate(app=app, gear=gear, cpus=cpus, plan=plan):
                self._servers[app].activate(gear, cpus, plan)
                self._agenda.at(answered_s, self._tell, Activated(app=app, gear=gear, plan=plan))
            case SetClock(unit=unit, clock=clock, plan=plan, hints=hints):
                slots = {app: slot for slot, app in enumerate(self._servers)}
                clamps_mhz = {slots[app]: mhz for app, mhz in hints.clamps_mhz.items()}
                paces = {slots[app]: pace for app, pace in hints.paces.items()}
                granted = self._board.set_clock(unit, clock, clamps_mhz, paces)
                in_force_s = answered_s + 1e-6 * self._board.units[unit].spec.transition_us
                self._agenda.at(in_force_s, self._tell, ClockSet(unit=unit, clock=granted, plan=plan))
            case SwitchUnit(unit=unit, on=on, plan=plan):
                took_s = self._board.units[unit].switch(on)
                switched = UnitSwitched(unit=unit, on=on, took_ms=1e3 * took_s, plan=plan)
                self._agenda.at(answered_s + took_s, self._tell, switched)
            case StartWorker() | StopWorker() | Log():
                pass  # no simulated worker is ever lost or hangs, and logs have been written already
            case _:
                assert_never(effect)

    def _prepare(self, answer: Prepared) -> None:
        """Make a network ready, once for all CPU units and each GPU, and answer when it is."""
        on_cpu = self._board.units[answer.gear.unit].spec.kind == "cpu"
        form = (answer.app, replace(answer.gear, unit="cpu") if on_cpu else answer.gear)
        if form in self._ready:
            self._answer(answer)
        elif form in self._preparing:
            self._preparing[form].append(answer)
        else:
            self._preparing[form] = [answer]
            cpu_ms = self._costs.prepare_ms
            if self._costs.on_board:
                self._board.work_aside(cpu_ms, lambda: self._prepared(form))
            else:
                self._agenda.at(self._agenda.now_s + 1e-3 * cpu_ms, self._prepared, form)

    def _prepared(self, form: tuple[str, Gear]) -> None:
        self._ready.add(form)
        for answer in self._preparing.pop(form):
            self._answer(answer)

    def _answer(self, answer: Message) -> None:
        self._agenda.at(self._agenda.now_s + 1e-3 * self._costs.call_ms, self._tell, answer)

    def _spend(self, cpu_ms: float, *, urgent: bool) -> float:
        """Take CPU time for managing, and return the seconds that this takes."""
        return self._board.spend(cpu_ms, urgent=urgent) if self._costs.on_board else 1e-3 * cpu_ms
