"""Measure the way to a GPU's executor and back: a network run through it against the same engine in this process.

In turns: the smallest and the largest network of the ladder of `ofa-plates`, held by an executor in a process of its
own, and prepared here. Then the smallest alone through the executor while that prepares the rest of the ladder. On a
machine without a GPU both compute on the CPU (`--device cpu`), which shows the time of the way but nothing of a GPU.
`python -m benchmarks.bench_executor [--device cuda:0] [--rounds N] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import supernets
from actors.clock import BoardClock
from actors.executor.client import ExecutorClient, own_executor
from benchmarks.rig import Stopwatch, print_table, start_clock, watched
from supernets import engines
from supernets.artifact import Artifact

EXECUTOR, HERE, BUSY = "through the executor", "the same engine here", "through it while it prepares others"
_PAUSE_S = 0.005


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", help="as torch names it")
    parser.add_argument("--rounds", type=int, default=300, help="inferences of each network by each contender")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    clock = start_clock()
    net = supernets.load("ofa-plates")
    stopwatch = Stopwatch(clock)
    with tempfile.TemporaryDirectory() as directory, watched(clock) as sentinel, own_executor(options.device) as client:
        ladder = [supernets.export(net, rung, Path(directory)) for rung in net.ladder()]
        smallest, *others, largest = ladder
        for artifact in (smallest, largest):
            _compare(artifact, client, options.device, options.rounds, stopwatch)
        _disturb(smallest, others, client, clock, stopwatch)
        spreads = stopwatch.spreads(sentinel.gaps)
    figures = {
        "device": options.device,
        "times": {name: asdict(spread) for name, spread in spreads.items()},
        "host": asdict(sentinel.result()),
    }
    _show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _compare(artifact: Artifact, client: ExecutorClient, device: str, rounds: int, stopwatch: Stopwatch) -> None:
    contenders: dict[str, engines.PreparedNetwork] = {
        EXECUTOR: client.prepare(artifact),
        HERE: engines.prepare(artifact, "torch", device=device),
    }
    x = np.random.default_rng(0).standard_normal(artifact.input_shape, dtype=np.float32)
    for _ in range(rounds):
        for name, network in contenders.items():
            stopwatch.time(f"{artifact.subnet}, {name}", network, x)
        time.sleep(_PAUSE_S)  # like a pause between requests: the executor sleeps and has to be woken


def _disturb(
    artifact: Artifact, others: Sequence[Artifact], client: ExecutorClient, clock: BoardClock, stopwatch: Stopwatch
) -> None:
    """Serve one network while all the others are prepared, one after another."""
    network = client.prepare(artifact)
    x = np.random.default_rng(0).standard_normal(artifact.input_shape, dtype=np.float32)
    held: list[engines.PreparedNetwork] = []
    preparing = threading.Thread(target=lambda: held.extend(client.prepare(other) for other in others))
    preparing.start()
    while preparing.is_alive():
        stopwatch.time(f"{artifact.subnet}, {BUSY}", network, x)
        time.sleep(_PAUSE_S)
    print(f"{len(held)} networks prepared by {clock.now_s():.1f} s", file=sys.stderr)


def _show(figures: dict[str, Any]) -> None:
    table = Table("network", "n", "p10", "p50", "p90", "p99, ms", title=f"executor on {figures['device']}")
    for name, spread in figures["times"].items():
        quantiles = (spread[key] for key in ("p10_ms", "p50_ms", "p90_ms", "p99_ms"))
        table.add_row(name, str(spread["kept"]), *("–" if ms is None else f"{ms:.3f}" for ms in quantiles))
    print_table(table)
    print(f"host: {figures['host']}")


if __name__ == "__main__":
    sys.exit(main())
