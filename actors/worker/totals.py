"""The counts of a worker since its start, from which the manager makes telemetry."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.messages import AppTelemetry, RequestFault
from scheduler.views import Gear


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerTotals:
    """The counts of a worker since its start, and its gear and queue now.

    Attributes:
        started_ns: when the worker started, by the monotonic clock; tells it from a predecessor that was killed.
        arrived: number of requests that arrived.
        finished: number of requests that completed, were dropped or failed.
        on_time: number of requests that completed within their target.
        completed: number of requests that completed.
        service_ratios: sum over the completed requests of observed over expected service time.
        latencies_ms: latencies of the latest completed requests, oldest first.
        queue_len: number of requests that wait now.
        gear: gear in force; None before the first.
        plan: number of the plan that the gear serves; -1 before the first.
        phase: what the inference thread does now, a `Phase`.
        beats: how many steps it has made.
        faults: what went wrong with requests.
    """

    started_ns: int
    arrived: int = 0
    finished: int = 0
    on_time: int = 0
    completed: int = 0
    service_ratios: float = 0.0
    latencies_ms: tuple[float, ...] = ()
    queue_len: int = 0
    gear: Gear | None = None
    plan: int = -1
    phase: str = "idle"
    beats: int = 0
    faults: tuple[RequestFault, ...] = ()

    def since(self, earlier: WorkerTotals | None, app: str) -> AppTelemetry:
        """Return what happened between two reports of one application.

        For example, 5 requests arrived by the earlier report and 7 by this one: 2 arrived in between.

        Args:
            earlier: the report before this one; None for the first. That of another worker, which was killed, is
                ignored, since its successor counts from 0.
            app: name of the application.
        """
        if earlier is None or earlier.started_ns != self.started_ns:
            earlier = WorkerTotals(started_ns=self.started_ns)
        completed = self.completed - earlier.completed
        ratio = (self.service_ratios - earlier.service_ratios) / completed if completed else 0.0
        return AppTelemetry(
            app=app,
            arrived=self.arrived - earlier.arrived,
            finished=self.finished - earlier.finished,
            on_time=self.on_time - earlier.on_time,
            queue_len=self.queue_len,
            latencies_ms=self.latencies_ms[max(0, len(self.latencies_ms) - completed) :],
            # A process that stood still between a result and its look at the unit's progress has taken too much off.
            service_ratio=ratio if ratio > 0 else None,
            gear=self.gear,
            plan=self.plan,
            worker=self.started_ns,
            phase=self.phase,
            beats=self.beats,
            faults=self.faults,
        )
