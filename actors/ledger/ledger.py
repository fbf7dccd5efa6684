"""The board's ledger: who has which core, which clock is in force, and what both add up to, in shared memory.

The board agent creates the ledger and sets the clocks. Every worker attaches to it, takes the tokens of its cores for
each request, and holds them until the clocks in force meanwhile have covered the request's service time. Any process
can compute the totals of any moment, so a change of clock acts in the middle of a request, exactly. Any process may be
killed anywhere: a record changes as a whole or not at all (`actors.ledger.shared`), and whoever waits for cores takes
them from a process that has ended (`actors.ledger.leases`).

The ledger knows no networks, and it does not choose clocks. An application is a slot, a number that the agent gives
out. A slot has one request on cores at a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from actors.clock import Clock
from actors.ledger.layout import FenceEntry, LedgerFile, OwnEntry, SlotEntry, mark_of
from actors.ledger.lease import Lease
from actors.ledger.leases import Leases
from actors.ledger.meters import UnitReading, UnitState, reading
from actors.ledger.shared import SharedRecords
from scheduler.board import Board
from scheduler.request_clock import Pace, Timing

_MAX_CORES = 52
"""Most cores of a unit: a set of cores is the bits of one double, whose mantissa has 53."""


class LedgerError(ValueError):
    """The ledger is missing, is there already, or was made for another board."""


class BoardLedger(Leases):
    """The ledger of one board, as one process sees it. A forked child must attach for itself.

    Attributes:
        path: its directory.
        board: its board.
        slots: how many applications it has room for.
    """

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
            ledger._file.put_own(slot, OwnEntry())
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

    def remove(self) -> None:
        """Close the ledger and delete its directory."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)

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
            self._progress.settle(number, unit)
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

    def slow(self, name: str, slowdown: float) -> None:
        """Have requests on a unit take so many times as long from now on. Only the unit's device calls it.

        Raises:
            ValueError: if it is below 1 or infinite.
        """
        number = self._numbers[name]
        with self._locks[number]:
            unit = self._unit(number)
            self._progress.settle(number, unit)
            self._file.put_unit(number, unit.slowed(self.board.units[number], slowdown))

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

    def is_paced(self, name: str) -> bool:
        """Return True if requests on a unit have clocks of their own.

        It is looked at without the lock, which most units need not take then. A unit that begins to be paced at this
        moment gives a request that runs the plan's clock.
        """
        return bool(self._file.unit(self._numbers[name]).paced)

    def ask(self, lease: Lease, timing: Timing) -> None:
        """Ask for a clock for a request that has its cores and begins now; it counts where its unit is paced."""
        number = self._numbers[lease.unit]
        with self._locks[number]:
            unit = self._unit(number)
            if unit.paced and self._file.entry(lease.slot).ticket == lease.ticket:
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

    def fences(self) -> list[FenceEntry]:
        """Return the latest process of each slot that was fenced off."""
        return [self._file.fence(slot) for slot in range(self.slots)]

    def holders(self, name: str) -> tuple[int | None, ...]:
        """Return the slot that has each core of a unit now; None for a core that no request has."""
        number = self._numbers[name]
        with self._locks[number]:
            tickets = [int(core.holder) for core in self._file.cores(number)]
        return tuple(ticket % self.slots if ticket > 0 else None for ticket in tickets)
