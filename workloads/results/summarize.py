"""Makes a run's summary of what the run left behind, the same way for real and simulated runs.

`summarize_run` is the only place that fills a `Summary`. It knows nothing about Ray, the time of day or where a run is
kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actors.requests.records import Status
from scheduler.profile import RungProfile
from scheduler.views import Gear
from workloads.mix.arrivals import FloatArray
from workloads.mix.mix import Target
from workloads.results.planned import Planned
from workloads.results.requests import first_ends, is_on_time, latencies_ms, never_ended
from workloads.results.summary import (
    Accuracy,
    AccuracySource,
    AppSummary,
    EnergySummary,
    HostSummary,
    Latency,
    ManagerSummary,
    Segment,
    Summary,
    Tail,
    UnitSummary,
)
from workloads.results.verdict import verdict_of


@dataclass(frozen=True, kw_only=True, slots=True)
class AppRecords:
    """One app's requests and what served them, as a run left them.

    Attributes:
        arrivals_s: Scheduled arrival of every request submitted, shape (n,), sorted; a request's index is its
            place in it. Those without a record of their end are in flight.
        records: Records of the requests, of dtype `actors.requests.records.RECORD`, shape (m,), in any order.
        targets: In order of time, at least one; an arrival before the first counts to the first.
        ladder: Sub-networks of the app, as numbered in the records' `subnet`.
        gears: Gears in the order in which they were acknowledged, the first included.
        switch_ms: Time each switch took, on the wall; empty under simulation.
        end_s: Time until which results were waited for; infinite for ever. A request that was due by then and never
            ended is late.
    """

    arrivals_s: FloatArray
    records: NDArray[np.void]
    targets: Sequence[Target]
    ladder: Sequence[RungProfile]
    gears: Sequence[Gear]
    switch_ms: ArrayLike = ()
    end_s: float = math.inf


def summarize_run(
    plan: Planned,
    *,
    backend: Literal["ray", "sim"],
    duration_s: float,
    time_scale: float,
    apps: Mapping[str, AppRecords],
    units: Mapping[str, UnitSummary],
    energy: EnergySummary,
    manager: ManagerSummary,
    host: HostSummary | None,
) -> Summary:
    """Summarize a whole run.

    Args:
        plan: The run as it was planned.
        backend: The back-end that ran it.
        duration_s: Length of the run, board time.
        time_scale: Wall time over board time.
        apps: By name, in the order of the mix.
        units: By name, in the order of the board.
        energy: Energy of the units and the board.
        manager: Figures of the manager.
        host: How much the machine stalled; None under simulation.

    Raises:
        ValueError: A record is of a request that never arrived.
    """
    return Summary(
        mix=plan.mix.name,
        board=plan.board.name,
        backend=backend,
        policy=plan.policy,
        seed=plan.seed,
        duration_s=duration_s,
        time_scale=time_scale,
        apps={name: summarize_app(app) for name, app in apps.items()},
        units=units,
        energy=energy,
        manager=manager,
        host=host,
    )


def summarize_app(app: AppRecords) -> AppSummary:
    """Summarize what became of one app's requests.

    Raises:
        ValueError: A record is of a request that never arrived.
    """
    submitted = app.arrivals_s.size
    ended = first_ends(app.records)
    index, status = ended["index"], ended["status"]
    stray = index[(index < 0) | (index >= submitted)]
    if stray.size:
        raise ValueError(f"a record is of request {stray[0]}, but only {submitted} requests arrived.")
    is_completed = status == Status.COMPLETED
    places = _target_in_force(app.targets, app.arrivals_s)
    targets_s = np.array([target.latency_ms for target in app.targets])[places] / 1000
    counted = never_ended(app.arrivals_s, ended, targets_s, app.end_s)
    counted[index] = True
    on_time = np.zeros(submitted, dtype=np.bool_)
    on_time[index] = is_on_time(ended)
    by_request, source = _accuracy_by_request(ended, is_completed, app.ladder)
    accuracy = np.full(submitted, np.nan)
    accuracy[index] = by_request
    used = np.bincount(ended["subnet"][is_completed], minlength=len(app.ladder))
    last = app.targets[-1]
    return AppSummary(
        submitted=submitted,
        completed=int(is_completed.sum()),
        dropped=int((status == Status.DROPPED).sum()),
        failed=int((status == Status.FAILED).sum()),
        in_flight=submitted - ended.size,
        latency_ms=_latency(latencies_ms(ended[is_completed])),
        target_ms=last.latency_ms,
        on_time=_share(on_time[counted]),
        slo=last.slo,
        verdict=verdict_of(int(on_time.sum()), int(counted.sum()), last.slo),
        accuracy=_mean_accuracy(accuracy, source),
        min_accuracy=last.min_accuracy,
        subnets={rung.subnet: int(n) for rung, n in zip(app.ladder, used, strict=True) if n},
        switches=sum(before != after for before, after in pairwise(app.gears)),
        switch_ms=tail_of(app.switch_ms),
        segments=_segments(app.targets, places[counted], on_time[counted], accuracy[counted], source),
    )


def summarize_manager(
    *, epochs: int, overruns: int = 0, solve_ms: ArrayLike = (), apply_ms: ArrayLike = ()
) -> ManagerSummary:
    """Summarize the manager.

    Args:
        epochs: Epochs of the run.
        overruns: Epochs that it began late.
        solve_ms: Wall time of each decision; empty under simulation.
        apply_ms: Wall time until each plan was applied; empty under simulation.
    """
    return ManagerSummary(epochs=epochs, solve_ms=tail_of(solve_ms), apply_ms=tail_of(apply_ms), overruns=overruns)


def tail_of(values: ArrayLike) -> Tail:
    """Return the median and the 99th percentile, linearly interpolated; None of no values."""
    figures = np.asarray(values, dtype=np.float64)
    if not figures.size:
        return Tail()
    p50, p99 = np.percentile(figures, [50, 99]).tolist()
    return Tail(p50=p50, p99=p99)


def _target_in_force(targets: Sequence[Target], arrivals_s: FloatArray) -> NDArray[np.intp]:
    """Return the place of the target in force at each arrival."""
    starts_s = [target.from_s for target in targets]
    places: NDArray[np.intp] = np.maximum(np.searchsorted(starts_s, arrivals_s, side="right") - 1, 0)
    return places


def _segments(
    targets: Sequence[Target],
    places: NDArray[np.intp],
    on_time: NDArray[np.bool_],
    accuracy: FloatArray,
    source: AccuracySource,
) -> tuple[Segment, ...]:
    """Return one segment for each target; all arrays are of the requests that count, shape (n,)."""
    segments = []
    for place, target in enumerate(targets):
        inside = places == place
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
    return tuple(segments)


def _accuracy_by_request(
    ended: NDArray[np.void], is_completed: NDArray[np.bool_], ladder: Sequence[RungProfile]
) -> tuple[FloatArray, AccuracySource]:
    """Return what each request says of the accuracy, NaN where it says nothing, and where all of it comes from."""
    unknown = np.full(ended.size, np.nan)
    credits = np.where(is_completed, ended["credit"].astype(np.float64), np.nan)
    if not np.isnan(credits).all():
        return credits, "measured"
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
