"""What became of each request: fixed-size records, appended to one file per application.

A record is written with one system call when its request ends, so the file outlives a killed worker, and what is
missing from it is what the worker lost. The driver reads the files after the run.
"""

from __future__ import annotations

import os
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RECORD = np.dtype(
    [
        ("index", "<i8"),  # number of the request within its application, from 0
        ("arrival_s", "<f8"),  # scheduled arrival, board time
        ("start_s", "<f8"),  # its cores were taken; NaN if never
        ("end_s", "<f8"),  # result, drop or failure
        ("target_ms", "<f8"),  # latency target in force at its arrival
        ("service_ms", "<f8"),  # time its cores were taken, board time; NaN if never
        ("status", "u1"),  # Status
        ("correct", "i1"),  # 1 right, 0 wrong, -1 no label
        ("subnet", "i2"),  # place in the application's ladder; -1 if never served
        ("unit", "i2"),  # place in the board's units; -1 if never served
        ("cores", "i2"),  # cores it held; 0 if never served
    ]
)


class Status(IntEnum):
    """How a request ended, or that it only arrived."""

    ARRIVED = 0  # of a client; the arrivals of a mix are known without being written
    COMPLETED = 1
    DROPPED = 2
    FAILED = 3


class RecordWriter:
    """Appends records to a file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, record: tuple[float, ...]) -> None:
        """Appends one record, its fields in the order of RECORD."""
        os.write(self._file, np.array(record, dtype=RECORD).tobytes())

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


def read_records(path: Path) -> NDArray[np.void]:
    """All whole records of a file; none if it was never written."""
    if not path.exists():
        return np.empty(0, dtype=RECORD)
    raw = path.read_bytes()
    return np.frombuffer(raw[: len(raw) // RECORD.itemsize * RECORD.itemsize], dtype=RECORD)
