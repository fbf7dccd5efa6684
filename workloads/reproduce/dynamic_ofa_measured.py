"""The comparison measured on this machine: latency of every network on one and two cores, with its published top-1.

All networks run in one engine and in turns, so that every disturbance of the machine hits them alike.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from actors import network_times
from actors.agent.load import HostMeter
from actors.clock import BoardClock
from actors.profiling import Ladder, machine_name
from supernets import engines
from supernets.errors import SupernetError, known_options
from supernets.search.latency import on_cpus
from workloads.ladder.ladders import ladder_of
from workloads.progress import Progress
from workloads.reproduce.dynamic_ofa import HOST, OURS, RIVAL, Point
from workloads.results.summary import HostSummary
from workloads.runs.host import HostSentinel

SYSTEMS = {
    OURS: "ofa-mbv3-w1.2:gpu6",
    RIVAL: "autoslim-mnasnet",
    "AutoSlim-MBv1": "autoslim-mbv1",
    "AutoSlim-MBv2": "autoslim-mbv2",
    "Slimmable-MBv1": "slimmable-mbv1",
    "Slimmable-MBv2": "slimmable-mbv2",
    "US-MBv1": "us-mbv1",
    "US-MBv2": "us-mbv2",
    "MobileNetV3": "torchvision-mbv3",
    "static OFA": "ofa-mbv3-static",
}
"""The supernet of each system. Systems of the published comparison have their names from there."""

_CORES = (1, 2)
_PATIENCE = 2
"""Turns for each sample. On a busy machine the command then ends after twice the time, with fewer samples."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """The measured points, and the conditions of the measurement.

    Attributes:
        points: one for each network and number of cores.
        machine: name of the processor.
        engine: the engine that ran all networks.
        engine_version: version of its library and of its settings here.
        samples: number of inferences of each network on each number of cores.
        disturbed: number of all inferences that were left out.
        host: how much the machine stalled meanwhile.
        others: mean number of CPUs that other processes kept busy meanwhile.
    """

    points: Sequence[Point]
    machine: str
    engine: str
    engine_version: str
    samples: int
    disturbed: int
    host: HostSummary
    others: float

    def conditions(self) -> dict[str, Any]:
        """Return all but the points, as JSON values."""
        return {
            "machine": self.machine,
            "engine": self.engine,
            "engine_version": self.engine_version,
            "samples": self.samples,
            "disturbed": self.disturbed,
            "host": asdict(self.host),
            "others": self.others,
        }


def host_cpus() -> dict[int, tuple[int, ...]]:
    """Return the CPUs to measure on, for one core and, if this process may use two, for two."""
    allowed = sorted(os.sched_getaffinity(0))
    return {cores: tuple(allowed[:cores]) for cores in _CORES if cores <= len(allowed)}


def check_engine(engine: str) -> None:
    """Check the engine's name, before the exports take minutes.

    Raises:
        supernets.SupernetError: if it is unknown, or `auto`, which may choose another engine for each network.
    """
    if engine not in engines.names():
        raise SupernetError(
            f"engine {engine!r} is none that runs every network. {known_options(engine, engines.names())}"
        )


def export_ladders(engine: str, on_progress: Progress) -> dict[str, Ladder]:
    """Return the networks of every system, exported with random weights for an engine; they are made once and kept.

    Raises:
        supernets.SupernetError: if a network cannot be made here.
    """
    return {system: ladder_of(supernet, None, on_progress, engine == "torch") for system, supernet in SYSTEMS.items()}


def measure(
    ladders: Mapping[str, Ladder],
    cpus_by_cores: Mapping[int, tuple[int, ...]],
    *,
    engine: str,
    samples: int,
    on_progress: Progress,
) -> Measurement:
    """Measure the latency of every network, all in turns, first on one core and then on more.

    Args:
        ladders: the networks of each system.
        cpus_by_cores: the CPUs to measure on, by number of cores.
        engine: the engine of all networks, one of `supernets.engines.names()`.
        samples: number of inferences of each network on each number of cores.
        on_progress: called with a text, the number done and the number of all.

    Raises:
        supernets.SupernetError: if the engine is unknown or cannot run a network.
    """
    clock = BoardClock(time.monotonic())
    points: list[Point] = []
    disturbed = 0
    meter = HostMeter()
    with HostSentinel(max(cpus_by_cores.values(), key=len), clock) as sentinel:
        for cpus in cpus_by_cores.values():
            with on_cpus(cpus):
                measured, left_out = _measure_on(len(cpus), ladders, engine, samples, on_progress)
            points += measured
            disturbed += left_out
        others = meter.read().others
    return Measurement(
        points=points,
        machine=machine_name(),
        engine=engine,
        engine_version=engines.engine_version(engine),
        samples=samples,
        disturbed=disturbed,
        host=sentinel.result(),
        others=others,
    )


def _measure_on(
    cores: int, ladders: Mapping[str, Ladder], engine: str, samples: int, on_progress: Progress
) -> tuple[list[Point], int]:
    """Return the points of all networks, with as many threads as cores, and the number of disturbed inferences."""
    networks = [(system, *rung) for system, ladder in ladders.items() for rung in ladder]
    where = "1 core" if cores == 1 else f"{cores} cores"
    prepared, inputs = [], []
    rng = np.random.default_rng(0)
    for done, (_, artifact, _, _) in enumerate(networks, start=1):
        prepared.append(engines.prepare(artifact, engine, threads=cores))
        inputs.append([rng.standard_normal(artifact.input_shape, dtype=np.float32)])
        on_progress(f"prepare for {where}", done, len(networks))
    total, done = samples * len(prepared), 0

    def count() -> None:
        nonlocal done
        done += 1
        on_progress(f"measure on {where}", min(done, total), total)

    taken = network_times.measure(prepared, inputs, count, samples=samples, patience=_PATIENCE)
    points = []
    for (system, artifact, top1, source), kept in zip(networks, taken, strict=True):
        p10_ms, p50_ms, p90_ms = (round(float(ms), 4) for ms in np.percentile(kept.samples_ms, (10, 50, 90)))
        points.append(
            Point(
                system=system,
                subnet=artifact.subnet,
                device=HOST,
                cores=cores,
                latency_ms=p50_ms,
                p10_ms=p10_ms,
                p90_ms=p90_ms,
                n=len(kept.samples_ms),
                top1=top1,
                latency_source="measured",
                accuracy_source=source,
            )
        )
    return points, sum(kept.disturbed for kept in taken)
