"""The result of one task: the run's summary, and the figures that only a bench takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actors.requests.records import Status
from workloads.bench.power_sets import EnergyBySet
from workloads.bench.statistics import early_stopping_percentile
from workloads.bench.tasks import BenchTask
from workloads.bench.variants import Floors
from workloads.bench.xrbench import Frames, xrbench_score
from workloads.results.requests import first_ends, latencies_ms
from workloads.results.summary import Summary

Group: TypeAlias = Literal["written", "accuracy", "generated"]
"""Mixes that are averaged together: written ones; those of them whose objective is accuracy, so that less energy is not
what they ask for; and generated ones."""

_ROUNDING = 1e-9
"""The mean of equal accuracies may be that much above each of them, because floats are rounded. Floors are as much
lower, so that those accuracies meet them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """One run that ended, well or not.

    Attributes:
        task: the task that was run, without its floors.
        utilisation: share of the board that a generated mix asks for; None for a written one.
        summary: summary of the run; None if it failed.
        error: why it failed; None if it did not.
        managing_j: energy of managing in joules; None if unknown.
        decisions: number of plans that the policy was asked for; None if they were not counted.
        by_set: energy under each set of power figures that the board may have; None if there is only one.
        xrbench: XRBench's score, from 0 to 100; None if the energy is unknown.
        tail: the largest over apps of latency over target at the app's slo, as an early-stopping percentile: at most
            1 shows with 99 % confidence that every app meets its slo. None if an app has too few requests, or if the
            value is infinite.
        lower_bound_j: relaxed lower bound on the units' energy in joules for any run that meets every slo and drops no
            more than this one; None if it was not computed, or if this run misses an slo.
        seeks_accuracy: True if the mix's objective is accuracy.
        power_table: where the board's power figures come from. Boards with the same words there stand for one board.
            Empty for a board of its own.
    """

    task: BenchTask
    utilisation: float | None = None
    summary: Summary | None = None
    error: str | None = None
    managing_j: float | None = None
    decisions: int | None = None
    by_set: EnergyBySet | None = None
    xrbench: float | None = None
    tail: float | None = None
    lower_bound_j: float | None = None
    seeks_accuracy: bool = False
    power_table: str = ""

    @property
    def group(self) -> Group:
        """The group of its mix."""
        if self.utilisation is not None:
            return "generated"
        return "accuracy" if self.seeks_accuracy else "written"


def result_of(
    task: BenchTask,
    summary: Summary,
    records: Mapping[str, NDArray[np.void]],
    *,
    utilisation: float | None = None,
    managing_j: float | None = None,
    decisions: int | None = None,
    by_set: EnergyBySet | None = None,
    lower_bound_j: float | None = None,
    seeks_accuracy: bool = False,
    power_table: str = "",
) -> RunResult:
    """Return the result of a run that ended well.

    Args:
        task: the task that was run.
        summary: summary of the run.
        records: the records of all requests by app, shape (n,).
        utilisation: share of the board that a generated mix asks for; None for a written one.
        managing_j: energy of managing in joules; None if unknown.
        decisions: number of plans that the policy was asked for; None if they were not counted.
        by_set: energy under each set of power figures; None if there is only one.
        lower_bound_j: relaxed lower bound on the units' energy in joules; None if there is none.
        seeks_accuracy: True if the mix's objective is accuracy.
        power_table: where the board's power figures come from; empty for a board of its own.
    """
    ended = {app: first_ends(own) for app, own in records.items()}
    return RunResult(
        task=replace(task, floors=None),
        utilisation=utilisation,
        summary=summary,
        managing_j=managing_j,
        decisions=decisions,
        by_set=by_set,
        xrbench=xrbench_score([_frames(own) for own in ended.values()], summary.energy.units_j),
        tail=_tail(summary, ended),
        lower_bound_j=lower_bound_j,
        seeks_accuracy=seeks_accuracy,
        power_table=power_table,
    )


def delivered_floors(summary: Summary) -> Floors | None:
    """Return the accuracies that a run delivered, as floors for another run; None if one is unknown.

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
