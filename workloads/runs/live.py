"""Runs a mix for real: workers, board agent and manager as Ray actors on this machine.

The driver starts everything, keeps the log, and afterwards adds up what the actors wrote. It takes no part in the run
itself: workers generate the arrivals, the manager has the events and decides.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import ray

from actors.clock import BoardClock, write_clock
from actors.control.figures import LoopFigures
from actors.control.manager_actor import manager_actor
from actors.remote import executor_actor, worker_actor
from actors.session import RaySession
from actors.worker.status import WorkerStatus
from scheduler.admission import Admission
from scheduler.views import Gear
from workloads.mix.briefing import DRAIN_S, drained_s
from workloads.results.admission_words import admission_of
from workloads.results.salvage import NO_ENERGY
from workloads.results.summary import Summary
from workloads.results.trace import record_run
from workloads.runs.agent_lives import AgentLives
from workloads.runs.answers import ANSWER_WALL_S, answer, has_died
from workloads.runs.energies import energy_entry, energy_of
from workloads.runs.failure import Failure, RunError, reason_of
from workloads.runs.host import HostSentinel, cpus_to_watch
from workloads.runs.manager_lives import ManagerLives, manager_task
from workloads.runs.outcome import app_records, run_summary
from workloads.runs.plan import RunPlan
from workloads.runs.result_files import ResultFiles, header_of
from workloads.runs.troubles import TroubleBook
from workloads.runs.worker_specs import executor_path, worker_spec

_LEAD_WALL_S = 2.5
"""Wall time from the start of board time to t = 0: the first gears are prepared, pinned and active by then."""

_POLL_WALL_S = 0.2
"""Wall time between two takings of the log."""

_LAST_WORD_WALL_S = 1.0
"""Longest wait for what the actors still have to say of a run that is cut short."""

_DRAINED_WALL_S = 10.0
"""Longest wait for a worker's last word after its end: one whose process is stopped has none."""

Entry = dict[str, Any]


@dataclass(slots=True)
class Listener:
    """The callbacks of whoever follows a run: for entries of its log, and for its board time in seconds."""

    on_entry: Callable[[Entry], None] = lambda entry: None
    on_time: Callable[[float], None] = lambda now_s: None


class LiveRun:
    """One run on a started Ray.

    Args:
        plan: the run as it was planned.
        session: a started Ray.
        out: run directory, which exists.
        endless: go on until `finish`, whatever the mix's duration, as a deployment does.

    Attributes:
        admissions: by application that has joined, the manager's answer, as far as the log was taken.
        SPARE: most applications that may come besides those of the mix.
    """

    SPARE: ClassVar[int] = 0

    def __init__(self, plan: RunPlan, session: RaySession, out: Path, endless: bool = False) -> None:
        self.plan = plan
        self._out = out
        self._endless = endless
        self._claim = session.claim
        self._tag = session.tag
        self._shared = False
        self._directory = session.directory / f"run-{time.monotonic_ns()}"
        self._arrivals_s = plan.mix.arrivals_s(plan.seed)
        self._clock = BoardClock(math.inf)
        self._sentinel = HostSentinel(cpus_to_watch(plan.board), self._clock, self._tag)
        self._results = ResultFiles(out, header_of(plan, endless), self._arrivals_s)
        self._gears: dict[str, list[Gear]] = {name: [] for name in plan.apps}
        self._troubles = TroubleBook()
        self._executors: dict[str, Any] = {}
        self._workers: dict[str, Any] = {}
        self._pids: dict[str, int] = {}
        self._drains: dict[str, Any] = {}
        self._ends_s: dict[str, float] = {}
        self._agents = AgentLives(plan, self._directory, self.SPARE)
        self._manager: Any = None
        self._until_s = math.inf if endless else plan.mix.duration_s + DRAIN_S
        self._lives = ManagerLives()
        self.admissions: dict[str, Admission] = {}

    @property
    def clock(self) -> BoardClock:
        """Board time of the run."""
        return self._clock

    @property
    def pids(self) -> dict[str, int]:
        """Process ID of each application's worker, as it was at the start."""
        return dict(self._pids)

    def worker(self, app: str) -> Any:
        """Return the actor handle of an application's worker."""
        return self._workers[app]

    def executor(self, unit: str) -> Any:
        """Return the actor handle of a GPU unit's executor."""
        return self._executors[unit]

    def start(self) -> None:
        """Start all actors; on return, t = 0 is at most 2.5 s of wall time away."""
        plan, directory = self.plan, self._directory
        directory.mkdir(mode=0o700)
        self._results.begin(directory)
        self._agents.start()
        for unit, device in plan.devices.items():
            self._executors[unit] = executor_actor(executor_path(plan, unit, directory), device)
        for name, app in plan.apps.items():
            records, arrivals_s = self._results.link(name), self._arrivals_s[name]
            spec = worker_spec(plan, name, directory, arrivals_s=arrivals_s, records=records, endless=self._endless)
            self._workers[name] = worker_actor(spec, app.source, app.app.on_result, directory)
        self._manager = manager_actor(manager_task(plan, self._until_s), directory)
        answer([actor.__ray_ready__.remote() for actor in self._actors()], "a process of the run")
        # Board time begins only when every process is there, so that none of them starts late into the run.
        self._clock = BoardClock(time.monotonic() + _LEAD_WALL_S, plan.time_scale)
        write_clock(directory, self._clock)
        self._agents.begin(self._clock, math.inf if self._endless else plan.mix.duration_s)
        self._watch_executors()
        first = {name: worker.begin.remote() for name, worker in self._workers.items()}
        begun = [self._begun(name, call) for name, call in first.items()]
        self._pids = {status.app: status.pid for status in begun}
        # The manager comes last: it orders gears from workers and clocks from the agent at once.
        answer(self._manager.begin.remote(self._workers, self._agents.handle, self._pids), "the manager")
        self._sentinel = HostSentinel(cpus_to_watch(plan.board), self._clock, self._tag)
        self._sentinel.start()

    def _watch_executors(self) -> None:
        for executor in self._executors.values():
            self._agents.handle.watch.remote(executor.pid.remote())

    def _begun(self, name: str, call: Any) -> WorkerStatus:
        """Return the status of a worker that begins; one that dies meanwhile is asked again when Ray has it back."""
        until_s = time.monotonic() + ANSWER_WALL_S
        while True:
            try:
                status: WorkerStatus = ray.get(call, timeout=ANSWER_WALL_S)
                return status
            except ray.exceptions.ActorUnavailableError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(_POLL_WALL_S)
                call = self._workers[name].begin.remote()

    def watch(self, listener: Listener) -> None:
        """Keep the log until the mix is over; applications that end earlier are drained on the way."""
        end_s = self.plan.mix.duration_s
        while self._clock.now_s() < end_s:
            self.poll(listener)
            time.sleep(min(_POLL_WALL_S, max(0.0, self._clock.wall_s(end_s - self._clock.now_s()))))

    def poll(self, listener: Listener) -> None:
        """Take new log entries, and drain applications whose time in the mix is over."""
        self._tend_agent(listener)
        now_s = self._clock.now_s()
        try:
            entries = answer(self._manager.take_log.remote(), "the manager")
        except RunError as error:
            # Said before anything else, since nobody decides until there is another.
            self._say(listener, "part_lost", part="manager", reason=str(error).removeprefix("the manager "))
            if self._lives.manager_lost(error):
                self._replace_manager(listener)
                return
            raise
        for entry in entries:
            self._keep(entry)
            listener.on_entry(entry)
        listener.on_time(now_s)
        if self._claim is not None and self._claim.look() and not self._shared:
            self._shared = True
            entry = {"kind": "shared", "now_s": now_s, "text": self._claim.notice or "another run uses the same CPUs"}
            self._keep(entry)
            listener.on_entry(entry)
        self._end_apps(now_s)

    def _end_apps(self, now_s: float) -> None:
        """Drain applications whose time in the mix is over."""
        for name, app in self.plan.apps.items():
            if name not in self._drains and app.presence.to_s <= now_s and not self._endless:
                self._drains[name] = self._drain(name, app.presence.to_s)

    def _tend_agent(self, listener: Listener) -> None:
        """Start a board agent in place of one that died; nobody sets clocks or pins workers until it is there."""
        if not self._agents.lost():
            return
        self._say(listener, "part_lost", part="agent", reason="died")
        if not self._agents.is_wanted(self._clock.now_s()):
            return
        self._agents.replace()
        self._watch_executors()
        with contextlib.suppress(RunError):  # a manager that is dead too is found so, and another is told
            answer(self._manager.use_agent.remote(self._agents.handle), "the manager")
        self._say(listener, "part_back", part="agent")

    def _replace_manager(self, listener: Listener) -> None:
        """Start a manager in place of one that died; workers serve on meanwhile in the gears that they have."""
        self._manager = manager_actor(manager_task(self.plan, self._until_s), self._directory)
        while True:
            self._tend_agent(listener)
            agent = self._agents.handle
            try:
                answer(self._manager.__ray_ready__.remote(), "the new manager")
                told, self._pids = self._lives.take_over(self._workers, agent, self._pids)
                answer(self._manager.begin.remote(self._workers, agent, self._pids, told), "the new manager")
            except RunError as error:
                if not has_died(error):
                    raise
                if self._agents.has_died:
                    continue
                return  # the manager died once more, as the next look at it will tell
            self._say(listener, "part_back", part="manager")
            return

    def finish(self, listener: Listener) -> Summary:
        """End what still runs, add everything up, and write the run directory.

        Raises:
            RunError: if a process of the run is gone, or the directory can't be written to.
        """
        now_s = self._clock.now_s()
        for name, app in self.plan.apps.items():
            if name not in self._drains:
                # A deployment ends when its block does, whenever its apps would.
                end_s = now_s if self._endless else app.presence.to_s
                self._drains[name] = self._drain(name, end_s)
        statuses = self._drained()
        figures = self._figures(listener)
        self._tend_agent(listener)
        self._sentinel.stop()
        totals = self._agents.totals(now_s)
        handed_back = self._agents.hand_back()
        if handed_back.left_alone or handed_back.failed:
            entry = {"kind": "handed_back", "now_s": now_s, "lines": handed_back.lines()}
            self._keep(entry)
            listener.on_entry(entry)
        if totals.rails:
            self._keep(energy_entry(now_s, totals))
        for gap in self._sentinel.gaps:
            self._keep({"kind": "stall", "now_s": gap.at_s, "cpu": gap.cpu, "lost_ms": gap.lost_ms})
        apps = {
            name: app_records(
                app,
                self._arrivals_s[name],
                self._results.records(name),
                statuses[name],
                self._gears[name],
                self._ends_s[name],
            )
            for name, app in self.plan.apps.items()
        }
        host = self._sentinel.result()
        host = replace(host, void=host.void or self._shared)
        duration_s = now_s if self._endless else self.plan.mix.duration_s
        summary = run_summary(self.plan, apps, figures, totals, host, duration_s)
        for entry in self._troubles.end(statuses, summary, now_s):
            self._keep(entry)
        arrivals_s = {name: app.arrivals_s for name, app in apps.items()}
        self._results.write(
            summary,
            {name: app.records for name, app in apps.items()},
            arrivals_s,
            write_more=lambda: record_run(self._out, self.plan.board, self.plan.events),
        )
        return summary

    def _figures(self, listener: Listener) -> LoopFigures:
        """End the manager's loop, take the rest of its log, and return its measurements of itself.

        One that died at the very end leaves nothing undone, but what it has measured of itself.
        """
        try:
            figures: LoopFigures = answer(self._manager.finish.remote(), "the manager")
            self.poll(listener)
            return figures
        except RunError as error:
            if not has_died(error) or self._endless:
                raise
            self._say(listener, "part_lost", part="manager", reason="died")
            return LoopFigures(epochs=self._lives.epochs)

    def cut_short(self, error: BaseException) -> Failure:
        """Make and write a summary of a run that did not come to its end, of what there is of it.

        Args:
            error: what ended it.
        """
        if isinstance(error, RunError) and error.failure.is_whole:
            return error.failure
        reason, now_s = reason_of(error), self._clock.now_s()
        if now_s <= 0.0:
            return Failure(reason=reason)
        until_s = time.monotonic() + _LAST_WORD_WALL_S
        log = self._manager.take_log.remote()
        with contextlib.suppress(RunError):
            for entry in answer(log, "the manager", _LAST_WORD_WALL_S):
                self._keep(entry)
        totals = self._agents.totals_now(now_s, max(0.0, until_s - time.monotonic()))
        energy = NO_ENERGY if totals is None else energy_of(totals)
        self._sentinel.stop()
        failure = self._results.cut_short(reason, error, now_s, self._gears, energy, self._sentinel.result())
        for entry in self._troubles.end({}, failure.summary, now_s) if failure.summary is not None else ():
            self._keep(entry)
        return failure

    def kill(self) -> None:
        """Give the board back and end all actors that have started, so that the same Ray can take another run."""
        self._agents.kill()
        for actor in self._actors():
            ray.kill(actor)
        self._results.close()
        self._sentinel.stop()

    def _actors(self) -> list[Any]:
        actors = [self._agents.handle, *self._executors.values(), *self._workers.values(), self._manager]
        return [actor for actor in actors if actor is not None]

    def _drain(self, name: str, end_s: float) -> Any:
        until_s = drained_s(self.plan.apps[name].presence, end_s)
        self._ends_s[name] = until_s
        timeout_s = self._clock.wall_s(until_s - self._clock.now_s()) + 1.0
        return self._workers[name].drain.remote(until_s, max(0.0, timeout_s))

    def _drained(self) -> dict[str, WorkerStatus | None]:
        """Return the last status of each worker; None for one that was lost at the end."""
        statuses: dict[str, WorkerStatus | None] = {}
        for name, drain in self._drains.items():
            left_s = self._clock.wall_s(max(0.0, self._ends_s[name] - self._clock.now_s()))
            try:
                statuses[name] = ray.get(drain, timeout=left_s + _DRAINED_WALL_S)
            except ray.exceptions.RayError:
                statuses[name] = None
        return statuses

    def _say(self, listener: Listener, kind: str, **fields: str) -> None:
        entry = {"kind": kind, "now_s": self._clock.now_s(), **fields}
        self._keep(entry)
        listener.on_entry(entry)

    def _keep(self, entry: Entry) -> None:
        if entry["kind"] == "gear" and entry["to"] is not None:
            self._gears[entry["app"]].append(Gear.of(entry["to"]))
        if entry["kind"] == "admission":
            answer = admission_of(entry)
            self.admissions |= dict.fromkeys(answer.joined, answer)
        self._lives.note(entry)
        self._troubles.note(entry)
        self._results.log.append(entry)
