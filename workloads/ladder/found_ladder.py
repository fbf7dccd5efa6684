"""A new ladder of a supernet, and its forms: a ladder file, JSON and a table."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from actors.profiling import machine_name
from scheduler.board import Board, BoardUnit
from supernets import engines, weights_file
from supernets.errors import SupernetError
from supernets.ofa.elastic import ElasticSupernet
from supernets.search.find import LatencyBench, NewLadder, NewRung, SearchPlan
from workloads.report.table import share


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The cores that a ladder is made for.

    Attributes:
        board: the board.
        unit: one unit of the board.
        cores: number of cores of that unit.
    """

    board: Board
    unit: BoardUnit
    cores: int

    @property
    def pace(self) -> float:
        """Milliseconds of this machine's work that the unit gets through in a millisecond at its top clock.

        At a pace of 0.5 a network that takes 2 ms on this machine takes 4 ms on the unit.
        """
        return self.unit.pace(self.unit.mhz[-1]) if self.unit.emulated else 1.0

    def __str__(self) -> str:
        cores = "" if self.unit.kind == "gpu" else f", {self.cores} core{'s' if self.cores > 1 else ''}"
        return f"{self.unit.name} of {self.board.name}{cores}"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundLadder:
    """A new ladder, and how it was found.

    Attributes:
        net: the supernet.
        where: the place that the ladder is for.
        bench: the engine and the device that its networks were measured in.
        plan: how far the search went.
        accuracy: source of the accuracies, as `--accuracy` gives it.
        file: the ladder file.
        ladder: its rungs, and the error of the latency predictor.
    """

    net: ElasticSupernet
    where: Place
    bench: LatencyBench
    plan: SearchPlan
    accuracy: str
    file: Path
    ladder: NewLadder

    @property
    def metadata(self) -> dict[str, str]:
        """Origin of the ladder, as the ladder file keeps it."""
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
        """Words that say at which clock the latencies hold."""
        if self.where.unit.emulated:
            return (
                f"emulated: measured here, over the unit's speed of {self.where.pace:g} "
                f"({self.where.unit.mhz[-1]:g} MHz)"
            )
        return "measured here, at the clock that the kernel gave"


def write_ladder(found: FoundLadder) -> None:
    """Write the ladder file, which `supernets.load` takes as `NAME:FILE`.

    Raises:
        SupernetError: if the file can't be written.
    """
    try:
        weights_file.save(
            found.file, {}, [(rung.subnet, rung.statistics) for rung in found.ladder.rungs], found.metadata
        )
    except OSError as error:
        raise SupernetError(f"{found.file} can't be written: {error.strerror}") from None


def notes(found: FoundLadder) -> list[str]:
    """Return the reasons for doubt that a user must know before believing the figures, each a sentence."""
    said = [found.net.notice] if found.net.notice else []
    if any(rung.subnet.accuracy_source == "predicted" for rung in found.ladder.rungs):
        said.append(
            "accuracies are predicted, not measured: floors of accuracy go by them, and a run's summary calls its "
            "accuracy unknown; `gearshift accuracy` measures them"
        )
    if not all(rung.statistics for rung in found.ladder.rungs):
        said.append(
            "the rungs have the supernet's batch-norm statistics, which fit no sub-network exactly; "
            "--calibrate DIR averages their own over training data"
        )
    return said


def as_json(found: FoundLadder) -> dict[str, Any]:
    """Return all of it, as `--json` prints it."""
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
        "file": str(found.file),
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


def ladder_table(found: FoundLadder) -> Table:
    """Return a table of at most 110 columns, with one row for each rung."""
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
