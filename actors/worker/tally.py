"""The ends of one application's requests: a record of each, and counts of them.

It knows no queue and no network.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

from actors.requests.queue import Request
from actors.requests.records import RecordWriter, Status, record
from actors.worker.totals import WorkerTotals
from scheduler.estimators import LatencyWindow
from scheduler.messages import RequestFault

MOST_FAULTS = 16
"""Most different texts of errors that are kept; the others are counted together."""

_MOST_LETTERS = 300
"""Most letters of an error that are kept."""

_OTHERS = "other errors"


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """The service of one request, whether it completed or failed.

    Attributes:
        start_s: board time at which its cores were taken.
        end_s: board time at which its result was there.
        subnet: place of its sub-network in the ladder, from 0.
        unit: place of its unit on the board, from 0.
        cores: number of cores that it held.
    """

    start_s: float
    end_s: float
    subnet: int
    unit: int
    cores: int

    @property
    def service_ms(self) -> float:
        """Time during which its cores were taken, in milliseconds."""
        return (self.end_s - self.start_s) * 1000


class Tally:
    """Counts the ends of requests and writes their records. Safe to use from several threads.

    A closed tally writes no further records.

    Args:
        records_path: file to which the records are appended.
    """

    def __init__(self, records_path: Path) -> None:
        self._records = RecordWriter(records_path)
        self._lock = threading.Lock()
        self._closed = False
        self._started_ns = time.monotonic_ns()
        self._finished = 0
        self._on_time = 0
        self._completed = 0
        self._service_ratios = 0.0
        self._latencies_ms: deque[float] = deque(maxlen=LatencyWindow.SIZE)  # the manager keeps no more
        self._faults: dict[tuple[str, str], RequestFault] = {}

    def arrived(self, request: Request) -> None:
        """Record the arrival of a request that is in no schedule, so that a successor knows of it after a kill."""
        with self._lock:
            self._write(request, Status.ARRIVED, end_s=math.nan)

    def completed(self, request: Request, service: Service, *, credit: float | None, service_ratio: float) -> float:
        """Record a result.

        Args:
            request: the request.
            service: how it was served.
            credit: how good the result is, 0 to 1; None where that is not known.
            service_ratio: observed over expected service time.

        Returns:
            The latency from the request's arrival, in milliseconds.
        """
        latency_ms = (service.end_s - request.arrival_s) * 1000
        with self._lock:
            self._write(request, Status.COMPLETED, service.end_s, service, math.nan if credit is None else credit)
            self._finished += 1
            self._on_time += latency_ms <= request.target_ms
            self._completed += 1
            self._service_ratios += service_ratio
            self._latencies_ms.append(latency_ms)
        return latency_ms

    def dropped(self, request: Request, at_s: float) -> None:
        """Record a request that was dropped while it waited."""
        with self._lock:
            self._write(request, Status.DROPPED, at_s)
            self._finished += 1

    def failed(self, request: Request, at_s: float, service: Service | None = None) -> None:
        """Record a request that failed while it was served, or was lost with a killed process."""
        with self._lock:
            self._write(request, Status.FAILED, at_s, service)
            self._finished += 1

    def error(self, where: str, error: Exception, request: Request) -> str:
        """Count an error of a request, and return it as text.

        Args:
            where: what raised; see `RequestFault`.
            error: what was raised.
            request: the request.
        """
        text = f"{type(error).__name__}: {error}"[:_MOST_LETTERS]
        self.trouble(where, text, request)
        return text

    def trouble(self, where: str, text: str, request: Request) -> None:
        """Count what went wrong with a request, whether that failed for it or not.

        Args:
            where: where it went wrong; see `RequestFault`.
            text: what went wrong.
            request: the request.
        """
        with self._lock:
            has_room = (where, text) in self._faults or len(self._faults) < MOST_FAULTS
            key = (where, text if has_room else _OTHERS)
            known = self._faults.get(key) or RequestFault(where=where, text=key[1], times=0, first=request.index)
            self._faults[key] = replace(known, times=known.times + 1)

    def totals(self) -> WorkerTotals:
        """Return the counts since the start; those of arrivals and of what waits are the caller's to add."""
        with self._lock:
            return WorkerTotals(
                started_ns=self._started_ns,
                finished=self._finished,
                on_time=self._on_time,
                completed=self._completed,
                service_ratios=self._service_ratios,
                latencies_ms=tuple(self._latencies_ms),
                faults=tuple(self._faults.values()),
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._records.close()

    def _write(
        self,
        request: Request,
        status: Status,
        end_s: float,
        service: Service | None = None,
        credit: float = math.nan,
    ) -> None:
        if self._closed:
            return
        if service is None:
            self._records.write(record(request, status, end_s))
            return
        self._records.write(
            record(
                request,
                status,
                end_s,
                start_s=service.start_s,
                credit=credit,
                subnet=service.subnet,
                unit=service.unit,
                cores=service.cores,
            )
        )
