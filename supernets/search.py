"""Chooses the ladder of a plate supernet: a search over measured latency and held-out accuracy.

An evolutionary search over architectures and resolutions: random points first, then mutations of those on the Pareto
front. Each candidate is calibrated, exported, timed in the engine that serves it and read on held-out plates. The
front is then thinned out and read again on many more plates that the search never saw, since picking the best of
many on few pictures flatters them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from supernets import engines, plates
from supernets.calibration import calibrate, statistics
from supernets.export import export_module
from supernets.mobilenet import ElasticMobileNetV3
from supernets.subnet import Architecture, SubNet


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchPlan:
    """How far to search; the defaults made the shipped ladder."""

    seed: int = 1
    random_points: int = 40
    generations: int = 4
    children: int = 16
    calibration_pictures: int = 512
    search_pictures: int = 1000
    test_pictures: int = 10_560
    rungs: int = 8
    lowest_accuracy: float = 0.60
    """Smaller networks than this are of no use on the ladder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A measured sub-network: accuracy inside `subnet`, latency of one inference on one core, its own statistics."""

    subnet: SubNet
    latency_ms: float
    statistics: dict[str, torch.Tensor]


def search(
    network: ElasticMobileNetV3, plan: SearchPlan, directory: Path, on_candidate: Callable[[int, int], None]
) -> list[Candidate]:
    """The ladder, smallest first.

    Args:
        network: the trained supernet.
        plan: how far to search.
        directory: for exported candidates.
        on_candidate: called with how many candidates are done, and of how many.
    """
    rng = np.random.default_rng(plan.seed)
    bench = _Bench(network, plan, directory)
    total = plan.random_points + plan.generations * plan.children + 2
    ends = [
        (network.space.smallest, network.space.resolutions[0]),
        (network.space.largest, network.space.resolutions[-1]),
    ]
    points = ends + [(network.space.random(rng), _resolution(network, rng)) for _ in range(plan.random_points)]
    found: dict[str, Candidate] = {}
    for generation in range(plan.generations + 1):
        for architecture, resolution in points:
            candidate = bench.measure(architecture, resolution)
            found[candidate.subnet.id] = candidate
            on_candidate(len(found), total)
        if generation < plan.generations:
            front = pareto(list(found.values()))
            points = [_mutated(network, front[rng.integers(len(front))], rng) for _ in range(plan.children)]
    return bench.final(thinned(pareto(list(found.values())), plan.rungs, plan.lowest_accuracy))


def pareto(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other beats in both latency and accuracy, fastest first."""
    front: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (c.latency_ms, -_accuracy(c))):
        if not front or _accuracy(candidate) > _accuracy(front[-1]):
            front.append(candidate)
    return front


def thinned(front: Sequence[Candidate], rungs: int, lowest_accuracy: float) -> list[Candidate]:
    """That many of a front: both ends of what is accurate enough, and between them even steps along it.

    A step is measured in log latency and in accuracy, each as a share of what lies between the ends, so that neither
    a wide gap of latency nor one of accuracy is left where the front has something in it.
    """
    usable = [candidate for candidate in front if _accuracy(candidate) >= lowest_accuracy]
    if len(usable) <= rungs:
        return usable
    way = _share_of_range([math.log(c.latency_ms) for c in usable]) + _share_of_range([_accuracy(c) for c in usable])
    chosen = [0]
    for rung in range(1, rungs - 1):
        ideal = way[-1] * rung / (rungs - 1)
        left = range(chosen[-1] + 1, len(usable) - (rungs - 1 - rung))
        chosen.append(min(left, key=lambda i: abs(way[i] - ideal)))
    return [usable[i] for i in (*chosen, len(usable) - 1)]


def _share_of_range(rising: Sequence[float]) -> NDArray[np.float64]:
    """Where each value lies between the first (0) and the last (1)."""
    values = np.asarray(rising)
    shares: NDArray[np.float64] = (values - values[0]) / (values[-1] - values[0])
    return shares


def _accuracy(candidate: Candidate) -> float:
    assert candidate.subnet.accuracy is not None
    return candidate.subnet.accuracy


def _resolution(network: ElasticMobileNetV3, rng: np.random.Generator) -> int:
    return int(rng.choice(network.space.resolutions))


def _mutated(
    network: ElasticMobileNetV3, parent: Candidate, rng: np.random.Generator, share: float = 0.25
) -> tuple[Architecture, int]:
    """The parent with each knob drawn anew at that chance."""
    other = network.space.random(rng)

    def mixed(old: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(b if rng.random() < share else a for a, b in zip(old, new, strict=True))

    knobs = parent.subnet.knobs
    assert isinstance(knobs, Architecture)
    child = Architecture(
        kernel=mixed(knobs.kernel, other.kernel),
        expand=mixed(knobs.expand, other.expand),
        depth=mixed(knobs.depth, other.depth),
    )
    resolution = _resolution(network, rng) if rng.random() < share else parent.subnet.resolution
    return network.space.canonical(child), resolution


class _Bench:
    """Measures candidates, each in the engine that will serve it."""

    def __init__(self, network: ElasticMobileNetV3, plan: SearchPlan, directory: Path) -> None:
        self._network = network
        self._directory = directory
        self._plan = plan
        self._calibration = plates.draw(plan.calibration_pictures, seed=plan.seed, held_out=False)
        self._validation = plates.draw(plan.search_pictures, seed=plan.seed, held_out=True)
        self._sessions: dict[str, engines.Prepared] = {}

    def measure(self, architecture: Architecture, resolution: int) -> Candidate:
        subnet = self._network.space.subnet(architecture, resolution)
        module = self._network.extract(architecture)
        calibrate(module, self._calibration, resolution)
        artifact = export_module(
            module, subnet, self._network.space.input_shape(resolution), self._directory / f"{subnet.id}.onnx"
        )
        prepared = engines.prepare(artifact)
        self._sessions[subnet.id] = prepared
        accuracy = _exact_match(prepared, self._validation, resolution)
        return Candidate(
            subnet=replace(subnet, accuracy=accuracy, accuracy_source="measured"),
            latency_ms=_latency_ms([prepared], [np.zeros(artifact.input_shape, np.float32)], rounds=40)[0],
            statistics=statistics(module),
        )

    def final(self, chosen: Sequence[Candidate]) -> list[Candidate]:
        """The chosen measured again: on the test plates, and timed in turns; what is then beaten is left out."""
        test = plates.draw(self._plan.test_pictures, seed=self._plan.seed + 1, held_out=True, stratified=True)
        sessions = [self._sessions[c.subnet.id] for c in chosen]
        inputs = [plates.resize(test.pictures[:1], c.subnet.resolution) for c in chosen]
        latencies = _latency_ms(sessions, inputs, rounds=300)
        measured = []
        for candidate, session, latency_ms in zip(chosen, sessions, latencies, strict=True):
            accuracy = _exact_match(session, test, candidate.subnet.resolution)
            subnet = replace(candidate.subnet, accuracy=round(accuracy, 4))
            measured.append(replace(candidate, subnet=subnet, latency_ms=latency_ms))
        return pareto(measured)


def _exact_match(prepared: engines.Prepared, pictures: plates.Plates, resolution: int) -> float:
    """Share of the pictures of which all characters are read right."""
    right = 0
    for start in range(0, len(pictures.texts), 256):
        x = plates.resize(pictures.pictures[start : start + 256], resolution)
        read = [plates.read(prepared(x[i : i + 1]))[0] for i in range(len(x))]
        right += sum(a == b for a, b in zip(read, pictures.texts[start : start + 256], strict=True))
    return right / len(pictures.texts)


def _latency_ms(
    sessions: Sequence[engines.Prepared], inputs: Sequence[NDArray[np.float32]], rounds: int
) -> list[float]:
    """Lower quartile of each session's times, the sessions in turns, so that a stall hits them alike."""
    times: list[list[float]] = [[] for _ in sessions]
    for _ in range(rounds):
        for session, x, kept in zip(sessions, inputs, times, strict=True):
            start = time.perf_counter()
            session(x)
            kept.append((time.perf_counter() - start) * 1e3)
    return [float(np.percentile(kept, 25)) for kept in times]
