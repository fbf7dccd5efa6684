"""The tables of a bench as files: `results.csv` and `results.parquet` with a row for each app, `runs.csv` for each run.

Cells of unknown figures are empty. Rows have the order of the results, so that the same bench gives the same bytes
however its runs were spread over processes.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars

from workloads.bench.power_sets import EnergyBySet
from workloads.bench.results import RunResult

# Importing polars puts a handler of SIGINT before Python's, with which the kernel resumes interrupted waits: Ctrl-C
# would have no effect until a lock is free. So Python's own handler is put back.
if threading.current_thread() is threading.main_thread() and (_handler := signal.getsignal(signal.SIGINT)) is not None:
    signal.signal(signal.SIGINT, _handler)

APP_COLUMNS = {
    "mix": polars.String,
    "board": polars.String,
    "policy": polars.String,
    "seed": polars.Int64,
    "app": polars.String,
    "submitted": polars.Int64,
    "completed": polars.Int64,
    "dropped": polars.Int64,
    "failed": polars.Int64,
    "on_time": polars.Float64,
    "slo": polars.Float64,
    "p50_ms": polars.Float64,
    "p95_ms": polars.Float64,
    "p99_ms": polars.Float64,
    "target_ms": polars.Float64,
    "accuracy": polars.Float64,
    "min_accuracy": polars.Float64,
    "switches": polars.Int64,
    "units_j": polars.Float64,
    "board_j": polars.Float64,
}
RUN_COLUMNS = {
    "mix": polars.String,
    "board": polars.String,
    "policy": polars.String,
    "seed": polars.Int64,
    "clones": polars.Int64,
    "parity": polars.String,
    "change": polars.String,
    "utilisation": polars.Float64,
    "on_time": polars.Float64,
    "lost": polars.Int64,
    "units_j": polars.Float64,
    "board_j": polars.Float64,
    "units_j_low": polars.Float64,
    "units_j_high": polars.Float64,
    "board_j_low": polars.Float64,
    "board_j_high": polars.Float64,
    "energy_source": polars.String,
    "j_per_on_time": polars.Float64,
    "managing_j": polars.Float64,
    "lower_bound_j": polars.Float64,
    "xrbench": polars.Float64,
    "tail": polars.Float64,
    "decisions": polars.Int64,
    "switches": polars.Int64,
    "void": polars.Boolean,
    "error": polars.String,
}


def app_rows(results: Sequence[RunResult]) -> list[dict[str, Any]]:
    """Return a row for each app of each run that ended well, of mixes as written on boards as they are."""
    rows = []
    for result in results:
        summary = result.summary
        if summary is None or not result.task.plain:
            continue
        for name, app in summary.apps.items():
            rows.append(
                {
                    "mix": summary.mix,
                    "board": summary.board,
                    "policy": summary.policy,
                    "seed": summary.seed,
                    "app": name,
                    "submitted": app.submitted,
                    "completed": app.completed,
                    "dropped": app.dropped,
                    "failed": app.failed,
                    "on_time": app.on_time,
                    "slo": app.slo,
                    "p50_ms": app.latency_ms.p50,
                    "p95_ms": app.latency_ms.p95,
                    "p99_ms": app.latency_ms.p99,
                    "target_ms": app.target_ms,
                    "accuracy": app.accuracy.value,
                    "min_accuracy": app.min_accuracy,
                    "switches": app.switches,
                    "units_j": summary.energy.units_j,
                    "board_j": summary.energy.board_j,
                }
            )
    return rows


def run_rows(results: Sequence[RunResult]) -> list[dict[str, Any]]:
    """Return a row for each run, also of changed mixes or boards and of runs that failed."""
    return [_run_row(result) for result in results]


def write_tables(results: Sequence[RunResult], directory: Path) -> None:
    """Write the three files into a directory."""
    apps = polars.DataFrame(app_rows(results), schema=APP_COLUMNS)
    apps.write_csv(directory / "results.csv")
    apps.write_parquet(directory / "results.parquet")
    polars.DataFrame(run_rows(results), schema=RUN_COLUMNS).write_csv(directory / "runs.csv")


def on_time_counts(result: RunResult) -> tuple[int, int]:
    """Return the numbers of requests on time and of all requests that `AppSummary.on_time` is a share of."""
    apps = result.summary.apps.values() if result.summary is not None else ()
    counted = [(app, app.counted) for app in apps if app.on_time is not None]
    return sum(round((app.on_time or 0.0) * n) for app, n in counted), sum(n for _, n in counted)


def lost_count(result: RunResult) -> int:
    """Return the number of requests of all apps that were dropped or failed."""
    return sum(app.dropped + app.failed for app in result.summary.apps.values()) if result.summary is not None else 0


def _ends_over_sets(by_set: EnergyBySet | None) -> dict[str, float]:
    """Return the 2.5th and 97.5th percentile of both energies over sets of power figures; nothing where unknown."""
    ends: dict[str, float] = {}
    for name, joules in (("units_j", by_set.units_j), ("board_j", by_set.board_j)) if by_set is not None else ():
        if joules:
            ends[f"{name}_low"], ends[f"{name}_high"] = np.percentile(joules, [2.5, 97.5]).tolist()
    return ends


def _run_row(result: RunResult) -> dict[str, Any]:
    task, summary = result.task, result.summary
    row: dict[str, Any] = {
        "mix": task.mix,
        "board": task.board,
        "policy": task.policy,
        "seed": task.seed,
        "clones": task.clones,
        "parity": task.parity,
        "change": task.change,
        "utilisation": result.utilisation,
        "error": result.error,
    }
    if summary is not None:
        hits, n = on_time_counts(result)
        units_j = summary.energy.units_j
        row |= {
            "on_time": hits / n if n else None,
            "lost": lost_count(result),
            "units_j": units_j,
            "board_j": summary.energy.board_j,
            **_ends_over_sets(result.by_set),
            "energy_source": summary.energy.source,
            "j_per_on_time": units_j / hits if units_j is not None and hits else None,
            "managing_j": result.managing_j,
            "lower_bound_j": result.lower_bound_j,
            "xrbench": result.xrbench,
            "tail": result.tail,
            "decisions": result.decisions,
            "switches": sum(app.switches for app in summary.apps.values()),
            "void": summary.host.void if summary.host is not None else None,
        }
    return row
