"""The control loop, the board agent and a bed in one process: all of a run's way to the kernel's knobs, without Ray.

Workers are processes that sleep. They have threads to pin, and are in whatever gear they are told to be in.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Hashable, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType

from actors.agent.agent import BoardAgent
from actors.agent.devices.hand_back import HandedBack
from actors.clock import BoardClock
from actors.control.loop import ControlLoop
from helpers.board_bed import BoardBed
from helpers.worker_reports import report
from scheduler.app_knowledge import AppSpec
from scheduler.board import Board, BoardUnit
from scheduler.manager import Manager
from scheduler.messages import (
    Activate,
    Activated,
    AppTelemetry,
    BoardEvent,
    ClockSet,
    Effect,
    Event,
    Message,
    Pin,
    Pinned,
    Prepare,
    Prepared,
    SetClock,
    SwitchUnit,
    Telemetry,
    UnitLimited,
)
from scheduler.policies import Policy, make_policy
from scheduler.views import Gear

EPOCH_S = 0.1
_LONGEST_WAIT_S = 60.0
"""Longest wait for something to happen; an emulated processor is slow."""


def board_of(bed: BoardBed, may_switch_off: Collection[str] = (), others: Collection[BoardUnit] = ()) -> Board:
    """Return the board of a bed, with power that rises with the clock, so that a policy has something to save.

    Args:
        bed: the bed.
        may_switch_off: names of the units that may be switched off.
        others: units beside its CPUs.
    """
    return Board(
        name="bed",
        units=tuple(_powered(unit, may_switch_off=unit.name in may_switch_off) for unit in (*bed.units, *others)),
        base_w=None,
        sensor="none",
        power_source="made up",
    )


def _powered(unit: BoardUnit, *, may_switch_off: bool) -> BoardUnit:
    return BoardUnit(
        name=unit.name,
        kind=unit.kind,
        cpus=unit.cpus,
        dvfs=unit.dvfs,
        mhz=unit.mhz,
        static_w=tuple(0.1 + mhz / 20_000 for mhz in unit.mhz),
        dynamic_w=tuple((mhz / 1000) ** 3 for mhz in unit.mhz),
        speed=unit.mhz[-1] / 2000,
        may_switch_off=may_switch_off,
    )


class _Transport:
    """Calls to the agent and to sleeping workers, answered at once."""

    def __init__(self, agent: BoardAgent, pids: dict[str, int]) -> None:
        self._agent, self._pids = agent, pids
        self._tokens = count()
        self._answers: list[tuple[Hashable, Message | Exception | None]] = []
        self._gears: dict[str, tuple[Gear | None, int]] = dict.fromkeys(pids, (None, -1))

    def follow_app(self, app: str) -> Hashable:
        return next(self._tokens)

    def follow_board(self) -> Hashable:
        return next(self._tokens)

    def reports(self, apps: Collection[str]) -> Telemetry:
        return Telemetry(apps=tuple(self._report(app) for app in apps), units=self._agent.telemetry(), power_w=None)

    def _report(self, app: str) -> AppTelemetry:
        gear, plan = self._gears[app]
        return report(app, arrived=1, finished=1, on_time=1, gear=gear, plan=plan)

    def ended(self, apps: Collection[str]) -> list[str]:
        return []  # these workers are no processes

    def send(self, effect: Effect) -> Hashable:
        token = next(self._tokens)
        try:
            self._answers.append((token, self._answer(effect)))
        except Exception as error:
            self._answers.append((token, RuntimeError(str(error))))
        return token

    def _answer(self, effect: Effect) -> Message:
        match effect:
            case Prepare(app=app, gear=gear, plan=plan):
                return Prepared(app=app, gear=gear, plan=plan)
            case Activate(app=app, gear=gear, plan=plan):
                self._gears[app] = (gear, plan)
                return Activated(app=app, gear=gear, plan=plan)
            case Pin(app=app, unit=unit, cpus=cpus, plan=plan):
                return Pinned(app=app, unit=unit, cpus=self._agent.pin(app, self._pids[app], cpus), plan=plan)
            case SetClock(unit=unit, clock=clock, plan=plan):
                return ClockSet(unit=unit, clock=self._agent.set_clock(unit, clock, effect.hints), plan=plan)
            case SwitchUnit():
                return self._agent.switch(effect)
        raise AssertionError(effect)

    def change_board(self, change: BoardEvent) -> None:
        assert isinstance(change, UnitLimited)
        self._agent.limit(
            change.unit, max_mhz=change.max_mhz, cpus_online=change.cpus_online, other_load=change.other_load
        )

    def use_agent(self, agent: BoardAgent) -> None:
        self._agent = agent

    def answered(self, timeout_s: float) -> list[tuple[Hashable, Message | Exception | None]]:
        if not self._answers:
            time.sleep(timeout_s)
        answers, self._answers = self._answers, []
        return answers


class BoardLoop:
    """A run on a bed, as a context manager; `given_back` is there afterwards.

    Attributes:
        agent: the board agent.
        log: the entries of the epoch log.
        given_back: what came of giving the board back.
    """

    def __init__(
        self,
        bed: BoardBed,
        directory: Path,
        specs: Sequence[AppSpec],
        *,
        policy: str | Policy = "joint",
        events: Sequence[tuple[float, Event]] = (),
        may_switch_off: Collection[str] = (),
        others: Collection[BoardUnit] = (),
    ) -> None:
        self.bed = bed
        self.board = board_of(bed, may_switch_off, others)
        self.log: list[dict[str, object]] = []
        self.given_back: HandedBack | None = None
        self._directory, self._specs, self._policy, self._events = directory, specs, policy, events
        self._stop = threading.Event()

    def __enter__(self) -> BoardLoop:
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        self._workers = {spec.app: subprocess.Popen(command) for spec in self._specs}
        clock = BoardClock(time.monotonic())
        apps = list(self._workers)
        self.agent = BoardAgent(
            self.board, apps=apps, path=self._directory / "ledger", clock=clock, machine=self.bed.machine
        )
        self.agent.start()
        policy = make_policy(self._policy) if isinstance(self._policy, str) else self._policy
        manager = Manager(board=self.board, apps=self._specs, policy=policy, epoch_s=EPOCH_S)
        pids = {app: worker.pid for app, worker in self._workers.items()}
        loop = ControlLoop(
            manager,
            _Transport(self.agent, pids),
            clock,
            events=self._events,
            apps=apps,
            epoch_s=EPOCH_S,
            log=self.log.append,
        )
        self._thread = threading.Thread(target=loop.run, args=(1e9, self._stop.is_set))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.given_back = self.agent.restore()
        self.agent.close()
        for worker in self._workers.values():
            worker.kill()
            worker.wait()

    def pid(self, app: str) -> int:
        """Return the number of an application's worker."""
        return self._workers[app].pid

    def wait_for(self, what: Callable[[], object]) -> None:
        """Wait until something is so."""
        until_s = time.monotonic() + _LONGEST_WAIT_S
        while not what():
            assert self._thread.is_alive(), "the control loop died"
            assert time.monotonic() < until_s, ("it never came to be", self.log[-5:])
            time.sleep(0.02)

    def plans(self) -> list[dict[str, object]]:
        """Return the plans so far."""
        return self.logged("plan")

    def logged(self, kind: str) -> list[dict[str, object]]:
        """Return the entries of one kind so far."""
        return [entry for entry in self.log if entry["kind"] == kind]

    def wait_for_news(self, words: str) -> None:
        """Wait until the log says that something happened to the board, in these words."""
        self.wait_for(lambda: any(words in str(entry["text"]) for entry in self.logged("event")))
