"""The run summary, schema 1: the targets of every app, how they were met, and the energy that it took.

These are plain data, written as JSON and read back. A figure that is not known is None, and null in the JSON; nothing
here estimates it. `workloads.results.summarize` fills a summary in. Nothing here knows about Ray, boards or the time of
day.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import TypeAdapter, ValidationError

from scheduler.errors import InputError

SCHEMA = 1

Verdict: TypeAlias = Literal["met", "missed", "not shown"]
EnergySource: TypeAlias = Literal["measured", "modelled", "unknown"]
AccuracySource: TypeAlias = Literal["measured", "profiled", "published", "unknown"]


class SummaryError(InputError):
    """A stored summary cannot be used; the message names the file, the field and the fix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tail:
    """Median and 99th percentile; None where nothing was measured."""

    p50: float | None = None
    p99: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Percentiles of the completed requests, from scheduled arrival to result; None where there are none."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """Delivered accuracy.

    Attributes:
        value: Accuracy as a fraction; None where unknown.
        n: Completed requests that the value is the mean of.
        source: `measured` on the labels of this run's requests, as the mean of their credits; else the accuracies of
            the sub-networks used, weighted by completed requests: `profiled` on held-out data, or `published` by
            others.
    """

    value: float | None = None
    n: int = 0
    source: AccuracySource = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """The outcome of the requests that arrived under one target.

    Attributes:
        from_s: Time from which the target is in force; it holds until the next segment.
        target_ms: Latency target.
        min_accuracy: Accuracy floor, a fraction.
        on_time: Share of `n` that completed within the target; None where n is 0.
        accuracy: Accuracy of the completed requests, from the same source as the app's; None where unknown.
        n: Requests that arrived, less those that never ended and whose deadline lay beyond the end.
    """

    from_s: float
    target_ms: float
    min_accuracy: float
    on_time: float | None
    accuracy: float | None
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AppSummary:
    """The outcome of one app. It always holds that submitted = completed + dropped + failed + in_flight.

    Attributes:
        submitted: Requests that arrived.
        completed: Requests with a result, late ones included.
        dropped: Requests that the queue let go.
        failed: Requests that an error or a lost worker ended.
        in_flight: Requests left after the drain.
        latency_ms: Latency of the completed requests, queueing included.
        target_ms: Latency target last in force.
        on_time: Share that completed within the target in force at arrival, of all submitted but those that never ended
            and whose deadline lay beyond the end. A request that was due and never ended is late.
        slo: Share that must be on time; last in force.
        verdict: `met`, `missed` or `not shown`: `on_time` against `slo`, by its 95 % Wilson interval.
        accuracy: Delivered accuracy.
        min_accuracy: Accuracy floor last in force.
        subnets: Completed requests of each sub-network used, smallest first.
        switches: Changes of sub-network, unit or cores.
        switch_ms: Wall time from the order to change gear until the worker had changed.
        segments: The first, and one for each event that changes the app's targets.
    """

    submitted: int
    completed: int
    dropped: int
    failed: int
    in_flight: int
    latency_ms: Latency
    target_ms: float
    on_time: float | None
    slo: float
    verdict: Verdict
    accuracy: Accuracy
    min_accuracy: float
    subnets: Mapping[str, int]
    switches: int
    switch_ms: Tail
    segments: Sequence[Segment]

    @property
    def counted(self) -> int:
        """The number of requests that `on_time` is a share of."""
        return sum(segment.n for segment in self.segments)


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitSummary:
    """The use of one unit.

    Attributes:
        busy: Share of its core time that was taken, 0 to 1.
        clock_changes: Number of changes of its clock.
        mean_mhz: Mean of its clock over time.
    """

    busy: float
    clock_changes: int
    mean_mhz: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RailSummary:
    """One rail of the board that was read.

    Attributes:
        joules: Its energy; None where unknown.
        covers: `board`, or the names of the units behind it.
        samples: Number of readings.
        longest_gap_s: Longest time without a reading; None if there was none at all.
        why_unknown: Reason why the energy is not known, or not measured in this run; None if it was measured.
    """

    joules: float | None
    covers: tuple[str, ...] | Literal["board"]
    samples: int
    longest_gap_s: float | None
    why_unknown: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergySummary:
    """Energy over the whole run.

    Attributes:
        units_j: Energy of the managed units, idle included; None where unknown.
        board_j: Energy of the units and the rest of the board; None where unknown.
        source: Source of `units_j`, as in `units_source`, for readers of summaries from before there was that key.
        units_source: Source of `units_j`: `measured` if rails cover all units, each once.
        board_source: Source of `board_j`: `measured` if a rail covers the board; `modelled` if part of it is.
        rails: Rails by name.
    """

    units_j: float | None
    board_j: float | None
    source: EnergySource
    units_source: EnergySource
    board_source: EnergySource
    rails: Mapping[str, RailSummary]


def energy_summary(
    units_j: float | None,
    board_j: float | None,
    *,
    units_source: EnergySource,
    board_source: EnergySource | None = None,
    rails: Mapping[str, RailSummary] | None = None,
) -> EnergySummary:
    """Return the energies of a run.

    Args:
        units_j: Energy of the managed units; None where unknown.
        board_j: Energy of the whole board; None where unknown.
        units_source: Source of `units_j`.
        board_source: Source of `board_j`; None for `modelled`, or `unknown` where it is unknown.
        rails: Rails by name; None for none.
    """
    return EnergySummary(
        units_j=units_j,
        board_j=board_j,
        source=units_source,
        units_source=units_source,
        board_source=board_source or ("unknown" if board_j is None else "modelled"),
        rails=rails or {},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ManagerSummary:
    """The work of the manager.

    Attributes:
        epochs: Epochs of the run.
        solve_ms: Wall time of a decision; None under simulation.
        apply_ms: Wall time until a plan was applied; None under simulation.
        overruns: Epochs that it began late.
    """

    epochs: int
    solve_ms: Tail
    apply_ms: Tail
    overruns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HostSummary:
    """Stalls of the machine itself during a run, as `workloads.runs.host` finds them.

    Attributes:
        steal_s: Time that a hypervisor took from the cores; None where the kernel does not say.
        stall_ms_max: Longest stall, board time; None where unknown.
        stalled_share: Share of the time in which a core was stalled, mean over the cores; None where unknown.
        void: True if the share is above `VOID_SHARE`, or if another run used the same CPUs: the figures do not count.
    """

    steal_s: float | None
    stall_ms_max: float | None
    stalled_share: float | None
    void: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A whole run; names and order of the fields are those of the JSON object.

    Attributes:
        mix: Name of the mix.
        board: Name of the board.
        backend: Back-end that ran it: `ray` on this machine, `sim` in simulation.
        policy: Name of the policy.
        seed: Seed of the arrivals and the service times.
        duration_s: Length of the run, board time.
        time_scale: Wall time over board time.
        apps: Apps by name, in the order of the mix.
        units: Units by name, in the order of the board.
        energy: Energy of the units and the board.
        manager: Work of the manager.
        host: Stalls of the machine; None under simulation.
    """

    mix: str
    board: str
    backend: Literal["ray", "sim"]
    policy: str
    seed: int
    duration_s: float
    time_scale: float
    apps: Mapping[str, AppSummary]
    units: Mapping[str, UnitSummary]
    energy: EnergySummary
    manager: ManagerSummary
    host: HostSummary | None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object; a figure that is not finite becomes None."""
        plain: dict[str, Any] = _plain({"schema": SCHEMA, **asdict(self)})
        return plain

    def to_json(self) -> str:
        """Return the JSON object as text; equal summaries give the same text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return plain JSON values: NumPy scalars become int or float, and figures that are not finite become None."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_sources(energy: dict[str, Any]) -> dict[str, Any]:
    """Return the energies of a summary from before they had a source each, when all of them were modelled."""
    board_source = "unknown" if energy.get("board_j") is None else "modelled"
    return {**energy, "units_source": energy.get("source"), "board_source": board_source, "rails": {}}


_READER = TypeAdapter(Summary)


def read_summary(path: Path) -> Summary:
    """Read a stored `summary.json`.

    Raises:
        SummaryError: The file cannot be read, is cut short, or holds no summary of this schema.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SummaryError(f"{path}: cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise SummaryError(
            f"{path}: this is not whole JSON: {error}. Remove it, and the rest of the run can be read without it."
        ) from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        schema = data.get("schema") if isinstance(data, dict) else None
        raise SummaryError(
            f"{path}: schema must be {SCHEMA}, not {schema!r}; run the mix again with this version of gearshift."
        )
    energy = data.get("energy")
    if isinstance(energy, dict) and "units_source" not in energy:
        data["energy"] = _with_sources(energy)
    try:
        return _READER.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise SummaryError(
            f"{path}: {field}: {first['msg']}, not {first['input']!r:.60}; run the mix again."
        ) from error
