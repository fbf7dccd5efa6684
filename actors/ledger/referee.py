"""The ledger's referee: it takes cores from processes that have ended, and from those that hold them too long.

A ticket names its process. Whoever waits for cores, and the board agent at each report, looks at those processes:

- What a process that has ended held or waited for is freed at once.
- A process that holds its cores past the bound (`actors.ledger.holding`) is fenced off: its cores are freed, its ticket
  is void, so that nothing it still writes to the ledger counts, and it gets no new one. Then it is killed. Ray starts
  another, and the board agent reports it.

It looks outside of the unit's lock and judges within it.
"""

from __future__ import annotations

import math
import threading

from actors.ledger.holding import LEAST_WALL_S, STOPPED_WALL_S, Held, HoldingWatch
from actors.ledger.layout import FenceEntry, FenceReason, LedgerFile, SlotEntry
from actors.ledger.meters import UnitState
from actors.ledger.processes import ProcessKey, Sight
from actors.ledger.progress import RequestProgress
from actors.ledger.tokens import Tokens

_LONGEST_LOOK_WALL_S = 0.2
"""Most time between two looks that counts: two of the board agent's, which are the rarest."""


class Referee:
    """The referee of one ledger, in one process. Safe to use from several threads.

    Args:
        file: the ledger's records.
        tokens: its tokens.
        progress: the progress of its requests.
        units: how many units there are.
        time_scale: wall seconds per board second.
    """

    def __init__(
        self, file: LedgerFile, tokens: Tokens, progress: RequestProgress, units: int, time_scale: float
    ) -> None:
        self._file = file
        self._tokens = tokens
        self._progress = progress
        self._scale = time_scale
        self._watches = [HoldingWatch(_LONGEST_LOOK_WALL_S) for _ in range(units)]
        self._lock = threading.Lock()

    def processes(self, number: int, but: int | None = None) -> dict[int, ProcessKey]:
        """Return the processes of the slots that hold cores of a unit or wait for some, by slot; `but` is left out."""
        slots = self._file.holders(number)
        slots |= {waiting.slot for waiting in self._file.waiting(number)}
        return {slot: self._file.entry(slot).process for slot in slots if slot != but}

    def judge(self, number: int, unit: UnitState, sight: Sight) -> list[ProcessKey]:
        """Free what the ended held or waited for, and fence off who is overdue (lock held).

        Returns:
            The processes to kill, once the lock is given back.
        """
        for slot, key in sight.ended.items():
            # Another process may have taken the slot over since the look.
            if self._file.entry(slot).process == key:
                self._void(number, unit, slot)
        holding = self._holding(number).items()
        held = [self._held(number, unit, slot, entry, stopped=slot in sight.stopped) for slot, entry in holding]
        with self._lock:
            overdue = {one.ticket: one for one in self._watches[number].overdue(held, sight.wall_s)}
        fenced = []
        for slot, entry in self._holding(number).items():
            if entry.ticket in overdue:
                self._void(number, unit, slot)
                self._file.put_fence(slot, self._fence(number, unit, slot, entry, overdue[entry.ticket]))
                fenced.append(entry.process)
        return fenced

    def _holding(self, number: int) -> dict[int, SlotEntry]:
        """Return the slots that hold cores of a unit, with the request that holds them."""
        holders = {core.holder for core in self._file.cores(number) if core.holder > 0}
        entries = {int(holder) % self._file.slots: holder for holder in holders}
        found = {slot: (self._file.entry(slot), holder) for slot, holder in entries.items()}
        return {slot: entry for slot, (entry, holder) in found.items() if entry.ticket == holder}

    def _void(self, number: int, unit: UnitState, slot: int) -> None:
        """Free what a slot holds of a unit, and take it out of the unit's queue."""
        entry = self._file.entry(slot)
        holds = any(core.holder == entry.ticket for core in self._file.cores(number))
        self._tokens.free(number, unit, lambda holder: holder > 0 and holder % self._file.slots == slot)
        # A slot that was seen here may have gone on to another unit since. Its entry names the process that holds cores
        # there, so it stays until whoever waits for those has freed them.
        if entry.queue == number + 1 or (not entry.queue and holds):
            self._tokens.withdraw(slot)

    def _fence(self, number: int, unit: UnitState, slot: int, entry: SlotEntry, held: Held) -> FenceEntry:
        bound_ms = 1e3 * STOPPED_WALL_S / self._scale
        if not held.stopped:
            pace = self._progress.of(number, unit, slot).pace
            by_work_ms = held.most_progress_ms / pace if pace else math.inf
            bound_ms = max(1e3 * LEAST_WALL_S / self._scale, by_work_ms)
        return FenceEntry(
            times=self._file.fence(slot).times + 1,
            why=float(FenceReason.STOPPED if held.stopped else FenceReason.HELD),
            unit=float(number),
            held_ms=1e3 * (unit.since_s - entry.start_s),
            bound_ms=bound_ms,
            pid=entry.pid,
            start_ticks=entry.start_ticks,
        )

    def _held(self, number: int, unit: UnitState, slot: int, entry: SlotEntry, *, stopped: bool) -> Held:
        return Held(
            ticket=entry.ticket,
            stopped=stopped,
            progress_ms=self._progress.of(number, unit, slot).done_ms - entry.start_progress_ms,
            most_ms=entry.most_ms,
        )

    def lock_broken(self, number: int, process: ProcessKey, waited_wall_s: float, bound_wall_s: float) -> None:
        """Note that the holder of a unit's lock was killed (lock held)."""
        self._note(FenceReason.LOCKED, number, process, waited_wall_s, bound_wall_s)

    def hung(self, number: int, process: ProcessKey, held_wall_s: float, bound_wall_s: float) -> None:
        """Note that the network of a process hung in a unit's executor (lock held)."""
        self._note(FenceReason.HUNG, number, process, held_wall_s, bound_wall_s)

    def _note(
        self, why: FenceReason, number: int, process: ProcessKey, held_wall_s: float, bound_wall_s: float
    ) -> None:
        for slot in range(self._file.slots):
            if self._file.entry(slot).process == process:
                fence = FenceEntry(
                    times=self._file.fence(slot).times + 1,
                    why=float(why),
                    unit=float(number),
                    held_ms=1e3 * held_wall_s / self._scale,
                    bound_ms=1e3 * bound_wall_s / self._scale,
                    pid=process.pid,
                    start_ticks=process.start_ticks,
                )
                self._file.put_fence(slot, fence)
