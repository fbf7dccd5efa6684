"""The control loop's way to the actors: effects go out as Ray calls, telemetry comes in by pages in shared memory.

Each worker is told once to report, by a call that does not return. The call fails when the worker's process ends, as
soon as Ray notices. So a death is noticed without asking any worker again and again. It knows no decisions.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, assert_never

import ray

from actors.control.loop import LostError
from actors.control.reports import AppReports, BoardReports, app_page, board_page
from actors.process_identity import ProcessIdentity, read_stat
from actors.wire import decode_message, encode
from scheduler.messages import (
    Activate,
    AmbientChanged,
    BoardEvent,
    Effect,
    Log,
    Message,
    Pin,
    Prepare,
    SetClock,
    StartWorker,
    StopWorker,
    SwitchUnit,
    Telemetry,
    UnitLimited,
    UnitSlowed,
    WorkerStarted,
)


class RayTransport:
    """A `Transport` over Ray, for actors that all live on this machine.

    Args:
        workers: handle of each application's worker, by application.
        agent: handle of the board agent.
        pids: process number of each worker, by application.
        directory: the run's directory, where the pages are.
        epoch_s: board time between two reports, in seconds.
    """

    def __init__(
        self, workers: Mapping[str, Any], agent: Any, pids: Mapping[str, int], directory: Path, epoch_s: float
    ) -> None:
        self._workers = dict(workers)
        self._agent = agent
        self._processes = {app: ProcessIdentity.of(pid) for app, pid in pids.items()}
        self._epoch_s = epoch_s
        self._directory = directory
        self._starting: dict[Hashable, str] = {}
        self._answers: SimpleQueue[Future[Any]] = SimpleQueue()
        self._apps = {app: AppReports(app, app_page(directory, app)) for app in workers}
        self._board = BoardReports(board_page(directory))

    def follow_app(self, app: str) -> Hashable:
        """Have a worker report from now on."""
        return self._call(self._workers[app].report.remote(self._epoch_s))

    def follow_board(self) -> Hashable:
        """Have the board agent report from now on."""
        return self._call(self._agent.report.remote(self._epoch_s))

    def reports(self, apps: Collection[str]) -> Telemetry:
        """Return what these applications and the board have reported since the last call."""
        taken = {app: self._apps[app].take() for app in apps}
        return replace(
            self._board.take(),
            apps=tuple(report for report in taken.values() if report is not None),
            stopped=tuple(app for app, report in taken.items() if report is None and self._is_stopped(app)),
        )

    def _is_stopped(self, app: str) -> bool:
        process = self._processes[app]
        stat = read_stat(process.pid) if process else None
        return bool(process and stat and stat.start_ticks == process.start_ticks and stat.stopped)

    def ended(self, apps: Collection[str]) -> list[str]:
        """Return those of these applications whose worker's process has ended."""
        return [app for app in apps if (process := self._processes[app]) and process.alive() is False]

    def end(self, app: str) -> None:
        """Kill a worker's process; a stopped one dies too."""
        process = self._processes[app]
        if process is not None:
            process.send(signal.SIGKILL)

    def send(self, effect: Effect) -> Hashable:
        """Send an effect to the worker or the agent."""
        match effect:
            case StartWorker(app=app):
                # Ray starts `begin` only when its argument is there: once the agent has freed the dead worker's cores.
                token = self._call(self._workers[app].begin.remote(self._agent.reap.remote(app)))
                self._starting[token] = app
                return token
            case Prepare(app=app) | Activate(app=app):
                return self._call(self._workers[app].obey.remote(encode(effect)))
            case Pin(app=app):
                process = self._processes[app]
                return self._call(self._agent.obey.remote(encode(effect), process.pid if process else 0))
            case SetClock() | SwitchUnit():
                return self._call(self._agent.obey.remote(encode(effect), 0))
            case StopWorker() | Log():
                raise TypeError(f"a {type(effect).__name__} is carried out by the control loop and sent nowhere")
            case _:
                assert_never(effect)

    def use_agent(self, agent: Any) -> None:
        """Make all calls to the board agent to this one from now on."""
        self._agent = agent

    def add_app(self, app: str, worker: Any, pid: int) -> None:
        """Reach the worker of an application that was not there at the start, or is there again, from now on."""
        self._workers[app] = worker
        self._processes[app] = ProcessIdentity.of(pid)
        self._apps[app] = AppReports(app, app_page(self._directory, app))

    def change_board(self, change: BoardEvent) -> Hashable | None:
        """Have the board agent apply a change to the board."""
        match change:
            case UnitLimited():
                return self._call(self._agent.limit.remote(encode(change)))
            case UnitSlowed():
                return self._call(self._agent.slow.remote(encode(change)))
            case AmbientChanged():
                return None  # a real board feels the temperature around it; the emulated one has no heat
            case _:
                assert_never(change)

    def answered(self, timeout_s: float) -> list[tuple[Hashable, Message | Exception | None]]:
        """Wait until at least one call is answered or `timeout_s` has passed; return what is answered."""
        answers: list[tuple[Hashable, Message | Exception | None]] = []
        try:
            while True:
                future = self._answers.get(timeout=0.0 if answers else timeout_s)
                answers.append((future, self._answer(future)))
        except Empty:
            return answers

    def _call(self, reference: Any) -> Hashable:
        # Ray calls back when there is an answer. Asking it about all calls under way, again and again, takes longer.
        future: Future[Any] = reference.future()
        future.add_done_callback(self._answers.put)
        return future

    def _answer(self, future: Future[Any]) -> Message | Exception | None:
        app = self._starting.pop(future, None)
        try:
            raw = future.result()
        except ray.exceptions.RayActorError as error:
            return LostError(str(error).splitlines()[0])
        except ray.exceptions.RayTaskError as error:
            cause = getattr(error, "cause", error)
            if isinstance(cause, ray.exceptions.RayActorError):  # the agent died that was to free a worker's cores
                return LostError(str(cause).splitlines()[0])
            return RuntimeError(f"{type(cause).__name__}: {cause}")
        if app is not None:
            self._processes[app] = ProcessIdentity.of(raw.pid)
            return WorkerStarted(app=app)
        return None if raw is None else decode_message(raw)
