"""A control loop with a real manager, and workers and a board that are played on a clock in virtual time."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator, Sequence
from itertools import count

from actors.control.loop import ControlLoop, LostError
from helpers.fake_world import BOARD, EPOCH_S, make_spec
from helpers.scripted import Scripted
from helpers.virtual_clock import VirtualClock
from helpers.worker_reports import report
from scheduler.manager import Manager
from scheduler.messages import (
    Activate,
    Activated,
    BoardEvent,
    ClockSet,
    Effect,
    Fenced,
    Happening,
    HostTelemetry,
    Message,
    Pin,
    Pinned,
    Prepare,
    Prepared,
    SetClock,
    StartWorker,
    StopWorker,
    Telemetry,
    UnitTelemetry,
    WorkerStarted,
)
from scheduler.views import Gear

SMALL = Gear(subnet="s", unit="big", cores=1)


class Told(Manager):
    """The real manager, with a journal of what it was told and when."""

    def __init__(self, journal: list[tuple[float, object]], policy: Scripted, apps: Sequence[str]) -> None:
        super().__init__(board=BOARD, apps=[make_spec(app) for app in apps], policy=policy, epoch_s=EPOCH_S)
        self._journal = journal

    def on(self, message: Message, now_s: float) -> list[Effect]:
        self._journal.append((now_s, message))
        return super().on(message, now_s)


class World:
    """Workers and a board behind a transport in memory; each answers after a delay, and time passes meanwhile.

    Attributes:
        journal: (board time, message told, effect sent or limit applied), in the order in which it happened.
        silent: applications that report nothing.
        effect_s: until an effect is answered.
        dead: applications whose process is gone, as their calls tell; None for the board agent.
        hung: True while calls to the board agent are answered by nobody, since nothing tells yet that it is dead.
        seen_dead: applications whose process is seen to have ended, though no call has told yet.
        fenced: what the board's next report says of workers that were fenced off.
        board_silent: True while the board does not report.
        board_late_s: how old the board's reports are when they are read.
        cannot_report: by application, or None for the board agent, what it answers when it is to report.
        errors: by kind of effect, how many are still to be answered by an error of the worker's own.
        stalls_s: (from, to) in which the machine stands still.
    """

    def __init__(self, *apps: str, gears: dict[str, Gear] | None = None) -> None:
        self.clock = VirtualClock()
        self.journal: list[tuple[float, object]] = []
        self.log: list[dict[str, object]] = []
        self.policy = Scripted(gears or dict.fromkeys(apps, SMALL))
        self.manager = Told(self.journal, self.policy, apps)
        self.silent: set[str] = set()
        self.effect_s = 0.0
        self.dead: set[str | None] = set()
        self.hung = False
        self.seen_dead: set[str] = set()
        self.fenced: list[Fenced] = []
        self.board_silent = False
        self.board_late_s = 0.0
        self.cannot_report: dict[str | None, Exception] = {}
        self.errors: dict[type[Effect], int] = {}
        self.stalls_s: list[tuple[float, float]] = []
        self._apps = apps
        self._tokens: Iterator[int] = count()
        self._under_way: dict[Hashable, tuple[str | None, float, Message | Exception | None]] = {}

    def loop(self, *events: tuple[float, Happening]) -> ControlLoop:
        return ControlLoop(
            self.manager,
            self,
            self.clock,
            events=events,
            apps=self._apps,
            epoch_s=EPOCH_S,
            log=self.log.append,
        )

    def of(self, *kinds: type) -> list[tuple[float, object]]:
        """The journal's entries of these classes."""
        return [(at_s, what) for at_s, what in self.journal if isinstance(what, kinds)]

    # ------------------------------------------------------------ as a Transport

    def follow_app(self, app: str) -> Hashable:
        error = self.cannot_report.pop(app, None)
        return self._call(app, error or LostError(f"{app} is gone"), 0.0 if error else math.inf)

    def follow_board(self) -> Hashable:
        self.journal.append((self.clock.now_s(), "follow the board"))
        error = self.cannot_report.pop(None, None)
        return self._call(None, error or LostError("the board agent is gone"), 0.0 if error else math.inf)

    def reports(self, apps: Collection[str]) -> Telemetry:
        reports = [report(app) for app in apps if app not in self.silent | self.dead]
        if self.board_silent:
            return Telemetry(apps=tuple(reports), units=(), power_w=None)
        fenced, self.fenced = tuple(self.fenced), []
        now_s = self.clock.now_s()
        units = tuple(UnitTelemetry(name=unit.name, mhz_now=500.0, busy=0.0, temp_c=None) for unit in BOARD.units)
        host = HostTelemetry(cores=(0.0,), others=0.0, memory_used_mb=1.0)
        return Telemetry(
            apps=tuple(reports),
            units=units,
            power_w=None,
            host=host,
            fenced=fenced,
            board_at_s=now_s - self.board_late_s,
        )

    def send(self, effect: Effect) -> Hashable:
        self.journal.append((self.clock.now_s(), effect))
        answer: Message | Exception
        app: str | None
        match effect:
            case Prepare(app=app, gear=gear, plan=plan):
                answer = Prepared(app=app, gear=gear, plan=plan)
            case Pin(unit=unit, cpus=cpus, plan=plan):
                app = None
                answer = Pinned(app=effect.app, unit=unit, cpus=cpus, plan=plan)
            case Activate(app=app, gear=gear, plan=plan):
                answer = Activated(app=app, gear=gear, plan=plan)
            case StartWorker(app=app):
                answer = WorkerStarted(app=app)
            case SetClock(unit=unit, clock=clock, plan=plan):
                app = None
                answer = ClockSet(unit=unit, clock=clock, plan=plan)
            case _:
                raise AssertionError(f"{effect} is not for a transport")
        if self.errors.get(type(effect), 0) > 0:
            self.errors[type(effect)] -= 1
            answer = RuntimeError(f"no {type(effect).__name__} today")
        return self._call(app, answer, self.effect_s)

    def ended(self, apps: Collection[str]) -> list[str]:
        return [app for app in apps if app in self.seen_dead]

    def end(self, app: str) -> None:
        self.journal.append((self.clock.now_s(), StopWorker(app=app)))
        self.dead.add(app)

    def change_board(self, change: BoardEvent) -> Hashable:
        self.journal.append((self.clock.now_s(), change))
        return self._call(None, None, self.effect_s)

    def use_agent(self, agent: str) -> None:
        self.journal.append((self.clock.now_s(), agent))
        self.hung = False
        self.dead.discard(None)

    def hang(self) -> None:
        """Have the board agent answer nothing any more, though nothing tells that it is dead."""
        self.hung = True
        for token, (app, at_s, answer) in [*self._under_way.items()]:
            self._under_way[token] = (app, math.inf if app is None else at_s, answer)

    def answered(self, timeout_s: float) -> list[tuple[Hashable, Message | Exception | None]]:
        dying = [token for token, (app, _, _) in self._under_way.items() if app in self.dead]
        if not dying:
            until_s = self.clock.now_s() + timeout_s
            self._sleep(min([until_s, *(at_s for _, at_s, _ in self._under_way.values())]))
        now_s = self.clock.now_s()
        due = dying or [token for token, (_, at_s, _) in self._under_way.items() if at_s <= now_s]
        return [(token, self._answer(token)) for token in due]

    def _answer(self, token: Hashable) -> Message | Exception | None:
        app, _, answer = self._under_way.pop(token)
        return LostError(f"{app} is gone") if app in self.dead else answer

    def _call(self, app: str | None, answer: Message | Exception | None, delay_s: float) -> Hashable:
        token = next(self._tokens)
        if app is None and self.hung:
            delay_s = math.inf
        self._under_way[token] = (app, self.clock.now_s() + delay_s, answer)
        return token

    def _sleep(self, until_s: float) -> None:
        for from_s, to_s in self.stalls_s:
            if from_s <= until_s < to_s:
                until_s = to_s
        self.clock.sleep_until(until_s)
