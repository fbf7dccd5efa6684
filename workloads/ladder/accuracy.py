"""`gearshift accuracy`: measures how good the answers of sub-networks are on the user's own labelled data.

Each sub-network is measured in the engine that serves it, input by input. If training data are given, its batch-norm
statistics are averaged over them first. The result can be written to a ladder file, for a run to use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text
from safetensors import SafetensorError

import supernets
from actors.paths import cache_dir
from supernets import SubNet, Supernet, engines, weights_file
from supernets.artifact import PRECISIONS, Artifact
from supernets.errors import SupernetError, extra, known_options
from supernets.evaluation import AccuracyScore, BatchedData, LabelledData, accuracy
from supernets.subnet import at_precision
from workloads.progress import Progress, no_progress
from workloads.report.table import UNKNOWN, share
from workloads.results.verdict import credit_interval

if TYPE_CHECKING:
    from torch import Tensor

_CALIBRATION_BATCH = 64
"""Inputs of a batch over which statistics are averaged."""

_SHOWN_EVERY = 16
"""Number of inputs after which progress is shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationPlan:
    """Data to measure sub-networks on, and how to measure.

    Attributes:
        data: labelled data.
        limit: most inputs to use; None uses all.
        seed: seed of the choice of inputs.
        engine: `auto` or one of `engines.names()`.
        precision: precision to compute in, `float32` or `bfloat16`; None is each sub-network's own.
        calibration: training data for batch-norm statistics; None leaves the statistics as they are.
        calibrate_on: most training inputs to use.
        keeps_statistics: True also gathers the statistics that are a sub-network's own, for a ladder file.

    Raises:
        SupernetError: for an unknown engine or precision.
    """

    data: LabelledData
    limit: int | None
    seed: int
    engine: str
    precision: str | None
    calibration: BatchedData | None
    calibrate_on: int
    keeps_statistics: bool = True

    def __post_init__(self) -> None:
        if self.engine not in ("auto", *engines.names()):
            raise SupernetError(f"--engine {self.engine!r} is unknown. {known_options(self.engine, engines.names())}")
        if self.precision is not None and self.precision not in PRECISIONS:
            raise SupernetError(
                f"--precision {self.precision!r} is unknown. {known_options(self.precision, PRECISIONS)}"
            )

    @property
    def inputs(self) -> int:
        """Number of inputs that are measured on."""
        return min(len(self.data), self.limit or len(self.data))


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One sub-network's accuracy.

    Attributes:
        subnet: the sub-network with the accuracy measured.
        score: credits of its answers.
        before: the sub-network as the ladder has it, with the accuracy published or measured before.
        statistics: its own batch-norm statistics; empty where it has the supernet's.
        origin: origin of the statistics: `calibrated` just now, its `own`, or `inherited` from the supernet; None where
            networks of this task have none.
    """

    subnet: SubNet
    score: AccuracyScore
    before: SubNet
    statistics: Mapping[str, Tensor]
    origin: str | None

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy."""
        return credit_interval(self.score.credits)


def measure(
    net: Supernet, rungs: Sequence[SubNet], how: EvaluationPlan, on_progress: Progress = no_progress
) -> Iterator[Measured]:
    """Measure sub-networks one after another, and yield each result as it is ready.

    Args:
        net: the supernet.
        rungs: sub-networks of its ladder.
        how: the data, the engine and the precision.
        on_progress: called as inputs are measured.

    Raises:
        SupernetError: for an input that can't be read, a precision that the supernet's networks don't have, or an
            engine that can't run them.
    """
    threads = len(os.sched_getaffinity(0))
    if how.precision is not None and how.precision not in net.precisions:
        raise SupernetError(
            f"--precision {how.precision!r}: networks of {net.name} compute in {', '.join(net.precisions)}; "
            "leave it out"
        )
    for rung in rungs:
        subnet = at_precision(rung, how.precision or rung.precision)
        with TemporaryDirectory() as directory:
            artifact, statistics, origin = _exported(net, rung, subnet, how, Path(directory), on_progress)
            run = engines.prepare(artifact, how.engine, threads)

            def shown(done: int, what: str = f"accuracy {subnet.id}") -> None:
                if done % _SHOWN_EVERY == 0 or done == how.inputs:
                    on_progress(what, done, how.inputs)

            score = accuracy(run, how.data, artifact, how.limit, how.seed, shown)
        yield Measured(
            subnet=replace(subnet, accuracy=round(score.accuracy, 4), accuracy_source="measured"),
            score=score,
            before=rung,
            statistics=statistics,
            origin=origin if isinstance(how.data, BatchedData) else None,
        )


def _exported(
    net: Supernet, rung: SubNet, subnet: SubNet, how: EvaluationPlan, directory: Path, on_progress: Progress
) -> tuple[Artifact, Mapping[str, Tensor], str]:
    """Export a sub-network at its precision; return its files, its own statistics and their origin."""
    origin = "own" if net.calibrated(rung) else "inherited"
    artifact = None
    # A network as the ladder has it is taken from the cache of exports; any other one is written to the directory.
    if how.calibration is None and subnet == rung:
        artifact = supernets.export(net, rung, cache_dir() / "exported", program=how.engine == "torch")
        if origin == "inherited" or not how.keeps_statistics:
            return artifact, {}, origin
    with extra("train", "averaging, keeping or casting the statistics of a network"):
        from supernets.calibration import calibrate, statistics
    from supernets.exporting import export_module

    module = net.module(rung)
    if how.calibration is not None:
        calibrate(module, _inputs(how, how.calibration, net.input_shape(rung), f"calibrate {rung.id}", on_progress))
        origin = "calibrated"
    kept = {} if origin == "inherited" else statistics(module)
    if artifact is not None:
        return artifact, kept, origin
    path = directory / f"{subnet.id}.onnx"
    return export_module(module, subnet, net.input_shape(rung), path), kept, origin


def _inputs(
    how: EvaluationPlan, data: BatchedData, shape: tuple[int, ...], what: str, on_progress: Progress
) -> Iterator[Tensor]:
    """Yield batches of training inputs as tensors of a network's shape."""
    import torch

    total, done = min(len(data), how.calibrate_on), 0
    for x, _ in data.batches(shape, _CALIBRATION_BATCH, how.calibrate_on, how.seed):
        yield torch.from_numpy(x)
        done += len(x)
        on_progress(what, done, total)


def notes(net: Supernet, rungs: Sequence[SubNet], how: EvaluationPlan) -> list[str]:
    """Return the reasons for doubt that a user must know before believing the figures, each a sentence."""
    said = [net.notice] if net.notice else []
    inherited = [rung.id for rung in rungs if not net.calibrated(rung)]
    if inherited and how.calibration is None and net.weights_source != "random":
        said.append(
            f"{len(inherited)} of {len(rungs)} sub-networks have the supernet's batch-norm statistics, which fit "
            "none of them exactly and cost accuracy; --calibrate DIR averages their own over training data"
        )
    used = [data for data in (how.data, how.calibration) if data is not None]
    said += dict.fromkeys(data.notice for data in used if data.notice)
    directories = [data.directory for data in used if data.directory is not None]
    if len(directories) == 2 and directories[0].samefile(directories[1]):
        said.append("the statistics are averaged over the very data that are measured on, which flatters them")
    return said


def check_ladder_file(path: Path) -> None:
    """Refuse a file that could not be written or read as a ladder; called before anything is measured.

    Raises:
        SupernetError: if the name does not end in .safetensors, or its folder can't be written to.
    """
    if path.suffix != ".safetensors" or path.is_dir():
        raise SupernetError(f"--write {str(path)!r} must be a file that ends in .safetensors")
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise SupernetError(f"--write {str(path)!r}: {existing} is no directory that can be written to")


def write_ladder(path: Path, net: Supernet, measured: Sequence[Measured], how: EvaluationPlan) -> None:
    """Write a ladder file, which `supernets.load` takes as `NAME:FILE`.

    Raises:
        SupernetError: if the file can't be written.
    """
    about = {
        "supernet": net.weights_name,
        "weights_hash": net.base_hash,
        "made_by": "gearshift accuracy",
        "data": str(how.data),
        "inputs": str(measured[0].score.n),
        "seed": str(how.seed),
        "engine": engines.engine_version(how.engine),
        "calibration_inputs": str(how.calibrate_on if how.calibration is not None else 0),
    }
    try:
        weights_file.save(path, {}, [(rung.subnet, rung.statistics) for rung in measured], about)
    except (OSError, SafetensorError) as error:
        raise SupernetError(f"{path} can't be written: {error}") from None


def as_json(net: Supernet, measured: Sequence[Measured], how: EvaluationPlan) -> dict[str, Any]:
    """Return all of it, as `--json` prints it."""
    return {
        "schema": 1,
        "supernet": net.name,
        "weights": {"source": net.weights_source, "sha256": net.weights_hash},
        "data": str(how.data),
        "seed": how.seed,
        "engine": engines.engine_version(how.engine),
        "calibration_pictures": how.calibrate_on if how.calibration is not None else 0,
        "notes": notes(net, [rung.before for rung in measured], how),
        "rungs": [
            {
                "subnet": rung.subnet.id,
                "resolution": rung.subnet.resolution,
                "macs_m": round(rung.subnet.macs_m, 3),
                "precision": rung.subnet.precision,
                "statistics": rung.origin,
                "n": rung.score.n,
                "right": rung.score.right,
                "accuracy": rung.score.accuracy,
                "interval_95": list(rung.interval),
                "top5": _top5(rung),
                "figures": [asdict(figure) for figure in rung.score.figures],
                "before": {"value": rung.before.accuracy, "source": rung.before.accuracy_source},
            }
            for rung in measured
        ],
    }


def _top5(rung: Measured) -> float | None:
    return None if rung.score.top5 is None else rung.score.top5 / rung.score.n


def accuracy_table(net: Supernet, measured: Sequence[Measured], how: EvaluationPlan) -> Table:
    """Return a table of at most 110 columns, with one row for each sub-network.

    It has columns for what these networks have: a resolution, top-5, figures over all answers, batch-norm statistics.
    """
    columns = _columns(measured, how.data.task.metric)
    table = Table(
        box=box.SIMPLE_HEAD,
        title=Text(
            f"{net.name} ({net.weights_source} weights) on {how.data}, {measured[0].score.n} inputs, {how.engine}",
            style="bold",
        ),
        title_justify="left",
        title_style="",
        show_edge=False,
        pad_edge=False,
        caption=Text("\n").join(map(Text, _below(measured))),
        caption_justify="left",
        caption_style="",
    )
    for heading in columns:
        left = heading in ("sub-network", "statistics")
        table.add_column(heading, justify="left" if left else "right", overflow="fold" if left else "ellipsis")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _columns(measured: Sequence[Measured], metric: str) -> dict[str, list[str]]:
    """Return the cells of each column by its heading, without columns of which no sub-network has anything."""
    named = enumerate(figure.name for figure in measured[0].score.figures)
    figures = {name: [_plain(rung.score.figures[place].value) for rung in measured] for place, name in named}
    columns = {
        "sub-network": [rung.subnet.id for rung in measured],
        "px": ["" if rung.subnet.resolution is None else str(rung.subnet.resolution) for rung in measured],
        "MMACs": [f"{rung.subnet.macs_m:.3g}" for rung in measured],
        metric: [share(rung.score.accuracy) for rung in measured],
        "95 % interval": [f"{100 * rung.interval[0]:.1f} – {share(rung.interval[1])}" for rung in measured],
        "top-5": ["" if rung.score.top5 is None else share(_top5(rung)) for rung in measured],
        **figures,
        "on the ladder": [
            UNKNOWN if rung.before.accuracy is None else f"{share(rung.before.accuracy)} {rung.before.accuracy_source}"
            for rung in measured
        ],
        "statistics": [rung.origin or "" for rung in measured],
    }
    return {heading: cells for heading, cells in columns.items() if any(cells)}


def _plain(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1f}"


def _below(measured: Sequence[Measured]) -> list[str]:
    """Return the sentences below the table: how figures over all answers were counted, and what was cut."""
    figures = [figure for rung in measured for figure in rung.score.figures]
    said = [f"{figure.name}: {figure.signature}" if figure.signature else figure.why_unknown for figure in figures]
    if capped := sum(rung.score.capped for rung in measured):
        said.append(f"{capped} answers were cut at their cap, and credited as they are")
    return list(dict.fromkeys(said))
