"""The manager's driver on a real board: it brings telemetry, events and answers on time, and carries out effects.

Epochs begin at the multiples of their length. At each beginning the loop tells the manager what has been reported
since the last, and lets it decide. Between epochs it tells events when they are due, and answers as they come. A
worker that is gone is reported lost; nothing that a worker does ends the loop. Orders that the board agent died over
are given again, to the one that takes its place.

It does not know Ray: a `Transport` carries calls and reports.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol, assert_never

from actors.clock import Clock
from actors.control.agent_orders import AgentOrder, AgentOrders
from actors.control.ends import Ends
from actors.control.figures import LoopFigures
from scheduler.manager import AppSpec, Manager
from scheduler.messages import (
    Activate,
    AppLeft,
    BoardEvent,
    Effect,
    Happening,
    HiddenEvent,
    Log,
    Message,
    Pin,
    Prepare,
    SetClock,
    StartWorker,
    StopWorker,
    SwitchUnit,
    Telemetry,
    Tick,
    WorkerLost,
    WorkerNotStarted,
    WorkerStarted,
)

_LONGEST_WAIT_S = 0.1
"""Longest wait on the wall between two looks at whether the loop was told to stop."""

_BACK_WALL_S = 60.0
"""Longest wait on the wall for a lost worker's process to be there again, also on a machine that stalls."""


class LostError(RuntimeError):
    """The process to which a call went is gone."""


class Transport(Protocol):
    """The way to the workers and the board agent: calls to them, answers and reports from them."""

    def follow_app(self, app: str) -> Hashable:
        """Have a worker report from now on; return a token for the answer, which comes when it reports no more."""
        ...

    def follow_board(self) -> Hashable:
        """Have the board agent report from now on; return a token, as `follow_app` does."""
        ...

    def reports(self, apps: Collection[str]) -> Telemetry:
        """Return what was reported since the last call; applications that reported nothing are left out."""
        ...

    def send(self, effect: Effect) -> Hashable:
        """Send an effect to the worker or the agent that carries it out; return a token for the answer."""
        ...

    def ended(self, apps: Collection[str]) -> list[str]:
        """Return those of these applications whose worker's process has ended."""
        ...

    def end(self, app: str) -> None:
        """Kill a worker's process, if it still runs; that it is gone is told as of any other."""
        ...

    def change_board(self, change: BoardEvent) -> Hashable | None:
        """Have the board agent apply a change that the mix does to the board; return a token for the answer.

        It is None where there is nothing to do.
        """
        ...

    def use_agent(self, agent: Any) -> None:
        """Make all calls to the board agent to this one from now on."""
        ...

    def add_app(self, app: str, worker: Any, pid: int) -> None:
        """Reach the worker of an application that was not there at the start, or is there again, from now on."""
        ...

    def answered(self, timeout_s: float) -> list[tuple[Hashable, Message | Exception | None]]:
        """Wait until some calls are answered, and return their tokens and answers.

        A call to a process that is gone is answered by `LostError`, one that changed the board by None.

        Args:
            timeout_s: longest wait, in seconds on the wall.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """A call that is under way.

    Attributes:
        app: application whose worker was called, or is pinned; None for others.
        effect: effect to carry out, or change to the board; None for a call to report.
        life: number of the worker, from 0: how many of its predecessors were lost.
        order: number of an order to the board agent; None for calls to workers.
    """

    app: str | None
    effect: Effect | BoardEvent | None = None
    life: int = 0
    order: int | None = None

    @property
    def is_to_agent(self) -> bool:
        """True if the board agent was called."""
        return self.app is None or self.order is not None


class ControlLoop:
    """Drives one manager.

    Args:
        manager: the manager.
        transport: the way to the workers and the board agent.
        clock: board time.
        events: (at_s, event) for each event of the mix, rising in board time.
        apps: applications whose workers run now, also those that begin later.
        epoch_s: board time between two decisions, in seconds.
        log: called with each entry of the epoch log, a map of plain values.

    Attributes:
        figures: measurements of the loop, kept up while it runs.
    """

    def __init__(
        self,
        manager: Manager,
        transport: Transport,
        clock: Clock,
        *,
        events: Sequence[tuple[float, Happening]],
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
        self._starting_s: dict[str, float] = {}
        self._ends = Ends(clock)
        self._lives: Counter[str | None] = Counter()
        self._orders = AgentOrders()
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()  # by other threads
        self._changing_since_s: float | None = None
        self._last_solve_ms: float | None = None

    def run(self, until_s: float, stopped: Callable[[], bool] = lambda: False) -> None:
        """Run epochs.

        Args:
            until_s: board time of the end.
            stopped: asked at least every 0.1 s on the wall; True ends the loop early.
        """
        next_tick_s = math.ceil(self._clock.now_s() / self._epoch_s) * self._epoch_s
        while (now_s := self._clock.now_s()) < until_s and not stopped():
            while not self._asked.empty():
                self._asked.get()()
            while self._events and self._events[0][0] <= now_s:
                self._happens(self._events.pop(0)[1])
            if now_s >= next_tick_s:
                self._tick()
                next_tick_s = self._following_tick(next_tick_s)
            due_s = [until_s, next_tick_s, *(at_s for at_s, _ in self._events[:1])]
            wait_s = self._clock.wall_s(min(due_s) - self._clock.now_s())
            self._take_answers(min(_LONGEST_WAIT_S, max(0.0, wait_s)))

    def use_agent(self, agent: Any) -> None:
        """Go on with another board agent, since the one before has died. Any thread may call it."""
        self._asked.put(partial(self._go_on_with, agent))

    def add_app(self, spec: AppSpec, worker: Any, pid: int) -> None:
        """Take in an application that an event will have join, and its worker, which runs. Any thread may call it."""
        self._asked.put(partial(self._add_app, spec, worker, pid))

    def _add_app(self, spec: AppSpec, worker: Any, pid: int) -> None:
        self._manager.add(spec)
        self._transport.add_app(spec.app, worker, pid)
        self._lives[spec.app] += 1
        self._running.add(spec.app)

    def happens(self, event: Happening) -> None:
        """Have something happen that is not in the mix. Any thread may call it."""
        self._asked.put(partial(self._happens, event))

    def change_board(self, change: BoardEvent) -> None:
        """Have the board agent apply a change to the board."""
        self._order(change)

    def _following_tick(self, tick_s: float) -> float:
        """Return when the next epoch begins; epochs that begin before now are skipped and count as overruns."""
        missed = max(0, int((self._clock.now_s() - tick_s) / self._epoch_s))
        self.figures.overruns += missed
        return tick_s + (missed + 1) * self._epoch_s

    def _tick(self) -> None:
        # A call to report is answered only when its process ends. Who has no such call under way is new or came back.
        calls = [call for call in self._calls.values() if call.effect is None]
        followed = {call.app for call in calls if call.life == self._lives[call.app]}
        for app in sorted(self._running - followed):
            self._calls[self._transport.follow_app(app)] = _Call(app=app, life=self._lives[app])
        if None not in followed:
            self._calls[self._transport.follow_board()] = _Call(app=None)
        reported = self._transport.reports(sorted(self._running))
        self._tell(reported)
        self._see_ends(reported.board_at_s)
        self._order_again()
        restarts, self._restarts = self._restarts, []
        for restart in restarts:
            self._carry_out(restart)
        self.figures.epochs += 1
        self._tell(Tick(epoch=self.figures.epochs))

    # ------------------------------------------------------------ messages and effects

    def _happens(self, event: Happening) -> None:
        """Do to the board what an event of the mix says, if it is the board's, and tell the manager, if it may know."""
        if isinstance(event.change, BoardEvent):
            self._order(event.change)
        elif isinstance(event.change, AppLeft):
            self._runs_no_more(event.change.app)
        if isinstance(event, HiddenEvent):
            self._write({"kind": "event", "now_s": self._clock.now_s(), "text": event.text})
        else:
            self._tell(event)

    def _tell(self, message: Message) -> None:
        """Give the manager a message, and carry out the effects that it answers with."""
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
        match effect:
            case Log():
                entry = {"kind": effect.kind, "now_s": self._clock.now_s(), **effect.fields}
                if effect.kind == "epoch":
                    entry["solve_ms"], self._last_solve_ms = self._last_solve_ms, None
                self._write(entry)
            case StartWorker(app=app):
                self._runs_no_more(app)
                self._send(effect, app)
            case Prepare(app=app) | Activate(app=app):
                self._send(effect, app)
            case StopWorker(app=app):
                self._transport.end(app)
            case Pin() | SetClock() | SwitchUnit():
                self._order(effect)
            case _:
                assert_never(effect)

    def _send(self, effect: Effect, app: str) -> None:
        self._calls[self._transport.send(effect)] = _Call(app=app, effect=effect, life=self._lives[app])

    # ------------------------------------------------------------ the board agent

    def _order(self, order: AgentOrder) -> None:
        number, app = self._orders.given(order), order.app if isinstance(order, Pin) else None
        token = (
            self._transport.send(order)
            if isinstance(order, Pin | SetClock | SwitchUnit)
            else self._transport.change_board(order)
        )
        if token is not None:
            self._calls[token] = _Call(app=app, effect=order, life=self._lives[app], order=number)

    def _order_again(self) -> None:
        for order in self._orders.take():
            if not isinstance(order, Pin) or self._manager.awaits(order):
                self._order(order)

    def _go_on_with(self, agent: Any) -> None:
        """Call another board agent from now on; what the one before has not answered it will not answer."""
        self._transport.use_agent(agent)
        for token, call in [*self._calls.items()]:
            if call.is_to_agent:
                del self._calls[token]
                self._unanswered(call)
        self._order_again()

    def _unanswered(self, call: _Call) -> None:
        """Keep an order that the agent died over; one on a worker that is lost since has no sense any more."""
        effect = call.effect
        if call.order is None or call.life < self._lives[call.app]:
            return
        if isinstance(effect, AgentOrder):
            self._orders.lost(call.order, effect)

    # ------------------------------------------------------------ answers

    def _take_answers(self, timeout_s: float) -> None:
        for token, answer in self._transport.answered(timeout_s):
            call = self._calls.pop(token, None)
            if call is None:  # of an agent in whose place there is another one
                continue
            if isinstance(answer, Exception):
                self._failed(call, answer)
            elif isinstance(answer, WorkerStarted):
                self._running.add(answer.app)
                self._starting_s.pop(answer.app, None)
                self._tell(answer)
            elif answer is not None:
                self._tell(answer)

    def _failed(self, call: _Call, error: Exception) -> None:
        """Deal with a call that failed: report a lost worker once, log any other error."""
        if call.is_to_agent and isinstance(error, LostError):
            self._unanswered(call)  # whoever starts another agent says that this one died
        elif isinstance(call.effect, StartWorker):
            self._not_started(call.effect, error)
        elif call.app is not None and call.life < self._lives[call.app]:
            pass  # a dead worker fails every call that is under way to it, and its loss is known
        elif call.app in self._running and isinstance(error, LostError) and self._transport.ended([call.app]):
            self._ends.seen(call.app, str(error))
        elif call.app in self._running and (call.effect is None or isinstance(error, LostError)):
            self._lost(call.app, str(error))
        elif not isinstance(error, LostError):
            self._write({"kind": "error", "now_s": self._clock.now_s(), "app": call.app, "text": str(error)})

    def _see_ends(self, board_at_s: float | None) -> None:
        """Tell of the workers whose process has ended; Ray would tell up to two seconds later."""
        for app, reason in self._ends.due(board_at_s).items():
            self._lost(app, reason)
        for app in self._transport.ended(sorted(self._running)):
            self._ends.seen(app, "its process ended")

    def _lost(self, app: str, reason: str) -> None:
        self._runs_no_more(app)
        self._lives[app] += 1
        self._tell(WorkerLost(app=app, reason=reason))

    def _runs_no_more(self, app: str) -> None:
        self._running.discard(app)
        self._ends.forget(app)

    def _not_started(self, order: StartWorker, error: Exception) -> None:
        """Ask again with the next epoch while the process is not back yet; any other failure is the manager's to judge.

        Ray starts the process again by itself. One that is not back after `_BACK_WALL_S` has failed too.
        """
        now_s = self._clock.now_s()
        since_s = self._starting_s.setdefault(order.app, now_s)
        if isinstance(error, LostError) and self._clock.wall_s(now_s - since_s) < _BACK_WALL_S:
            self._restarts.append(order)
            return
        del self._starting_s[order.app]
        self._tell(WorkerNotStarted(app=order.app, reason=f"it did not start: {error}"))
