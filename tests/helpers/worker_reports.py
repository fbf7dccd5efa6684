"""Reports of workers as the manager gets them, for worlds that play workers and for tests of what it makes of them."""

from __future__ import annotations

from dataclasses import replace

from scheduler.messages import AppTelemetry


def report(app: str = "a", **changes: object) -> AppTelemetry:
    """Return the report of a worker that has done nothing and is in no gear, but for the changes."""
    nothing = AppTelemetry(
        app=app,
        arrived=0,
        finished=0,
        on_time=0,
        queue_len=0,
        latencies_ms=(),
        service_ratio=None,
        gear=None,
        plan=-1,
    )
    return replace(nothing, **changes)


def in_phase(phase: str = "input", **changes: object) -> AppTelemetry:
    """Return the report of a worker that is in a phase of a request, with three more waiting."""
    return report(**{"queue_len": 3, "phase": phase, "beats": 1, "worker": 1, **changes})
