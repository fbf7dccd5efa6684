"""The state of a worker, as it tells the driver of a run."""

from __future__ import annotations

from dataclasses import dataclass

from actors.worker.gearbox import Form
from scheduler.messages import RequestFault
from scheduler.views import Gear


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerStatus:
    """The state of a worker.

    Attributes:
        app: name of its application.
        pid: number of its process.
        thread: the kernel's number of its inference thread; None before `start`.
        serving: True until it has ended.
        gear: gear in force; None before the first.
        plan: number of the plan that the gear serves; -1 before the first.
        prepared: networks that are ready, least recently used first.
        queue_len: number of requests that wait.
        closed_s: board time until which scheduled requests were let in; None while they still are.
        switch_ms: for each call of `activate` that changed the gear, board time from the call until the new gear was
            in force.
        worker: number of the worker, as in its telemetry.
        faults: what went wrong with requests since its start.
    """

    app: str
    pid: int
    thread: int | None
    serving: bool
    gear: Gear | None
    plan: int
    prepared: tuple[Form, ...]
    queue_len: int
    closed_s: float | None
    switch_ms: tuple[float, ...]
    worker: int = 0
    faults: tuple[RequestFault, ...] = ()
