"""Inference: the worker against the bare engine, and the exported network against the `ofa` package's dynamic forward.

On `ofa-plates`, request by request in turns: a plain ONNX Runtime session; the engine as prepared here; the worker's
service (from having its cores to having the result) and its whole step (queue, cores, inference, score, record). On
Once-for-all MobileNetV3 w1.0: the package's dynamic forward against our export of the same sub-network of the same
weights, which compute the same (tests/test_against_ofa.py).

`python -m benchmarks.bench_inference [--rounds N] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from rich.table import Table
from torch import nn

import supernets
from actors.clock import BoardClock
from benchmarks.rig import Spread, Stopwatch, completed, cores, pinned, print_table, ratio, start_clock, watched, worker
from supernets import engines, sources
from supernets.artifact import Artifact
from supernets.catalog import OFA_MBV3_W10
from supernets.export import export, export_module
from supernets.mobilenet import ElasticMobileNetV3
from supernets.subnet import Architecture
from tests.ofa_peer import activate, make_peer, translated

_WARM_UP_ROUNDS = 5
_PICTURES = 64


def main(argv: list[str] | None = None) -> int:
    """Prints the table; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="inferences of each network by each contender")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    clock = start_clock()
    threads = [count for count in (1, 2) if count <= len(cores())]
    cases: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as directory, watched(clock) as sentinel:
        for count in threads:
            with pinned(cores()[:count]):
                for artifact in _plates(Path(directory)):
                    stopwatch = _serve_plates(artifact, cores(), options.rounds, clock)
                    cases.append(_case(f"ofa-plates {artifact.subnet}", count, stopwatch.spreads(sentinel.gaps)))
                for name, resolution, architecture in _once_for_all():
                    stopwatch = _run_once_for_all(
                        architecture, resolution, count, max(20, options.rounds // 6), clock, Path(directory)
                    )
                    cases.append(_case(f"w1.0 {name}, {resolution} px", count, stopwatch.spreads(sentinel.gaps)))
    figures = {"cases": cases, "host": asdict(sentinel.result())}
    _show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _case(network: str, threads: int, spreads: dict[str, Spread]) -> dict[str, Any]:
    """The contenders of one network; each one's ratio is to the first, the bare engine or our export."""
    reference = next(iter(spreads.values()))
    rows = {name: {**asdict(spread), "ratio": ratio(spread, reference)} for name, spread in spreads.items()}
    return {"network": network, "threads": threads, "times": rows}


# ---------------------------------------------------------------- the worker against the bare engine


def _plates(directory: Path) -> list[Artifact]:
    """Smallest, middle and largest of the ladder."""
    net = supernets.load("ofa-plates")
    ladder = net.ladder()
    return [export(net, rung, directory) for rung in (ladder[0], ladder[len(ladder) // 2], ladder[-1])]


def _serve_plates(artifact: Artifact, cpus: Sequence[int], rounds: int, clock: BoardClock) -> Stopwatch:
    source = sources.plate_stream(seed=0, count=_PICTURES)
    inputs = source.inputs(artifact)
    bare = _plain_session(artifact.path, len(cpus))
    prepared = engines.prepare(artifact, threads=len(cpus))
    stopwatch = Stopwatch(clock)
    with worker({artifact.subnet: artifact}, source, cpus, clock) as serving:
        for index in range(_WARM_UP_ROUNDS):
            bare.run(None, {"x": inputs(index)})
            prepared(inputs(index))
            serving.step()
        for index in range(rounds):
            x = inputs(index)
            stopwatch.time("ONNX Runtime, bare", bare.run, None, {"x": x})
            stopwatch.time("prepared", prepared, x)
            stopwatch.time("worker, whole step", serving.step)
        for record in completed(serving)[_WARM_UP_ROUNDS:]:
            stopwatch.add("worker, service", float(record["start_s"]), float(record["end_s"]))
    return stopwatch


def _plain_session(path: str, threads: int) -> onnxruntime.InferenceSession:
    """As a user opens one who sets nothing but the number of threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


# ---------------------------------------------------------------- our export against the ofa package


def _once_for_all() -> list[tuple[str, int, Architecture]]:
    blocks, stages = OFA_MBV3_W10.blocks, len(OFA_MBV3_W10.stages)
    middle = Architecture(kernel=(5,) * blocks, expand=(4,) * blocks, depth=(3,) * stages)
    return [("smallest", 160, OFA_MBV3_W10.smallest), ("middle", 192, middle), ("largest", 224, OFA_MBV3_W10.largest)]


def _run_once_for_all(
    architecture: Architecture, resolution: int, threads: int, rounds: int, clock: BoardClock, directory: Path
) -> Stopwatch:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x = torch.randn(1, 3, resolution, resolution)
    peer = make_peer(OFA_MBV3_W10)
    activate(peer, architecture)
    _set_statistics(peer, x)
    ours = ElasticMobileNetV3(OFA_MBV3_W10).eval()
    ours.load_state_dict(translated(peer.state_dict()))
    subnet = OFA_MBV3_W10.subnet(architecture, resolution)
    artifact = export_module(ours.extract(architecture), subnet, tuple(x.shape), directory / f"{subnet.id}.onnx")
    prepared = engines.prepare(artifact, threads=threads)
    stopwatch = Stopwatch(clock)
    with torch.no_grad():
        for _ in range(_WARM_UP_ROUNDS):
            peer(x)
        for _ in range(rounds):
            stopwatch.time("our export", prepared, x.numpy())
            stopwatch.time("ofa package, dynamic forward", peer, x)
    return stopwatch


def _set_statistics(peer: nn.Module, x: torch.Tensor) -> None:
    """Batch-norm statistics of one training-mode pass; with the initial ones the signal dies out on its way."""
    for module in peer.train().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        peer(torch.cat([x, -x]))
    peer.eval()


def _show(figures: dict[str, Any]) -> None:
    table = Table(title="inference, ms", title_justify="left")
    table.add_column("")
    for header in ("p50", "p10", "p90", "ratio", "kept", "discarded"):
        table.add_column(header, justify="right")
    for case in figures["cases"]:
        table.add_row(f"{case['network']}, threads: {case['threads']}")
        for name, times in case["times"].items():
            cells = [times[key] for key in ("p50_ms", "p10_ms", "p90_ms", "ratio", "kept", "discarded")]
            table.add_row(f"  {name}", *("unknown" if cell is None else f"{cell:.4g}" for cell in cells))
        table.add_section()
    print_table(table)
    host = figures["host"]
    print(f"machine stalled {host['stalled_share']:.1%} of the time, longest {host['stall_ms_max']:.0f} ms")


if __name__ == "__main__":
    sys.exit(main())
