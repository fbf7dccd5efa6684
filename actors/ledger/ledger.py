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
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from actors.clock import BoardClock, Clock
from actors.ledger.layout import LedgerFile, SlotEntry, mark_of
from actors.ledger.lease import Lease
from actors.ledger.meters import UnitReading, UnitState, reading
from actors.ledger.request_clocks import RequestClocks
from actors.ledger.shared import SharedLock, SharedRecords
from actors.ledger.tokens import Tokens
from actors.ledger.wakers import Wakers
from actors.requests.turns import mask_of
from scheduler.board import Board, BoardUnit
from scheduler.request_clock import Pace, Timing

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
        self._tokens = Tokens(self._file, board)
        self._clocks = RequestClocks(self._file, board)
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
        ledger._wakers.create(slots)  # the board agent's
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
            self._tokens.serve(number, self._unit(number))
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
                served = self._tokens.serve(number, state)
                entry = self._file.entry(slot)
                if giving_up and entry.queue and entry.ticket == ticket:
                    entry = self._tokens.withdraw(slot)
                    served += self._tokens.serve(number, state)
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
            self._tokens.free(number, unit, lambda holder: holder == lease.ticket)
            served = self._tokens.serve(number, unit)
            self._follow(number, unit.since_s)
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
                    self._tokens.withdraw(slot)
                unit = self._unit(number)
                self._tokens.free(number, unit, lambda holder: holder > 0 and holder % self.slots == slot)
                served = self._tokens.serve(number, unit)
                self._follow(number, unit.since_s)
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
            unit = self._unit(number)
            if other_load is None and cpus_online is None:
                self._file.put_unit(number, unit if mhz is None else unit.clocked(spec, mhz))
                return
            unit = unit.changed(
                spec,
                mhz=unit.mhz if mhz is None else mhz,
                other_load=unit.other_load if other_load is None else other_load,
                cpus_online=unit.cpus_online(spec) if cpus_online is None else cpus_online,
            )
            self._file.put_unit(number, unit)
            # A core that no request has may have gone offline or come online.
            self._tokens.free(number, unit, lambda holder: holder <= 0)

    def pace(self, name: str, mhz: float, paces: Mapping[int, Pace], *, max_mhz: float | None = None) -> None:
        """Give each request on a unit a clock of its own from now on. Only the unit's device calls it.

        Args:
            name: name of the unit.
            mhz: the plan's clock.
            paces: by slot, its rule; none to end it.
            max_mhz: the highest clock allowed; None for all.
        """
        number = self._numbers[name]
        with self._locks[number]:
            unit = self._unit(number)
            self._clocks.set_rules(number, unit, mhz, max_mhz, paces)
            self._follow(number, unit.since_s)

    def ask(self, lease: Lease, timing: Timing) -> None:
        """Ask for a clock for a request that has its cores and begins now; it counts where its unit is paced."""
        number = self._numbers[lease.unit]
        with self._locks[number]:
            unit = self._unit(number)
            if unit.paced:
                self._clocks.ask(number, unit, lease.slot, timing)
                self._follow(number, unit.since_s)

    def wanted_mhz(self, name: str) -> float | None:
        """Return the clock at which a paced unit is to stand now; None where it is not paced."""
        number = self._numbers[name]
        with self._locks[number]:
            unit = self._file.unit(number)
            return self._clocks.wanted_mhz(number, unit) if unit.paced else None

    def await_ask(self, at_most_ms: int) -> None:
        """Wait until a request wants another clock than its real unit has, or that long. For the board agent."""
        self._wakers.wait(self.slots, at_most_ms)

    def wake_agent(self) -> None:
        """Make a waiting `await_ask` return. Any thread or process may call it."""
        self._wakers.wake(self.slots)

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

    def _follow(self, number: int, now_s: float) -> None:
        """Bring a paced unit to the clock that its requests want, or have the board agent do it."""
        unit, spec = self._file.unit(number).at(now_s), self.board.units[number]
        if not unit.paced:
            return
        mhz = self._clocks.wanted_mhz(number, unit)
        if mhz == unit.mhz:
            return
        if spec.emulated:
            self._file.put_unit(number, unit.clocked(spec, mhz))
        else:
            self.wake_agent()

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
