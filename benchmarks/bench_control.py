"""Measure the control round trip: an Activate to a worker's actor and its acknowledgement, against a bare Ray call.

Both in turns, first with idle workers, then while every worker serves requests as fast as it can. The worker and the
bare actor live on one Ray. `python -m benchmarks.bench_control [--calls N] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import ray
from rich.console import Console
from rich.table import Table

from actors.clock import BoardClock
from actors.cluster import packaged_board
from actors.session import RaySession
from actors.wire import encode
from scheduler.messages import Activate, Prepare
from scheduler.views import Gear
from workloads import App, Mix, Periodic, Saturate
from workloads.runs.host import HostSentinel
from workloads.runs.live import LiveRun
from workloads.runs.plan import plan_run


class _Bare:
    def call(self, payload: bytes) -> bytes:
        return payload


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    figures: dict[str, Any] = {}
    with RaySession() as session:
        bare = ray.remote(num_cpus=0)(_Bare).remote()
        ray.get(bare.call.remote(b""))
        for state, arrivals in (("idle", Periodic(hz=0.01)), ("under load", Saturate())):
            figures[state] = _measure(session, bare, arrivals, options.calls)
    _show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _measure(session: RaySession, bare: Any, arrivals: Any, calls: int) -> dict[str, Any]:
    """Return the round trips in one state of the workers, in milliseconds."""
    apps = [App(name, supernet="ofa-plates", arrivals=arrivals, latency_ms=500) for name in ("a", "b")]
    board = packaged_board("two-core-host")
    run = plan_run(Mix(name="control", duration_s=3600, apps=apps), board)
    live = LiveRun(run, session, Path(mkdtemp(prefix="gearshift-bench-")), endless=True)
    try:
        live.start()
        live.clock.sleep_until(1.0)
        worker = live.worker("a")
        artifacts = list(run.apps["a"].artifacts)
        gears = [Gear(subnet=subnet, unit="big", cores=1) for subnet in artifacts[:2]]
        # Numbers far above the manager's own, which therefore leaves this worker alone.
        plan = 1_000_000
        for gear in gears:
            plan += 1
            ray.get(worker.obey.remote(encode(Prepare(app="a", gear=gear, plan=plan))))

        def activate() -> None:
            nonlocal plan
            plan += 1
            order = Activate(app="a", gear=gears[plan % 2], cpus=(0,), plan=plan)
            ray.get(worker.obey.remote(encode(order)))

        def call() -> None:
            ray.get(bare.call.remote(b"x" * 120))

        with HostSentinel(sorted(os.sched_getaffinity(0)), BoardClock(time.monotonic())) as sentinel:
            ours, peer = _in_turns(activate, call, calls)
        host = sentinel.result()
    finally:
        live.kill()
    return {
        "activate_ms": _quantiles(ours),
        "bare_ms": _quantiles(peer),
        "calls": calls,
        "stalled_share": host.stalled_share,
        "stall_ms_max": host.stall_ms_max,
    }


def _in_turns(ours: Callable[[], None], peer: Callable[[], None], calls: int) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(calls):
        for kept, function in zip(times, (ours, peer), strict=True):
            start = time.perf_counter()
            function()
            kept.append((time.perf_counter() - start) * 1e3)
    return times


def _quantiles(times_ms: list[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(times_ms, q)), 3) for q in (50, 90, 99)}


def _show(figures: dict[str, Any]) -> None:
    table = Table(title="control round trip, ms", title_justify="left")
    for header in ("workers", "activate p50", "p90", "p99", "bare call p50", "p90", "p99", "host stalled", "longest"):
        table.add_column(header, justify="right")
    for state, row in figures.items():
        cells = [f"{value:.2f}" for kind in ("activate_ms", "bare_ms") for value in row[kind].values()]
        table.add_row(state, *cells, f"{row['stalled_share']:.1%}", f"{row['stall_ms_max']:.1f} ms")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
