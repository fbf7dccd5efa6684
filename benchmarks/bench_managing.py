"""Measure what managing costs in CPU time: an epoch by the number of applications, and a decision by theirs.

An epoch: deployments of 1, 2, 4, 8 and 16 applications that get hardly any request, so that their processes do nothing
but telemetry. The kernel counts the CPU time of the run's actors, of Ray's own processes and of an idle actor.
A decision: the manager in this process, with applications at 30 Hz, half of them periodic and half Poisson, made to
decide by a target that becomes a little tighter each time. `COSTS_ON_RAY` keeps the figures of epochs for simulations,
and `DECISIONS_MS` in `workloads/simulator/plan.py` those of decisions.
`python -m benchmarks.bench_managing [--seconds S] [--apps N…] [--decisions] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from typing import Any

import numpy as np
import psutil
import ray
from rich.console import Console
from rich.table import Table

from actors.cluster import packaged_board
from actors.session import RaySession
from actors.stored_profiles import packaged_profile
from scheduler.board import Board
from scheduler.manager import AppSpec, Manager
from scheduler.messages import Event, TargetChanged, Tick
from scheduler.points import ArrivalModel
from scheduler.policies import make_policy
from scheduler.profile import Profile
from workloads import App, Mix, Periodic
from workloads.runs.live import LiveRun
from workloads.runs.plan import plan_run
from workloads.simulator import Costs

COSTS_ON_RAY = Costs(epoch_ms=2.5, epoch_app_ms=0.7)
"""What a simulation is charged for managing as it is on Ray: every epoch each worker and the board agent post a page,
and Ray's threads run all the time."""

_APPS = (1, 2, 4, 8, 12, 16)
_KINDS = {
    "manager": "ray::ManagerActor",
    "agent": "ray::AgentActor",
    "workers": "ray::WorkerActor",
    "idle": "ray::Idle",
}
"""The beginning of the process names of each kind; all other processes are Ray's own."""
_SETTLED_S = 12.0
"""Board time from which on no worker prepares its first network any more, with 16 workers on two cores."""
_DECISIONS = 40


def main(argv: list[str] | None = None) -> int:
    """Print the tables; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each deployment")
    parser.add_argument("--apps", type=int, nargs="+", default=_APPS, help="how many applications")
    parser.add_argument("--decisions", action="store_true", help="only decisions, which need no Ray")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    decisions = {apps: _decision_ms(apps) for apps in options.apps}
    epochs: dict[int, dict[str, float]] = {}
    if not options.decisions:
        with RaySession() as session:
            epochs = {apps: _epoch_ms(session, apps, options.seconds) for apps in options.apps}
    _show(epochs, decisions)
    if options.json:
        options.json.write_text(json.dumps({"epochs": epochs, "decisions": decisions}, indent=1))
    return 0


# ---------------------------------------------------------------- an epoch


def _epoch_ms(session: RaySession, apps: int, seconds: float) -> dict[str, float]:
    """Return the CPU time of one epoch in ms: of the manager, the board agent, all workers, an idle actor and Ray."""
    mix = Mix(
        name="managing",
        duration_s=3600,
        apps=[
            App(f"a{number}", supernet="ofa-plates", arrivals=Periodic(hz=0.001), latency_ms=500)
            for number in range(apps)
        ],
    )
    board = packaged_board("two-core-host")
    live = LiveRun(plan_run(mix, board), session, Path(mkdtemp(prefix="gearshift-bench-")), endless=True)
    try:
        live.start()
        idle = ray.remote(num_cpus=0)(Idle).remote()
        live.clock.sleep_until(_SETTLED_S)
        before = _cpu_s()
        time.sleep(seconds)
        after = _cpu_s()
    finally:
        live.kill()
    ray.kill(idle)
    spent = {process: after[process] - before.get(process, 0.0) for process in after}
    epoch_s = live.plan.epoch_s
    per_epoch = 1000 * epoch_s / seconds

    def total(kind: str) -> float:
        return per_epoch * sum(s for (_, name), s in spent.items() if _kind(name) == kind)

    return {kind: total(kind) for kind in (*_KINDS, "ray")}


class Idle:
    """An actor that does nothing."""


def _cpu_s() -> dict[tuple[int, str], float]:
    """Return the CPU time so far of each process below this one, in seconds by process id and name."""
    seconds = {}
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
            seconds[process.pid, " ".join(process.cmdline()[:1])] = times.user + times.system
        except psutil.Error:  # one that has just ended
            continue
    return seconds


def _kind(name: str) -> str:
    return next((kind for kind, start in _KINDS.items() if name.startswith(start)), "ray")


# ---------------------------------------------------------------- a decision


def _decision_ms(apps: int) -> dict[str, float]:
    """Return the CPU time of one decision of `joint` and of `largest` in ms, the median of many."""
    board = packaged_board("odroid-xu3")
    profile = packaged_profile("ofa-plates")
    assert profile is not None
    return {policy: _median_decision_ms(board, profile, apps, policy) for policy in ("joint", "largest")}


def _median_decision_ms(board: Board, profile: Profile, apps: int, policy: str) -> float:
    specs = [
        AppSpec(
            app=f"a{number}",
            profile=profile,
            arrivals=ArrivalModel(kind="poisson" if number % 2 else "periodic", rate_hz=30.0),
            target_ms=60.0,
            min_accuracy=0.6,
        )
        for number in range(apps)
    ]
    manager = Manager(board=board, apps=specs, policy=make_policy(policy))
    manager.on(Tick(epoch=1), 0.0)
    spent = []
    for turn in range(_DECISIONS):
        change = TargetChanged(app="a0", target_ms=60.0 - 0.1 * turn, min_accuracy=0.6, weight=1.0, slo=0.95)
        before = time.process_time()
        manager.on(Event(change=change, text="turn"), 0.1 * turn)
        spent.append(1000 * (time.process_time() - before))
    return median(spent)


# ---------------------------------------------------------------- what came of it


def _show(epochs: dict[int, dict[str, float]], decisions: dict[int, dict[str, float]]) -> None:
    table = Table(title="CPU time, ms")
    heads = ("manager", "agent", "all workers", "an idle actor", "Ray itself")
    for head in ("apps", *(f"epoch: {head}" for head in heads), "joint", "largest"):
        table.add_column(head, justify="right")
    for apps, decided in decisions.items():
        cells: Sequence[Any] = (*epochs.get(apps, dict.fromkeys(heads)).values(), decided["joint"], decided["largest"])
        table.add_row(str(apps), *("" if cell is None else f"{cell:.3f}" for cell in cells))
    console = Console()
    console.print(table)
    ours = {n: row["manager"] + row["agent"] + row["workers"] for n, row in epochs.items()}
    kept = COSTS_ON_RAY
    if len(ours) > 1:
        slope, fixed = np.polyfit(list(ours), list(ours.values()), 1)
        console.print(
            f"epoch, manager, agent and workers: {fixed:.3f} ms + {slope:.3f} ms for each application "
            f"(kept: {kept.epoch_ms} + {kept.epoch_app_ms})"
        )
    console.print(f"decisions of joint, kept: {kept.decisions_ms}")


if __name__ == "__main__":
    sys.exit(main())
