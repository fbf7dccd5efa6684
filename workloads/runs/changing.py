"""A run that goes on until it is ended, and whose applications come, go and change meanwhile."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import ray

from actors.agent.totals import BoardTotals
from actors.control.reports import app_page
from actors.remote import tell_worker, worker_actor
from actors.session import RaySession
from actors.worker.spec import WorkerSpec
from actors.worker.status import WorkerStatus
from scheduler.messages import Event
from workloads.ladder.ladders import metric_of
from workloads.mix.app import App
from workloads.mix.briefing import app_spec
from workloads.mix.errors import MixError
from workloads.mix.mix import Target
from workloads.results.log_header import app_entry, target_entry
from workloads.runs.answers import ANSWER_WALL_S, answer, has_died
from workloads.runs.changes import has_left, joined, removed, retargeted, target_at
from workloads.runs.failure import RunError
from workloads.runs.live import Listener, LiveRun
from workloads.runs.plan import RunPlan
from workloads.runs.worker_specs import worker_spec


class ChangingRun(LiveRun):
    """A run on a started Ray that goes on until `finish`; any thread may change it.

    Args:
        plan: the run as it was planned; `LiveRun.plan` has the changes in it.
        session: a started Ray.
        out: run directory, which exists.
    """

    SPARE: ClassVar[int] = 16

    def __init__(self, plan: RunPlan, session: RaySession, out: Path) -> None:
        super().__init__(plan, session, out, endless=True)
        self._most_apps = len(plan.apps) + self.SPARE
        self._left: set[str] = set()
        # A change is made as a whole, and not while the log is taken or another manager begins.
        self._changing = threading.RLock()
        self._adding = threading.Lock()

    def is_there(self, app: str) -> bool:
        """Return True if an application of that name has joined, and has not left."""
        planned = self.plan.apps.get(app)
        return (
            planned is not None and app not in self._left and planned.presence.from_s <= max(0.0, self._clock.now_s())
        )

    def target(self, app: str) -> Target:
        """Return the targets of an application that are in force now."""
        return target_at(self.plan.apps[app].presence, self._clock.now_s())

    def records(self, app: str) -> Path:
        """Return the file to which the records of an application's requests are appended."""
        return self._results.link(app)

    def scheduled(self, app: str) -> int:
        """Return how many requests of an application's own schedule have arrived by now."""
        return int(np.searchsorted(self._arrivals_s[app], self._clock.now_s(), side="right"))

    def totals(self, timeout_s: float) -> BoardTotals | None:
        """Return what the board has done up to now; None where nobody says so within that time on the wall."""
        return self._agents.totals_now(self._clock.now_s(), timeout_s)

    def poll(self, listener: Listener) -> None:
        """Take new log entries, and end applications that have left."""
        with self._changing:
            super().poll(listener)

    def retarget(self, app: str, changes: Mapping[str, object]) -> Target:
        """Give an application that is there other targets from now on, and return all that hold now.

        Raises:
            MixError: if they are out of range, or its networks can't keep a floor; nothing has changed then.
            RunError: if the manager failed.
        """
        with self._changing:
            now_s = self._clock.now_s()
            self.plan, events = retargeted(self.plan, app, changes, now_s)
            spec = self._spec(self.plan, app)
            self._write(spec)  # first, for a worker that starts again at this moment
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(self._workers[app].retarget.remote(spec.segments, spec.floors), timeout=ANSWER_WALL_S)
            return self._told(app, events, now_s)

    def add(self, app: App) -> Target:
        """Start an application, have it join, and return its targets; it takes some two seconds.

        Raises:
            MixError: if it can't be added; nothing has changed then.
            RunError: if its worker does not start, or the manager failed.
        """
        with self._adding:
            with self._changing:
                plan, _ = joined(self.plan, app, self._clock.now_s())
                resumes = app.name in self.plan.apps
                if not resumes:
                    self._make_room(app.name, len(self.plan.apps))
            # Not within a change: it takes seconds, in which others are told and the log is taken.
            worker, pid = self._start(plan, app.name, resumes=resumes)
            with self._changing:
                return self._join(app, worker, pid, resumes=resumes)

    def _join(self, app: App, worker: Any, pid: int, *, resumes: bool) -> Target:
        now_s, name = self._clock.now_s(), app.name
        self.plan, events = joined(self.plan, app, now_s)
        self._workers[name], self._pids[name] = worker, pid
        self._left.discard(name)
        self._drains.pop(name, None)
        planned = self.plan.apps[name]
        if not resumes:
            metric = metric_of(app.supernet)
            self._keep(app_entry(self.plan, planned.presence, planned.profile, metric, now_s))
        spec = app_spec(planned.presence, planned.profile)
        self._tell(self._manager.add_app.remote(spec, worker, pid))
        return self._told(name, events, now_s)

    def remove(self, app: str) -> None:
        """Have an application leave that is there: requests that wait are still served, and no more are taken.

        Raises:
            RunError: if the manager failed.
        """
        with self._changing:
            now_s = self._clock.now_s()
            self.plan, (event,) = removed(self.plan, app, now_s)
            self._end_apps(now_s)
            self._tell(self._manager.happens.remote(event))

    # ------------------------------------------------------------ parts of a change

    def _make_room(self, app: str, slot: int) -> None:
        """Make files and a slot for an application that comes later, perhaps those of one that did not start."""
        if slot >= self._most_apps:
            raise MixError(
                f"app {app!r}: {self.SPARE} apps have been added to this run, which is all that it has room for; bring "
                "one back that was removed, or start it anew."
            )
        self._results.add(self._directory, app)
        self._arrivals_s[app] = np.empty(0)
        self._gears[app] = []
        self._agents.add(app, slot)

    def _start(self, plan: RunPlan, app: str, *, resumes: bool) -> tuple[Any, int]:
        """Start the worker of an application that joins, and return its handle and its process.

        Raises:
            RunError: if it does not start; its process has ended then.
        """
        spec, planned = self._spec(plan, app, resumes=resumes), plan.apps[app]
        app_page(self._directory, app).unlink(missing_ok=True)
        worker = worker_actor(spec, planned.source, planned.app.on_result, self._directory)
        try:
            status: WorkerStatus = answer(worker.begin.remote(), f"the worker of {app}")
            return worker, status.pid
        except BaseException:
            ray.kill(worker)
            raise

    def _spec(self, plan: RunPlan, app: str, *, resumes: bool = False) -> WorkerSpec:
        return worker_spec(
            plan,
            app,
            self._directory,
            arrivals_s=self._arrivals_s[app],
            records=self._results.link(app),
            endless=True,
            resumes=resumes,
        )

    def _write(self, spec: WorkerSpec) -> None:
        planned = self.plan.apps[spec.app]
        tell_worker(spec, planned.source, planned.app.on_result, self._directory)

    def _told(self, app: str, events: Sequence[Event], now_s: float) -> Target:
        """Tell manager and log of an application's new targets, and return them."""
        target = target_at(self.plan.apps[app].presence, now_s)
        self._keep(target_entry(app, target, now_s))
        for event in events:
            self._tell(self._manager.happens.remote(event))
        return target

    def _tell(self, call: Any) -> None:
        """Wait until the manager has heard; one that takes the place of a dead one knows it from the plan."""
        try:
            answer(call, "the manager")
        except RunError as error:
            if not has_died(error):
                raise

    def _end_apps(self, now_s: float) -> None:
        """Drain applications that have left, and end their processes after that."""
        for name in self.plan.apps:
            if not has_left(self.plan.events, name, now_s):
                continue
            if name not in self._drains:
                self._left.add(name)
                self._drains[name] = self._drain(name, now_s)
            elif name in self._pids and ray.wait([self._drains[name]], timeout=0)[0]:
                del self._pids[name]
                ray.kill(self._workers[name])
