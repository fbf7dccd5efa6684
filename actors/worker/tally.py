"""What became of one application's requests: a record of each, and what the manager is told of them.

Counts and records; knows no queue, no network and no clock.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from pathlib import Path

from actors.requests.queue import Request
from actors.requests.records import RecordWriter, Status

MOST_ERRORS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """How a request was served, or failed while it was.

    Attributes:
        start_s: when its cores were taken, board time.
        end_s: when its result was there.
        subnet: place of its sub-network in the ladder.
        unit: place of its unit on the board.
        cores: cores it held.
    """

    start_s: float
    end_s: float
    subnet: int
    unit: int
    cores: int

    @property
    def service_ms(self) -> float:
        """Time its cores were taken."""
        return (self.end_s - self.start_s) * 1000


@dataclass(kw_only=True, slots=True)
class Period:
    """What ended since the last telemetry.

    Attributes:
        finished: requests completed, dropped or failed.
        on_time: those that completed within their target.
        latencies_ms: of the completed ones.
        service_ratios: of the completed ones, observed over expected service time.
    """

    finished: int = 0
    on_time: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    service_ratios: list[float] = field(default_factory=list)


class Tally:
    """Counts the ends of requests and writes their records. Safe to use from several threads; once closed, it is deaf.

    Args:
        records_path: file that the records are appended to.
    """

    def __init__(self, records_path: Path) -> None:
        self._records = RecordWriter(records_path)
        self._lock = threading.Lock()
        self._closed = False
        self._period = Period()
        self._errors: dict[str, int] = {}

    def arrived(self, request: Request) -> None:
        """Notes a request that no schedule knows of, so that it is missed should this process die."""
        with self._lock:
            self._write(request, Status.ARRIVED, end_s=math.nan)

    def completed(self, request: Request, service: Service, *, right: bool | None, service_ratio: float) -> float:
        """Notes a result; returns its latency in ms."""
        latency_ms = (service.end_s - request.arrival_s) * 1000
        with self._lock:
            self._write(request, Status.COMPLETED, service.end_s, service, -1 if right is None else int(right))
            period = self._period
            period.finished += 1
            period.on_time += latency_ms <= request.target_ms
            period.latencies_ms.append(latency_ms)
            period.service_ratios.append(service_ratio)
        return latency_ms

    def dropped(self, request: Request, at_s: float) -> None:
        """Notes a request that was given up while it waited."""
        with self._lock:
            self._write(request, Status.DROPPED, at_s)
            self._period.finished += 1

    def failed(self, request: Request, at_s: float, service: Service | None = None) -> None:
        """Notes a request that failed while it was served, or was lost with a killed process."""
        with self._lock:
            self._write(request, Status.FAILED, at_s, service)
            self._period.finished += 1

    def error(self, text: str) -> None:
        """Keeps an error for `take_errors`; only so many different ones are kept."""
        with self._lock:
            if text in self._errors or len(self._errors) < MOST_ERRORS:
                self._errors[text] = self._errors.get(text, 0) + 1

    def take(self) -> Period:
        """What ended since the last call."""
        with self._lock:
            period, self._period = self._period, Period()
        return period

    def take_errors(self) -> dict[str, int]:
        """Errors since the last call, and how often each happened."""
        with self._lock:
            errors, self._errors = self._errors, {}
        return errors

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._records.close()

    def _write(
        self, request: Request, status: Status, end_s: float, service: Service | None = None, correct: int = -1
    ) -> None:
        if self._closed:
            return
        served = service or _UNSERVED
        self._records.write(
            (
                request.index,
                request.arrival_s,
                served.start_s,
                end_s,
                request.target_ms,
                served.service_ms,
                status,
                correct,
                served.subnet,
                served.unit,
                served.cores,
            )
        )


_UNSERVED = Service(start_s=math.nan, end_s=math.nan, subnet=-1, unit=-1, cores=0)
