"""The records of what became of each request, appended to one file per application.

A record has a fixed size and is written with one system call when its request ends. So the file outlives a killed
worker, and what is missing from it is what the worker lost. The driver reads the files after the run; the simulator
keeps the same records in memory.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Protocol

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
        ("credit", "<f4"),  # how good the result is, 0 to 1; NaN for no label
        ("subnet", "i2"),  # place in the application's ladder; -1 if never served
        ("unit", "i2"),  # place in the board's units; -1 if never served
        ("cores", "i2"),  # cores it held; 0 if never served
    ]
)

EARLIER_RECORD = np.dtype(
    [("correct", "i1") if name == "credit" else (name, RECORD[name]) for name in RECORD.names or ()]
)
"""A record of the versions that knew right (1) and wrong (0) results only, and -1 for no label."""


class Status(IntEnum):
    """The end of a request, or its arrival."""

    ARRIVED = 0  # of a client; the arrivals of a mix are known without being written
    COMPLETED = 1
    DROPPED = 2
    FAILED = 3


class Recorded(Protocol):
    """The request that a record is about; see `actors.requests.queue.Request`."""

    index: int
    arrival_s: float
    target_ms: float


def record(
    request: Recorded,
    status: Status,
    end_s: float,
    *,
    start_s: float = math.nan,
    credit: float = math.nan,
    subnet: int = -1,
    unit: int = -1,
    cores: int = 0,
) -> tuple[float, ...]:
    """Return the record of a request. What is left out is that of a request that was never served.

    A request that gets its cores at 2.0 s and ends at 2.5 s has a service time of 500 ms.

    Args:
        request: the request.
        status: how it ended.
        end_s: when it ended, board time; NaN for a request that only arrived.
        start_s: when its cores were taken, board time.
        credit: how good the result is, 0 to 1; NaN where there is no label.
        subnet: place of its sub-network in the application's ladder.
        unit: place of its unit on the board.
        cores: how many cores it held.

    Returns:
        The values in the order of `RECORD`.
    """
    return (
        request.index,
        request.arrival_s,
        start_s,
        end_s,
        request.target_ms,
        (end_s - start_s) * 1000,
        status,
        credit,
        subnet,
        unit,
        cores,
    )


def table(records: Sequence[tuple[float, ...]]) -> NDArray[np.void]:
    """Return records, each as `record` gives it, in one array of dtype `RECORD`."""
    made = np.empty(len(records), dtype=RECORD)
    # By columns, which takes a fifth of the time of an array of tuples.
    for name, column in zip(RECORD.names or (), zip(*records, strict=True), strict=bool(records)):
        made[name] = column
    return made


class RecordWriter:
    """A file that records are appended to, and a spare one beside it.

    Once the file can't be written to (its disk is full, its directory is gone), all further records go to the spare
    one: a run keeps its results, whatever happens to its directory. A record that neither takes is lost, and its
    request counts as one that was never answered.

    Args:
        path: the file, made if missing. It may be a link to a file on another disk; the spare file is beside the link.
    """

    def __init__(self, path: Path) -> None:
        self._places = [path, spare_records(path)]
        self._file: int | None = None
        self._open_next()

    def write(self, record: tuple[float, ...]) -> None:
        """Append one record, its values in the order of `RECORD`."""
        raw = np.array(record, dtype=RECORD).tobytes()
        while self._file is not None:
            try:
                if os.write(self._file, raw) == len(raw):
                    return
            except OSError:
                pass
            self.close()
            self._open_next()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open_next(self) -> None:
        """Open the next place that can be opened; none if there is none."""
        while self._places and self._file is None:
            with contextlib.suppress(OSError):
                file = os.open(self._places.pop(0), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
                try:
                    # A predecessor may have been killed, or run out of space, within a record.
                    os.ftruncate(file, os.fstat(file).st_size // RECORD.itemsize * RECORD.itemsize)
                except OSError:
                    os.close(file)
                    raise
                self._file = file


def spare_records(path: Path) -> Path:
    """Return the file that takes the records which another can't."""
    return path.with_name(f"{path.name}.spare")


def read_records(path: Path, kind: np.dtype[np.void] = RECORD) -> NDArray[np.void]:
    """Return all whole records of a file and of its spare one, as `RECORD`; none if neither was ever written.

    Args:
        path: the file.
        kind: what the file holds, `RECORD` or `EARLIER_RECORD`.
    """
    raw = b""
    for place in (path, spare_records(path)):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            raw += whole_records(place.read_bytes(), kind)
    return with_credits(np.frombuffer(raw, dtype=kind))


def whole_records(raw: bytes, kind: np.dtype[np.void] = RECORD) -> bytes:
    """Return what a file of records holds, less a part of one at the end, which a killed process may have left."""
    return raw[: len(raw) // kind.itemsize * kind.itemsize]


def with_credits(records: NDArray[np.void]) -> NDArray[np.void]:
    """Return records of dtype `EARLIER_RECORD` as `RECORD`: right is a credit of 1. Others are returned as they are."""
    if records.dtype != EARLIER_RECORD:
        return records
    made = np.empty(records.shape, dtype=RECORD)
    for name in records.dtype.names or ():
        if name != "correct":
            made[name] = records[name]
    made["credit"] = np.where(records["correct"] < 0, np.nan, records["correct"])
    return made
