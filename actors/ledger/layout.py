"""The layout of the ledger's file: where the record of each unit, core and slot is.

The file begins with the board's mark. The records of all units follow, then those of their cores, then those of the
slots, then the rules for their clocks, who of them was fenced off, and last the progress that some have of their own.
This module knows which record is where; it takes no lock and does not decide what is written.
"""

from __future__ import annotations

import math
import zlib
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from actors.ledger.meters import Core, UnitState
from actors.ledger.processes import ProcessKey
from actors.ledger.shared import SharedRecords, cells
from scheduler.board import Board
from scheduler.request_clock import Pace


class SlotEntry(NamedTuple):
    """The latest request of an application for cores. All fields are plain floats.

    Attributes:
        ticket: number of this request for cores; it rises, and divided by the number of slots it leaves the slot.
        queue: number of the unit that it waits for, from 1; 0 while it does not wait.
        deadline_s: the board time at which the result is due.
        cores: the cores that it needs, a bit for each.
        activity: factor on the unit's `dynamic_w` while it runs.
        start_s: the board time at which it got them.
        start_progress_ms: the unit's progress at that time.
        start_known_ms: the same, had nothing slowed it down (`Progress.known_ms`).
        mhz: the clock that it wants on a paced unit; 0 until it has asked for one.
        pid: number of the process that asks; 0 for none.
        start_ticks: the kernel's time of that process's start.
        most_ms: the slowest inference that its profile has, which bounds how long it may hold its cores.
    """

    ticket: float
    queue: float = 0.0
    deadline_s: float = 0.0
    cores: float = 0.0
    activity: float = 1.0
    start_s: float = 0.0
    start_progress_ms: float = 0.0
    start_known_ms: float = 0.0
    mhz: float = 0.0
    pid: float = 0.0
    start_ticks: float = 0.0
    most_ms: float = math.inf

    @property
    def process(self) -> ProcessKey:
        """The process that asks."""
        return ProcessKey(self.pid, self.start_ticks)


NO_SHARE = -1.0
"""The memory share of a request whose network has none of its own."""


class OwnEntry(NamedTuple):
    """The progress of a slot's latest request, if its network has a memory share of its own. All are plain floats.

    Attributes:
        memory_share: its network's own (`ServiceTime.memory_share`); `NO_SHARE` for the unit's, whose progress counts.
        done_ms: its progress as of `since_s`; it begins with the unit's.
        known_ms: the same, had nothing slowed it down (`Progress.known_ms`).
        since_s: the board time since which the unit's clock, load and slowdown have not changed while it runs.
    """

    memory_share: float = NO_SHARE
    done_ms: float = 0.0
    known_ms: float = 0.0
    since_s: float = 0.0


class FenceEntry(NamedTuple):
    """The latest process of an application that was fenced off. All fields are plain floats.

    Attributes:
        times: how many have been so far.
        why: a `FenceReason`.
        unit: number of the unit that it held, from 0.
        held_ms: time since it had got what it held, board time.
        bound_ms: time for which it might have had it, board time.
        pid: number of the process.
        start_ticks: the kernel's time of that process's start.
    """

    times: float = 0.0
    why: float = 0.0
    unit: float = 0.0
    held_ms: float = 0.0
    bound_ms: float = 0.0
    pid: float = 0.0
    start_ticks: float = 0.0

    @property
    def process(self) -> ProcessKey:
        """The process."""
        return ProcessKey(self.pid, self.start_ticks)


class FenceReason(IntEnum):
    """The reason for which a process was fenced off."""

    HELD = 1  # it held its cores past the bound
    STOPPED = 2  # it held cores, and was stopped
    LOCKED = 3  # it held a unit's lock, within which nothing lasts
    HUNG = 4  # its network hung in the executor of a GPU; it gave itself up


class PaceEntry(NamedTuple):
    """The rule by which an application's requests get clocks (`Pace`). All fields are plain floats.

    Attributes:
        queue: number of the unit that it is for, from 1; 0 for none.
        rest_mhz: see `Pace`.
        least_mhz: see `Pace`.
        most_mhz: see `Pace`; infinite where there is none.
        share: see `Pace`.
        period_ms: see `Pace`; infinite where there is none.
        slowdown: see `Pace`.
    """

    queue: float = 0.0
    rest_mhz: float = 0.0
    least_mhz: float = 0.0
    most_mhz: float = math.inf
    share: float = 1.0
    period_ms: float = math.inf
    slowdown: float = 1.0

    @classmethod
    def of(cls, number: int, pace: Pace) -> PaceEntry:
        """Return the entry of a rule for the board's unit of that number."""
        return cls(
            queue=number + 1.0,
            rest_mhz=pace.rest_mhz,
            least_mhz=pace.least_mhz,
            most_mhz=math.inf if pace.most_mhz is None else pace.most_mhz,
            share=pace.share,
            period_ms=math.inf if pace.period_ms is None else pace.period_ms,
            slowdown=pace.slowdown,
        )

    def pace(self) -> Pace:
        """Return the rule."""
        return Pace(
            rest_mhz=self.rest_mhz,
            least_mhz=self.least_mhz,
            most_mhz=self.most_mhz if self.most_mhz < math.inf else None,
            share=self.share,
            period_ms=self.period_ms if self.period_ms < math.inf else None,
            slowdown=self.slowdown,
        )


class WaitingSlot(NamedTuple):
    """A slot whose request waits for cores; see `actors.requests.turns.Waiting`."""

    slot: int
    entry: SlotEntry

    @property
    def deadline_s(self) -> float:
        """The board time at which its result is due."""
        return self.entry.deadline_s

    @property
    def mask(self) -> int:
        """The cores that it needs, a bit for each."""
        return int(self.entry.cores)


_UNIT = len(UnitState._fields)
_CORE = len(Core._fields)
_ENTRY = len(SlotEntry._fields)
_PACE = len(PaceEntry._fields)
_FENCE = len(FenceEntry._fields)
_QUEUE = SlotEntry._fields.index("queue")
_OWN = len(OwnEntry._fields)
_SHARE = OwnEntry._fields.index("memory_share")
_HOLDER = Core._fields.index("holder")
_SLOT_CELLS = cells(_ENTRY) + cells(_PACE) + cells(_FENCE) + cells(_OWN)


class LedgerFile:
    """The typed records of one board's ledger, in memory that all processes of a run share.

    Args:
        records: the mapped file.
        board: the board that it was made for.

    Attributes:
        records: the mapped file.
        slots: how many applications it has room for.
    """

    def __init__(self, records: SharedRecords, board: Board) -> None:
        self.records = records
        units = len(board.units)
        self._unit_places = [1 + number * cells(_UNIT) for number in range(units)]
        place = 1 + units * cells(_UNIT)
        self._core_places: list[list[int]] = []
        for unit in board.units:
            self._core_places.append([place + core * cells(_CORE) for core in range(unit.cores)])
            place += unit.cores * cells(_CORE)
        self.slots = (len(records) - place) // _SLOT_CELLS
        self._slot_places = [place + slot * cells(_ENTRY) for slot in range(self.slots)]
        place += self.slots * cells(_ENTRY)
        self._pace_places = [place + slot * cells(_PACE) for slot in range(self.slots)]
        place += self.slots * cells(_PACE)
        self._fence_places = [place + slot * cells(_FENCE) for slot in range(self.slots)]
        place += self.slots * cells(_FENCE)
        self._own_places = [place + slot * cells(_OWN) for slot in range(self.slots)]

    @staticmethod
    def create(path: Path, board: Board, slots: int) -> None:
        """Make a file with room for a board's units and cores and for so many slots, all zero and without a mark.

        Raises:
            FileExistsError: if there is a file already.
        """
        cores = sum(unit.cores for unit in board.units)
        of_units = len(board.units) * cells(_UNIT) + cores * cells(_CORE)
        SharedRecords.create(path, 1 + of_units + slots * _SLOT_CELLS)

    # ------------------------------------------------------------ units and cores

    def unit(self, number: int) -> UnitState:
        """Return the state of the board's unit of that number, as of its last change."""
        return UnitState._make(self.records.get(self._unit_places[number], _UNIT))

    def put_unit(self, number: int, unit: UnitState) -> None:
        """Write the state of a unit."""
        self.records.put(self._unit_places[number], unit)

    def cores(self, number: int) -> list[Core]:
        """Return all cores of a unit."""
        return [Core._make(self.records.get(place, _CORE)) for place in self._core_places[number]]

    def holders(self, number: int) -> set[int]:
        """Return the slots whose requests have cores of a unit."""
        places = self._core_places[number]
        holders = [self.records.field(place, _CORE, _HOLDER) for place in places]
        return {int(holder) % self.slots for holder in holders if holder > 0}

    def put_core(self, number: int, core: int, record: Core) -> None:
        """Write one core of a unit."""
        self.records.put(self._core_places[number][core], record)

    # ------------------------------------------------------------ slots

    def entry(self, slot: int) -> SlotEntry:
        """Return a slot's latest request for cores."""
        return SlotEntry._make(self.records.get(self._slot_places[slot], _ENTRY))

    def put_entry(self, slot: int, entry: SlotEntry) -> None:
        """Write a slot's request for cores."""
        self.records.put(self._slot_places[slot], entry)

    def own(self, slot: int) -> OwnEntry:
        """Return the progress of a slot's latest request, if it has one of its own."""
        return OwnEntry._make(self.records.get(self._own_places[slot], _OWN))

    def own_share(self, slot: int) -> float:
        """Return the memory share of the network of a slot's latest request; `NO_SHARE` if it has none of its own."""
        return self.records.field(self._own_places[slot], _OWN, _SHARE)

    def put_own(self, slot: int, own: OwnEntry) -> None:
        """Write the progress of a slot's latest request."""
        self.records.put(self._own_places[slot], own)

    def pace(self, slot: int) -> PaceEntry:
        """Return the rule for a slot's clocks."""
        return PaceEntry._make(self.records.get(self._pace_places[slot], _PACE))

    def put_pace(self, slot: int, pace: PaceEntry) -> None:
        """Write the rule for a slot's clocks."""
        self.records.put(self._pace_places[slot], pace)

    def fence(self, slot: int) -> FenceEntry:
        """Return the latest process of a slot that was fenced off."""
        return FenceEntry._make(self.records.get(self._fence_places[slot], _FENCE))

    def put_fence(self, slot: int, fence: FenceEntry) -> None:
        """Write the latest process of a slot that was fenced off."""
        self.records.put(self._fence_places[slot], fence)

    def waiting(self, number: int) -> list[WaitingSlot]:
        """Return the slots whose requests wait for cores of that unit, by slot."""
        # Only one number of each slot is read to find them: most slots wait nowhere.
        return [
            WaitingSlot(slot, self.entry(slot))
            for slot, place in enumerate(self._slot_places)
            if self.records.field(place, _ENTRY, _QUEUE) == number + 1
        ]


def mark_of(board: Board) -> float:
    """Return the number that stands for a board and for this layout; never 0."""
    records = (UnitState, Core, SlotEntry, PaceEntry, FenceEntry, OwnEntry)
    layout = tuple(record._fields for record in records)
    return 1.0 + zlib.crc32(repr((layout, board)).encode())
