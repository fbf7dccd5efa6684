"""The managers of a run: what the first is told, and what is told to one that takes the place of one that died."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from actors.control.manager_actor import ManagerTask, TakeOver
from actors.worker.status import WorkerStatus
from scheduler.messages import Standing
from workloads.mix.briefing import app_spec
from workloads.runs.answers import answer, has_died
from workloads.runs.failure import RunError
from workloads.runs.plan import RunPlan

MOST_MANAGERS = 4
"""Most managers of a run, one after another: what kills each of them will kill the next."""

_PLANS_APART = 1000
"""A new manager's plans are numbered from so far above the last that is known of: a few may not have been logged."""

_WORKER_WALL_S = 5.0
"""Longest wait for a worker's status; the new manager finds out what is wrong with one that does not answer."""


def manager_task(plan: RunPlan, until_s: float) -> ManagerTask:
    """Return what every manager of a run is told; `until_s` is the board time at which its loop ends."""
    mix = plan.mix
    return ManagerTask(
        board=plan.board,
        apps=tuple(app_spec(app.presence, app.profile) for app in plan.apps.values()),
        events=plan.events,
        policy=plan.policy,
        objective=mix.objective,
        power_cap_w=mix.power_cap_w,
        epoch_s=plan.epoch_s,
        until_s=until_s,
    )


class ManagerLives:
    """The managers of one run, and what is known of them from the log."""

    def __init__(self) -> None:
        self._managers = 1
        self._plan = 0
        self._epoch = 0
        self._epoch_s = -math.inf

    def note(self, entry: Mapping[str, Any]) -> None:
        """Take in an entry of the epoch log."""
        self._plan = max(self._plan, entry.get("plan", 0))
        if entry["kind"] == "epoch":
            self._epoch, self._epoch_s = entry["epoch"], entry["now_s"]

    @property
    def epochs(self) -> int:
        """Number of the last epoch that was logged."""
        return self._epoch

    def manager_lost(self, error: RunError) -> bool:
        """Count a lost manager; return True if another one is to take over.

        One that does not answer is not replaced, since it may still decide; nor is one whose loop failed, since
        another would fail likewise.
        """
        self._managers += 1
        return self._managers <= MOST_MANAGERS and has_died(error)

    def take_over(
        self, workers: Mapping[str, Any], agent: Any, pids: Mapping[str, int]
    ) -> tuple[TakeOver, dict[str, int]]:
        """Ask workers and agent where they stand.

        Orders of the dead manager are on their way at most: the process of a new one takes longer to start than they
        do, and the agent answers after all orders that came before.

        Args:
            workers: handle of each application's worker.
            agent: handle of the board agent.
            pids: process of each worker, as last known.

        Returns:
            What the new manager is told, and the process of each worker.

        Raises:
            RunError: if the agent does not answer.
        """
        pinned = answer(agent.pinned.remote(), "the board agent")
        standing, found = {}, dict(pids)
        for app, worker in workers.items():
            with suppress(RunError):
                status: WorkerStatus = answer(worker.begin.remote(), f"the worker of {app}", _WORKER_WALL_S)
                pid, cpus = pinned.get(app, (0, ()))
                found[app] = status.pid
                standing[app] = Standing(gear=status.gear, plan=status.plan, cpus=cpus if pid == status.pid else ())
        # The new manager is told of events since the last epoch as if they came now; doing one twice changes nothing.
        told = TakeOver(at_s=self._epoch_s, standing=standing, plan=self._plan + _PLANS_APART, epoch=self._epoch)
        return told, found
