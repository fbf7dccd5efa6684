"""`gearshift ladder`: searches a new ladder of a supernet for one unit of a board, and writes it as a ladder file.

Latencies are this machine's, on the unit's cores; of an emulated unit they are shown as its pace makes them at its top
clock, and so are the limits that a user gives.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

import supernets
from actors.paths import cache_dir
from actors.profiling import machine_name
from scheduler.board import Board, BoardUnit
from scheduler.errors import InputError
from supernets import engines, weights_file
from supernets.errors import SupernetError, known_options
from supernets.ofa.elastic import ElasticSupernet
from supernets.search.accuracy_source import AccuracySource, AccuracyTable, Calibration, MeasuredAccuracy, Predictor
from supernets.search.evolution import EvolutionPlan
from supernets.search.find import LatencyBench, NewLadder, NewRung, SearchPlan, search
from supernets.search.work_file import WorkFile
from workloads.ladder.accuracy import DRAWN, labelled_data
from workloads.ladder.ladders import Progress
from workloads.ladder.profiles import devices_of
from workloads.report.table import share

_KINDS = ("predictor:FILE", "table:FILE", "data[:DIR]")

_FEW = {"population": 8, "generations": 4}
"""Defaults where every accuracy has to be measured: seconds to minutes each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the ladder is for.

    Attributes:
        board: the board.
        unit: of it.
        cores: of the unit.
    """

    board: Board
    unit: BoardUnit
    cores: int

    @property
    def pace(self) -> float:
        """Milliseconds of this machine that the unit gets through in a millisecond at its top clock."""
        return self.unit.pace(self.unit.mhz[-1]) if self.unit.dvfs == "emulated" else 1.0

    def __str__(self) -> str:
        cores = "" if self.unit.kind == "gpu" else f", {self.cores} core{'s' if self.cores > 1 else ''}"
        return f"{self.unit.name} of {self.board.name}{cores}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """What accuracies are measured and statistics averaged on.

    Attributes:
        calibrate: as `--calibrate` gives it.
        calibration_pictures: at most that many to calibrate on.
        search_pictures: that a measured search goes by.
        test_pictures: that the chosen are measured on; None takes all.
    """

    calibrate: str | None = None
    calibration_pictures: int = 2000
    search_pictures: int = 1000
    test_pictures: int | None = None


def open_supernet(name: str, weights: Path | None) -> ElasticSupernet:
    """A supernet that has something to search.

    Raises:
        SupernetError: if it has not, or can't be opened.
    """
    net = supernets.load(name, weights)
    if not isinstance(net, ElasticSupernet):
        raise SupernetError(f"{name} has no space to search: its ladder is all of its sub-networks")
    return net


def place(board: Board, unit: str | None, cores: int) -> Place:
    """The unit and cores that are asked for, checked.

    Args:
        board: that this host can play.
        unit: its name; None is the first CPU unit.
        cores: of a CPU unit.

    Raises:
        InputError: if the board has no such unit, or not as many cores.
    """
    names = [one.name for one in board.units]
    if unit is not None and unit not in names:
        raise InputError(f"--unit {unit!r} is not on board {board.name!r}. {known_options(unit, names)}")
    cpus = [one for one in board.units if one.kind == "cpu"]
    if unit is None and not cpus:
        raise InputError(f"board {board.name!r} has no CPU unit; name one with --unit. Known: {', '.join(names)}")
    chosen = cpus[0] if unit is None else board.unit(unit)
    if not 1 <= cores <= chosen.cores:
        raise InputError(f"--cores {cores}: unit {chosen.name!r} of {board.name!r} has {chosen.cores}")
    return Place(board=board, unit=chosen, cores=cores)


def bench_of(where: Place, engine: str) -> LatencyBench:
    """What networks for that place are measured in.

    Raises:
        SupernetError: for an unknown engine, or one that does not run there.
    """
    if where.unit.kind == "gpu":
        if engine not in ("auto", "torch"):
            raise SupernetError(f"engine {engine!r} does not run on a GPU, as unit {where.unit.name!r} is; take torch")
        return LatencyBench(engine="torch", threads=1, device=devices_of(where.board)[where.unit.name])
    engines.engine_version(engine)  # refuses an unknown one
    return LatencyBench(
        engine=engines.candidates()[0] if engine == "auto" else engine,
        threads=where.cores,
        cpus=where.unit.cpus[: where.cores],
    )


def work_file(net: ElasticSupernet, where: Place, bench: LatencyBench, directory: Path | None, fresh: bool) -> WorkFile:
    """What was measured before of this supernet, on this machine, in this engine.

    Args:
        net: the supernet.
        where: it is measured.
        bench: in what.
        directory: `--work`; None is one in the cache for just that.
        fresh: forget it.

    Raises:
        SupernetError: if the directory can't be used, or holds something else's.
    """
    depends_on = {
        "supernet": net.name,
        "weights": net.base_hash,
        "machine": f"{machine_name()}, {os.cpu_count()} CPUs",
        "engine": engines.engine_version(bench.engine),
        "device": bench.device,
        "CPUs": ", ".join(map(str, bench.cpus)),
    }
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    path = (directory or cache_dir() / "ladders" / f"{net.name}-{key}") / "work.json"
    if fresh:
        path.unlink(missing_ok=True)
    return WorkFile(path, depends_on)


def accuracy_source(
    given: str | None,
    net: ElasticSupernet,
    bench: LatencyBench,
    pictures: Pictures,
    resolutions: Sequence[int] | None,
    seed: int,
    work: WorkFile,
    on_progress: Progress,
) -> tuple[AccuracySource, Calibration | None]:
    """The accuracies that `--accuracy` names, and what the rungs' statistics are averaged over.

    Raises:
        SupernetError: for another form, or a file or folder that can't be used.
    """
    calibration = _calibration(net, pictures)
    kind, _, file = (given or ("data" if net.task == "plates" else "")).partition(":")
    if kind in ("predictor", "table") and file:
        if kind == "predictor":
            return Predictor(Path(file), net.space, resolutions), calibration
        if resolutions:
            raise SupernetError("--resolutions has no use with a table: only what it lists can be chosen")
        return AccuracyTable(Path(file), net.space), calibration
    if kind != "data":
        what = "is needed:" if given is None else f"{given!r} must be"
        raise SupernetError(f"--accuracy {what} one of {', '.join(_KINDS)}")
    data = labelled_data(net.task, file or None, "--accuracy data:", held_out=True)
    if calibration is None:
        raise SupernetError("--accuracy data needs training pictures to calibrate each sub-network on: --calibrate DIR")
    what = f"accuracy on {file or DRAWN}, calibrated on {pictures.calibration_pictures} of {pictures.calibrate}"
    for resolution in resolutions or ():
        if resolution not in net.space.resolutions:
            raise SupernetError(
                f"--resolutions {resolution} is none of {net.name}; take some of {net.space.resolutions}"
            )
    source = MeasuredAccuracy(
        net,
        data,
        calibration,
        pictures=pictures.search_pictures,
        test_pictures=pictures.test_pictures,
        seed=seed,
        engine=bench.engine,
        threads=bench.threads,
        known=work.section(what),
        on_measured=lambda done, total: on_progress("measure accuracies", done, total),
        resolutions=resolutions,
    )
    return source, calibration


def _calibration(net: ElasticSupernet, pictures: Pictures) -> Calibration | None:
    if pictures.calibrate is None and net.task != "plates":
        return None
    data = labelled_data(net.task, pictures.calibrate, "--calibrate", held_out=False)
    return Calibration(data=data, pictures=pictures.calibration_pictures, seed=0)


def search_plan(source: AccuracySource, where: Place, evolution: Mapping[str, Any], **plan: Any) -> SearchPlan:
    """How far to search; what is None in the evolution is as suits the source."""
    given = {name: value for name, value in evolution.items() if value is not None}
    defaults = _FEW if isinstance(source, MeasuredAccuracy) else {}
    return SearchPlan(pace=where.pace, evolution=EvolutionPlan(**{**defaults, **given}), **plan)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A new ladder and all that a reader has to know of it.

    Attributes:
        net: whose ladder.
        where: it is for.
        bench: what it was measured in.
        plan: how far the search went.
        accuracy: as `--accuracy` gives it.
        ladder: what was found.
    """

    net: ElasticSupernet
    where: Place
    bench: LatencyBench
    plan: SearchPlan
    accuracy: str
    ladder: NewLadder

    @property
    def about(self) -> dict[str, str]:
        """Of the ladder file."""
        return {
            "supernet": self.net.name,
            "weights_hash": self.net.base_hash,
            "made_by": "gearshift ladder",
            "place": str(self.where),
            "machine": machine_name(),
            "engine": engines.engine_version(self.bench.engine),
            "accuracy": self.accuracy,
            "search": repr(self.plan),
            "latency_predictor": str(self.ladder.error),
            "latency_ms": json.dumps({rung.subnet.id: round(rung.latency_ms, 4) for rung in self.ladder.rungs}),
        }

    @property
    def clock(self) -> str:
        """At which clock the latencies are."""
        if self.where.unit.dvfs == "emulated":
            return (
                f"emulated: measured here, over the unit's speed of {self.where.pace:g} "
                f"({self.where.unit.mhz[-1]:g} MHz)"
            )
        return "measured here, at the clock that the kernel gave"


def find(
    net: ElasticSupernet,
    where: Place,
    bench: LatencyBench,
    accuracy: str,
    source: AccuracySource,
    calibration: Calibration | None,
    plan: SearchPlan,
    work: WorkFile,
    on_progress: Progress,
) -> Outcome:
    """Searches; see `supernets.search.find.search`."""
    ladder = search(net, source, bench.timed_network, plan, work, calibration, on_progress)
    return Outcome(net=net, where=where, bench=bench, plan=plan, accuracy=accuracy, ladder=ladder)


def write_ladder(path: Path, found: Outcome) -> None:
    """Writes the ladder file, which `supernets.load` takes as `NAME:FILE`.

    Raises:
        SupernetError: if it can't be written.
    """
    try:
        weights_file.save(path, {}, [(rung.subnet, rung.statistics) for rung in found.ladder.rungs], found.about)
    except OSError as error:
        raise SupernetError(f"{path} can't be written: {error.strerror}") from None


def notes(found: Outcome) -> list[str]:
    """What a user must know before believing the figures."""
    said = [found.net.notice] if found.net.notice else []
    if any(rung.subnet.accuracy_source == "predicted" for rung in found.ladder.rungs):
        said.append(
            "accuracies are predicted, not measured: floors of accuracy go by them, and a run's summary calls its "
            "accuracy unknown; `gearshift accuracy` measures them"
        )
    if not all(rung.statistics for rung in found.ladder.rungs):
        said.append(
            "the rungs have the supernet's batch-norm statistics, which fit no sub-network exactly; "
            "--calibrate DIR averages their own over training pictures"
        )
    return said


def as_json(found: Outcome, file: Path) -> dict[str, Any]:
    """All of it, for `--json`."""
    return {
        "schema": 1,
        "supernet": found.net.name,
        "board": found.where.board.name,
        "unit": found.where.unit.name,
        "cores": found.where.cores,
        "clock": found.clock,
        "machine": machine_name(),
        "engine": engines.engine_version(found.bench.engine),
        "accuracy": found.accuracy,
        "seed": found.plan.evolution.seed,
        "latency_predictor": asdict(found.ladder.error),
        "file": str(file),
        "notes": notes(found),
        "rungs": [_rung_as_json(rung) for rung in found.ladder.rungs],
        "beaten": [_rung_as_json(rung) for rung in found.ladder.beaten],
    }


def _rung_as_json(rung: NewRung) -> dict[str, Any]:
    return {
        "subnet": rung.subnet.id,
        **asdict(rung.subnet)["knobs"],
        "resolution": rung.subnet.resolution,
        "macs_m": round(rung.subnet.macs_m, 3),
        "latency_ms": round(rung.latency_ms, 4),
        "predicted_ms": round(rung.predicted_ms, 4),
        "accuracy": {"value": rung.subnet.accuracy, "source": rung.subnet.accuracy_source},
    }


def ladder_table(found: Outcome) -> Table:
    """One row for each rung, of at most 110 columns."""
    error = found.ladder.error
    beaten = len(found.ladder.beaten)
    table = Table(
        box=box.SIMPLE_HEAD,
        title=Text(f"{found.net.name} on {found.where}, {engines.engine_version(found.bench.engine)}", style="bold"),
        title_justify="left",
        title_style="",
        show_edge=False,
        pad_edge=False,
        caption=Text(
            f"\nlatency predictor: {error}\nlatencies: {found.clock}"
            + (f"\n{beaten} more found, measured, and left out: others are as fast and better" if beaten else "")
        ),
        caption_justify="left",
        caption_style="",
    )
    table.add_column("sub-network", overflow="fold")
    for heading in ("px", "MMACs", "latency, ms", "predicted", "accuracy"):
        table.add_column(heading, justify="right")
    for rung in found.ladder.rungs:
        table.add_row(
            rung.subnet.id,
            str(rung.subnet.resolution),
            f"{rung.subnet.macs_m:.3g}",
            f"{rung.latency_ms:.3g}",
            f"{rung.predicted_ms:.3g}",
            f"{share(rung.subnet.accuracy)} {rung.subnet.accuracy_source}",
        )
    return table
