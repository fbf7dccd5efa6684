"""What the ledger says of workers that were fenced off, told once each.

Whoever waits for cores fences off, kills, and writes that into the ledger; the board agent is who reports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.ledger.layout import FenceEntry, FenceReason
from actors.ledger.ledger import BoardLedger
from scheduler.messages import Fenced

_WORDS = {
    FenceReason.HELD: "it held its cores past the bound",
    FenceReason.STOPPED: "its process was stopped while it held cores",
    FenceReason.LOCKED: "it held the unit's lock",
    FenceReason.HUNG: "its network hung in the executor",
}


class FenceReports:
    """The reports of workers that were fenced off.

    Args:
        ledger: the board's ledger.
        slots: by application, its slot; looked at with each report, since some come later.
        told: by slot, how many have been told, as `told` says; none for nobody yet.

    Attributes:
        told: by slot, how many workers that were fenced off have been told of.
    """

    def __init__(self, ledger: BoardLedger, slots: Mapping[str, int], told: Sequence[float] = ()) -> None:
        self._ledger = ledger
        self._slots = slots
        self.told = tuple(told) or (0.0,) * ledger.slots

    def new(self) -> tuple[Fenced, ...]:
        """Return the workers that were fenced off since the last call; of one application the latest."""
        fences = self._ledger.fences()
        found = [self._report(slot, fence) for slot, fence in enumerate(fences) if fence.times > self.told[slot]]
        self.told = tuple(fence.times for fence in fences)
        return tuple(found)

    def _report(self, slot: int, fence: FenceEntry) -> Fenced:
        return Fenced(
            app=next(app for app, number in self._slots.items() if number == slot),
            unit=self._ledger.board.units[int(fence.unit)].name,
            why=_WORDS[FenceReason(int(fence.why))],
            held_ms=fence.held_ms,
            bound_ms=fence.bound_ms,
        )
