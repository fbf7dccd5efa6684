"""Clocks of single requests, as the ledger knows them: who is paced, and what clock the requests on a unit want.

A worker asks for a clock once its request has its cores. The unit then stands at the highest clock that a request on it
wants, and while there is none at the clock that its rules have for rest. On an emulated unit whoever changes that also
sets the clock, at once; on a real one the board agent is woken to set it. All methods are called under the unit's lock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from actors.ledger.layout import LedgerFile, PaceEntry
from actors.ledger.meters import UnitState
from scheduler.board import Board
from scheduler.governors import at_least
from scheduler.request_clock import Pace, Timing, clock_for


class RequestClocks:
    """The clocks of requests on the units of one ledger.

    Args:
        file: the ledger's records.
        board: its board.
    """

    def __init__(self, file: LedgerFile, board: Board) -> None:
        self._file = file
        self._board = board

    def set_rules(
        self, number: int, unit: UnitState, mhz: float, max_mhz: float | None, paces: Mapping[int, Pace]
    ) -> None:
        """Begin to pace a unit, or change its rules; without rules, end it.

        Args:
            number: the unit's number on the board.
            unit: its state now.
            mhz: the plan's clock.
            max_mhz: the highest clock allowed; None for all.
            paces: by slot, its rule.
        """
        for slot in range(self._file.slots):
            if slot in paces:
                self._file.put_pace(slot, PaceEntry.of(number, paces[slot]))
            elif self._file.pace(slot).queue == number + 1:
                self._file.put_pace(slot, PaceEntry())
        cap_mhz = math.inf if max_mhz is None else max_mhz
        rest_mhz = min((pace.rest_mhz for pace in paces.values()), default=mhz)
        self._file.put_unit(
            number,
            unit._replace(paced=float(bool(paces)), planned_mhz=mhz, rest_mhz=rest_mhz, cap_mhz=cap_mhz),
        )
        # What runs already has used up some of its time, so it gets the clock that the plan would give it.
        for slot in self._file.holders(number) if paces else ():
            entry = self._file.entry(slot)
            self._file.put_entry(slot, entry._replace(mhz=max(entry.mhz, mhz)))

    def ask(self, number: int, unit: UnitState, slot: int, timing: Timing) -> None:
        """Note the clock that a slot's request wants which has its cores and begins now."""
        spec, rule = self._board.units[number], self._file.pace(slot)
        wanted_mhz = unit.planned_mhz
        if rule.queue == number + 1:
            wanted_mhz = clock_for(
                spec,
                spec.allowed(unit.cap_mhz),
                rule.pace(),
                timing,
                now_s=unit.since_s,
                now_mhz=unit.mhz,
                other_load=unit.other_load,
            )
        self._file.put_entry(slot, self._file.entry(slot)._replace(mhz=wanted_mhz))

    def wanted_mhz(self, number: int, unit: UnitState) -> float:
        """Return the clock at which a paced unit is to stand now."""
        allowed = self._board.units[number].allowed(unit.cap_mhz)
        # A request that has not asked yet keeps the clock as it is: it got its cores a moment ago.
        wanted = [self._file.entry(slot).mhz or unit.mhz for slot in self._file.holders(number)]
        return at_least(max(wanted, default=unit.rest_mhz), allowed)
