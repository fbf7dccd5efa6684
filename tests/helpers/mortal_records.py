"""The ledger's records of a process that may die at a store: before it, or before what it has written counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from actors.ledger.shared import SharedRecords


class MortalRecords(SharedRecords):
    """Records whose process may die at each store.

    Args:
        path: file of the records.
        at_store: called before each store. It may raise, as the end of the process; or return True to have it end with
            the copy written that does not count yet.
        die: raises what ends the process.
    """

    def __init__(self, path: Path, at_store: Callable[[], bool], die: Callable[[], None]) -> None:
        super().__init__(path)
        self._at_store, self._die = at_store, die

    def put(self, place: int, values: Sequence[float]) -> None:
        """Write a record, or die."""
        if self._at_store():
            counts = self._cells[place]
            super().put(place, values)
            self._cells[place] = counts
            self._die()
        super().put(place, values)
