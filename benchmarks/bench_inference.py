"""Measure inference: a worker against the engines run bare, and against the `ofa` package's dynamic forward.

There are two ladders. `ofa-plates`, whose smallest networks take a tenth of a millisecond, shows the time that a worker
adds. Once-for-all MobileNetV3 w1.2 with the published ladder `gpu6`, and the largest network of its space, shows it at
full size; there the `ofa` package runs the same sub-networks with the same random weights, and gives the same outputs
(tests/supernets/ofa/test_against_ofa.py).

The worker runs each network in the engine that its profile found to be the fastest. A bare engine is opened with the
number of threads and float32, the rest left at its defaults. Contenders take turns in blocks. Before each block
everything is quiet for a while, because a pool of threads that still spins for one engine would slow the next.

`python -m benchmarks.bench_inference [--rounds N] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import torch
from numpy.typing import NDArray
from torch import nn

import supernets
from actors.clock import BoardClock
from actors.pinning import gather
from actors.profiling import Ladder, profile_ladder
from benchmarks.rig import (
    Spread,
    Stopwatch,
    completed,
    cores,
    figures_table,
    print_stalls,
    print_table,
    ratio,
    start_clock,
    watched,
    worker,
)
from scheduler.profile import Profile
from supernets.artifact import Artifact
from supernets.ofa.space import Architecture
from supernets.ofa.spaces import OFA_MBV3_W12
from supernets.pictures import sources
from supernets.search.latency import on_cpus
from supernets.subnet import SubNet
from supernets.task import Source
from tests.helpers.ofa_peer import activate, make_peer

_BLOCKS = 6
_QUIET_S = 0.05
"""A pause that is longer than any engine's pool spins after its last inference."""
_WARM_UP = 3
_PICTURES = 64

WORKER = "worker, service"
STEP = "worker, whole step"
BARE = ("ONNX Runtime, bare", "OpenVINO, bare")
PACKAGE = "ofa package, dynamic forward"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A network to run.

    Attributes:
        name: name in the table.
        artifact: file of the network.
        source: source of its inputs.
        engine: the fastest engine in its profile, by number of threads.
        architecture: the same sub-network for the `ofa` package; None if the package has no such network.
    """

    name: str
    artifact: Artifact
    source: Source
    engine: Mapping[int, str]
    architecture: Architecture | None = None


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=90, help="inferences of each network by each contender")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    clock = start_clock()
    threads = [count for count in (1, 2) if count <= len(cores())]
    cases: list[dict[str, Any]] = []
    openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")  # it counts its CPUs at its first use, before any pin
    with tempfile.TemporaryDirectory() as directory, watched(clock) as sentinel:
        peer = make_peer(OFA_MBV3_W12, width=1.2).eval()
        subjects = [*_plates(Path(directory), threads), *_once_for_all(peer, Path(directory), threads)]
        for count in threads:
            with on_cpus(cores()[:count]):
                for subject in subjects:
                    stopwatch = _compare(subject, peer, count, options.rounds, clock)
                    cases.append(_case(subject, count, stopwatch.spreads(sentinel.gaps)))
                    print(f"{subject.name}, threads: {count}", file=sys.stderr, flush=True)
    figures = {"cases": cases, "host": asdict(sentinel.result())}
    _show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _case(subject: Subject, threads: int, spreads: dict[str, Spread]) -> dict[str, Any]:
    """Return the contenders of one network, each with its ratio to the faster of the bare engines."""
    fastest = min((spreads[name] for name in BARE), key=lambda spread: spread.p50_ms or float("inf"))
    rows = {name: {**asdict(spread), "ratio": ratio(spread, fastest)} for name, spread in spreads.items()}
    package = ratio(spreads[PACKAGE], spreads[WORKER]) if PACKAGE in spreads else None
    return {
        "network": subject.name,
        "threads": threads,
        "engine": subject.engine[threads],
        "times": rows,
        "package_over_worker": package,
    }


# ---------------------------------------------------------------- what is run


def _plates(directory: Path, threads: Sequence[int]) -> list[Subject]:
    """Return the smallest, the middle and the largest network of the ladder."""
    net = supernets.load("ofa-plates")
    rungs = net.ladder()
    chosen = (rungs[0], rungs[len(rungs) // 2], rungs[-1])
    return _subjects(net, chosen, sources.plate_stream(seed=0, count=_PICTURES), directory, threads)


def _once_for_all(peer: nn.Module, directory: Path, threads: Sequence[int]) -> list[Subject]:
    """Return the published ladder and the largest network, with the weights of the `ofa` package's supernet."""
    weights = directory / "ofa.pth"
    _set_statistics(peer)
    torch.save({"state_dict": peer.state_dict()}, weights)
    net = supernets.load("ofa-mbv3-w1.2", weights)
    largest = OFA_MBV3_W12.subnet(OFA_MBV3_W12.largest, OFA_MBV3_W12.resolutions[-1])
    return _subjects(net, (*net.ladder(), largest), sources.Noise(seed=0), directory, threads)


def _subjects(
    net: supernets.Supernet, rungs: Sequence[SubNet], source: Source, directory: Path, threads: Sequence[int]
) -> list[Subject]:
    artifacts = [supernets.export(net, rung, directory) for rung in rungs]
    profile = _profile(net.name, [(artifact, None, "unknown") for artifact in artifacts], threads)
    return [
        Subject(
            name=f"{net.name} {rung.id}",
            artifact=artifact,
            source=source,
            engine={count: profile.service(rung.id, "cpu", count).engine for count in threads},
            architecture=rung.knobs if net.task == "imagenet" and isinstance(rung.knobs, Architecture) else None,
        )
        for rung, artifact in zip(rungs, artifacts, strict=True)
    ]


def _profile(name: str, ladder: Ladder, threads: Sequence[int]) -> Profile:
    return profile_ladder(name, ladder, {count: tuple(cores()[:count]) for count in threads})


def _set_statistics(peer: nn.Module) -> None:
    """Set batch-norm statistics to those of one pass in training mode; with the initial ones the signal vanishes."""
    for module in peer.train().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        peer(torch.randn(4, 3, 128, 128, generator=torch.Generator().manual_seed(0)))
    peer.eval()


# ---------------------------------------------------------------- who runs it


def _compare(subject: Subject, peer: nn.Module, threads: int, rounds: int, clock: BoardClock) -> Stopwatch:
    torch.set_num_threads(threads)
    artifact = subject.artifact
    x = subject.source.inputs(artifact)(0)
    engines = (_onnxruntime(artifact, x, threads), _openvino(artifact, x, threads))
    bare = dict(zip(BARE, engines, strict=True))
    if subject.architecture is not None:
        activate(peer, subject.architecture)
        tensor = torch.from_numpy(x)
        bare[PACKAGE] = lambda: peer(tensor)
    stopwatch = Stopwatch(clock)
    block = max(1, rounds // _BLOCKS)
    alone, cpus, engine = {artifact.subnet: artifact}, cores()[:threads], subject.engine[threads]
    with worker(alone, subject.source, cpus, clock, engine) as serving, torch.no_grad():
        for run in (*bare.values(), serving.step):
            _settle(run)
        gather({threading.get_native_id()}, lambda: cpus)  # OpenVINO's pool outlives its networks, and their pins
        for _ in range(_BLOCKS):
            for name, run in bare.items():
                _settle(run)
                for _ in range(block):
                    stopwatch.time(name, run)
            _settle(serving.step)
            done = len(completed(serving))
            for _ in range(block):
                stopwatch.time(STEP, serving.step)
            for record in completed(serving)[done:]:
                stopwatch.add(WORKER, float(record["start_s"]), float(record["end_s"]))
    return stopwatch


def _settle(run: Callable[[], object]) -> None:
    """Wait until the others' threads are at rest, then warm up."""
    time.sleep(_QUIET_S)
    for _ in range(_WARM_UP):
        run()


def _onnxruntime(artifact: Artifact, x: NDArray[np.float32], threads: int) -> Callable[[], object]:
    """Return a call of the network in ONNX Runtime, with nothing set but the number of threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(artifact.path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})


def _openvino(artifact: Artifact, x: NDArray[np.float32], threads: int) -> Callable[[], object]:
    """Return a call of the network in OpenVINO, set to low latency, float32 and the number of threads."""
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    request = openvino.Core().compile_model(artifact.path, "CPU", config).create_infer_request()
    return lambda: request.infer([x], share_inputs=True, share_outputs=True)


def _show(figures: dict[str, Any]) -> None:
    table = figures_table("inference, ms", "p50", "p10", "p90", "over the faster bare engine", "kept", "discarded")
    for case in figures["cases"]:
        package = case["package_over_worker"]
        beside = "" if package is None else f"; ofa package {package:.3g}x the worker's"
        table.add_row(f"{case['network']}, threads: {case['threads']}, worker on {case['engine']}{beside}")
        for name, times in case["times"].items():
            cells = [times[key] for key in ("p50_ms", "p10_ms", "p90_ms", "ratio", "kept", "discarded")]
            table.add_row(f"  {name}", *("unknown" if cell is None else f"{cell:.4g}" for cell in cells))
        table.add_section()
    print_table(table)
    print_stalls(figures["host"])


if __name__ == "__main__":
    sys.exit(main())
