"""A manager and its transition under faults of messages, workers and managers, on virtual time.

The world asserts at each step what must never happen (a worker on CPUs that it is not pinned to, CPUs that two take, a
clock below what is served). After every fault the board arrives at its plan.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from faults.points import Points, Subject, kind
from helpers.fake_world import BOARD, EPOCH_S, World, gear, make_spec, retarget
from helpers.scripted import Watchful
from scheduler.manager import Manager
from scheduler.messages import (
    Effect,
    Log,
    Message,
    Standing,
    StartWorker,
    StopWorker,
    Telemetry,
    Tick,
    WorkerLost,
    WorkerStarted,
)
from scheduler.views import Gear

_APPS = ("a", "b", "c")
_EFFECTS, _ANSWERS, _EPOCHS = "effect", "answer", "epoch"
_KINDS = (
    kind("effect lost", _EFFECTS),
    kind("effect 3 s late", _EFFECTS),
    kind("effect carried out twice", _EFFECTS),
    kind("answer lost", _ANSWERS),
    kind("answer 3 s late", _ANSWERS),
    kind("answer twice", _ANSWERS),
    kind("answer overtaken by the next", _ANSWERS),
    kind("report lost", _EPOCHS),
    kind("three epochs missed", _EPOCHS),
    kind("time jumps by 5 s", _EPOCHS, _EFFECTS),
    kind("worker killed", _EFFECTS, _ANSWERS, _EPOCHS),
    kind("worker silent for 3 s", _EFFECTS, _ANSWERS, _EPOCHS),
    kind("manager killed", _EFFECTS, _ANSWERS, _EPOCHS),
)
_LOSSY = ("effect lost", "effect carried out twice", "answer lost")
"""Kinds after which the manager does not know who holds what, and errs by repeating pins."""
_LATE_S = 3.0
_TAKE_OVER_S = 0.4
_STRIKES_S = 3.0
"""Time within which a fault strikes: afterwards the board is at rest, and every epoch is like the one before."""
_ARRIVES_S = 6.0


class _DeadManager:
    decisions = 0

    def on(self, message: Message, now_s: float) -> list[Effect]:
        return []


class _FaultyWorld(World):
    """A world in which one thing goes wrong."""

    def __init__(self, points: Points, policy: Watchful, rng: random.Random) -> None:
        self.points = points
        self.policy = policy
        self._held_back: list[Message] = []
        super().__init__(_manager(policy), _APPS, seed=rng.randrange(10**6), delay_s=rng.choice((0.0, 0.05, 0.15)))
        self._lossy = points.kind.name in _LOSSY
        self._victim = rng.choice(_APPS)
        self._told: list[tuple[float, Message]] = []

    # ------------------------------------------------------------ where it goes wrong

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, Log | StartWorker | StopWorker) or not self._struck(_EFFECTS):
            return super()._carry_out(effect)
        match self.points.kind.name:
            case "effect lost":
                return None
            case "effect 3 s late":
                # Orders to one worker or unit are carried out in order, so those after it wait too.
                self._at(self.now_s, lambda: None)
                late, self._delay = self._delay, lambda: _LATE_S  # type: ignore[method-assign]
                super()._carry_out(effect)
                self._delay = late  # type: ignore[method-assign]
                return None
            case "effect carried out twice":
                super()._carry_out(effect)
        self._strike_anywhere()
        return super()._carry_out(effect)

    def send(self, message: Message) -> list[Effect]:
        if isinstance(message, Telemetry):
            if self._struck(_EPOCHS):
                if self.points.kind.name == "report lost":
                    return []
                self._strike_anywhere()
            return super().send(message)
        if isinstance(message, Tick | WorkerLost | WorkerStarted) or not hasattr(message, "plan"):
            return super().send(message)
        return self._answer(message)

    def _answer(self, message: Message) -> list[Effect]:
        held, self._held_back = self._held_back, []
        if self._struck(_ANSWERS):
            match self.points.kind.name:
                case "answer lost":
                    return []
                case "answer 3 s late":
                    self._at(self.now_s + _LATE_S, lambda: super(_FaultyWorld, self).send(message) and None)
                    return []
                case "answer twice":
                    super().send(message)
                case "answer overtaken by the next":
                    self._held_back = [message]
                    # Where no other answer comes, it comes at last.
                    self._at(self.now_s + 1.0, self._release_held)
                    return []
            self._strike_anywhere()
        effects = super().send(message)
        for late in held:
            effects += super().send(late)
        return effects

    def _release_held(self) -> None:
        held, self._held_back = self._held_back, []
        for message in held:
            super().send(message)

    def _struck(self, operation: str) -> bool:
        return self.now_s < _STRIKES_S and self.points.strikes(operation)

    def _strike_anywhere(self) -> None:
        match self.points.kind.name:
            case "worker killed":
                self._at(self.now_s, self._kill_victim)
            case "worker silent for 3 s":
                self.workers[self._victim].silent = True
                self._at(self.now_s + _LATE_S, self._heard_again)
            case "manager killed":
                self.manager = _DeadManager()  # type: ignore[assignment]
                self._at(self.now_s + _TAKE_OVER_S, self._take_over)
            case "time jumps by 5 s":
                self._jump(5.0)
            case "three epochs missed":
                self._jump(3 * EPOCH_S)

    # ------------------------------------------------------------ what goes wrong

    def _kill_victim(self) -> None:
        if self.workers[self._victim].alive:
            self.kill(self._victim)

    def _heard_again(self) -> None:
        self.workers[self._victim].silent = False

    def _jump(self, by_s: float) -> None:
        """Stop everything for a while, as a machine does that sleeps: all that was to come is late together."""
        self._agenda = [(when_s + by_s, count, what) for when_s, count, what in self._agenda]
        self._channels = {channel: when_s + by_s for channel, when_s in self._channels.items()}
        self._at(self.now_s + by_s, lambda: None)

    def _take_over(self) -> None:
        stands = {
            app: Standing(gear=worker.gear, plan=worker.plan, cpus=tuple(sorted(worker.pinned)))
            for app, worker in self.workers.items()
            if worker.alive
        }
        manager = _manager(self.policy)
        manager.take_over((), stands, 1000)
        self.manager = manager


def _manager(policy: Watchful) -> Manager:
    return Manager(board=BOARD, apps=[make_spec(app) for app in _APPS], policy=policy, epoch_s=EPOCH_S)


def _gears(rng: random.Random) -> dict[str, Gear]:
    units = rng.sample(["big", "little", "gpu"], 3)
    if rng.random() < 0.3:  # two on one unit, a core each
        units = [units[0], units[0], units[1]] if units[0] != "gpu" else [units[1], units[1], units[2]]
    crowded = {unit for unit in units if units.count(unit) > 1}
    return {
        app: gear(rng.choice("sml"), unit, 1 if unit == "gpu" or unit in crowded else rng.choice((1, 2)))
        for app, unit in zip(_APPS, units, strict=True)
    }


def _clocks(rng: random.Random) -> dict[str, float | str]:
    return {unit.name: rng.choice((*unit.mhz, "schedutil") if rng.random() < 0.2 else unit.mhz) for unit in BOARD.units}


def _run(points: Points, directory: Path, rng: random.Random) -> None:
    policy = Watchful(_gears(rng), _clocks(rng))
    world = _FaultyWorld(points, policy, rng)
    changes: list[Callable[[], object]] = []
    for _ in range(2):
        gears, clocks = _gears(rng), _clocks(rng)
        changes.append(lambda gears=gears, clocks=clocks: (policy.gears.update(gears), policy.clocks.update(clocks)))
    for change in changes:
        world.run(rng.uniform(0.2, 0.8))
        change()
        world.send(retarget("a", target_ms=rng.choice((50.0, 100.0, 200.0))))
    world.run(_STRIKES_S + _ARRIVES_S)
    assert all(worker.alive for worker in world.workers.values()), "a worker did not come back"
    world.assert_arrived()
    assert {app: worker.gear for app, worker in world.workers.items()} == policy.gears


SUBJECT = Subject(name="managing", kinds=_KINDS, run=_run)
