"""The manager's driver on a real board: brings it telemetry, events and answers on time, and carries out its effects.

Epochs begin at the multiples of their length. Each time the loop tells the manager what has been reported since the
last, and lets it decide. Between epochs, events are told when they are due and answers as they come. A worker that
is gone is reported lost; nothing a worker does ends the loop.

How calls and reports travel is a `Transport`'s business; the loop knows no Ray.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from actors.clock import Clock
from scheduler.manager import Manager
from scheduler.messages import (
    AppRemoved,
    BoardEvent,
    Effect,
    Event,
    Log,
    Message,
    SetClock,
    StartWorker,
    Telemetry,
    Tick,
    WorkerLost,
    WorkerStarted,
)

_LONGEST_WAIT_S = 0.1
"""Wall time after which the loop looks up, so that a request to stop is seen."""


class LostError(RuntimeError):
    """The process that a call went to is gone."""


class Transport(Protocol):
    """Has workers and the board agent report, sends them calls, and says which have been answered."""

    def follow_app(self, app: str) -> Hashable:
        """Has a worker report from now on; returns a token for the answer, which comes once it does so no more."""
        ...

    def follow_board(self) -> Hashable:
        """Has the board agent report from now on, likewise."""
        ...

    def reports(self, apps: Collection[str]) -> Telemetry:
        """What these applications and the board have reported since the last call; those with nothing are left out."""
        ...

    def send(self, effect: Effect) -> Hashable:
        """Carries an effect to whom it concerns; returns a token for the answer."""
        ...

    def change_board(self, change: BoardEvent) -> None:
        """Have the board agent apply a change that the mix does to the board."""
        ...

    def answered(self, timeout_s: float) -> list[tuple[Hashable, Message | Exception]]:
        """Waits, at most so long on the wall, until some of the calls are answered, and takes their answers.

        A call to a process that is gone is answered by `LostError`.
        """
        ...


@dataclass(slots=True)
class LoopFigures:
    """What the loop measured of itself, in milliseconds on the wall."""

    epochs: int = 0
    overruns: int = 0
    """Epochs that were skipped because the one before had not ended."""
    solve_ms: list[float] = field(default_factory=list)
    apply_ms: list[float] = field(default_factory=list)
    """From a decision that changed something to the last answer that it was carried out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """A call that is under way; `app` is None for one to the board agent, `effect` for one to report."""

    app: str | None
    effect: Effect | None = None


class ControlLoop:
    """Drives one manager.

    Args:
        manager: to drive.
        transport: to workers and agent.
        clock: board time.
        events: what the mix has happen, (at_s, event), rising.
        apps: applications whose workers run now, also those that begin later.
        epoch_s: board time between two decisions.
        log: called with each entry of the epoch log, a map of plain values.
    """

    def __init__(
        self,
        manager: Manager,
        transport: Transport,
        clock: Clock,
        *,
        events: Sequence[tuple[float, Event]],
        apps: Sequence[str],
        epoch_s: float,
        log: Callable[[dict[str, object]], None],
    ) -> None:
        self.figures = LoopFigures()
        self._manager = manager
        self._transport = transport
        self._clock = clock
        self._events = list(events)
        self._epoch_s = epoch_s
        self._write = log
        self._calls: dict[Hashable, _Call] = {}
        self._running = set(apps)
        self._restarts: list[StartWorker] = []
        self._changing_since_s: float | None = None
        self._last_solve_ms: float | None = None

    def run(self, until_s: float, stopped: Callable[[], bool] = lambda: False) -> None:
        """Runs epochs until that time, or until told to stop."""
        next_tick_s = math.ceil(self._clock.now_s() / self._epoch_s) * self._epoch_s
        while (now_s := self._clock.now_s()) < until_s and not stopped():
            while self._events and self._events[0][0] <= now_s:
                self._happens(self._events.pop(0)[1])
            if now_s >= next_tick_s:
                self._tick()
                next_tick_s = self._following_tick(next_tick_s)
            due_s = [until_s, next_tick_s, *(at_s for at_s, _ in self._events[:1])]
            wait_s = self._clock.wall_s(min(due_s) - self._clock.now_s())
            self._take_answers(min(_LONGEST_WAIT_S, max(0.0, wait_s)))

    def _following_tick(self, tick_s: float) -> float:
        """The next multiple of the epoch; those that have passed already are overruns."""
        missed = max(0, int((self._clock.now_s() - tick_s) / self._epoch_s))
        self.figures.overruns += missed
        return tick_s + (missed + 1) * self._epoch_s

    def _tick(self) -> None:
        followed = {call.app for call in self._calls.values() if call.effect is None}
        for app in sorted(self._running - followed):
            self._calls[self._transport.follow_app(app)] = _Call(app=app)
        if None not in followed:
            self._calls[self._transport.follow_board()] = _Call(app=None)
        self._tell(self._transport.reports(sorted(self._running)))
        restarts, self._restarts = self._restarts, []
        for restart in restarts:
            self._carry_out(restart)
        self.figures.epochs += 1
        self._tell(Tick(epoch=self.figures.epochs))

    # ------------------------------------------------------------ messages and effects

    def _happens(self, event: Event) -> None:
        """An event of the mix: done to the board where it is one of the board's, and told to the manager."""
        if isinstance(event.change, BoardEvent):
            self._transport.change_board(event.change)
        elif isinstance(event.change, AppRemoved):
            self._running.discard(event.change.app)
        self._tell(event)

    def _tell(self, message: Message) -> None:
        """Gives the manager a message, and does what it answers."""
        before_s = self._clock.now_s()
        decisions = self._manager.decisions
        effects = self._manager.on(message, before_s)
        took_ms = self._clock.wall_s(self._clock.now_s() - before_s) * 1000
        if self._manager.decisions > decisions:
            self.figures.solve_ms.append(took_ms)
            self._last_solve_ms = took_ms
            if self._changing_since_s is None:
                self._changing_since_s = before_s
        for effect in effects:
            self._carry_out(effect)
        if self._changing_since_s is not None and self._manager.settled:
            self.figures.apply_ms.append(self._clock.wall_s(self._clock.now_s() - self._changing_since_s) * 1000)
            self._changing_since_s = None

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, Log):
            entry = {"kind": effect.kind, "now_s": self._clock.now_s(), **effect.fields}
            if effect.kind == "epoch":
                entry["solve_ms"], self._last_solve_ms = self._last_solve_ms, None
            self._write(entry)
            return
        if isinstance(effect, StartWorker):
            self._running.discard(effect.app)
        app = None if isinstance(effect, SetClock) else effect.app
        self._calls[self._transport.send(effect)] = _Call(app=app, effect=effect)

    def _take_answers(self, timeout_s: float) -> None:
        for token, answer in self._transport.answered(timeout_s):
            call = self._calls.pop(token)
            if isinstance(answer, Exception):
                self._failed(call, answer)
            elif isinstance(answer, WorkerStarted):
                self._running.add(answer.app)
                self._tell(answer)
            else:
                self._tell(answer)

    def _failed(self, call: _Call, error: Exception) -> None:
        """A call came to nothing: a lost worker is reported once; anything else is logged, and asked again later."""
        if isinstance(call.effect, StartWorker):
            self._restarts.append(call.effect)  # it is not back yet; asked again with the next epoch
        elif call.app in self._running and (call.effect is None or isinstance(error, LostError)):
            self._running.discard(call.app)
            self._tell(WorkerLost(app=call.app, reason=str(error)))
        elif not isinstance(error, LostError):
            self._write({"kind": "error", "now_s": self._clock.now_s(), "app": call.app, "text": str(error)})
