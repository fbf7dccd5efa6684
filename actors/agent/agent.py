"""The board agent: the one process that sets clocks, pins workers, and reads what the units did and used.

It makes the board's ledger and owns the devices. It decides nothing. Of an application it knows only the name and the
worker's process. It is a plain class, which an actor or a test calls.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from actors.agent.clock_threads import ClockThreads
from actors.agent.devices import Device, DeviceError, open_device, put_online
from actors.agent.devices.common import UnitCondition
from actors.agent.devices.hand_back import HandedBack
from actors.agent.energy import RailFigure, of_all_units, of_each_unit
from actors.agent.fences import FenceReports
from actors.agent.hold import Hold, real_units
from actors.agent.load import HostMeter
from actors.agent.machine import Machine
from actors.agent.memory import Limit, Memory, Remembered
from actors.agent.pins import Pins
from actors.agent.sensors import Sampler
from actors.agent.totals import BoardTotals, board_totals, modelled_w, unit_telemetry
from actors.agent.watch import BoardWatch
from actors.clock import Clock
from actors.ledger.ledger import BoardLedger
from actors.ledger.meters import UnitReading
from scheduler.board import Board
from scheduler.messages import Hints, HostTelemetry, Repinned, SwitchUnit, Telemetry, UnitSwitched, UnitTelemetry

_MEMORY = "agent"
"""Name of the file of the agent's memory, in the ledger's directory."""

_REMEMBER_S = 1.0
"""Board time between two notes of what the rails have counted."""


class BoardAgent:
    """The driver of one board. As a context manager it closes itself.

    Attributes:
        board: the board.
        ledger: the board's ledger; workers attach to `ledger.path`.
        slots: by application, its slot in the ledger, from 0; one that comes later takes a spare one.
    """

    def __init__(
        self,
        board: Board,
        *,
        apps: Sequence[str],
        path: Path,
        clock: Clock,
        machine: Machine | None = None,
        owner: str = "",
        resumes: bool = False,
        spare: int = 0,
    ) -> None:
        """Take hold of the board if it has real clocks, make the ledger, and open devices and sensors.

        Governors run, and sensors are read, from `start` on. An agent that resumes goes on in place of one that died:
        it attaches to the ledger, keeps the journal, and carries out the orders in force again.

        Args:
            board: the board; `check_host` has passed it.
            apps: names of all applications that are known now.
            path: directory of the ledger, best in `/dev/shm`.
            clock: board time.
            machine: the machine that the board is; None for this one.
            owner: name of the run, by which an agent that resumes finds its journal; no other run ever has it.
            resumes: true if an agent of this run has been there and has died.
            spare: most applications that may come besides.

        Raises:
            LedgerError: if the ledger cannot be made there, or is not there any more.
            MemoryLostError: if it is to resume, and what the other one knew is lost.
            BoardBusyError: if another process has a hold on the board.
            DeviceError: if a unit can't be driven as described.
            SensorError: if the board has sensors and its time is not the wall's.
        """
        machine = machine or Machine()
        self.board = board
        self._hold = Hold(machine, owner) if real_units(board) else None
        self.slots = {app: slot for slot, app in enumerate(apps)}
        self._clock = clock
        with ExitStack() as undo:
            if self._hold:
                undo.callback(self._hold.give_back)
            self.ledger = (
                BoardLedger.attach(path, board, clock)
                if resumes
                else BoardLedger.create(path, board, slots=len(apps) + spare, clock=clock)
            )
            undo.callback(self.ledger.close if resumes else self.ledger.remove)
            memory = Memory.of(path / _MEMORY) if resumes else Memory(path / _MEMORY)
            journal = self._hold.journal if self._hold else None
            if journal is not None:
                put_online(board, memory.content.off, journal)
            self._devices = {unit.name: open_device(unit, self.ledger, clock, journal) for unit in board.units}
            self._sampler = Sampler(board, machine.tree, clock, self._read)
            undo.pop_all()
        self._memory = memory
        self._watch = BoardWatch(board, machine.tree, machine.affinity)
        self._watch_lock = threading.Lock()  # one thread looks at the CPUs while another switches them
        self._units_w: float | None = None  # as the rails measured it up to the last telemetry
        self._rails_w: dict[str, float] = {}
        self._host = HostMeter()
        self._host_lock = threading.Lock()  # one thread reads it while another pins a process, which has it watched
        self._pins = Pins(machine.affinity, memory)
        self._fences = FenceReports(self.ledger, self.slots, memory.content.fenced)
        self._reported = self._read()
        self._marked = memory.content.marked or self._reported
        self._turning = ClockThreads(self._devices.values(), self.ledger, clock)
        self._remembered_s = -math.inf
        self._closed = False
        if resumes:
            self._go_on(memory.content)

    def __enter__(self) -> BoardAgent:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _go_on(self, content: Remembered) -> None:
        """Carry out again what an agent before was asked for last."""
        for unit, limit in content.limits.items():
            device = self._devices[unit]
            device.limit(max_mhz=limit.max_mhz, cpus_online=limit.cpus_online, other_load=limit.other_load)
        for unit in content.off:
            if self._devices[unit].unit.emulated:
                self._devices[unit].found_off()
            else:
                self.switch(SwitchUnit(unit=unit, on=False, plan=0))
        for unit, (clock, hints) in content.clocks.items():
            with suppress(DeviceError):  # whoever ordered it asks again if he has had no answer
                self.set_clock(unit, clock, hints)
        for pinning in content.pins.values():
            self.watch(pinning.pid)
        self._pins.go_on()
        self._sampler.go_on(content.rails)

    # ------------------------------------------------------------ workers

    def watch(self, pid: int) -> None:
        """Count a process as ours in `host_load`."""
        with self._host_lock:
            self._host.watch(pid)

    def pin(self, app: str, pid: int, cpus: Collection[int]) -> tuple[int, ...]:
        """Move all threads of an application's worker to these CPUs, as far as they are online.

        Args:
            app: name of the application.
            pid: process of its worker.
            cpus: the kernel's numbers of the CPUs.

        Returns:
            The CPUs where they may run now, as read from the kernel.

        Raises:
            KeyError: if there is no such application.
            PinError: if the kernel did not do so.
        """
        if app not in self.slots:
            raise KeyError(app)
        self.watch(pid)
        return self._pins.pin(app, pid, cpus)

    def pinned(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        """Return the process of each application that was pinned, and its CPUs as read back."""
        return self._pins.pinned()

    def repin(self) -> tuple[Repinned, ...]:
        """Put workers back that are not where they were pinned; see `Pins.repin`."""
        return self._pins.repin()

    def reap(self, app: str) -> None:
        """Free the cores that an application's worker held or waited for when it died."""
        self.ledger.reap(self.slots[app])

    # ------------------------------------------------------------ clocks

    def set_clock(self, unit: str, clock: float | str, hints: Hints | None = None) -> float | str:
        """Ask for a clock in MHz, or hand the unit to a governor.

        Args:
            unit: name of the unit.
            clock: the clock in MHz, or the governor's name.
            hints: what goes with it for the applications there.

        Returns:
            The clock granted, or the governor's name.

        Raises:
            ValueError: if there is no governor of that name.
        """
        hints = hints or Hints()
        clamps_mhz = {self.slots[app]: mhz for app, mhz in hints.clamps_mhz.items()}
        paces = {self.slots[app]: pace for app, pace in hints.paces.items()}
        with self._memory.ordering("clocks", unit, (clock, hints)):
            granted = self._devices[unit].set_clock(clock, clamps_mhz, paces)
        self._turning.look_again()
        return granted

    def limit(
        self,
        unit: str,
        *,
        max_mhz: float | None = None,
        cpus_online: Collection[int] | None = None,
        other_load: float | None = None,
    ) -> None:
        """Change what a unit may do, at once. All three are set: None lifts a limit.

        Args:
            unit: name of the unit.
            max_mhz: the highest clock.
            cpus_online: the CPUs in use.
            other_load: share of each core that others take, 0 to 1.

        Raises:
            DeviceError: if the unit cannot be limited so.
        """
        with self._memory.ordering("limits", unit, Limit(max_mhz, cpus_online, other_load)):
            self._devices[unit].limit(max_mhz=max_mhz, cpus_online=cpus_online, other_load=other_load)

    def slow(self, unit: str, slowdown: float) -> None:
        """Have requests on an emulated unit take so many times as long from now on; 1 ends it.

        Raises:
            DeviceError: if the unit is not emulated.
        """
        self._devices[unit].slow(slowdown)

    def switch(self, order: SwitchUnit) -> UnitSwitched:
        """Take a unit's CPUs offline, or put them online again, and return what came of it."""
        device, took_ms, fault = self._devices[order.unit], 0.0, None
        with self._watch_lock:
            self._look()
            before = self._watch.cpus_online(device.unit) or ()
            self._remember_off(order.unit, off=not order.on)
            try:
                took_ms = device.switch(order.on)
            except DeviceError as error:
                fault = str(error)
                self._remember_off(order.unit, off=device.is_off)
            # Seen at once, so that no report takes what was done here for somebody else's doing.
            self._look()
            if not order.on and fault is None:
                self._watch.switched_off(device.unit, before)
            else:
                self._watch.switched_on(device.unit, fault)
        return UnitSwitched(unit=order.unit, on=order.on, took_ms=took_ms, plan=order.plan, fault=fault)

    def _remember_off(self, unit: str, *, off: bool) -> None:
        others = self._memory.content.off - {unit}
        self._memory.note(off=others | {unit} if off else others)

    def start(self) -> None:
        """Start threads that turn clocks and read the sensors; else `tick` and `sample` have to be called."""
        self._sampler.start()
        self._turning.start()

    def tick(self) -> float:
        """Let every governor decide that is due, and give each paced unit the clock that its requests want.

        Returns:
            The board time of the next tick; infinite while no unit has a governor here.
        """
        self._turning.follow()
        return self._turning.tick()

    # ------------------------------------------------------------ figures

    def report(self) -> Telemetry:
        """Return all that there is to say of the board since the last call; applications are left out."""
        board_at_s = self._clock.now_s()
        self.ledger.enforce()
        units, host, repinned, fenced = self.telemetry(), self.host_load(), self.repin(), self._fences.new()
        self._remember()
        return Telemetry(
            apps=(),
            units=units,
            power_w=self._units_w,
            host=host,
            rails_w=self._rails_w,
            repinned=repinned,
            fenced=fenced,
            board_at_s=board_at_s,
        )

    def telemetry(self) -> tuple[UnitTelemetry, ...]:
        """Return every unit's clock and condition now, and its load and mean power since the last call."""
        with self._watch_lock:
            self._look()
            conditions = {name: self._condition(device) for name, device in self._devices.items()}
            cpus_left = {unit.name: self._watch.cpus_left(unit) for unit in self.board.units}
        old, self._reported = self._reported, self._read()
        powers_w = self._powers_w({name: modelled_w(old[name], now) for name, now in self._reported.items()})
        return tuple(
            unit_telemetry(
                old[name],
                now,
                conditions[name],
                cpus_online=cpus_left[name],
                offline_by=self._watch.reason(self.board.unit(name)),
                temp_c=self._watch.temp_c(self.board.unit(name)),
                power_w=powers_w[name],
            )
            for name, now in self._reported.items()
        )

    def _powers_w(self, modelled_w: Mapping[str, float | None]) -> dict[str, float | None]:
        """Return each unit's power since the last call, and keep what the rails measured."""
        rails_w = self._sampler.powers_w()
        figures = [RailFigure(covers=self._sampler.covers[name], value=power_w) for name, power_w in rails_w.items()]
        units_w, source = of_all_units(modelled_w, figures)
        self._units_w = units_w if source == "measured" else None
        self._rails_w = {name: power_w for name, power_w in rails_w.items() if power_w is not None}
        return {name: figure.value for name, figure in of_each_unit(modelled_w, figures).items()}

    def _look(self) -> None:
        """Look which CPUs are online, and have the devices take it in."""
        if self._watch.look():
            for device in self._devices.values():
                online = self._watch.cpus_online(device.unit)
                device.see_cpus(device.unit.all_cpus if online is None else online)

    def _condition(self, device: Device) -> UnitCondition:
        """Return a unit's condition. One that cannot be read limits nothing, and says so in the epoch log."""
        try:
            return device.condition()
        except DeviceError as error:
            return UnitCondition(held_by=f"unknown: {error}")

    def host_load(self) -> HostTelemetry:
        """Return the machine's load since the last call."""
        with self._host_lock:
            return self._host.read()

    def sample(self) -> None:
        """Read all sensors once."""
        self._sampler.sample()

    def _remember(self) -> None:
        """Note what changes by itself: who was reported as fenced off and, once a second, what the rails counted."""
        now_s, before = self._clock.now_s(), self._memory.content
        if self._sampler.covers and now_s >= self._remembered_s + _REMEMBER_S:
            self._remembered_s = now_s
            self._memory.note(fenced=self._fences.told, rails=self._sampler.state())
        elif self._fences.told != before.fenced:
            self._memory.note(fenced=self._fences.told)

    @property
    def is_marked(self) -> bool:
        """True if the window of `totals` has begun, perhaps under an agent before."""
        return self._memory.content.marked is not None

    def mark(self) -> None:
        """Begin the window of `totals`, and that of the next `telemetry`."""
        self._sampler.mark()
        self._marked = self._reported = self._read()
        self._memory.note(marked=self._marked, rails=self._sampler.state())

    def totals(self) -> BoardTotals:
        """Return what the units did since the mark, up to now."""
        return board_totals(self.board, self._marked, self._read(), self._sampler.totals())

    def _read(self) -> dict[str, UnitReading]:
        return {name: device.read() for name, device in self._devices.items()}

    # ------------------------------------------------------------ the end

    def restore(self) -> HandedBack:
        """Stop the governors and put every unit back as it was found. Doing so twice is the same as once.

        Returns:
            What came of it for knobs of the kernel's.
        """
        self._turning.stop()
        for device in self._devices.values():
            device.restore()
        return self._hold.give_back() if self._hold else HandedBack()

    def close(self) -> None:
        """Restore the board and delete the ledger. A second call does nothing."""
        if not self._closed:
            self._closed = True
            try:
                self.restore()
            finally:
                self._sampler.close()
                self.ledger.remove()
