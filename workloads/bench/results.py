"""What came of one task, and the figures that a bench takes beside the run's summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from actors.requests.records import Status
from workloads.bench.power_sets import EnergyBySet
from workloads.bench.scores import Frames, xrbench
from workloads.bench.statistics import early_stopping_percentile
from workloads.bench.tasks import Task
from workloads.bench.variants import Floors
from workloads.results.requests import first_ends, latencies_ms
from workloads.results.summary import Summary

_ROUNDING = 1e-9
"""A mean of equal accuracies may be that much above each of them, and would be no floor that they meet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One run that ended, well or not.

    Attributes:
        task: what was run.
        utilisation: of a generated mix; None for others.
        summary: what came of it; None where it failed.
        error: why it failed; None where it did not.
        managing_j: energy that managing took; None where unknown.
        decisions: plans that the policy was asked for; None where they are not counted.
        by_set: energy under each set of power figures that fits the board equally well; None where there is one alone.
        xrbench: the score; None where the energy is unknown.
        tail: the largest over apps of latency over target at the app's slo, as an early-stopping percentile: at most
            1 shows with 99 % confidence that every app meets its slo. None where an app has too few requests, infinite
            values become None too.
        lower_bound_j: relaxed lower bound on the units' energy; None where it was not computed.
    """

    task: Task
    utilisation: float | None = None
    summary: Summary | None = None
    error: str | None = None
    managing_j: float | None = None
    decisions: int | None = None
    by_set: EnergyBySet | None = None
    xrbench: float | None = None
    tail: float | None = None
    lower_bound_j: float | None = None


def result_of(
    task: Task,
    summary: Summary,
    records: Mapping[str, NDArray[np.void]],
    *,
    utilisation: float | None = None,
    managing_j: float | None = None,
    decisions: int | None = None,
    by_set: EnergyBySet | None = None,
    lower_bound_j: float | None = None,
) -> Result:
    """A result of a summary and the records behind it, those of each app as in `summarize_app`."""
    ended = {app: first_ends(own) for app, own in records.items()}
    return Result(
        task=replace(task, floors=None),
        utilisation=utilisation,
        summary=summary,
        managing_j=managing_j,
        decisions=decisions,
        by_set=by_set,
        xrbench=xrbench([_frames(own) for own in ended.values()], summary.energy.units_j),
        tail=_tail(summary, ended),
        lower_bound_j=lower_bound_j,
    )


def delivered_floors(summary: Summary) -> Floors | None:
    """The accuracies that a run delivered, as floors for another; None where one is unknown.

    A segment in which an app completed nothing keeps the floor it had.
    """
    floors = {}
    for name, app in summary.apps.items():
        if app.accuracy.source == "unknown" and app.completed:
            return None
        floors[name] = [
            (one.from_s, one.min_accuracy if one.accuracy is None else max(0.0, one.accuracy - _ROUNDING))
            for one in app.segments
        ]
    return floors


def _frames(ended: NDArray[np.void]) -> Frames:
    completed = ended[ended["status"] == Status.COMPLETED]
    overrun_ms = latencies_ms(completed) - completed["target_ms"]
    return Frames(overrun_ms=overrun_ms, asked=ended.size, lost=ended.size - completed.size)


def _tail(summary: Summary, ended: Mapping[str, NDArray[np.void]]) -> float | None:
    tails = []
    for app, own in ended.items():
        is_completed = own["status"] == Status.COMPLETED
        share_of_target = np.where(is_completed, latencies_ms(own) / own["target_ms"], np.inf)
        slo = summary.apps[app].slo
        tail = early_stopping_percentile(share_of_target, slo) if slo < 1 else float(share_of_target.max(initial=0.0))
        if tail is None or not np.isfinite(tail):
            return None
        tails.append(tail)
    return max(tails, default=None)
