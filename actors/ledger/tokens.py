"""Who has which cores: the ledger's tokens, and the requests that wait for them.

All methods are called under the unit's lock. This module does not know clocks or how long a request waits.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.ledger.layout import LedgerFile, SlotEntry, WaitingSlot
from actors.ledger.meters import UnitState
from actors.ledger.progress import RequestProgress, of_unit
from actors.requests.turns import mask_of, next_turn, urgency
from scheduler.board import Board


class Tokens:
    """The tokens of one ledger.

    Args:
        file: the ledger's records.
        board: its board.
        progress: the progress of its requests.
    """

    def __init__(self, file: LedgerFile, board: Board, progress: RequestProgress) -> None:
        self._file = file
        self._board = board
        self._progress = progress

    def serve(self, number: int, unit: UnitState) -> list[int]:
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
        self._progress.begin(winner.slot, unit)
        start = winner.entry._replace(
            queue=0.0,
            start_s=unit.since_s,
            start_progress_ms=unit.progress_ms,
            start_known_ms=of_unit(unit).known_ms,
        )
        self._file.put_entry(winner.slot, start)

    def free(self, number: int, unit: UnitState, whose: Callable[[float], bool]) -> None:
        """Take the cores of such holders away from them.

        Args:
            number: the unit's number on the board.
            unit: its state now.
            whose: told a core's holder, says whether to take the core from it.
        """
        for index, core in enumerate(self._file.cores(number)):
            if whose(core.holder):
                self._file.put_core(number, index, core.handed(unit.at_rest(index), unit))
        self._note_taken(number, unit.since_s)

    def _note_taken(self, number: int, now_s: float) -> None:
        """Let a unit whose power depends on it know whether a request has a core of it."""
        spec = self._board.units[number]
        if spec.idle_share == 1 and spec.off_w is None:
            return
        taken, known = any(core.holder > 0 for core in self._file.cores(number)), self._file.unit(number)
        if taken != bool(known.taken):
            self._file.put_unit(number, known.at(now_s).held(spec, taken=taken))

    def withdraw(self, slot: int) -> SlotEntry:
        """Take a slot out of its queue, and make its ticket worthless."""
        entry = SlotEntry(ticket=self._file.entry(slot).ticket + self._file.slots)
        self._file.put_entry(slot, entry)
        return entry
