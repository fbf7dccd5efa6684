"""Measure what `gearshift serve` adds to `Deployment.infer`, and what it does under load while a worker is killed.

First in turns, one request at a time: a client in a process of its own over HTTP, and `Deployment.infer` in the
server's process. Then 20 clients send 200 requests a second together to three applications for a minute, and a worker
is killed with SIGKILL in the middle; every request must be answered or refused, and the counts of the clients, of
`/metrics` and of the summary must fit. `python -m benchmarks.bench_serve [--rounds N] [--seconds S] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table

from actors.ownership import Claim
from actors.session import RaySession
from benchmarks import serve_clients
from benchmarks.rig import print_table
from workloads.mix.app import App
from workloads.mix.arrivals import External
from workloads.mix.mix import Mix
from workloads.results.summary import Summary
from workloads.runs.boards import open_board
from workloads.runs.launch import Deployment, deploy_plan
from workloads.runs.plan import plan_run
from workloads.serve.board_view import BoardView
from workloads.serve.listener import Address
from workloads.serve.server import Server

APPS = ("gate", "yard", "roof")
_CLIENTS, _HZ = 20, 200.0
_PAUSE_S = 0.01
_COUNTED = tuple(f"gearshift_{name}" for name in ("requests_submitted", "requests", "requests_in_flight", "refused"))


def main(argv: list[str] | None = None) -> int:
    """Print the figures; return 1 if counts do not fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000, help="requests of each way, in turns")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the load")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    apps = [App(app, supernet="ofa-plates", arrivals=External(), latency_ms=250, queue=16) for app in APPS]
    mix = Mix("bench-serve", duration_s=3600, apps=apps)
    with tempfile.TemporaryDirectory() as directory:
        ended: list[Summary] = []
        with _served(mix, Path(directory) / "run", ended) as (port, deployment):
            times = _in_turns(port, deployment, options.rounds)
            figures: dict[str, Any] = {"ms": {name: _quantiles(taken) for name, taken in times.items()}}
            figures["cpu_ms"] = _cpu(port, deployment)
            figures["load"] = _load(port, deployment, options.seconds)
        figures["load"]["summary"] = {
            name: [app.submitted, app.completed, app.dropped, app.failed, app.in_flight]
            for name, app in ended[0].apps.items()
        }
    faults = _faults(figures["load"])
    _show(figures)
    print("counts fit" if not faults else "\n".join(faults))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 1 if faults else 0


@contextmanager
def _served(mix: Mix, out: Path, ended: list[Summary]) -> Iterator[tuple[int, Deployment]]:
    """Serve a mix on this machine for the length of the block; its summary is put into `ended`."""
    view, address, board = BoardView(), Address("127.0.0.1:0"), open_board("host")
    with Claim([board], mix.name, share=True) as claim, address.listen() as listening:
        plan = plan_run(mix, board)
        with RaySession(plan.gpus, claim) as session:
            with deploy_plan(plan, session, out, view.note) as deployment:
                server = Server(deployment, view, listening, hosts=address.hosts)
                thread = threading.Thread(target=server.run)
                thread.start()
                try:
                    while len(view.gears) < len(APPS):
                        time.sleep(0.1)
                    yield listening.getsockname()[1], deployment
                finally:
                    server.stop()
                    thread.join()
            assert deployment.summary is not None
            ended.append(deployment.summary)


def _in_turns(port: int, deployment: Deployment, rounds: int) -> dict[str, list[float]]:
    """Return the times of requests over HTTP and of those without, in milliseconds, taken in turns."""
    picture = np.arange(serve_clients.SIDE[0] * serve_clients.SIDE[1], dtype=np.uint8).reshape(serve_clients.SIDE)
    times: dict[str, list[float]] = {"infer": [], "HTTP": []}
    with _client(port) as ask:
        for number in range(rounds + 20):
            begun = time.perf_counter()
            deployment.infer(APPS[0], picture)
            infer_ms = (time.perf_counter() - begun) * 1000
            time.sleep(_PAUSE_S)
            http_ms = ask()
            time.sleep(_PAUSE_S)
            if number >= 20 and http_ms > 0:
                times["infer"].append(infer_ms)
                times["HTTP"].append(http_ms)
    return times


def _cpu(port: int, deployment: Deployment, blocks: int = 10, each: int = 30) -> dict[str, float]:
    """Return the CPU time of the server's process for a request of each way, in ms: the median of blocks in turns.

    It is what other load on the machine changes least.
    """
    picture = np.zeros(serve_clients.SIDE, np.uint8)
    found: dict[str, list[float]] = {"infer": [], "HTTP": [], "idle": []}
    with _client(port) as ask:
        for _ in range(blocks):
            for name, call in (
                ("infer", lambda: deployment.infer(APPS[0], picture)),
                ("HTTP", ask),
                ("idle", lambda: time.sleep(0.005)),
            ):
                begun = time.process_time()
                for _ in range(each):
                    call()
                found[name].append((time.process_time() - begun) * 1000 / each)
    return {name: float(np.median(times)) for name, times in found.items()}


@contextmanager
def _client(port: int) -> Iterator[Callable[[], float]]:
    """Give a function that has a client in a process of its own send a request, and returns how long it took, in ms."""
    command = [sys.executable, serve_clients.__file__, "one", str(port), APPS[0]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        given, said = client.stdin, client.stdout

        def ask() -> float:
            given.write("\n")
            return float(said.readline())

        yield ask
        given.close()


def _quantiles(taken: list[float]) -> dict[str, float]:
    return {"n": len(taken), **{f"p{q}": float(np.percentile(taken, q)) for q in (10, 50, 90, 99)}}


def _load(port: int, deployment: Deployment, seconds: float) -> dict[str, Any]:
    """Put the server under load, kill a worker in the middle, and return all counts of it."""
    before = _metrics(port)
    command = [sys.executable, serve_clients.__file__, "many", str(port), str(_CLIENTS), str(_HZ), str(seconds), *APPS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as clients:
        time.sleep(seconds / 2)
        os.kill(deployment.live.pids[APPS[1]], signal.SIGKILL)
        assert clients.stdout is not None
        said = json.loads(clients.stdout.read())
    after = _metrics(port)
    while sum(after["gearshift_requests_in_flight"].values()):  # what was lost with the worker has failed by then
        time.sleep(0.5)
        after = _metrics(port)
    return {"seconds": seconds, "sent": said["sent"], "statuses": said["statuses"], "before": before, "after": after}


def _metrics(port: int) -> dict[str, dict[str, float]]:
    """Return the samples of requests, by name and by the values of their labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as page:
        families = text_string_to_metric_families(page.read().decode())
    found: dict[str, dict[str, float]] = {}
    for family in families:
        for sample in family.samples:
            if (
                family.name in ("gearshift_requests_submitted", "gearshift_requests", "gearshift_requests_in_flight")
                or family.name == "gearshift_refused"
            ):
                found.setdefault(sample.name, {})["/".join(sample.labels.values())] = sample.value
    return found


def _faults(load: dict[str, Any]) -> list[str]:
    """Return what does not fit, in sentences."""
    faults = []
    answered = sum(load["statuses"].values())
    if answered != load["sent"] or not set(load["statuses"]) <= {"200", "429", "503", "504", "500"}:
        faults.append(f"{load['sent']} requests were sent, and {load['statuses']} came back")
    after, ended = load["after"], load["after"]["gearshift_requests_total"]
    for app, (submitted, completed, dropped, failed, in_flight) in load["summary"].items():
        counted = [after["gearshift_requests_submitted_total"][app]]
        counted += [ended[f"{app}/{outcome}"] for outcome in ("completed", "dropped", "failed")]
        if counted != [submitted, completed, dropped, failed] or submitted != completed + dropped + failed + in_flight:
            faults.append(f"{app}: /metrics has {counted}, and the summary {load['summary'][app]}")
    completed = sum(
        ended[f"{app}/completed"] - load["before"]["gearshift_requests_total"][f"{app}/completed"] for app in APPS
    )
    if load["statuses"].get("200", 0) > completed:
        faults.append(f"clients have {load['statuses']['200']} results, and {completed:g} were completed")
    return faults


def _show(figures: dict[str, Any]) -> None:
    table = Table("one request at a time", "n", "p10", "p50", "p90", "p99, ms", title="the way to a worker and back")
    for name, found in figures["ms"].items():
        table.add_row(name, str(found["n"]), *(f"{found[q]:.3f}" for q in ("p10", "p50", "p90", "p99")))
    http, infer = figures["ms"]["HTTP"], figures["ms"]["infer"]
    table.add_row("HTTP adds", "", *(f"{http[q] - infer[q]:+.3f}" for q in ("p10", "p50", "p90", "p99")))
    print_table(table)
    cpu = figures["cpu_ms"]
    print("CPU time of the server's process, ms: " + ", ".join(f"{name} {ms:.3f}" for name, ms in cpu.items()))
    load = figures["load"]
    print(f"load of {load['seconds']:g} s: {load['sent']} sent, answers {load['statuses']}")
    print(f"refused: {load['after'].get('gearshift_refused_total', {})}")
    print(f"summary [submitted, completed, dropped, failed, in flight]: {load['summary']}")


if __name__ == "__main__":
    sys.exit(main())
