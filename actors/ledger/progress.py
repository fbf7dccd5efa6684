"""The progress of requests: the profiled time that they have got through at the clocks and beside the load in force.

It has two counts. One is what a request has got through, by which its service ends. The other is what clocks and load
alone explain, by which its service is judged: they differ where something slows a unit down that nobody is told of. Of
20 ms at the top clock, slowed down 1.5 times, 20 ms have got done when the other count says 30.

Requests whose networks have the unit's memory share all get on alike, so their progress is what the unit's has grown by
since they began. One whose network has a share of its own gets on differently at each clock. So its progress is kept
for itself, and is brought up to date before the unit's clock, load or slowdown changes.

That is written first and the unit last. Who is killed in between has noted what was done so far, and the unit goes on
as it was, so nothing is counted twice or lost.
"""

from __future__ import annotations

from typing import NamedTuple

from actors.ledger.layout import NO_SHARE, LedgerFile, OwnEntry
from actors.ledger.meters import UnitState
from scheduler.board import Board


class Progress(NamedTuple):
    """How far a request has got at a moment.

    Attributes:
        now_s: the moment, board time.
        pace: profiled ms that it gets through per ms now.
        done_ms: integral of the pace. The request has got through as much as this has grown by since it began.
        known_pace: the pace that clock and load explain, without what slows the unit down besides.
        known_ms: integral of that pace.
    """

    now_s: float
    pace: float
    done_ms: float
    known_pace: float
    known_ms: float


class RequestProgress:
    """The progress of requests on the units of one ledger. All methods are called under the unit's lock.

    Args:
        file: the ledger's records.
        board: its board.
    """

    def __init__(self, file: LedgerFile, board: Board) -> None:
        self._file = file
        self._board = board

    def ask(self, slot: int, memory_share: float | None) -> None:
        """Note the memory share of the network of a request that asks for cores; None for the unit's."""
        share = NO_SHARE if memory_share is None else memory_share
        if self._file.own_share(slot) != share:
            self._file.put_own(slot, OwnEntry(share))

    def begin(self, slot: int, unit: UnitState) -> None:
        """Begin the progress of a request that gets its cores now."""
        if self._file.own_share(slot) != NO_SHARE:
            begun = self._file.own(slot)._replace(
                done_ms=unit.progress_ms, known_ms=of_unit(unit).known_ms, since_s=unit.since_s
            )
            self._file.put_own(slot, begun)

    def of(self, number: int, unit: UnitState, slot: int) -> Progress:
        """Return how far a slot's request on the board's unit of that number has got by the time of its state."""
        own = self._file.own(slot)
        if own.memory_share == NO_SHARE:
            return of_unit(unit)
        known_pace = self._board.units[number].pace(unit.mhz, own.memory_share) * (1 - unit.other_load)
        pace, span_s = known_pace / unit.slowdown, unit.since_s - own.since_s
        return Progress(
            now_s=unit.since_s,
            pace=pace,
            done_ms=own.done_ms + 1e3 * pace * span_s,
            known_pace=known_pace,
            known_ms=own.known_ms + 1e3 * known_pace * span_s,
        )

    def settle(self, number: int, unit: UnitState) -> None:
        """Bring what is kept up to the time of the unit's state, as it was until now and before it changes."""
        for slot in self._file.holders(number):
            if self._file.own_share(slot) != NO_SHARE:
                now = self.of(number, unit, slot)
                settled = self._file.own(slot)._replace(done_ms=now.done_ms, known_ms=now.known_ms, since_s=now.now_s)
                self._file.put_own(slot, settled)


def of_unit(unit: UnitState) -> Progress:
    """Return the progress of a request whose network has the unit's memory share."""
    return Progress(
        now_s=unit.since_s,
        pace=unit.pace,
        done_ms=unit.progress_ms,
        known_pace=unit.pace * unit.slowdown,
        known_ms=unit.progress_ms + unit.hidden_ms,
    )
