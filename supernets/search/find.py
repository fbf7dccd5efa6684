"""The search for a supernet's ladder on a machine: measure, fit a latency predictor, evolve, and measure again.

Measurements, which take long, are kept in a work file. The search depends only on them, the accuracy source and the
seed, so an interrupted or repeated search ends in the same ladder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from supernets import engines
from supernets.errors import SupernetError
from supernets.ofa.elastic import ElasticSupernet
from supernets.search.accuracy_source import AccuracySource, Calibration
from supernets.search.evolution import Encoding, EvolutionPlan, Genes, pareto
from supernets.search.latency import (
    FloatArray,
    LatencyPredictor,
    PredictorError,
    TimedNetwork,
    fitted_rates,
    on_cpus,
    relative_latencies,
    sample_networks,
    undisturbed_ms,
)
from supernets.search.work_file import WorkFile
from supernets.subnet import SubNet

if TYPE_CHECKING:
    import torch

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, how much of it is done, and of how much."""

PrepareTimed = Callable[[ElasticSupernet, SubNet], TimedNetwork]
"""Makes a sub-network ready to be timed; `LatencyBench.timed_network` does."""

_SAMPLE_SEED = 0
"""Seed of the networks that are measured; not the search's, so that searches of any seed share the measurements."""
_CLOSE = 1 + 1e-9
"""Factor on limits, so that a limit at the fastest sub-network's own latency admits it in spite of rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchPlan:
    """The extent of a search.

    Attributes:
        rungs: number of rungs to look for, at limits spread evenly in log latency from the fastest to the slowest.
        limits_ms: latency limits to take instead; empty for the spread ones.
        pace: speed of the machine that the ladder is for, as a multiple of this machine's; limits and the rungs'
            latencies are those of that machine. At pace 2 a network that takes 10 ms here takes 5 ms there.
        lowest_accuracy: accuracy as a fraction below which rungs are left out.
        training_networks: number of networks that are measured to fit the latency predictor.
        held_out_networks: number of networks that are measured to find its error.
        evolution: the extent of the evolution under the limits.
    """

    rungs: int = 6
    limits_ms: tuple[float, ...] = ()
    pace: float = 1.0
    lowest_accuracy: float = 0.0
    training_networks: int = 40
    held_out_networks: int = 40
    evolution: EvolutionPlan = field(default_factory=EvolutionPlan)


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyBench:
    """The engine, CPUs and device that networks are measured with.

    Attributes:
        engine: one of `engines.names()`, or `auto`.
        threads: threads that compute, the caller's among them.
        cpus: CPUs to measure on; empty for those of the calling thread. Exports, which take longest, may use any.
        device: `cpu`, or `cuda:0` and so on.
    """

    engine: str
    threads: int
    cpus: tuple[int, ...] = ()
    device: str = "cpu"

    def timed_network(self, net: ElasticSupernet, subnet: SubNet) -> TimedNetwork:
        """Return a sub-network ready to be timed; its files on disk are removed."""
        from supernets.exporting import export_module

        shape = net.input_shape(subnet)
        with TemporaryDirectory() as directory:
            artifact = export_module(net.module(subnet), subnet, shape, Path(directory) / "network.onnx")
            with on_cpus(self.cpus):
                return TimedNetwork(engines.prepare(artifact, self.engine, self.threads, self.device), shape, self.cpus)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRung:
    """A sub-network of the new ladder.

    Attributes:
        subnet: the sub-network with its accuracy.
        latency_ms: latency of one inference, measured here and divided by the plan's pace.
        predicted_ms: latency that the predictor gave to the search.
        statistics: its own batch-norm statistics; empty where it has the supernet's.
    """

    subnet: SubNet
    latency_ms: float
    predicted_ms: float
    statistics: Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewLadder:
    """The result of a search.

    Attributes:
        rungs: the ladder, fastest first, each rung more accurate than the one before.
        beaten: sub-networks that proved no better than another, or not accurate enough, when they were measured again.
        error: error of the latency predictor.
    """

    rungs: tuple[NewRung, ...]
    beaten: tuple[NewRung, ...]
    error: PredictorError


def search(
    net: ElasticSupernet,
    source: AccuracySource,
    prepare: PrepareTimed,
    plan: SearchPlan,
    work: WorkFile,
    calibration: Calibration | None = None,
    on_progress: Progress = lambda what, done, total: None,
) -> NewLadder:
    """Search the ladder of a supernet on this machine.

    Args:
        net: the supernet.
        source: source of accuracies; its encoding has the sub-networks to choose from.
        prepare: makes a sub-network ready to be timed.
        plan: the extent of the search.
        work: file of earlier measurements; new ones are added.
        calibration: pictures for the rungs' own statistics; None leaves them the supernet's.
        on_progress: called with a stage's name, how much of it is done, and of how much.

    Raises:
        SupernetError: if no sub-network is within a limit, or none is accurate enough.
    """
    # The evolution goes by predictions, which cost nothing.
    predictor, error = _predictor(net, source.encoding, prepare, plan, work, on_progress)
    limits_ms = plan.limits_ms or _spread(predictor(source.extremes()), plan.rungs)
    evolved = source.choose(
        predictor, limits_ms, plan.evolution, lambda done, total: on_progress("search", done, total)
    )
    # Its winners are measured again, since the best by a predictor are flattered by its errors.
    genes = np.unique(evolved.genes, axis=0)
    predicted_ms = predictor(genes)
    subnets = [net.space.subnet(*source.encoding.decoded(row)) for row in genes]
    latencies_ms = [ms / plan.pace for ms in _measured_again(net, subnets, prepare, work, on_progress)]
    rungs = []
    for number, (subnet, latency_ms, expected_ms) in enumerate(zip(subnets, latencies_ms, predicted_ms, strict=True)):
        on_progress("finish the rungs", number, len(subnets))
        rungs.append(
            NewRung(
                subnet=source.final(subnet),
                latency_ms=latency_ms,
                predicted_ms=float(expected_ms),
                statistics=_statistics(net, subnet, calibration),
            )
        )
    on_progress("finish the rungs", len(subnets), len(subnets))
    # By these figures only the Pareto front becomes the ladder.
    accuracies = [rung.subnet.accuracy or 0.0 for rung in rungs]
    front = [i for i in pareto(latencies_ms, accuracies) if accuracies[i] >= plan.lowest_accuracy]
    if not front:
        raise SupernetError(
            f"the most accurate sub-network found has {max(accuracies):.3f}, below the lowest accuracy of "
            f"{plan.lowest_accuracy:g}; lower that, or raise the latency limits"
        )
    beaten = tuple(rung for index, rung in enumerate(rungs) if index not in front)
    return NewLadder(rungs=tuple(rungs[index] for index in front), beaten=beaten, error=error)


def _spread(latencies_ms: FloatArray, count: int) -> tuple[float, ...]:
    """Return limits in milliseconds from the fastest to the slowest, evenly spread in log latency."""
    limits_ms = np.geomspace(latencies_ms.min(), latencies_ms.max(), count) * _CLOSE
    return tuple(float(limit) for limit in limits_ms)


def _predictor(
    net: ElasticSupernet,
    chosen_from: Encoding,
    prepare: PrepareTimed,
    plan: SearchPlan,
    work: WorkFile,
    on_progress: Progress,
) -> tuple[LatencyPredictor, PredictorError]:
    """Return the predictor for the sub-networks to choose from, fitted on the whole space, and its error there."""
    genes, latency_ms = measured_sample(net, prepare, plan, work, on_progress)
    count, whole = plan.training_networks, Encoding(net.space)
    rates = fitted_rates(whole, genes[:count], latency_ms[:count])
    error = PredictorError.of(LatencyPredictor(whole, rates)(genes[count:]), latency_ms[count:])
    return LatencyPredictor(chosen_from, rates / plan.pace), error


def measured_sample(
    net: ElasticSupernet, prepare: PrepareTimed, plan: SearchPlan, work: WorkFile, on_progress: Progress
) -> tuple[Genes, FloatArray]:
    """Return sub-networks of the whole space (n, genes) and their latencies (n,) in milliseconds.

    The first `plan.training_networks` are for the fit, the others are held out to find its error.
    """
    whole = Encoding(net.space)
    rng = np.random.default_rng(_SAMPLE_SEED)
    training = sample_networks(whole, plan.training_networks, rng)
    genes = np.concatenate([training, whole.random(plan.held_out_networks, rng)])
    return genes, _measured(net, whole, genes, prepare, work, on_progress)


def _measured(
    net: ElasticSupernet, encoding: Encoding, genes: Genes, prepare: PrepareTimed, work: WorkFile, on_progress: Progress
) -> FloatArray:
    """Return the latencies (n,) of sub-networks (n, genes); those that are not in the work file are measured now."""
    subnets = [net.space.subnet(*encoding.decoded(row)) for row in genes]
    known, reference = work.section("relative_latency"), work.section("reference")
    missing = list({subnet.id: subnet for subnet in subnets if subnet.id not in known}.values())
    # In a random order, so that a passing disturbance of the machine does not fall on networks of one kind.
    missing = [missing[index] for index in np.random.default_rng(_SAMPLE_SEED).permutation(len(missing))]

    def keep(latency_ms: float) -> None:
        reference["latency_ms"] = [*reference.get("latency_ms", []), latency_ms]

    for done, (subnet, ratio) in enumerate(zip(missing, _relative(net, missing, prepare, keep), strict=True)):
        known[subnet.id] = ratio
        on_progress("measure sub-networks", done + 1, len(missing))
    return np.array([known[subnet.id] for subnet in subnets]) * undisturbed_ms(reference["latency_ms"])


def _measured_again(
    net: ElasticSupernet, subnets: Sequence[SubNet], prepare: PrepareTimed, work: WorkFile, on_progress: Progress
) -> list[float]:
    """Return the latencies in milliseconds of the chosen, measured in turns.

    They come from the work file where exactly these sub-networks were measured before.
    """
    known, reference = work.section("chosen_latency_ms"), work.section("reference")
    key = " ".join(subnet.id for subnet in subnets)
    if key not in known:
        found = []
        for ratio in _relative(net, subnets, prepare, lambda latency_ms: None):
            found.append(ratio * undisturbed_ms(reference["latency_ms"]))
            on_progress("measure the chosen", len(found), len(subnets))
        known[key] = found
    again: list[float] = known[key]
    return again


def _relative(
    net: ElasticSupernet, subnets: Sequence[SubNet], prepare: PrepareTimed, on_reference: Callable[[float], None]
) -> Iterator[float]:
    """Yield each sub-network's latency as a multiple of that of the largest at the middle resolution."""
    if subnets:
        space = net.space
        reference = prepare(net, space.subnet(space.largest, space.resolutions[len(space.resolutions) // 2]))
        yield from relative_latencies(reference, (prepare(net, subnet) for subnet in subnets), on_reference)


def _statistics(net: ElasticSupernet, subnet: SubNet, calibration: Calibration | None) -> Mapping[str, torch.Tensor]:
    if calibration is None:
        return {}
    from supernets.calibration import statistics

    return statistics(calibration.module(net, subnet))
