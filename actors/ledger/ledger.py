"""The board's ledger: clocks, core tokens and what they add up to, in memory that all processes of a run share.

The board agent creates it and sets the clocks; every worker attaches to it, takes its cores' tokens for each
request, and holds them until the request has got through its service time at the clocks that were in force
meanwhile. Anyone can evaluate the totals at any moment, so a change of clock acts in the middle of a request,
exactly. Any process may be killed anywhere: records change as a whole (`actors.ledger.shared`), and `reap` frees what a
dead worker still held.

The ledger knows no processes and no networks, and it does not choose clocks. An application is a slot, a number
that the agent gives out; it has one request at its cores at a time.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import shutil
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from actors.clock import BoardClock, Clock
from actors.ledger.meters import IDLE, OFFLINE, Core, UnitReading, UnitState, reading
from actors.ledger.shared import SharedLock, SharedRecords, cells
from scheduler.board import Board, BoardUnit

_MAX_CORES = 52  # of a unit: a set of cores is the bits of one double
_POLL_MS = 20  # wall time after which a waiter looks again although nobody woke it
_SPIN_WALL_S = 1e-3  # the end of a stretch is spun: a sleep may end late by a timer's slack or a busy core
_SLICE_WALL_S = 2e-3  # longest sleep within a stretch: how late a change of clock may be noticed
_TICK_S = 1e-9  # less than this is no time


class LedgerError(ValueError):
    """The ledger is missing, is there already, or was made for another board."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The tokens that one request holds.

    Attributes:
        slot: whose request it is.
        unit: name of the unit.
        cpus: the kernel's numbers of the cores; empty on a GPU.
        ticket: number of this taking, never given again.
        start_s: when the cores were taken, board time.
        start_progress_ms: the unit's progress at that time.
    """

    slot: int
    unit: str
    cpus: tuple[int, ...]
    ticket: int
    start_s: float
    start_progress_ms: float


class _Entry(NamedTuple):
    """An application's latest request for cores."""

    ticket: float  # slot + a multiple of the number of slots; rises
    queue: float = 0.0  # number of the unit it waits for, from 1; 0 while it does not wait
    deadline_s: float = 0.0
    cores: float = 0.0  # bits
    start_s: float = 0.0  # when and at which progress it got them
    start_progress_ms: float = 0.0


_UNIT = len(UnitState._fields)
_CORE = len(Core._fields)
_ENTRY = len(_Entry._fields)
_QUEUE = _Entry._fields.index("queue")


def _never() -> bool:
    return False


class BoardLedger:
    """The ledger of one board, as one process sees it. A forked child must attach for itself.

    Attributes:
        path: its directory.
        board: whose it is.
        slots: how many applications it has room for.
    """

    def __init__(self, path: Path, board: Board, clock: Clock, records: SharedRecords) -> None:
        """Use `create` or `attach`."""
        self.path = path
        self.board = board
        self._clock = clock
        self._records = records
        self._numbers = {unit.name: number for number, unit in enumerate(board.units)}
        self._locks = [SharedLock(path / f"lock-{number}") for number in range(len(board.units))]
        self._wakers: dict[int, int] = {}
        # The file: the mark, then the records of units, of their cores, and of slots.
        self._unit_places = [1 + number * cells(_UNIT) for number in range(len(board.units))]
        place = 1 + len(board.units) * cells(_UNIT)
        self._core_places: list[list[int]] = []
        for unit in board.units:
            self._core_places.append([place + core * cells(_CORE) for core in range(unit.cores)])
            place += unit.cores * cells(_CORE)
        self.slots = (len(records) - place) // cells(_ENTRY)
        self._slot_places = [place + slot * cells(_ENTRY) for slot in range(self.slots)]
        # Virtual time is never late: there is nothing to spin for.
        scale = clock.time_scale if isinstance(clock, BoardClock) else 1.0
        self._spin_s = _SPIN_WALL_S / scale if isinstance(clock, BoardClock) else 0.0
        self._slice_s = _SLICE_WALL_S / scale

    @classmethod
    def create(cls, path: Path, board: Board, *, slots: int, clock: Clock) -> BoardLedger:
        """Makes the ledger of a board: every unit at its lowest clock, every core free.

        Args:
            path: its directory, best in `/dev/shm`; made if missing. Workers attach by it.
            board: the board.
            slots: how many applications there will be.
            clock: board time.

        Raises:
            LedgerError: if there is a ledger already, or a unit has more cores than a ledger can keep.
        """
        for unit in board.units:
            if unit.cores > _MAX_CORES:
                raise LedgerError(f"Unit {unit.name!r} has {unit.cores} cores; the ledger keeps {_MAX_CORES}.")
        path.mkdir(parents=True, exist_ok=True)
        cores = sum(unit.cores for unit in board.units)
        size = 1 + len(board.units) * cells(_UNIT) + cores * cells(_CORE) + slots * cells(_ENTRY)
        try:
            SharedRecords.create(path / "ledger", size)
        except FileExistsError:
            raise LedgerError(f"{path} holds a ledger already; use another directory.") from None
        records = SharedRecords(path / "ledger")
        ledger = cls(path, board, clock, records)
        for slot in range(slots):
            os.mkfifo(path / f"slot-{slot}", 0o600)
            ledger._put_entry(slot, _Entry(ticket=slot))
        for number, unit in enumerate(board.units):
            ledger._put_unit(number, UnitState.first(unit, clock.now_s()))
        records.mark = _mark(board)
        return ledger

    @classmethod
    def attach(cls, path: Path, board: Board, clock: Clock) -> BoardLedger:
        """Opens a ledger that another process made.

        Raises:
            LedgerError: if there is none, or it was made for another board.
        """
        try:
            records = SharedRecords(path / "ledger")
        except (OSError, ValueError) as error:
            raise LedgerError(f"{path} holds no ledger: {error}.") from None
        if records.mark != _mark(board):
            records.close()
            raise LedgerError(f"{path} holds a ledger that was not made for board {board.name!r}.")
        return cls(path, board, clock, records)

    def close(self) -> None:
        """Lets go of the memory and the files, which stay for other processes."""
        self._records.close()
        for lock in self._locks:
            lock.close()
        for waker in self._wakers.values():
            os.close(waker)
        self._wakers.clear()

    def remove(self) -> None:
        """Closes the ledger and deletes its directory."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)

    # ------------------------------------------------------------ tokens

    def take(
        self,
        slot: int,
        unit: str,
        cpus: Collection[int],
        deadline_s: float,
        give_up: Callable[[], bool] = _never,
    ) -> Lease | None:
        """Takes the tokens of all these CPUs at once, waiting for them if need be.

        Requests that wait for a core in common get it by deadline, earliest first, and at equal deadlines by
        slot. A request at its cores is never interrupted; a later deadline never passes an earlier one to a core
        that both want.

        Args:
            slot: whose request it is; one at a time.
            unit: name of the unit.
            cpus: the kernel's numbers of its cores; none on a GPU, which is one token.
            deadline_s: board time at which the result is due.
            give_up: asked before it waits, now and then meanwhile, and at once after `wake`; true ends the wait.

        Returns:
            The lease, or None if it gave up or the slot was reaped meanwhile.

        Raises:
            ValueError: if a CPU is not the unit's.
        """
        number = self._numbers[unit]
        cores = _core_bits(self.board.units[number], cpus)
        with self._locks[number]:
            ticket = self._entry(slot).ticket + self.slots
            self._put_entry(slot, _Entry(ticket, number + 1, deadline_s, cores))
            self._serve(number, self._unit(number))
            entry = self._entry(slot)
        while entry.queue and entry.ticket == ticket:
            giving_up = give_up()
            if not giving_up:
                self._wait(slot)
            with self._locks[number]:
                state = self._unit(number)
                served = self._serve(number, state)
                entry = self._entry(slot)
                if giving_up and entry.queue and entry.ticket == ticket:
                    entry = self._withdraw(slot)
                    served += self._serve(number, state)
            self._wake_all(served)
        if entry.ticket != ticket:
            return None
        return Lease(
            slot=slot,
            unit=unit,
            cpus=tuple(cpus),
            ticket=int(ticket),
            start_s=entry.start_s,
            start_progress_ms=entry.start_progress_ms,
        )

    def release(self, lease: Lease) -> float:
        """Gives the tokens back and hands them to those to whom they are due. A second time it does nothing.

        Returns:
            The board time of it.
        """
        number = self._numbers[lease.unit]
        with self._locks[number]:
            unit = self._unit(number)
            self._free(number, unit, lambda holder: holder == lease.ticket)
            served = self._serve(number, unit)
        self._wake_all(served)
        return unit.since_s

    def stretch(self, lease: Lease, service_ms: float, give_up: Callable[[], bool] = _never) -> float:
        """Sleeps until a request has got through its service time at the clocks in force since its start.

        Args:
            lease: its tokens.
            service_ms: time it takes by the profile, which is of the machine that measured at its top clock.
            give_up: asked about every 2 ms; true ends the stretch early.

        Returns:
            The board time at which it returns: at once if the service was covered before.
        """
        number = self._numbers[lease.unit]
        goal_ms = lease.start_progress_ms + service_ms
        while True:
            with self._locks[number]:
                unit = self._unit(number)
            left_ms = goal_ms - unit.progress_ms
            left_s = left_ms / (1e3 * unit.pace) if unit.pace else math.copysign(math.inf, left_ms)
            if left_s <= _TICK_S or give_up():
                return unit.since_s
            end_s = unit.since_s + left_s
            if left_s > self._spin_s:
                self._clock.sleep_until(min(end_s - self._spin_s, unit.since_s + self._slice_s))
            else:
                while self._clock.now_s() < end_s:
                    pass

    def reap(self, slot: int) -> None:
        """Frees all that a dead worker held or waited for; what it held counts as busy until now."""
        for number in range(len(self.board.units)):
            with self._locks[number]:
                if self._entry(slot).queue in (0, number + 1):
                    self._withdraw(slot)
                unit = self._unit(number)
                self._free(number, unit, lambda holder: holder > 0 and holder % self.slots == slot)
                served = self._serve(number, unit)
            self._wake_all(served)

    def wake(self, slot: int) -> None:
        """Makes a waiting `take` of that slot look again and ask its `give_up`, from any thread or process."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full of such calls already
            os.write(self._waker(slot), b"\0")

    # ------------------------------------------------------------ clocks and totals

    def set_unit(
        self,
        name: str,
        *,
        mhz: float | None = None,
        other_load: float | None = None,
        cores_online: int | None = None,
    ) -> None:
        """Changes a unit from now on; None leaves a figure as it is. For the unit's device only.

        Args:
            name: of the unit.
            mhz: one of its clocks.
            other_load: share of each core online that others take, 0 to 1; requests there get the rest.
            cores_online: how many of its cores are in use, the first ones; a request at its core still ends there.

        Raises:
            ValueError: if a figure is not possible.
        """
        number = self._numbers[name]
        with self._locks[number]:
            old = self._unit(number)
            unit = old.changed(
                self.board.units[number],
                mhz=old.mhz if mhz is None else mhz,
                other_load=old.other_load if other_load is None else other_load,
                cores_online=int(old.cores_online) if cores_online is None else cores_online,
            )
            self._put_unit(number, unit)
            self._free(number, unit, lambda holder: holder <= 0)

    def read(self, name: str) -> UnitReading:
        """One unit's clock and totals now."""
        number = self._numbers[name]
        with self._locks[number]:
            unit = self._unit(number)
            cores = [self._core(place) for place in self._core_places[number]]
        return reading(name, unit, cores)

    def holders(self, name: str) -> tuple[int | None, ...]:
        """The slot that has each core of a unit now; None for one that no request has."""
        number = self._numbers[name]
        with self._locks[number]:
            tickets = [int(self._core(place).holder) for place in self._core_places[number]]
        return tuple(ticket % self.slots if ticket > 0 else None for ticket in tickets)

    # ------------------------------------------------------------ under the unit's lock

    def _serve(self, number: int, unit: UnitState) -> list[int]:
        """Gives free cores to those who wait for them; says which slots got theirs.

        It also finishes what a killed process began: cores that carry a waiting request's ticket are its own.
        """
        queue = sorted(
            (entry.deadline_s, slot, entry)
            for slot, place in enumerate(self._slot_places)
            if self._records.field(place, _ENTRY, _QUEUE) == number + 1 and (entry := self._entry(slot))
        )
        places = self._core_places[number]
        claimed = 0
        served = []
        for _, slot, entry in queue:
            wanted = int(entry.cores)
            cores = {places[core]: self._core(places[core]) for core in range(len(places)) if wanted >> core & 1}
            free = all(core.holder in (IDLE, OFFLINE, entry.ticket) for core in cores.values())
            if free and not wanted & claimed:
                for place, core in cores.items():
                    self._put_core(place, core.handed(entry.ticket, unit))
                start = {"start_s": unit.since_s, "start_progress_ms": unit.progress_ms}
                self._put_entry(slot, entry._replace(queue=0.0, **start))
                served.append(slot)
            claimed |= wanted
        return served

    def _free(self, number: int, unit: UnitState, whose: Callable[[float], bool]) -> None:
        """Lays the cores of such holders to rest."""
        for index, place in enumerate(self._core_places[number]):
            core = self._core(place)
            if whose(core.holder):
                self._put_core(place, core.handed(unit.at_rest(index), unit))

    def _withdraw(self, slot: int) -> _Entry:
        """Takes a slot out of its queue and voids its ticket."""
        entry = _Entry(ticket=self._entry(slot).ticket + self.slots)
        self._put_entry(slot, entry)
        return entry

    def _unit(self, number: int) -> UnitState:
        """The unit as it is now."""
        state = UnitState(*self._records.get(self._unit_places[number], _UNIT))
        return state.at(self._clock.now_s())

    def _put_unit(self, number: int, unit: UnitState) -> None:
        self._records.put(self._unit_places[number], unit)

    def _core(self, place: int) -> Core:
        return Core(*self._records.get(place, _CORE))

    def _put_core(self, place: int, core: Core) -> None:
        self._records.put(place, core)

    def _entry(self, slot: int) -> _Entry:
        return _Entry(*self._records.get(self._slot_places[slot], _ENTRY))

    def _put_entry(self, slot: int, entry: _Entry) -> None:
        self._records.put(self._slot_places[slot], entry)

    # ------------------------------------------------------------ waking

    def _wait(self, slot: int) -> None:
        waker = self._waker(slot)
        poll = select.poll()
        poll.register(waker, select.POLLIN)
        if poll.poll(_POLL_MS):
            os.read(waker, 4096)

    def _wake_all(self, slots: Collection[int]) -> None:
        for slot in slots:
            self.wake(slot)

    def _waker(self, slot: int) -> int:
        """The slot's pipe; opened for both directions, so that neither end needs the other to be there."""
        if slot not in self._wakers:
            self._wakers[slot] = os.open(self.path / f"slot-{slot}", os.O_RDWR | os.O_NONBLOCK)
        return self._wakers[slot]


def _core_bits(unit: BoardUnit, cpus: Collection[int]) -> int:
    if unit.kind == "gpu":
        return 1
    if not cpus or set(cpus) - set(unit.cpus):
        raise ValueError(f"cpus must be some of unit {unit.name!r}, {list(unit.cpus)}, not {list(cpus)!r}.")
    return sum(1 << unit.cpus.index(cpu) for cpu in set(cpus))


def _mark(board: Board) -> float:
    """Says for which board, by which layout, a ledger was made; never 0."""
    layout = (UnitState._fields, Core._fields, _Entry._fields)
    return 1.0 + zlib.crc32(repr((layout, board)).encode())
