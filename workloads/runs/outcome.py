"""What came of a run on a board: its records, totals and figures, put into a summary. It asks no actor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from actors.agent.totals import BoardTotals
from actors.control.figures import LoopFigures
from actors.worker.status import WorkerStatus
from scheduler.views import Gear
from workloads.mix.arrivals import FloatArray
from workloads.results.requests import submitted_s
from workloads.results.summarize import AppRecords, summarize_manager, summarize_run
from workloads.results.summary import HostSummary, Summary, UnitSummary
from workloads.runs.energies import energy_of
from workloads.runs.plan import AppPlan, RunPlan


def app_records(
    app: AppPlan,
    scheduled_s: FloatArray,
    records: NDArray[np.void],
    status: WorkerStatus | None,
    gears: Sequence[Gear],
    end_s: float,
) -> AppRecords:
    """Return one application's requests and what served them.

    Args:
        app: the application.
        scheduled_s: its arrivals as they were scheduled, shape (n,), sorted.
        records: records of its requests.
        status: last status of its worker; None for one that was lost at the end.
        gears: its gears in the order in which they were acknowledged.
        end_s: board time until which its results were waited for.
    """
    closed_s = status.closed_s if status and status.closed_s is not None else math.inf
    return AppRecords(
        arrivals_s=submitted_s(app.app.arrivals, scheduled_s, records, closed_s),
        records=records,
        targets=app.presence.targets,
        ladder=app.profile.rungs,
        gears=gears,
        switch_ms=status.switch_ms if status else (),
        end_s=end_s,
    )


def run_summary(
    plan: RunPlan,
    apps: Mapping[str, AppRecords],
    figures: LoopFigures,
    totals: BoardTotals,
    host: HostSummary,
    duration_s: float,
) -> Summary:
    """Summarize a run that has come to its end.

    Args:
        plan: the run as it was planned, with what was changed on the way.
        apps: each application's requests.
        figures: the control loop's measurements of itself.
        totals: what the board did.
        host: how much the machine stalled.
        duration_s: length of the run, board time.
    """
    return summarize_run(
        plan,
        backend="ray",
        duration_s=duration_s,
        time_scale=plan.time_scale,
        apps=apps,
        units={
            unit.name: UnitSummary(busy=unit.busy, clock_changes=unit.clock_changes, mean_mhz=unit.mean_mhz)
            for unit in totals.units
        },
        energy=energy_of(totals),
        manager=summarize_manager(
            epochs=figures.epochs,
            overruns=figures.overruns,
            solve_ms=figures.solve_ms,
            apply_ms=figures.apply_ms,
        ),
        host=host,
    )
