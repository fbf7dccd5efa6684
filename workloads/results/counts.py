"""Counts of one application's requests while its run goes on: its records, read as they are appended.

They count as `workloads.results.summarize` does after the run: a request that ends twice, since its worker was lost,
ended the first time. Memory is bounded by the requests that are under way.
"""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actors.requests.records import RECORD, Status, spare_records
from workloads.results.requests import is_on_time, latencies_ms

_CHUNK_BYTES = RECORD.itemsize * 4096
"""Most that is read at once."""


class RequestCounts:
    """Counts of an application's requests so far.

    Args:
        bounds_s: upper bounds of latencies, rising, in seconds, for `by_latency`.

    Attributes:
        arrived: requests that were noted on arrival: those of clients and of a closed loop.
        completed: requests with a result.
        dropped: requests that were dropped.
        failed: requests that failed.
        on_time: those of `completed` that were within their target.
        latency_s: sum of the latencies of those of `completed`, in seconds.
        by_latency: how many of `completed` took at most each bound and more than the one before, and last how many took
            longer than all.
        subnets: how many of `completed` each place of the ladder served.
    """

    def __init__(self, bounds_s: Sequence[float] = ()) -> None:
        self.arrived = self.completed = self.dropped = self.failed = self.on_time = 0
        self.latency_s = 0.0
        self.by_latency = [0] * (len(bounds_s) + 1)
        self.subnets: Counter[int] = Counter()
        self._bounds_s = list(bounds_s)
        # Requests end nearly in order: all below `_below` have ended, and these others.
        self._below = 0
        self._beyond: set[int] = set()

    @property
    def ended(self) -> int:
        """How many have ended."""
        return self.completed + self.dropped + self.failed

    def take(self, records: NDArray[np.void]) -> None:
        """Take in further records, of dtype `RECORD`, shape (n,), in the order in which they were written."""
        self.arrived += int((records["status"] == Status.ARRIVED).sum())
        ended = records[records["status"] != Status.ARRIVED]
        new = ended[[self._is_first(index) for index in ended["index"].tolist()]] if ended.size else ended
        self.dropped += int((new["status"] == Status.DROPPED).sum())
        self.failed += int((new["status"] == Status.FAILED).sum())
        served = new[new["status"] == Status.COMPLETED]
        self.completed += served.size
        self.on_time += int(is_on_time(served).sum())
        self.subnets.update(served["subnet"].tolist())
        for latency_ms in latencies_ms(served).tolist():
            self.latency_s += latency_ms / 1000
            self.by_latency[bisect_left(self._bounds_s, latency_ms / 1000)] += 1

    def _is_first(self, index: int) -> bool:
        if index < self._below or index in self._beyond:
            return False
        self._beyond.add(index)
        while self._below in self._beyond:
            self._beyond.remove(self._below)
            self._below += 1
        return True


class RecordTail:
    """The records of one application, read on from where the last call ended.

    Args:
        path: the file to which its worker appends; with `spare_records` beside it.
    """

    def __init__(self, path: Path) -> None:
        self._read = {path: 0, spare_records(path): 0}

    def read_into(self, counts: RequestCounts) -> None:
        """Take all records that are new into the counts."""
        for path in self._read:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), open(path, "rb", buffering=0) as file:
                while whole := self._next(file.fileno(), path):
                    counts.take(np.frombuffer(whole, dtype=RECORD))

    def _next(self, file: int, path: Path) -> bytes:
        raw = os.pread(file, _CHUNK_BYTES, self._read[path])
        whole = raw[: len(raw) // RECORD.itemsize * RECORD.itemsize]
        self._read[path] += len(whole)
        return whole
