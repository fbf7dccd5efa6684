"""Readings of the ledger by the driver itself: what the units did is known whether or not there is a board agent.

Any process can read the ledger. So it is read where the run's time begins and where it ends, by a thread of its own,
since an agent may be dead at just these moments.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from actors.agent.devices.sysfs import Tree
from actors.agent.sensors import RailTotals, sensors_of
from actors.agent.totals import BoardTotals, board_totals
from actors.clock import BoardClock
from actors.ledger.ledger import BoardLedger
from actors.ledger.meters import UnitReading
from scheduler.board import Board

_Readings = dict[str, UnitReading]

AWAY = "there was no board agent when the run's time began or ended"


class BoardReadings:
    """Readings of one run's ledger.

    Args:
        path: the ledger's directory.
        board: the board.
        tree: its files.
        clock: board time.
        end_s: board time at which the run's time ends; infinite where nobody knows yet.
    """

    def __init__(self, path: Path, board: Board, tree: Tree, clock: BoardClock, end_s: float) -> None:
        self._board = board
        self._tree = tree
        self._clock = clock
        self._end_s = end_s
        self._ledger = BoardLedger.attach(path, board, clock)
        self._begun: _Readings | None = None
        self._ended: _Readings | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="board-readings", daemon=True)
        self._thread.start()

    def totals(self, end_s: float, rails: Sequence[RailTotals] | None = None) -> BoardTotals:
        """Return what the units did from t = 0 on; of the rails nothing is known.

        Args:
            end_s: board time up to which; the present, unless it is the end of the run's time.
            rails: what an agent has read of the rails over some other window; None for nothing.
        """
        now = self._ended if end_s == self._end_s and self._ended is not None else self._read()
        return board_totals(self._board, self._begun or now, now, self._unknown(rails))

    def close(self) -> None:
        """Read no more. A second call does nothing."""
        if not self._closing.is_set():
            self._closing.set()
            self._thread.join()
            self._ledger.close()

    def _run(self) -> None:
        if self._wait_until(0.0):
            self._begun = self._read()
        if math.isfinite(self._end_s) and self._wait_until(self._end_s):
            self._ended = self._read()

    def _wait_until(self, at_s: float) -> bool:
        """Wait until a moment; return False if nothing is to be read any more."""
        return not self._closing.wait(max(0.0, self._clock.wall_s(at_s - self._clock.now_s())))

    def _read(self) -> _Readings:
        return {unit.name: self._ledger.read(unit.name) for unit in self._board.units}

    def _unknown(self, rails: Sequence[RailTotals] | None) -> list[RailTotals]:
        if rails is not None:
            return [replace(rail, joules=None, why_unknown=rail.why_unknown or AWAY) for rail in rails]
        return [
            RailTotals(
                name=sensor.rail,
                covers=sensor.covers,
                joules=None,
                samples=0,
                duplicates=0,
                longest_gap_s=None,
                why_unknown=AWAY,
                sensor_period_s=math.nan,
                step_w=0.0,
            )
            for sensor in sensors_of(self._board, self._tree)
        ]
