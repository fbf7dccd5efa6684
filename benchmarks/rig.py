"""The shared parts of benchmarks of the serving path: samples without stalls, and a worker without a run.

The host sentinel sees a machine that stands still, not one that other processes use. On a loaded machine compare only
figures that were measured in turns.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from actors.clock import BoardClock
from actors.ledger.ledger import BoardLedger
from actors.requests.records import Status, read_records
from actors.worker.spec import WorkerSpec
from actors.worker.worker import Worker
from scheduler.board import Board, BoardUnit
from scheduler.messages import Activate, Prepare
from scheduler.profile import Profile, RungProfile, ServiceTime
from scheduler.views import Gear
from supernets.artifact import Artifact
from supernets.task import Source
from workloads.runs.host import Gap, HostSentinel

APP = "bench"
UNIT = "cpu"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """The distribution of times in milliseconds, with the numbers of samples; None if all samples were disturbed."""

    kept: int
    discarded: int
    p10_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None


class Stopwatch:
    """Samples by name, on the sentinel's clock."""

    def __init__(self, clock: BoardClock) -> None:
        self._clock = clock
        self._samples: dict[str, list[tuple[float, float]]] = {}

    def time(self, name: str, function: Callable[..., object], *arguments: object) -> None:
        """Call a function once with those arguments and keep the time that it took."""
        start_s = self._clock.now_s()
        function(*arguments)
        self.add(name, start_s, self._clock.now_s())

    def add(self, name: str, start_s: float, end_s: float) -> None:
        """Keep a sample that was measured elsewhere, from and to in seconds."""
        self._samples.setdefault(name, []).append((start_s, end_s))

    def spreads(self, gaps: Sequence[Gap]) -> dict[str, Spread]:
        """Return the spread of each name over the samples in which no core stood still."""
        return {name: _spread(samples, gaps) for name, samples in self._samples.items()}

    def times_ms(self, name: str, gaps: Sequence[Gap]) -> NDArray[np.float64]:
        """Return the times of a name during which no core stood still, in their order."""
        return _calm_ms(self._samples[name], gaps)


def _calm_ms(samples: list[tuple[float, float]], gaps: Sequence[Gap]) -> NDArray[np.float64]:
    spans = np.array(samples)
    calm = np.ones(len(spans), dtype=bool)
    for gap in gaps:
        calm &= (spans[:, 1] <= gap.at_s) | (spans[:, 0] >= gap.at_s + gap.lost_ms / 1e3)
    times_ms: NDArray[np.float64] = (spans[calm, 1] - spans[calm, 0]) * 1e3
    return times_ms


def _spread(samples: list[tuple[float, float]], gaps: Sequence[Gap]) -> Spread:
    times_ms = _calm_ms(samples, gaps)
    kept = len(times_ms)
    p10, p50, p90, p99 = (round(float(np.percentile(times_ms, q)), 4) if kept else None for q in (10, 50, 90, 99))
    return Spread(kept=kept, discarded=len(samples) - kept, p10_ms=p10, p50_ms=p50, p90_ms=p90, p99_ms=p99)


def ratio(one: Spread, other: Spread) -> float | None:
    """Return the ratio of the medians; None if one is unknown."""
    return round(one.p50_ms / other.p50_ms, 3) if one.p50_ms is not None and other.p50_ms else None


def cores() -> list[int]:
    """Return the CPUs that this process may use."""
    return sorted(os.sched_getaffinity(0))


@contextmanager
def watched(clock: BoardClock) -> Iterator[HostSentinel]:
    """Run a host sentinel on all cores of this process."""
    with HostSentinel(cores(), clock) as sentinel:
        yield sentinel


@contextmanager
def worker(
    artifacts: Mapping[str, Artifact],
    source: Source,
    cpus: Sequence[int],
    clock: BoardClock,
    engine: str = "auto",
    memory_mb: float = math.inf,
    *,
    saturate: bool = True,
) -> Iterator[Worker]:
    """Run a worker on a board of one unit with a fixed clock, with its first network in use.

    It is in a closed loop, or serves clients alone where `saturate` is False. All its networks are ready, as far as the
    bound of its memory allows. The end of the context stops it. `completed` returns its requests.
    """
    shared_memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None) as directory:
        spec = _spec(artifacts, cpus, clock, Path(directory), engine, memory_mb, saturate)
        ledger = BoardLedger.create(Path(spec.ledger_path), spec.board, slots=1, clock=clock)
        made = Worker(spec, source=source, clock=clock)
        try:
            for subnet in reversed(list(artifacts)):
                made.prepare(Prepare(app=APP, gear=gear(made, subnet), plan=0))
            made.activate(order(made, next(iter(artifacts)), plan=0))
            yield made
        finally:
            made.stop()
            ledger.remove()


def gear(made: Worker, subnet: str) -> Gear:
    """Return the gear of a sub-network on all cores of the worker's board."""
    return Gear(subnet=subnet, unit=UNIT, cores=made.spec.board.unit(UNIT).cores)


def order(made: Worker, subnet: str, plan: int) -> Activate:
    """Return the order to change to a sub-network."""
    return Activate(app=APP, gear=gear(made, subnet), cpus=made.spec.board.unit(UNIT).cpus, plan=plan)


def completed(made: Worker) -> NDArray[np.void]:
    """Return the records of the requests that the worker has completed, in their order."""
    records = read_records(Path(made.spec.records_path))
    done: NDArray[np.void] = records[records["status"] == Status.COMPLETED]
    return done


def lost(made: Worker) -> int:
    """Return the number of the worker's requests that were dropped or failed."""
    status = read_records(Path(made.spec.records_path))["status"]
    return int(np.isin(status, (Status.DROPPED, Status.FAILED)).sum())


def _spec(
    artifacts: Mapping[str, Artifact],
    cpus: Sequence[int],
    clock: BoardClock,
    directory: Path,
    engine: str,
    memory_mb: float,
    saturate: bool,
) -> WorkerSpec:
    unit = BoardUnit(name=UNIT, kind="cpu", cpus=tuple(cpus), dvfs="fixed", mhz=(1.0,), static_w=None, dynamic_w=None)
    # On a fixed clock a service takes as long as the inference; the profile only has to name networks and engine.
    times = tuple(
        ServiceTime(kind="cpu", cores=count, samples_ms=(1.0,), engine=engine) for count in range(1, len(cpus) + 1)
    )
    rungs = tuple(
        RungProfile(subnet=subnet, accuracy=None, accuracy_source="unknown", times=times) for subnet in artifacts
    )
    return WorkerSpec(
        app=APP,
        board=Board(name="bench", units=(unit,), base_w=None, sensor="none", power_source="unknown"),
        ledger_path=str(directory / "ledger"),
        slot=0,
        arrivals_s=np.empty(0),
        saturate=saturate,
        segments=((clock.now_s(), 1e6),),
        until_s=math.inf,
        queue_bound=2,
        drop="newest",
        artifacts=artifacts,
        profile=Profile(supernet="bench", machine="this", rungs=rungs),
        seed=0,
        records_path=str(directory / "records"),
        memory_mb=memory_mb,
    )


def figures_table(title: str, *heads: str) -> Table:
    """Return an empty table with a column of names and columns of figures under these heads."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for head in heads:
        table.add_column(head, justify="right")
    return table


def print_stalls(host: Mapping[str, Any]) -> None:
    """Print how much the machine stalled, from the fields of a host summary."""
    print(f"machine stalled {host['stalled_share']:.1%} of the time, longest {host['stall_ms_max']:.0f} ms")


def print_table(table: Table) -> None:
    """Print a table, as wide as the terminal or as 120 columns in a file."""
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def start_clock() -> BoardClock:
    """Return a clock whose zero is now."""
    return BoardClock(time.monotonic())
