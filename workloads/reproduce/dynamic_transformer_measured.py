"""Our translator's ladder measured on this machine: latency, quality, and switches as a worker's gearbox does them.

All networks run on one core, in turns, so that every disturbance of the machine hits them alike.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import supernets
from actors import network_times
from actors.agent.load import HostMeter
from actors.clock import BoardClock
from actors.paths import cache_dir
from actors.profiling import machine_name
from actors.undisturbed import Undisturbed
from actors.worker.gearbox import CPU, Form, Gearbox
from scheduler.views import Gear
from supernets import Supernet, engines, published
from supernets.artifact import Artifact
from supernets.errors import SupernetError
from supernets.evaluation import AccuracyScore, accuracy
from supernets.inputs import INPUTS
from supernets.search.latency import on_cpus
from supernets.task import CorpusFigure, Source
from workloads.progress import Progress
from workloads.reproduce.dynamic_ofa_measured import host_cpus
from workloads.reproduce.dynamic_transformer import HOST, OUR_TASK, OURS, Point, Switching, spread
from workloads.results.summary import HostSummary
from workloads.results.verdict import credit_interval
from workloads.runs.host import HostSentinel

_PATIENCE = 2
"""Turns for each sentence. On a busy machine the command then ends after twice the time, with fewer samples."""
_ROUNDS = 4
"""Switches between each two networks, both ways, that are ready. A ladder of eight networks has 56 such pairs."""
_UNREADY_ROUNDS = 3
"""Switches to each network that is not ready."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """What was measured, and the conditions.

    Attributes:
        points: one for each network of the ladder, smallest first.
        switching: switches between them.
        figure: the corpus BLEU of the last network, for its signature, or the reason why it is not known.
        weights: origin of the weights, `shipped` or `given`.
        weights_hash: SHA-256 of their file.
        machine: name of the processor.
        engine: the engine that ran all networks.
        engine_version: version of its library and of its settings here.
        samples: number of sentences.
        disturbed: number of all inferences that were left out of the latencies.
        host: how much the machine stalled meanwhile, as seen on a core beside the measured one where there is one.
        others: mean number of CPUs that other processes kept busy meanwhile.
    """

    points: Sequence[Point]
    switching: Switching
    figure: CorpusFigure
    weights: str
    weights_hash: str
    machine: str
    engine: str
    engine_version: str
    samples: int
    disturbed: int
    host: HostSummary
    others: float

    def conditions(self) -> dict[str, Any]:
        """Return all but the points and the switches, as JSON values."""
        return {key: value for key, value in asdict(self).items() if key not in ("points", "switching")}


def trained(weights: Path | None) -> Supernet:
    """Open the translator with weights that were trained.

    Args:
        weights: file of the user's; None takes the packaged ones.

    Raises:
        SupernetError: if the file can't be used, or none is given and none is packaged.
    """
    net = supernets.load(OURS, weights)
    if net.weights_source == "random":
        raise SupernetError(f"{OURS} comes without trained weights here; give their file: --weights {OURS}=FILE")
    return net


def measure(net: Supernet, *, engine: str, samples: int, on_progress: Progress) -> Measurement:
    """Measure every network of a translator's ladder on one core.

    Args:
        net: the translator.
        engine: the engine of all networks, one of `supernets.engines.names()`.
        samples: number of sentences, each of which every network translates; at most those held out.
        on_progress: called with a text, the number done and the number of all.

    Raises:
        supernets.SupernetError: if the engine can't run a network.
    """
    source = INPUTS[net.task].stream(0)
    assert source.period is not None  # sentences differ in size
    samples = min(samples, source.period)
    artifacts = {rung.id: supernets.export(net, rung, cache_dir() / "exported") for rung in net.ladder()}
    cpus = host_cpus()[1]
    # On another core where there is one: a sentinel takes its core for a moment each 2 ms, so that no sentence would
    # count as undisturbed beside it. Mostly all cores of a machine stand still together.
    watched = sorted(os.sched_getaffinity(0) - set(cpus)) or list(cpus)
    meter = HostMeter()
    with HostSentinel(watched, BoardClock(time.monotonic())) as sentinel, on_cpus(cpus):
        prepared = {subnet: engines.prepare(artifact, engine, 1) for subnet, artifact in artifacts.items()}
        times = _latencies(artifacts, prepared, source, samples, on_progress)
        scores = _qualities(net.task, artifacts, prepared, samples, on_progress)
        switching = measure_switches(artifacts, source, engine, on_progress)
        others = meter.read().others
    return Measurement(
        points=[_point(name, *found) for name, found in zip(artifacts, zip(times, scores, strict=True), strict=True)],
        switching=switching,
        figure=scores[-1].figures[0],
        weights=net.weights_source,
        weights_hash=net.base_hash,
        machine=machine_name(),
        engine=engine,
        engine_version=engines.engine_version(engine),
        samples=samples,
        disturbed=sum(kept.disturbed for kept in times),
        host=sentinel.result(),
        others=others,
    )


def _latencies(
    artifacts: Mapping[str, Artifact],
    prepared: Mapping[str, engines.PreparedNetwork],
    source: Source,
    samples: int,
    on_progress: Progress,
) -> list[Undisturbed]:
    """Time sentences of a stream in all networks, as long ones and as short ones as the whole stream has."""
    assert source.period is not None
    examples = network_times.examples_of(source, next(iter(artifacts.values())), source.period)
    total, done = samples * len(prepared), 0

    def count() -> None:
        nonlocal done
        done += 1
        on_progress("measure latency", min(done, total), total)

    return network_times.measure(
        list(prepared.values()),
        examples.inputs(list(artifacts.values())),
        count,
        sizes=examples.sizes,
        work=examples.work,
        samples=samples,
        patience=_PATIENCE,
    )


def _qualities(
    task: str,
    artifacts: Mapping[str, Artifact],
    prepared: Mapping[str, engines.PreparedNetwork],
    samples: int,
    on_progress: Progress,
) -> list[AccuracyScore]:
    """Score each network's translations of the same held-out sentences."""
    data = INPUTS[task].labelled(None, "", held_out=True)
    total = samples * len(artifacts)
    scores = []
    for place, (subnet, artifact) in enumerate(artifacts.items()):

        def count(done: int, before: int = place * samples) -> None:
            on_progress("measure quality", before + done, total)

        scores.append(accuracy(prepared[subnet], data, artifact, samples, 0, count))
    return scores


def _point(subnet: str, times: Undisturbed, score: AccuracyScore) -> Point:
    p10_ms, p50_ms, p90_ms = (round(float(ms), 4) for ms in np.percentile(times.samples_ms, (10, 50, 90)))
    low, high = credit_interval(score.credits)
    (figure,) = score.figures
    at_length = None if times.base_ms is None else times.base_ms + times.per_size_ms * published.HAT_WORDS
    return Point(
        system=OURS,
        subnet=subnet,
        task=OUR_TASK,
        device=HOST,
        latency_ms=p50_ms,
        p10_ms=p10_ms,
        p90_ms=p90_ms,
        same_length_ms=None if at_length is None else round(at_length, 4),
        n=len(times.samples_ms),
        bleu=figure.value,
        bleu_signature=figure.signature,
        chrf=score.accuracy,
        chrf_low=low,
        chrf_high=high,
        sentences=score.n,
        capped=score.capped,
        source="measured",
    )


# ---------------------------------------------------------------- switches


def measure_switches(
    artifacts: Mapping[str, Artifact], source: Source, engine: str, on_progress: Progress
) -> Switching:
    """Time switches between all networks of a ladder in a worker's gearbox, on one core.

    A switch is the wish for a network until it is engaged, so that the next sentence runs in it. The messages between
    manager and worker that bring the wish are not part of it. With room for all networks it only changes a reference.
    With room for none but the old and the new one, the new one is read from its file and warmed up, on a thread beside.

    Args:
        artifacts: the exported networks, at least two, by sub-network.
        source: the sentences.
        engine: the engine of all networks.
        on_progress: called with a text, the number done and the number of all.
    """
    gears = {subnet: Gear(subnet=subnet, unit=CPU, cores=1) for subnet in artifacts}
    pairs = [*permutations(gears.values(), 2)] * _ROUNDS
    cold = [*gears.values()] * _UNREADY_ROUNDS
    total = len(pairs) + len(cold)
    ready_ms, ratios, unready_ms = [], [], []
    roomy = _gearbox(artifacts, source, engine, bound_mb=math.inf)
    for gear in gears.values():
        roomy.prepare(gear, plan=0)
    for number, (before, after) in enumerate(pairs):
        _switch(roomy, before)
        old = roomy.engage(before)
        old.run(old.inputs(number))
        ready_ms.append(_switch(roomy, after))
        new = roomy.engage(after)
        first_ms, again_ms = (_run_ms(new.run, new.inputs(number)) for _ in range(2))
        ratios.append(first_ms / again_ms)
        on_progress("measure switches", number + 1, total)
    roomy.close()
    tight = _gearbox(artifacts, source, engine, bound_mb=0.0)
    _switch(tight, cold[-1])
    for number, gear in enumerate(cold):
        unready_ms.append(_switch(tight, gear))
        on_progress("measure switches", len(pairs) + number + 1, total)
    tight.close()
    return Switching(ready=spread(ready_ms), unready=spread(unready_ms), first_over_again=median(ratios))


def _gearbox(artifacts: Mapping[str, Artifact], source: Source, engine: str, bound_mb: float) -> Gearbox:
    return Gearbox(
        artifacts,
        source,
        prepare=lambda artifact, form: engines.prepare(artifact, engine, form.threads),
        form_of=lambda gear: Form(gear.subnet, CPU, gear.cores),
        bound_mb=bound_mb,
    )


def _switch(gearbox: Gearbox, gear: Gear) -> float:
    """Switch to a gear; return the milliseconds."""
    start = time.perf_counter()
    gearbox.prepare(gear, plan=0)
    gearbox.engage(gear)
    return (time.perf_counter() - start) * 1e3


def _run_ms(run: engines.PreparedNetwork, sample: Any) -> float:
    start = time.perf_counter()
    run(sample)
    return (time.perf_counter() - start) * 1e3
