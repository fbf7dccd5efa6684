"""Measure a switch between sub-networks, and the first inference after it.

A worker serves in a closed loop and has to change its network every few inferences. In turns with it, in blocks: the
bare engine with both networks prepared, in the same rhythm (the first inference of a network after the other one ran,
or nothing ran, for as long); a new read of the other network's files; and the `ofa` package's copy of a sub-network of
the same architecture. `python -m benchmarks.bench_switch [--switches N] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import torch

import supernets
from actors.clock import BoardClock
from benchmarks.rig import (
    Spread,
    Stopwatch,
    completed,
    cores,
    figures_table,
    lost,
    order,
    print_stalls,
    print_table,
    ratio,
    start_clock,
    watched,
    worker,
)
from supernets import engines
from supernets.artifact import Artifact
from supernets.exporting import export
from supernets.ofa.space import Architecture
from supernets.ofa.spaces import OFA_MBV3_W12
from supernets.pictures import sources
from supernets.search.latency import on_cpus
from supernets.seq2seq.space import TRANSLATOR
from supernets.task import Source
from tests.helpers.ofa_peer import activate, make_peer

_BLOCKS = 5

SWITCH = "worker.activate"
WORKER_FIRST = "first inference after it"
BARE_FIRST = "bare engine, first after the other network ran"
IDLE_FIRST = "bare engine, first after an idle pause"
RELOAD = "reading the ONNX files anew"
COPY = "ofa package, copy of the sub-network"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two sub-networks to switch between.

    Attributes:
        name: name of their supernet.
        artifacts: their files, by sub-network.
        source: source of the inputs of both.
        pause_ms: time between two switches.
        architectures: the same sub-networks for the `ofa` package to copy; empty if the package has no such network.
    """

    name: str
    artifacts: Mapping[str, Artifact]
    source: Source
    pause_ms: float
    architectures: tuple[Architecture, ...] = ()


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--switches", type=int, default=500)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    clock = start_clock()
    torch.set_num_threads(1)
    cases: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as directory, on_cpus(cores()[:1]), watched(clock) as sentinel:
        for pair in (_plates(Path(directory)), _once_for_all(Path(directory)), _translator(Path(directory))):
            stopwatch = Stopwatch(clock)
            per_block = max(2, options.switches // _BLOCKS)
            failures = sum(_block(pair, per_block, clock, stopwatch) for _ in range(_BLOCKS))
            cases[pair.name] = {**_case(stopwatch.spreads(sentinel.gaps)), "requests_lost": failures}
    figures = {"cases": cases, "host": asdict(sentinel.result())}
    _show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _case(spreads: dict[str, Spread]) -> dict[str, Any]:
    """Return all times, the ratio of each other way to switch to ours, and of our first inference to the bare ones."""
    ratios = {f"{peer} / {SWITCH}": ratio(spreads[peer], spreads[SWITCH]) for peer in (RELOAD, COPY) if peer in spreads}
    for subnet in [name.removeprefix(f"{WORKER_FIRST}, ") for name in spreads if name.startswith(WORKER_FIRST)]:
        ours = spreads[f"{WORKER_FIRST}, {subnet}"]
        for bare in (BARE_FIRST, IDLE_FIRST):
            ratios[f"{WORKER_FIRST} / {bare}, {subnet}"] = ratio(ours, spreads[f"{bare}, {subnet}"])
    return {"times": {name: asdict(spread) for name, spread in spreads.items()}, "ratios": ratios}


def _plates(directory: Path) -> Pair:
    net = supernets.load("ofa-plates")
    ladder = net.ladder()
    artifacts = {rung.id: export(net, rung, directory) for rung in (ladder[0], ladder[-1])}
    return Pair(name=net.name, artifacts=artifacts, source=sources.plate_stream(seed=0, count=64), pause_ms=20.0)


def _once_for_all(directory: Path) -> Pair:
    """Return the smallest and the largest network of the published ladder, with random weights."""
    net = supernets.load(OFA_MBV3_W12.name)
    ladder = net.ladder()
    ends = (ladder[0], ladder[-1])
    return Pair(
        name=net.name,
        artifacts={rung.id: export(net, rung, directory) for rung in ends},
        source=sources.Noise(seed=0),
        pause_ms=60.0,
        architectures=tuple(rung.knobs for rung in ends if isinstance(rung.knobs, Architecture)),
    )


def _translator(directory: Path) -> Pair:
    """Return the ends of the translator's ladder; its first inferences are of sentences, which differ in length."""
    net = supernets.load(TRANSLATOR.name)
    ladder = net.ladder()
    return Pair(
        name=net.name,
        artifacts={rung.id: export(net, rung, directory) for rung in (ladder[0], ladder[-1])},
        source=supernets.inputs_of(net.name).stream(0),
        pause_ms=60.0,
    )


def _block(pair: Pair, switches: int, clock: BoardClock, stopwatch: Stopwatch) -> int:
    """Measure all contenders once in turn; return the number of the worker's lost requests."""
    failures = _switch_worker(pair, switches, clock, stopwatch)
    _switch_bare(pair, switches, clock, stopwatch)
    few = max(2, switches // 10)
    for _, artifact in zip(range(few), cycle(pair.artifacts.values()), strict=False):
        stopwatch.time(RELOAD, _reopen, artifact)
    if pair.architectures:
        peer = make_peer(OFA_MBV3_W12, width=1.2).eval()
        for _, architecture in zip(range(few), cycle(pair.architectures), strict=False):
            activate(peer, architecture)
            stopwatch.time(COPY, peer.get_active_subnet)
    return failures


def _reopen(artifact: Artifact) -> None:
    for file in artifact.files:
        engines.open_model(file)


def _switch_worker(pair: Pair, switches: int, clock: BoardClock, stopwatch: Stopwatch) -> int:
    """Let a worker switch while it serves; return the number of its lost requests."""
    subnets = list(pair.artifacts)
    with worker(pair.artifacts, pair.source, cores(), clock) as serving:
        serving.start()
        for number in range(1, switches + 1):
            clock.sleep_until(clock.now_s() + pair.pause_ms / 1e3)
            message = order(serving, subnets[number % 2], plan=number)
            stopwatch.time(SWITCH, serving.activate, message)
        clock.sleep_until(clock.now_s() + pair.pause_ms / 1e3)
        serving.drain(clock.now_s())
        serving.join()
        records, failures = completed(serving), lost(serving)
    for before, after in pairwise(records):
        if before["subnet"] != after["subnet"]:
            name = f"{WORKER_FIRST}, {subnets[after['subnet']]}"
            stopwatch.add(name, float(after["start_s"]), float(after["end_s"]))
    return failures


def _switch_bare(pair: Pair, switches: int, clock: BoardClock, stopwatch: Stopwatch) -> None:
    runs = {subnet: engines.prepare(artifact) for subnet, artifact in pair.artifacts.items()}
    inputs = {subnet: pair.source.inputs(artifact) for subnet, artifact in pair.artifacts.items()}
    subnets = list(runs)
    for number in range(switches):
        subnet, other = subnets[number % 2], subnets[1 - number % 2]
        run, x, other_x = runs[subnet], inputs[subnet](number), inputs[other](number)
        until_s = clock.now_s() + pair.pause_ms / 1e3
        while clock.now_s() < until_s:
            runs[other](other_x)
        stopwatch.time(f"{BARE_FIRST}, {subnet}", run, x)
        clock.sleep_until(clock.now_s() + pair.pause_ms / 1e3)
        stopwatch.time(f"{IDLE_FIRST}, {subnet}", run, x)


def _show(figures: dict[str, Any]) -> None:
    for network, case in figures["cases"].items():
        table = figures_table(f"switching, {network}, ms", "p50", "p10", "p90", "p99", "kept", "discarded")
        for name, times in case["times"].items():
            cells = [times[key] for key in ("p50_ms", "p10_ms", "p90_ms", "p99_ms", "kept", "discarded")]
            table.add_row(name, *("unknown" if cell is None else f"{cell:.4g}" for cell in cells))
        print_table(table)
        for name, value in case["ratios"].items():
            print(f"{name}: {'unknown' if value is None else f'{value:.3g}x'}")
        print(f"requests dropped or failed while switching: {case['requests_lost']}")
    print_stalls(figures["host"])


if __name__ == "__main__":
    sys.exit(main())
