"""The progress of requests: the profiled time that they have got through at the clocks and beside the load in force.

Requests whose networks have the unit's memory share all get on alike, so their progress is what the unit's has grown by
since they began. One whose network has a share of its own gets on differently at each clock. So its entry keeps its own
progress, and is brought up to date before the unit's clock or load changes.

Entries are written first and the unit last. Who is killed in between has noted in the entries what was done so far, and
the unit goes on as it was, so nothing is counted twice or lost.
"""

from __future__ import annotations

from typing import NamedTuple

from actors.ledger.layout import LedgerFile, SlotEntry
from actors.ledger.meters import UnitState
from scheduler.board import Board


class Progress(NamedTuple):
    """How far a request has got at a moment.

    Attributes:
        now_s: the moment, board time.
        pace: profiled ms that it gets through per ms now.
        done_ms: integral of the pace. The request has got through as much as this has grown by since it began.
    """

    now_s: float
    pace: float
    done_ms: float


class RequestProgress:
    """The progress of requests on the units of one ledger. All methods are called under the unit's lock.

    Args:
        file: the ledger's records.
        board: its board.
    """

    def __init__(self, file: LedgerFile, board: Board) -> None:
        self._file = file
        self._board = board

    def of(self, number: int, unit: UnitState, entry: SlotEntry) -> Progress:
        """Return how far a request on the board's unit of that number has got by the time of the unit's state."""
        if not entry.has_share:
            return Progress(now_s=unit.since_s, pace=unit.pace, done_ms=unit.progress_ms)
        pace = self._board.units[number].pace(unit.mhz, entry.memory_share) * (1 - unit.other_load)
        done_ms = entry.own_ms + 1e3 * pace * (unit.since_s - entry.own_since_s)
        return Progress(now_s=unit.since_s, pace=pace, done_ms=done_ms)

    def settle(self, number: int, unit: UnitState) -> None:
        """Bring the entries of requests with shares of their own up to the time of the unit's state.

        To be called with the unit as it was until now, before its clock or load changes.
        """
        for slot in self._file.holders(number):
            if self._file.has_share(slot):
                entry = self._file.entry(slot)
                now = self.of(number, unit, entry)
                self._file.put_entry(slot, entry._replace(own_ms=now.done_ms, own_since_s=now.now_s))
