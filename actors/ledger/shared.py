"""Records in shared memory that survive the death of any process at any instruction.

A record is some doubles at a fixed place, kept twice. A writer fills the copy that does not count and then makes it
count with a single store, so a record changes as a whole or not at all. Writers exclude each other with a lock
(`actors.ledger.lock`). What the records mean is not known here.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Sequence
from pathlib import Path

_DOUBLE_BYTES = 8


def cells(fields: int) -> int:
    """Return how many doubles a record takes: 7 for one of 3 fields, which are kept twice after the copy's number."""
    return 1 + 2 * fields


class SharedRecords:
    """A file of doubles, mapped into this process. Its first double is the creator's mark."""

    def __init__(self, path: Path) -> None:
        """Map the file.

        Raises:
            OSError: if it cannot be opened.
            ValueError: if it is empty, or not a whole number of doubles.
        """
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        if len(self._memory) % _DOUBLE_BYTES:
            raise ValueError("it is cut off")
        self._cells: memoryview[float] = memoryview(self._memory).cast("d")

    @staticmethod
    def create(path: Path, size: int) -> None:
        """Make a file of that many doubles, all zero.

        Raises:
            FileExistsError: if there is one.
        """
        with open(path, "xb") as file:
            file.truncate(size * _DOUBLE_BYTES)

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def mark(self) -> float:
        """The number that says what the file holds; 0 until the file is whole."""
        return self._cells[0]

    @mark.setter
    def mark(self, mark: float) -> None:
        self._cells[0] = mark

    def get(self, place: int, fields: int) -> list[float]:
        """Return the record of that many fields at that place."""
        # The record's first double is the number of the copy that counts, 0 or 1. Both copies follow.
        at = place + 1 + fields * int(self._cells[place])
        return list(self._cells[at : at + fields])

    def field(self, place: int, fields: int, number: int) -> float:
        """Return one field of the record of that many fields at that place."""
        return self._cells[place + 1 + fields * int(self._cells[place]) + number]

    def put(self, place: int, values: Sequence[float]) -> None:
        """Write a record at that place."""
        fields = len(values)
        copy = 1 - int(self._cells[place])
        at = place + 1 + fields * copy
        self._cells[at : at + fields] = memoryview(array("d", values))
        # This one aligned store makes the new copy count. A process that dies before it has changed nothing.
        self._cells[place] = copy

    def close(self) -> None:
        """Release the memory. The file stays."""
        self._cells.release()
        self._memory.close()
