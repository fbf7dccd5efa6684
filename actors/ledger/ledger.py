"""The board's ledger: who has which core, which clock is in force, and what both add up to, in shared memory.

The board agent creates the ledger and sets the clocks. Every worker attaches to it, takes the tokens of its cores for
each request, and holds them until the clocks in force meanwhile have covered the request's service time. Any process
can compute the totals of any moment, so a change of clock acts in the middle of a request, exactly. Any process may be
killed anywhere: a record changes as a whole or not at all (`actors.ledger.shared`), and `reap` frees what a dead worker
still held.

The ledger knows no processes and no networks, and it does not choose clocks. An application is a slot, a number that
the agent gives out. A slot has one request on cores at a time.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from actors.clock import BoardClock, Clock
from actors.ledger.layout import LedgerFile, SlotEntry, WaitingSlot, mark_of
from actors.ledger.meters import UnitReading, UnitState, reading
from actors.ledger.shared import SharedLock, SharedRecords
from actors.ledger.wakers import Wakers
from actors.requests.turns import mask_of, next_turn, urgency
from scheduler.board import Board, BoardUnit

_MAX_CORES = 52
"""Most cores of a unit: a set of cores is the bits of one double, whose mantissa has 53."""

_POLL_MS = 20
"""Wall time after which a waiter looks again although nobody woke it: who should have may be dead."""

_SPIN_WALL_S = 1e-3
"""End of a stretch that is spun and not slept: a sleep may end late by a timer's slack or because the core is busy."""

_SLICE_WALL_S = 2e-3
"""Longest sleep within a stretch: a change of clock is noticed this late at most."""

_TICK_S = 1e-9
"""Times closer together than this are equal."""


class LedgerError(ValueError):
    """The ledger is missing, is there already, or was made for another board."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The tokens that one request holds.

    Attributes:
        slot: number of the request's application.
        unit: name of the unit.
        cpus: the kernel's numbers of the cores; empty on a GPU.
        ticket: number of this lease; no other lease has had it or will have it.
        start_s: board time at which the cores were taken.
        start_progress_ms: the unit's progress at that time.
    """

    slot: int
    unit: str
    cpus: tuple[int, ...]
    ticket: int
    start_s: float
    start_progress_ms: float


def _never() -> bool:
    return False


class BoardLedger:
    """The ledger of one board, as one process sees it. A forked child must attach for itself.

    Attributes:
        path: its directory.
        board: its board.
        slots: how many applications it has room for.
    """

    def __init__(self, path: Path, board: Board, clock: Clock, records: SharedRecords) -> None:
        """Open a ledger whose file is mapped already; `create` and `attach` do that."""
        self.path = path
        self.board = board
        self._clock = clock
        self._file = LedgerFile(records, board)
        self.slots = self._file.slots
        self._numbers = {unit.name: number for number, unit in enumerate(board.units)}
        self._locks = [SharedLock(path / f"lock-{number}") for number in range(len(board.units))]
        self._wakers = Wakers(path)
        # Virtual time is never late: there is nothing to spin for.
        scale = clock.time_scale if isinstance(clock, BoardClock) else 1.0
        self._spin_s = _SPIN_WALL_S / scale if isinstance(clock, BoardClock) else 0.0
        self._slice_s = _SLICE_WALL_S / scale

    @classmethod
    def create(cls, path: Path, board: Board, *, slots: int, clock: Clock) -> BoardLedger:
        """Make the ledger of a board: every unit at its lowest clock, every core free.

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
        try:
            LedgerFile.create(path / "ledger", board, slots)
        except FileExistsError:
            raise LedgerError(f"{path} holds a ledger already; use another directory.") from None
        records = SharedRecords(path / "ledger")
        ledger = cls(path, board, clock, records)
        for slot in range(slots):
            ledger._wakers.create(slot)
            ledger._file.put_entry(slot, SlotEntry(ticket=slot))
        for number, unit in enumerate(board.units):
            ledger._file.put_unit(number, UnitState.first(unit, clock.now_s()))
        # The mark comes last: whoever attaches before sees that the ledger is not whole yet.
        records.mark = mark_of(board)
        return ledger

    @classmethod
    def attach(cls, path: Path, board: Board, clock: Clock) -> BoardLedger:
        """Open a ledger that another process made.

        Args:
            path: its directory.
            board: the board that it must have been made for.
            clock: board time.

        Raises:
            LedgerError: if there is none, or it was made for another board.
        """
        try:
            records = SharedRecords(path / "ledger")
        except (OSError, ValueError) as error:
            raise LedgerError(f"{path} holds no ledger: {error}.") from None
        if records.mark != mark_of(board):
            records.close()
            raise LedgerError(f"{path} holds a ledger that was not made for board {board.name!r}.")
        return cls(path, board, clock, records)

    def close(self) -> None:
        """Release the memory and the files, which stay for other processes."""
        self._file.records.close()
        for lock in self._locks:
            lock.close()
        self._wakers.close()

    def remove(self) -> None:
        """Close the ledger and delete its directory."""
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
        *,
        activity: float = 1.0,
    ) -> Lease | None:
        """Take the tokens of all these CPUs at once, and wait for them if need be.

        Requests that wait for a core in common get it by deadline, the earliest first, and at equal deadlines by slot
        (`actors.requests.turns`). A request on its cores is never interrupted.

        Args:
            slot: number of the request's application; it has one request at a time.
            unit: name of the unit.
            cpus: the kernel's numbers of the unit's cores; none on a GPU, which is one token.
            deadline_s: board time at which the result is due.
            give_up: asked before the wait, now and then during it, and at once after `wake`; true ends the wait.
            activity: factor on the unit's `dynamic_w` while the request runs (`ServiceTime.activity`).

        Returns:
            The lease, or None if it gave up or the slot was reaped meanwhile.

        Raises:
            ValueError: if a CPU is not one of the unit's.
        """
        number = self._numbers[unit]
        cores = _core_mask(self.board.units[number], cpus)
        with self._locks[number]:
            ticket = self._file.entry(slot).ticket + self.slots
            wanted = SlotEntry(ticket, queue=number + 1, deadline_s=deadline_s, cores=cores, activity=activity)
            self._file.put_entry(slot, wanted)
            self._serve(number, self._unit(number))
            entry = self._file.entry(slot)
        # As with a futex, the state in shared memory alone counts: whoever frees cores writes there who has them now,
        # and a byte in the waiter's pipe only makes it look. So nothing is lost if the byte never comes: the waiter
        # looks again after a while by itself. Looking serves the queue too, in case a process died before it did.
        while entry.queue and entry.ticket == ticket:
            giving_up = give_up()
            if not giving_up:
                self._wakers.wait(slot, _POLL_MS)
            with self._locks[number]:
                state = self._unit(number)
                served = self._serve(number, state)
                entry = self._file.entry(slot)
                if giving_up and entry.queue and entry.ticket == ticket:
                    entry = self._withdraw(slot)
                    served += self._serve(number, state)
            self._wake_all(served)
        # Another ticket means that the slot gave up, or that `reap` took it out of the queue.
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
        """Give the tokens back, and hand the cores to the requests that come next. Doing so twice changes nothing.

        Returns:
            The board time of the release.
        """
        number = self._numbers[lease.unit]
        with self._locks[number]:
            unit = self._unit(number)
            self._free(number, unit, lambda holder: holder == lease.ticket)
            served = self._serve(number, unit)
        self._wake_all(served)
        return unit.since_s

    def stretch(self, lease: Lease, service_ms: float, give_up: Callable[[], bool] = _never) -> float:
        """Sleep until the clocks in force since a request's start have covered its service time.

        Args:
            lease: its tokens.
            service_ms: its service time in the profile, which is of the machine that measured, at its top clock.
            give_up: asked about every 2 ms; true ends the stretch early.

        Returns:
            The board time at which it returns: at once if the service was covered before.
        """
        number = self._numbers[lease.unit]
        # The unit's progress is the integral of its pace. The service ends when the progress has grown by the service
        # time, whatever the clocks were. When that will be is predicted from the present pace, and again after each
        # slice, since the pace may have changed.
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
        """Free all that a dead worker held or waited for. What it held counts as busy until now."""
        for number in range(len(self.board.units)):
            with self._locks[number]:
                if self._file.entry(slot).queue in (0, number + 1):
                    self._withdraw(slot)
                unit = self._unit(number)
                self._free(number, unit, lambda holder: holder > 0 and holder % self.slots == slot)
                served = self._serve(number, unit)
            self._wake_all(served)

    def wake(self, slot: int) -> None:
        """Make a waiting `take` of that slot look again and ask its `give_up`. Any thread or process may call it."""
        self._wakers.wake(slot)

    # ------------------------------------------------------------ clocks and totals

    def set_unit(
        self,
        name: str,
        *,
        mhz: float | None = None,
        other_load: float | None = None,
        cpus_online: Collection[int] | None = None,
    ) -> None:
        """Change a unit from now on; None leaves a figure as it is. Only the unit's device calls it.

        Args:
            name: name of the unit.
            mhz: its clock; the nearest of those that the unit has counts.
            other_load: share of each core online that others take, 0 to 1; requests there get the rest.
            cpus_online: the CPUs of it in use; a request on another one still ends there.

        Raises:
            ValueError: if a figure is not possible.
        """
        number = self._numbers[name]
        spec = self.board.units[number]
        with self._locks[number]:
            old = self._unit(number)
            unit = old.changed(
                spec,
                mhz=old.mhz if mhz is None else mhz,
                other_load=old.other_load if other_load is None else other_load,
                cpus_online=old.cpus_online(spec) if cpus_online is None else cpus_online,
            )
            self._file.put_unit(number, unit)
            # A core that no request has may have gone offline or come online.
            self._free(number, unit, lambda holder: holder <= 0)

    def read(self, name: str) -> UnitReading:
        """Return one unit's clock and totals now."""
        number = self._numbers[name]
        with self._locks[number]:
            unit = self._unit(number)
            cores = self._file.cores(number)
        return reading(self.board.units[number], unit, cores)

    def holders(self, name: str) -> tuple[int | None, ...]:
        """Return the slot that has each core of a unit now; None for a core that no request has."""
        number = self._numbers[name]
        with self._locks[number]:
            tickets = [int(core.holder) for core in self._file.cores(number)]
        return tuple(ticket % self.slots if ticket > 0 else None for ticket in tickets)

    # ------------------------------------------------------------ under the unit's lock

    def _serve(self, number: int, unit: UnitState) -> list[int]:
        """Give free cores to the requests that wait for them; return the slots that got theirs."""
        waiting = sorted(self._file.waiting(number), key=urgency)
        served = []
        while waiting and (winner := self._next_served(number, waiting)):
            waiting.remove(winner)
            self._hand_over(number, unit, winner)
            served.append(winner.slot)
        return served

    def _next_served(self, number: int, waiting: list[WaitingSlot]) -> WaitingSlot | None:
        holders = [core.holder for core in self._file.cores(number)]
        # A core with the ticket of a request that still waits was handed over by a process that was killed before it
        # was done. That request had its turn, and its other cores are still free: it goes first.
        for request in waiting:
            if request.entry.ticket in holders:
                return request
        return next_turn(waiting, mask_of(core for core, holder in enumerate(holders) if holder > 0))

    def _hand_over(self, number: int, unit: UnitState, winner: WaitingSlot) -> None:
        # The cores come first and the entry last: the entry ends the wait, and so must be true when it says so.
        for index, core in enumerate(self._file.cores(number)):
            if winner.mask >> index & 1:
                self._file.put_core(number, index, core.handed(winner.entry.ticket, unit, winner.entry.activity))
        self._note_taken(number, unit.since_s)
        start = winner.entry._replace(queue=0.0, start_s=unit.since_s, start_progress_ms=unit.progress_ms)
        self._file.put_entry(winner.slot, start)

    def _free(self, number: int, unit: UnitState, whose: Callable[[float], bool]) -> None:
        """Take the cores of such holders away from them."""
        for index, core in enumerate(self._file.cores(number)):
            if whose(core.holder):
                self._file.put_core(number, index, core.handed(unit.at_rest(index), unit))
        self._note_taken(number, unit.since_s)

    def _note_taken(self, number: int, now_s: float) -> None:
        """Let a unit whose power depends on it know whether a request has a core of it."""
        spec = self.board.units[number]
        if spec.idle_share == 1 and spec.off_w is None:
            return
        taken, known = any(core.holder > 0 for core in self._file.cores(number)), self._file.unit(number)
        if taken != bool(known.taken):
            self._file.put_unit(number, known.at(now_s).held(spec, taken=taken))

    def _withdraw(self, slot: int) -> SlotEntry:
        """Take a slot out of its queue, and make its ticket worthless."""
        entry = SlotEntry(ticket=self._file.entry(slot).ticket + self.slots)
        self._file.put_entry(slot, entry)
        return entry

    def _unit(self, number: int) -> UnitState:
        """Return the unit as it is now."""
        return self._file.unit(number).at(self._clock.now_s())

    def _wake_all(self, slots: Collection[int]) -> None:
        for slot in slots:
            self.wake(slot)


def _core_mask(unit: BoardUnit, cpus: Collection[int]) -> int:
    if unit.kind == "gpu":
        return 1
    if not cpus or set(cpus) - set(unit.cpus):
        raise ValueError(f"cpus must be some of unit {unit.name!r}, {list(unit.cpus)}, not {list(cpus)!r}.")
    return mask_of(unit.cpus.index(cpu) for cpu in cpus)
