"""A worker's report as the manager gets it, for tests of what it makes of progress and errors."""

from scheduler.messages import AppTelemetry


def report(phase="input", beats=1, worker=1):
    return AppTelemetry(
        app="a",
        arrived=0,
        finished=0,
        on_time=0,
        queue_len=3,
        latencies_ms=(),
        service_ratio=None,
        gear=None,
        plan=-1,
        worker=worker,
        phase=phase,
        beats=beats,
    )
