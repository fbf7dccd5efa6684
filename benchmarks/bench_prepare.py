"""Measure the preparation of networks: its time, its memory, and its effect on the requests served meanwhile.

On the six published `gpu6` networks of ofa-mbv3-w1.2 (random weights, on which the figures do not depend), on one and
two threads:

- *prepare*: time of the first preparation (nothing is kept beside the file) and of the next, and the memory of one more
  network; each engine has a process of its own with all imports of a worker;
- *worker*: memory of a whole worker that was asked for all twelve forms, under its default bound;
- *serving*: latency of a worker on one core in a closed loop: alone, while another process computes on the other cores
  (which on a shared machine slows it down too), and while it prepares other networks of its ladder there.

`python -m benchmarks.bench_prepare [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import count as counted
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import supernets
from actors.clock import BoardClock
from actors.pinning import pin
from actors.worker.spec import MEMORY_MB
from actors.worker.worker import Worker
from benchmarks.rig import (
    APP,
    UNIT,
    Stopwatch,
    completed,
    cores,
    figures_table,
    print_stalls,
    print_table,
    start_clock,
    watched,
    worker,
)
from scheduler.messages import Prepare
from scheduler.views import Gear
from supernets import engines
from supernets.artifact import Artifact
from supernets.exporting import export
from supernets.pictures.sources import Noise

_LADDER = "ofa-mbv3-w1.2:gpu6"
_ENGINES = ("onnxruntime", "openvino")
_SERVING_ROUNDS = 5
_SERVING_S = 2.0


def main(argv: list[str] | None = None) -> int:
    """Print the tables; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    clock = start_clock()
    threads = [number for number in (1, 2) if number <= len(cores())]
    with tempfile.TemporaryDirectory() as directory, watched(clock) as sentinel:
        net = supernets.load(_LADDER)
        ladder = [export(net, rung, Path(directory)) for rung in net.ladder()]
        prepared = {engine: _in_process(_prepare_all, engine, ladder, threads) for engine in _ENGINES}
        memory = {engine: _in_process(_worker_memory, engine, ladder, threads) for engine in _ENGINES}
        serving = {name: asdict(spread) for name, spread in _serve(ladder, clock).spreads(sentinel.gaps).items()}
    figures = {
        "prepare": prepared,
        "worker": memory,
        "serving": serving,
        "host": asdict(sentinel.result()),
    }
    _show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _in_process(function: Callable[..., object], *arguments: object) -> Any:
    """Return the result of a function in a fresh process, so that memory used before does not count."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


# ---------------------------------------------------------------- preparing, and what it costs


def _prepare_all(engine: str, ladder: Sequence[Artifact], threads: Sequence[int]) -> list[dict[str, Any]]:
    """Prepare each network for the first time, drop it, prepare it again and keep it; return one row for each."""
    _import_what_a_worker_imports()
    engines.prepare(ladder[0], engine)  # the time and memory that an engine needs once belong to no network
    kept, rows = [], []
    for count in threads:
        for artifact in ladder:
            for found in Path(artifact.path).parent.glob(f"{Path(artifact.path).stem}.*.optimised"):
                if engine == "onnxruntime" and count == 1:
                    shutil.rmtree(found)
            start_s = time.perf_counter()
            engines.prepare(artifact, engine, count)
            again_s = time.perf_counter()
            before_mb = engines.footprint_mb(kept)
            kept.append(engines.prepare(artifact, engine, count))
            end_s = time.perf_counter()
            rows.append(
                {
                    "subnet": artifact.subnet,
                    "threads": count,
                    "first_s": again_s - start_s,
                    "again_s": end_s - again_s,
                    "more_mb": engines.footprint_mb(kept) - before_mb,
                    "private_mb": kept[-1].memory_mb,
                }
            )
    return rows


def _import_what_a_worker_imports() -> None:
    import actors.remote

    assert actors.remote.WorkerActor


def _worker_memory(engine: str, ladder: Sequence[Artifact], threads: Sequence[int]) -> dict[str, Any]:
    """Return the memory of a worker before it has a network, and after it was asked for every form.

    The files that engines keep beside the networks are there already, as they are after profiling.
    """
    _import_what_a_worker_imports()
    before = _memory()
    artifacts = {artifact.subnet: artifact for artifact in ladder}
    cpus = cores()[: max(threads)]
    with worker(artifacts, Noise(seed=0), cpus, start_clock(), engine, MEMORY_MB) as serving:
        forms = [(artifact.subnet, count) for count in threads for artifact in ladder]
        for plan, (subnet, count) in enumerate(forms, start=1):
            gear = Gear(subnet=subnet, unit=UNIT, cores=count)
            serving.prepare(Prepare(app=APP, gear=gear, plan=plan))
        time.sleep(1)  # the networks for which there is room follow
        return {"before": before, "after": _memory(), "ready": len(serving.status().prepared), "of": len(forms)}


def _memory() -> dict[str, float]:
    process = psutil.Process()
    full = process.memory_full_info()
    # The engine maps each tensor separately and once for each session; their shares of a page add up to the page.
    weights = sum(mapped.pss for mapped in process.memory_maps(grouped=False) if mapped.path.endswith("/weights"))
    return {
        "private_mb": engines.private_mb(),
        "weights_mb": weights / 1e6,
        "uss_mb": full.uss / 1e6,
        "pss_mb": full.pss / 1e6,
    }


# ---------------------------------------------------------------- serving meanwhile


def _serve(ladder: Sequence[Artifact], clock: BoardClock) -> Stopwatch:
    """Serve the smallest network on the first core, alone and with other work beside it, in turns."""
    stopwatch, everywhere = Stopwatch(clock), cores()
    artifacts = {artifact.subnet: artifact for artifact in ladder}
    for engine in _ENGINES:
        with worker(artifacts, Noise(seed=0), cores()[:1], clock, engine, MEMORY_MB) as serving:
            serving.start()
            pin(os.getpid(), cores()[:1])  # as the board agent does
            plans = counted(1)
            for _ in range(_SERVING_ROUNDS):
                for name, beside in (("alone", _idle), ("others busy", _compute), ("preparing", _prepare_others)):
                    start_s, first = clock.now_s(), len(completed(serving))
                    beside(serving, clock, start_s + _SERVING_S, plans)
                    for record in completed(serving)[first + 1 :]:
                        stopwatch.add(f"{engine}, {name}", float(record["start_s"]), float(record["end_s"]))
            serving.drain(clock.now_s())
            serving.join()
            pin(os.getpid(), everywhere)
    return stopwatch


def _idle(serving: Worker, clock: BoardClock, until_s: float, plans: Iterator[int]) -> None:
    clock.sleep_until(until_s)


def _compute(serving: Worker, clock: BoardClock, until_s: float, plans: Iterator[int]) -> None:
    """Let a process compute on the cores that the worker does not serve on, as nice as a thread that prepares."""
    code = f"import os; os.sched_setaffinity(0, {set(cores()[1:] or cores())}); os.nice(5)\nwhile True: pass"
    computing = subprocess.Popen([sys.executable, "-c", code])
    clock.sleep_until(until_s)
    computing.kill()
    computing.wait()


def _prepare_others(serving: Worker, clock: BoardClock, until_s: float, plans: Iterator[int]) -> None:
    others = list(serving.spec.artifacts)[1:]
    while clock.now_s() < until_s:
        plan = next(plans)
        gear = Gear(subnet=others[plan % len(others)], unit=UNIT, cores=1)
        serving.prepare(Prepare(app=APP, gear=gear, plan=plan))


# ---------------------------------------------------------------- tables


def _show(figures: dict[str, Any]) -> None:
    table = figures_table("preparing", "first, s", "again, s", "one more, MB", "of it private, MB")
    for engine, rows in figures["prepare"].items():
        for row in rows:
            cells = (f"{row[key]:.3g}" for key in ("first_s", "again_s", "more_mb", "private_mb"))
            table.add_row(f"{engine} {row['subnet']}, threads: {row['threads']}", *cells)
        medians = (f"{float(np.median([row[key] for row in rows])):.3g}" for key in ("first_s", "again_s"))
        table.add_row(f"{engine}, median", *medians, f"{sum(row['more_mb'] for row in rows):.0f} in all")
    print_table(table)
    table = figures_table("a worker asked for all forms, MB", "private + weights", "uss", "pss", "forms ready")
    for engine, row in figures["worker"].items():
        for when, ready in (("before", 0), ("after", row["ready"])):
            memory = row[when]
            total_mb = memory["private_mb"] + memory["weights_mb"]
            cells = (f"{value:.0f}" for value in (total_mb, memory["uss_mb"], memory["pss_mb"]))
            table.add_row(f"{engine}, {when}", *cells, f"{ready} of {row['of']}")
    print_table(table)
    print(f"bound of its networks: {MEMORY_MB:.0f} MB. Weights that two of its networks map are not in uss.")
    table = figures_table("serving, ms", "p50", "p10", "p90", "p99", "kept", "discarded")
    for name, times in figures["serving"].items():
        keys = ("p50_ms", "p10_ms", "p90_ms", "p99_ms", "kept", "discarded")
        table.add_row(name, *("unknown" if times[key] is None else f"{times[key]:.4g}" for key in keys))
    print_table(table)
    print_stalls(figures["host"])


if __name__ == "__main__":
    sys.exit(main())
