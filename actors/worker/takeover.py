"""The beginning of a worker: at the start of its application, where a killed predecessor left off, or none at all."""

from __future__ import annotations

import os
from pathlib import Path

from actors.requests.queue import Intake, Request, RequestQueue, remains
from actors.requests.records import RECORD, read_records
from actors.worker.spec import WorkerSpec
from actors.worker.status import WorkerStatus
from actors.worker.tally import Tally


def take_over(spec: WorkerSpec, resume_from_s: float | None) -> tuple[Intake, Tally]:
    """Return the intake and the tally of a worker that begins.

    Requests that the predecessor took and never ended are recorded as failed.

    Args:
        spec: what the worker serves.
        resume_from_s: board time from which a successor goes on; None for the first worker of the application.
    """
    queue = RequestQueue(spec.queue_bound, spec.drop, renews=spec.saturate)
    path = Path(spec.records_path)
    if resume_from_s is None:
        return Intake(arrivals_s=spec.arrivals_s, segments=spec.segments, queue=queue), Tally(path)
    if path.exists():
        # A kill can cut the last record short, and the next one must not begin in its middle.
        os.truncate(path, path.stat().st_size // RECORD.itemsize * RECORD.itemsize)
    left = remains(read_records(path), arrivals_s=spec.arrivals_s, resume_from_s=resume_from_s)
    intake = Intake(
        arrivals_s=spec.arrivals_s,
        segments=spec.segments,
        queue=queue,
        first=left.first,
        next_index=left.next_index,
    )
    tally = Tally(path)
    for index, arrival_s in left.lost:
        tally.failed(Request(index, arrival_s, intake.target_ms(arrival_s)), resume_from_s)
    return intake, tally


def give_up(spec: WorkerSpec, at_s: float) -> WorkerStatus:
    """Record what an application lost whose worker is not started again, and return its last status.

    Args:
        spec: what the worker would have served.
        at_s: board time of its end; what came until then and never ended has failed.
    """
    intake, tally = take_over(spec, at_s)
    tally.close()
    return WorkerStatus(
        app=spec.app,
        pid=os.getpid(),
        thread=None,
        serving=False,
        gear=None,
        plan=-1,
        prepared=(),
        queue_len=len(intake.queue),
        closed_s=at_s,
        switch_ms=(),
    )
