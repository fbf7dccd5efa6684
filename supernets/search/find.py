"""Searches the ladder of a supernet for a machine: measures, fits a latency predictor, evolves, and measures again.

What takes long is kept in a work file as it is measured. The search itself depends on nothing but that, the accuracy
source and the seed, so an interrupted or repeated search ends in the same ladder.
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
"""Called with what is being done, how much of it is, and of how much."""

PrepareTimed = Callable[[ElasticSupernet, SubNet], TimedNetwork]
"""Makes a sub-network ready to be timed; `LatencyBench.timed_network` does."""

_SAMPLE_SEED = 0
"""Of the networks that are measured; not the search's, so that searches of any seed share the measurements."""
_CLOSE = 1 + 1e-9
"""A limit at the fastest sub-network's own latency admits it, however a sum is rounded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchPlan:
    """How far to search.

    Attributes:
        rungs: how many are looked for, at limits spread evenly in log latency from the fastest to the slowest.
        limits_ms: the limits themselves, instead.
        pace: milliseconds of this machine that the one which the ladder is for gets through in a millisecond; limits
            and the rungs' latencies are the other's.
        lowest_accuracy: rungs below this are left out.
        training_networks: measured to fit the latency predictor.
        held_out_networks: measured to say how far it is off.
        evolution: the search under these limits.
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
    """What networks are measured in.

    Attributes:
        engine: as for `engines.prepare`.
        threads: of it.
        cpus: to measure on; none for wherever this thread is. Exports, which take longest, may use any.
        device: as for `engines.prepare`.
    """

    engine: str
    threads: int
    cpus: tuple[int, ...] = ()
    device: str = "cpu"

    def timed_network(self, net: ElasticSupernet, subnet: SubNet) -> TimedNetwork:
        """The sub-network, ready to be timed; nothing of it is left on disk."""
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
        subnet: with its accuracy.
        latency_ms: of one inference, as measured here and at the plan's pace.
        predicted_ms: what the search took it for.
        statistics: its own batch-norm statistics; empty where it has the supernet's.
    """

    subnet: SubNet
    latency_ms: float
    predicted_ms: float
    statistics: Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewLadder:
    """What a search found.

    Attributes:
        rungs: fastest first, each more accurate than the one before.
        beaten: measured again, and then no better than another or not accurate enough.
        error: of the latency predictor.
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
    """The ladder of a supernet on this machine.

    Args:
        net: whose.
        source: of accuracies; says which sub-networks there are to choose from.
        prepare: makes one ready to be timed.
        plan: how far to search.
        work: what was measured before; this adds to it.
        calibration: for statistics of the rungs' own; None leaves them the supernet's.
        on_progress: told about measurements and generations.

    Raises:
        SupernetError: if no sub-network is within a limit, or none is accurate enough.
    """
    predictor, error = _predictor(net, source.encoding, prepare, plan, work, on_progress)
    limits_ms = plan.limits_ms or _spread(predictor(source.extremes()), plan.rungs)
    evolved = source.choose(
        predictor, limits_ms, plan.evolution, lambda done, total: on_progress("search", done, total)
    )
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
    """Limits from the fastest to the slowest, even in log latency."""
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
    """The predictor for the sub-networks to choose from, fitted on the whole space, and its error there."""
    genes, latency_ms = measured_sample(net, prepare, plan, work, on_progress)
    count, whole = plan.training_networks, Encoding(net.space)
    rates = fitted_rates(whole, genes[:count], latency_ms[:count])
    error = PredictorError.of(LatencyPredictor(whole, rates)(genes[count:]), latency_ms[count:])
    return LatencyPredictor(chosen_from, rates / plan.pace), error


def measured_sample(
    net: ElasticSupernet, prepare: PrepareTimed, plan: SearchPlan, work: WorkFile, on_progress: Progress
) -> tuple[Genes, FloatArray]:
    """Sub-networks of the whole space (n, genes) and their latencies (n,): those to fit to, then those held out."""
    whole = Encoding(net.space)
    rng = np.random.default_rng(_SAMPLE_SEED)
    training = sample_networks(whole, plan.training_networks, rng)
    genes = np.concatenate([training, whole.random(plan.held_out_networks, rng)])
    return genes, _measured(net, whole, genes, prepare, work, on_progress)


def _measured(
    net: ElasticSupernet, encoding: Encoding, genes: Genes, prepare: PrepareTimed, work: WorkFile, on_progress: Progress
) -> FloatArray:
    """Latencies (n,) of sub-networks (n, genes), those that the work file does not have measured now."""
    subnets = [net.space.subnet(*encoding.decoded(row)) for row in genes]
    known, reference = work.section("relative_latency"), work.section("reference")
    missing = list({subnet.id: subnet for subnet in subnets if subnet.id not in known}.values())
    # In an order of their own, so that what passes by on a machine does not fall on networks of one kind.
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
    """Latencies of the chosen, measured in turns; from the work file where just these were measured before."""
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
    """Each one's latency over that of the largest at the middle resolution."""
    if subnets:
        space = net.space
        reference = prepare(net, space.subnet(space.largest, space.resolutions[len(space.resolutions) // 2]))
        yield from relative_latencies(reference, (prepare(net, subnet) for subnet in subnets), on_reference)


def _statistics(net: ElasticSupernet, subnet: SubNet, calibration: Calibration | None) -> Mapping[str, torch.Tensor]:
    if calibration is None:
        return {}
    from supernets.calibration import statistics

    return statistics(calibration.module(net, subnet))
