"""The run summary, schema 1: what every app asked, what it got, and what that took of the board.

`summarize_app` turns the records of one app into its part of the summary. The other parts are plain data that
the caller fills in. What is not known is None, and null in the JSON; nothing here estimates it. Nothing here
knows about Ray, boards, the time of day or where a run is kept.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter, ValidationError

from actors.requests.records import Status
from scheduler.errors import InputError
from scheduler.profile import RungProfile
from scheduler.views import Gear
from workloads.mix.arrivals import FloatArray
from workloads.mix.mix import Target

SCHEMA = 1

Verdict: TypeAlias = Literal["met", "missed", "not shown"]
AccuracySource: TypeAlias = Literal["measured", "profiled", "published", "unknown"]

_ROUNDING_MS = 1e-6
"""A request on time to the nanosecond is on time: (10.06 - 10.0) s is a little over 60 ms in floating point."""


class SummaryError(InputError):
    """A stored summary cannot be used; the message names the file, the field and the mend."""


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
        value: A fraction; None where unknown.
        n: Completed requests behind the value.
        source: `measured` on the labels of this run's requests; else the accuracies of the sub-networks used,
            weighted by completed requests: `profiled` on held-out data, or `published` by others.
    """

    value: float | None = None
    n: int = 0
    source: AccuracySource = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """What became of the requests that arrived under one target.

    Attributes:
        from_s: When the target came into force; it holds until the next segment.
        target_ms: Latency target.
        min_accuracy: Accuracy floor.
        on_time: Share of `n` completed within the target; None where n is 0.
        accuracy: Of those completed, by the source that the app names; None where unknown.
        n: Requests that arrived, less those still in flight.
    """

    from_s: float
    target_ms: float
    min_accuracy: float
    on_time: float | None
    accuracy: float | None
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AppSummary:
    """One app. submitted = completed + dropped + failed + in_flight, always.

    Attributes:
        submitted: Requests that arrived.
        completed: Requests with a result, late ones included.
        dropped: Requests that the queue let go.
        failed: Requests that an error or a lost worker ended.
        in_flight: Requests left after the drain.
        latency_ms: Of completed requests, queueing included.
        target_ms: Latency target last in force.
        on_time: Share of submitted less in flight that completed within the target in force at arrival.
        slo: Share that must be on time; last in force.
        verdict: Whether `on_time` met `slo`, by its 95 % Wilson interval.
        accuracy: Delivered accuracy.
        min_accuracy: Accuracy floor last in force.
        subnets: Completed requests of each sub-network used, smallest first.
        switches: Changes of sub-network, unit or cores.
        switch_ms: From a worker's order to change gear until it had.
        segments: One for each event that touches the app, and the first.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitSummary:
    """One unit: share of its core time taken (0 to 1), times its clock changed, its time-weighted clock."""

    busy: float
    clock_changes: int
    mean_mhz: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergySummary:
    """Energy of the whole window: of the managed units, idle included, and of the board."""

    units_j: float | None = None
    board_j: float | None = None
    source: Literal["measured", "modelled", "unknown"] = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class ManagerSummary:
    """The manager: epochs, wall time to decide and to apply a plan, and epochs that it began late."""

    epochs: int
    solve_ms: Tail
    apply_ms: Tail
    overruns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HostSummary:
    """How much the machine itself stalled; see `workloads.runs.host`."""

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
        backend: What ran it.
        policy: Name of the policy.
        seed: Of the arrivals and the service times.
        duration_s: Length of the run, board time.
        time_scale: Wall time over board time.
        apps: By name, in the order of the mix.
        units: By name, in the order of the board.
        energy: Of the units and the board.
        manager: Epochs and wall-clock figures.
        host: None under simulation.
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
        """Builds the JSON object; a figure that is not finite becomes None."""
        plain: dict[str, Any] = _plain({"schema": SCHEMA, **asdict(self)})
        return plain

    def to_json(self) -> str:
        """Writes the JSON object; the same summary gives the same text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)


_READER = TypeAdapter(Summary)


def read_summary(path: Path) -> Summary:
    """Reads a stored `summary.json`.

    Raises:
        SummaryError: The file cannot be read, is cut short, or holds no summary of this schema.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SummaryError(f"{path}: cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise SummaryError(f"{path}: this is not whole JSON: {error}. Was the run killed? Run it again.") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        schema = data.get("schema") if isinstance(data, dict) else None
        raise SummaryError(
            f"{path}: schema must be {SCHEMA}, not {schema!r}; run the mix again with this version of gearshift."
        )
    try:
        return _READER.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise SummaryError(
            f"{path}: {field}: {first['msg']}, not {first['input']!r:.60}; run the mix again."
        ) from error


def summarize_app(
    *,
    arrivals_s: FloatArray,
    records: NDArray[np.void],
    targets: Sequence[Target],
    ladder: Sequence[RungProfile],
    gears: Sequence[Gear],
    switch_ms: ArrayLike = (),
) -> AppSummary:
    """Summarizes what became of one app's requests.

    Args:
        arrivals_s: Scheduled arrival of every request submitted, shape (n,), sorted; a request's index is its
            place in it. Those without a record of their end are in flight.
        records: Of dtype `actors.requests.records.RECORD`, shape (m,), in any order. The first end of a request counts:
            one that a lost worker had already finished is not failed again by its successor.
        targets: In order of time, at least one; an arrival before the first counts to the first.
        ladder: Of the app, as in the records' `subnet`.
        gears: As acknowledged, in order, the first included.
        switch_ms: Time each switch took; empty under simulation.

    Raises:
        ValueError: A record is of a request that never arrived.
    """
    ended = first_ends(records)
    index, status = ended["index"], ended["status"]
    stray = index[(index < 0) | (index >= arrivals_s.size)]
    if stray.size:
        raise ValueError(f"a record is of request {stray[0]}, but only {arrivals_s.size} requests arrived.")
    is_completed = status == Status.COMPLETED
    on_time = is_on_time(ended)
    accuracy, source = _accuracy_by_request(ended, is_completed, ladder)

    starts_s = [target.from_s for target in targets]
    segment = np.maximum(np.searchsorted(starts_s, arrivals_s[index], side="right") - 1, 0)
    segments = []
    for place, target in enumerate(targets):
        inside = segment == place
        segments.append(
            Segment(
                from_s=target.from_s,
                target_ms=target.latency_ms,
                min_accuracy=target.min_accuracy,
                on_time=_share(on_time[inside]),
                accuracy=_mean_accuracy(accuracy[inside], source).value,
                n=int(inside.sum()),
            )
        )
    used = np.bincount(ended["subnet"][is_completed], minlength=len(ladder))
    last = targets[-1]
    return AppSummary(
        submitted=arrivals_s.size,
        completed=int(is_completed.sum()),
        dropped=int((status == Status.DROPPED).sum()),
        failed=int((status == Status.FAILED).sum()),
        in_flight=arrivals_s.size - ended.size,
        latency_ms=_latency(latencies_ms(ended[is_completed])),
        target_ms=last.latency_ms,
        on_time=_share(on_time),
        slo=last.slo,
        verdict=verdict_of(int(on_time.sum()), on_time.size, last.slo),
        accuracy=_mean_accuracy(accuracy, source),
        min_accuracy=last.min_accuracy,
        subnets={rung.subnet: int(n) for rung, n in zip(ladder, used, strict=True) if n},
        switches=sum(before != after for before, after in pairwise(gears)),
        switch_ms=tail_of(switch_ms),
        segments=tuple(segments),
    )


def first_ends(records: NDArray[np.void]) -> NDArray[np.void]:
    """Takes the first record of each request that ended, by index; records as in `summarize_app`."""
    ended = records[records["status"] != Status.ARRIVED]
    ended = ended[np.argsort(ended["end_s"], kind="stable")]
    first: NDArray[np.void] = ended[np.unique(ended["index"], return_index=True)[1]]
    return first


def latencies_ms(ended: NDArray[np.void]) -> FloatArray:
    """Computes the time from scheduled arrival to the end, shape (n,)."""
    latency_ms: FloatArray = (ended["end_s"] - ended["arrival_s"]) * 1000
    return latency_ms


def is_on_time(ended: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tells which requests completed within the target in force at their arrival, shape (n,)."""
    on_time: NDArray[np.bool_] = ended["status"] == Status.COMPLETED
    on_time &= latencies_ms(ended) <= ended["target_ms"] + _ROUNDING_MS
    return on_time


def wilson_interval(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Bounds a proportion by the score interval of Wilson (1927, doi:10.1080/01621459.1927.10502953).

    Args:
        successes: Of `n` trials.
        n: Trials; of none, everything is possible.
        z: Quantile of the normal distribution; 1.96 for 95 %.

    Returns:
        The lower and the upper bound, within [0, 1].

    Raises:
        ValueError: `successes` is not within 0 and n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be between 0 and n={n!r}, not {successes!r}.")
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    spread = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    middle, scale = share + z * z / (2 * n), 1 + z * z / n
    # At the ends the bound is 0 or 1 exactly, which rounding would miss.
    low = 0.0 if successes == 0 else (middle - spread) / scale
    high = 1.0 if successes == n else (middle + spread) / scale
    return low, high


def verdict_of(on_time: int, n: int, slo: float) -> Verdict:
    """Judges whether a share of on-time requests met its objective.

    Returns:
        `met` if the whole 95 % interval of the share is at least `slo`, `missed` if all of it is below, else
        `not shown`: too few requests to tell.
    """
    low, high = wilson_interval(on_time, n)
    if low >= slo:
        return "met"
    return "missed" if high < slo else "not shown"


def tail_of(values: ArrayLike) -> Tail:
    """Takes the median and the 99th percentile, linearly interpolated; None of no values."""
    figures = np.asarray(values, dtype=np.float64)
    if not figures.size:
        return Tail()
    p50, p99 = np.percentile(figures, [50, 99]).tolist()
    return Tail(p50=p50, p99=p99)


def _accuracy_by_request(
    ended: NDArray[np.void], is_completed: NDArray[np.bool_], ladder: Sequence[RungProfile]
) -> tuple[FloatArray, AccuracySource]:
    """What each request says of the accuracy, NaN where nothing, and where all of it comes from."""
    unknown = np.full(ended.size, np.nan)
    is_labelled = is_completed & (ended["correct"] >= 0)
    if is_labelled.any():
        return np.where(is_labelled, ended["correct"], np.nan), "measured"
    used = [ladder[place] for place in np.unique(ended["subnet"][is_completed])]
    # A prediction is good enough to choose by, but nobody has seen that accuracy.
    if not used or any(rung.accuracy is None or rung.accuracy_source == "predicted" for rung in used):
        return unknown, "unknown"
    # A rung that was not completed on may have no accuracy; it is not looked up either.
    known = np.array([np.nan if rung.accuracy is None else rung.accuracy for rung in ladder])
    is_profiled = all(rung.accuracy_source == "measured" for rung in used)
    values = np.where(is_completed, known[ended["subnet"]], np.nan)
    return values, "profiled" if is_profiled else "published"


def _mean_accuracy(values: FloatArray, source: AccuracySource) -> Accuracy:
    known = values[~np.isnan(values)]
    return Accuracy(value=float(known.mean()) if known.size else None, n=known.size, source=source)


def _latency(values_ms: FloatArray) -> Latency:
    if not values_ms.size:
        return Latency()
    p50, p95, p99, highest = np.percentile(values_ms, [50, 95, 99, 100]).tolist()
    return Latency(p50=p50, p95=p95, p99=p99, max=highest)


def _share(hits: NDArray[np.bool_]) -> float | None:
    return float(hits.mean()) if hits.size else None


def _plain(value: Any) -> Any:
    """Plain JSON values only: what is counted with NumPy is an int, and what is not finite is null."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
