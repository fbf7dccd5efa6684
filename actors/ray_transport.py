"""The control loop's calls to the actors: sent as Ray calls, answered as messages. Knows no decisions."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import ray

from actors.control_loop import LostError
from actors.wire import decode_message, encode
from scheduler.messages import (
    Activate,
    Effect,
    Message,
    Pin,
    Prepare,
    StartWorker,
    UnitLimited,
    WorkerStarted,
)


class RayTransport:
    """Calls of the control loop to the actors.

    Args:
        workers: actor handles by application.
        agent: actor handle.
        pids: of the workers' processes.
    """

    def __init__(self, workers: Mapping[str, Any], agent: Any, pids: Mapping[str, int]) -> None:
        self._workers = dict(workers)
        self._agent = agent
        self._pids = dict(pids)
        self._starting: dict[Hashable, str] = {}

    def ask_app(self, app: str) -> Hashable:
        """Asks a worker for telemetry."""
        token: Hashable = self._workers[app].telemetry.remote()
        return token

    def ask_board(self) -> Hashable:
        """Asks the board agent for telemetry."""
        token: Hashable = self._agent.telemetry.remote()
        return token

    def send(self, effect: Effect) -> Hashable:
        """Carries an effect to the worker or the agent."""
        token: Hashable
        if isinstance(effect, StartWorker):
            token = self._workers[effect.app].begin.remote(self._agent.reap.remote(effect.app))
            self._starting[token] = effect.app
        elif isinstance(effect, Prepare | Activate):
            token = self._workers[effect.app].obey.remote(encode(effect))
        else:
            pid = self._pids[effect.app] if isinstance(effect, Pin) else 0
            token = self._agent.obey.remote(encode(effect), pid)
        return token

    def limit(self, change: UnitLimited) -> None:
        """Has the board agent apply a limit."""
        self._agent.limit.remote(encode(change))

    def answered(self, tokens: Sequence[Hashable], timeout_s: float) -> list[tuple[Hashable, Message | Exception]]:
        """Waits until at least one of the calls is answered, or the time is over."""
        if not tokens:
            threading.Event().wait(timeout_s)
            return []
        first, _ = ray.wait(list(tokens), num_returns=1, timeout=timeout_s)
        done, _ = ray.wait(list(tokens), num_returns=len(tokens), timeout=0) if first else ([], None)
        return [(token, self._answer(token)) for token in done]

    def _answer(self, token: Any) -> Message | Exception:
        app = self._starting.pop(token, None)
        try:
            raw = ray.get(token)
        except ray.exceptions.RayActorError as error:
            return LostError(str(error).splitlines()[0])
        except ray.exceptions.RayTaskError as error:
            cause = getattr(error, "cause", error)
            return RuntimeError(f"{type(cause).__name__}: {cause}")
        if app is not None:
            self._pids[app] = raw.pid
            return WorkerStarted(app=app)
        return decode_message(raw)
