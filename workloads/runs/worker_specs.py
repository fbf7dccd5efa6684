"""What each worker of a run is told, and where the executors that it calls are found."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actors.remote import ledger_path
from actors.worker.spec import WorkerSpec
from workloads.mix.arrivals import Saturate
from workloads.runs.plan import RunPlan


def worker_spec(
    plan: RunPlan,
    name: str,
    directory: Path,
    *,
    arrivals_s: NDArray[np.float64],
    records: Path,
    endless: bool,
    resumes: bool = False,
) -> WorkerSpec:
    """Return what the worker of an application is told.

    Args:
        plan: the run as it was planned.
        name: the application.
        directory: the run's directory in shared memory.
        arrivals_s: board times at which its requests arrive.
        records: file of its records.
        endless: true if it serves until it is told to end.
        resumes: true if it has left and has come back.
    """
    planned = plan.apps[name]
    app, presence = planned.app, planned.presence
    return WorkerSpec(
        app=app.name,
        board=plan.board,
        ledger_path=str(ledger_path(directory)),
        slot=list(plan.apps).index(name),
        arrivals_s=arrivals_s,
        saturate=isinstance(app.arrivals, Saturate),
        segments=tuple((t.from_s, t.latency_ms) for t in presence.targets),
        floors=tuple((t.from_s, t.min_accuracy) for t in presence.targets),
        until_s=math.inf if endless else presence.to_s,
        queue_bound=app.queue_bound(presence.length_s),
        drop=app.drop,
        artifacts=planned.artifacts,
        profile=planned.profile,
        seed=plan.seed,
        records_path=str(records),
        noise=plan.mix.noise,
        resumes=resumes,
        executors={unit: str(executor_path(plan, unit, directory)) for unit in plan.devices},
    )


def executor_path(plan: RunPlan, unit: str, directory: Path) -> Path:
    """Return the path of the socket of a GPU unit's executor."""
    # By number: a socket's path has at most 107 characters, and a unit's name may be long.
    return directory / f"executor-{list(plan.devices).index(unit)}"
