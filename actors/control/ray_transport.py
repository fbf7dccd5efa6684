"""The control loop's way to the actors: effects go out as Ray calls, telemetry comes in by pages in shared memory.

Each worker is told once to report, by a call that does not return: it fails when the worker's process ends, as soon
as Ray notices, and so a death is noticed although nobody is asked for anything. Knows no decisions.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, assert_never

import ray

from actors.control.loop import LostError
from actors.control.reports import AppReports, BoardReports, app_page, board_page
from actors.wire import decode_message, encode
from scheduler.messages import (
    Activate,
    AmbientChanged,
    BoardEvent,
    Effect,
    Message,
    Pin,
    Prepare,
    StartWorker,
    Telemetry,
    UnitLimited,
    WorkerStarted,
)


class RayTransport:
    """The control loop's way to the actors, which all live on this machine.

    Args:
        workers: actor handles by application.
        agent: actor handle.
        pids: of the workers' processes.
        directory: of the run, where the pages are.
        epoch_s: how often everybody is to report, board time.
    """

    def __init__(
        self, workers: Mapping[str, Any], agent: Any, pids: Mapping[str, int], directory: Path, epoch_s: float
    ) -> None:
        self._workers = dict(workers)
        self._agent = agent
        self._pids = dict(pids)
        self._epoch_s = epoch_s
        self._starting: dict[Hashable, str] = {}
        self._answers: SimpleQueue[Future[Any]] = SimpleQueue()
        self._apps = {app: AppReports(app, app_page(directory, app)) for app in workers}
        self._board = BoardReports(board_page(directory))

    def follow_app(self, app: str) -> Hashable:
        """Has a worker report from now on."""
        return self._call(self._workers[app].report.remote(self._epoch_s))

    def follow_board(self) -> Hashable:
        """Has the board agent report from now on."""
        return self._call(self._agent.report.remote(self._epoch_s))

    def reports(self, apps: Collection[str]) -> Telemetry:
        """What these applications and the board have reported since the last call."""
        taken = [self._apps[app].take() for app in apps]
        units, host = self._board.take()
        return Telemetry(
            apps=tuple(report for report in taken if report is not None), units=units, power_w=None, host=host
        )

    def send(self, effect: Effect) -> Hashable:
        """Carries an effect to the worker or the agent."""
        if isinstance(effect, StartWorker):
            token = self._call(self._workers[effect.app].begin.remote(self._agent.reap.remote(effect.app)))
            self._starting[token] = effect.app
            return token
        if isinstance(effect, Prepare | Activate):
            return self._call(self._workers[effect.app].obey.remote(encode(effect)))
        pid = self._pids[effect.app] if isinstance(effect, Pin) else 0
        return self._call(self._agent.obey.remote(encode(effect), pid))

    def change_board(self, change: BoardEvent) -> None:
        """Have the board agent apply a change to the board."""
        match change:
            case UnitLimited():
                self._agent.limit.remote(encode(change))
            case AmbientChanged():
                pass  # a real board feels the temperature around it; the emulated one has no heat
            case _:
                assert_never(change)

    def answered(self, timeout_s: float) -> list[tuple[Hashable, Message | Exception]]:
        """Waits until at least one of the calls is answered, or the time is over."""
        answers: list[tuple[Hashable, Message | Exception]] = []
        try:
            while True:
                future = self._answers.get(timeout=0.0 if answers else timeout_s)
                answers.append((future, self._answer(future)))
        except Empty:
            return answers

    def _call(self, reference: Any) -> Hashable:
        # Ray calls back when there is an answer; to ask it for all that is under way takes longer, again and again.
        future: Future[Any] = reference.future()
        future.add_done_callback(self._answers.put)
        return future

    def _answer(self, future: Future[Any]) -> Message | Exception:
        app = self._starting.pop(future, None)
        try:
            raw = future.result()
        except ray.exceptions.RayActorError as error:
            return LostError(str(error).splitlines()[0])
        except ray.exceptions.RayTaskError as error:
            cause = getattr(error, "cause", error)
            return RuntimeError(f"{type(cause).__name__}: {cause}")
        if app is not None:
            self._pids[app] = raw.pid
            return WorkerStarted(app=app)
        return decode_message(raw)
