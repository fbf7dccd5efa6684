"""A board and its workers in virtual time, to drive a `Manager` with.

A world carries effects out after random delays (in order for each application and unit) and answers after further
delays (in any order). It may lose effects and answers. It asserts at every step what must never happen.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from helpers.worker_reports import report
from scheduler.app_knowledge import AppSpec
from scheduler.board import Board, BoardUnit
from scheduler.manager import Manager
from scheduler.messages import (
    Activate,
    Activated,
    AppTelemetry,
    ClockSet,
    Effect,
    Event,
    Log,
    Message,
    Pin,
    Pinned,
    Prepare,
    Prepared,
    SetClock,
    StartWorker,
    StopWorker,
    SwitchUnit,
    TargetChanged,
    Telemetry,
    Tick,
    UnitSwitched,
    UnitTelemetry,
    WorkerLost,
    WorkerStarted,
)
from scheduler.points import ArrivalModel
from scheduler.policies import Policy
from scheduler.profile import Profile, RungProfile, ServiceTime
from scheduler.views import Gear

EPOCH_S = 0.1
RESTART_S = 0.7


def make_unit(name: str, kind: str, cpus: tuple[int, ...]) -> BoardUnit:
    return BoardUnit(
        name=name,
        kind=kind,
        cpus=cpus,
        dvfs="emulated",
        mhz=(500.0, 1000.0, 2000.0),
        static_w=(0.1, 0.2, 0.4),
        dynamic_w=(0.2, 0.5, 2.0),
    )


BOARD = Board(
    name="test",
    units=(make_unit("big", "cpu", (0, 1)), make_unit("little", "cpu", (2, 3)), make_unit("gpu", "gpu", ())),
    base_w=None,
    sensor="none",
    power_source="made up",
)


def make_profile(**accuracy: float | None) -> Profile:
    def rung(name: str, work_ms: float) -> RungProfile:
        times = [ServiceTime(kind="cpu", cores=n, samples_ms=(work_ms / n,)) for n in (1, 2)]
        times.append(ServiceTime(kind="gpu", cores=1, samples_ms=(work_ms / 4,)))
        return RungProfile(subnet=name, accuracy=accuracy[name], accuracy_source="measured", times=tuple(times))

    return Profile(supernet="net", machine="test", rungs=(rung("s", 4.0), rung("m", 10.0), rung("l", 20.0)))


PROFILE = make_profile(s=0.6, m=0.75, l=0.9)


def gear(subnet: str = "s", unit: str = "big", cores: int = 1) -> Gear:
    return Gear(subnet=subnet, unit=unit, cores=cores)


def make_spec(app: str, **changes: object) -> AppSpec:
    spec = AppSpec(app=app, profile=PROFILE, arrivals=ArrivalModel(kind="periodic", rate_hz=10.0), target_ms=100.0)
    return replace(spec, **changes)


def retarget(app: str = "a", **changes: float) -> Event:
    targets = {"target_ms": 100.0, "min_accuracy": 0.0, "weight": 1.0, "slo": 0.95, **changes}
    return Event(change=TargetChanged(app=app, **targets), text=f"{app}: {changes}")


@dataclass
class FakeWorker:
    alive: bool = True
    silent: bool = False
    gear: Gear | None = None
    plan: int = -1
    cpus: tuple[int, ...] = ()
    pinned: frozenset[int] = frozenset()
    prepared: set[Gear] = field(default_factory=set)
    needs_mhz: float = 0.0
    """Lowest clock (MHz) that any plan since the worker took its gear had for it; 0 under a governor."""
    life: int = 0


class World:
    """A driver, its workers and their board; time passes in `run`."""

    def __init__(
        self,
        manager: Manager,
        apps: tuple[str, ...],
        *,
        board: Board = BOARD,
        seed: int = 0,
        delay_s: float = 0.0,
        loss: float = 0.0,
    ) -> None:
        self.manager = manager
        self.board = board
        self.workers = {app: FakeWorker() for app in apps}
        self.clocks: dict[str, float | str] = {unit.name: unit.mhz[0] for unit in board.units}
        self.off: set[str] = set()
        """The units that are switched off; see `helpers.switching_world`."""
        self.shown: dict[str, dict[str, object]] = {unit.name: {} for unit in board.units}
        """By unit, fields of its reports that are not those of a board that nobody holds down."""
        self.now_s = 0.0
        self.loss = loss
        self._lossy = loss > 0
        self.effects: list[Effect] = []
        self.plans: dict[int, Mapping[str, object]] = {}
        self._delay_s = delay_s
        self._random = random.Random(seed)
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._channels: dict[tuple[str, str], float] = {}
        self._pins_under_way: list[Pin] = []
        self._epoch = 0
        self._at(0.0, self._tick)

    # ------------------------------------------------------------ use

    def run(self, for_s: float) -> None:
        end_s = self.now_s + for_s
        while self._agenda and self._agenda[0][0] <= end_s:
            self.now_s, _, what = heapq.heappop(self._agenda)
            what()
        self.now_s = end_s

    def send(self, message: Message) -> list[Effect]:
        effects = self.manager.on(message, self.now_s)
        for effect in effects:
            self.effects.append(effect)
            self._carry_out(effect)
        return effects

    def kill(self, app: str) -> None:
        self.workers[app] = FakeWorker(alive=False, life=self.workers[app].life + 1)
        self._pins_under_way = [pin for pin in self._pins_under_way if pin.app != app]
        self.send(WorkerLost(app=app, reason="killed"))

    def logs(self, kind: str) -> list[Mapping[str, object]]:
        return [effect.fields for effect in self.effects if isinstance(effect, Log) and effect.kind == kind]

    def sent(self, kind: type) -> list[Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def plan(self) -> Mapping[str, object]:
        return self.plans[max(self.plans)]

    def assert_arrived(self) -> None:
        """Check that workers, CPUs and clocks are exactly those of the last plan."""
        for app, (subnet, unit, cores) in self.plan["gears"].items():
            worker = self.workers[app]
            assert worker.gear == Gear(subnet=subnet, unit=unit, cores=cores)
            assert worker.cpus == tuple(self.plan["cpus"][app])
            if unit != "gpu":
                assert worker.pinned == set(worker.cpus)
        clocks = self.plan["clocks"]
        assert all(self.clocks[unit] == clock for unit, clock in clocks.items() if unit not in self.off)

    # ------------------------------------------------------------ time

    def _at(self, when_s: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (when_s, self._count, what))

    def _tick(self) -> None:
        reports = tuple(self.report(app) for app, worker in self.workers.items() if worker.alive and not worker.silent)
        self.send(Telemetry(apps=reports, units=self._unit_reports(), power_w=None))
        self.send(Tick(epoch=self._epoch))
        self._epoch += 1
        self._at(self.now_s + EPOCH_S, self._tick)

    def report(self, app: str, **changes: object) -> AppTelemetry:
        worker = self.workers[app]
        did = {"arrived": 1, "finished": 1, "on_time": 1, "latencies_ms": (10.0,), "service_ratio": 1.0}
        return report(app, **{**did, "gear": worker.gear, "plan": worker.plan, **changes})

    def _unit_reports(self) -> tuple[UnitTelemetry, ...]:
        return tuple(
            UnitTelemetry(
                **{
                    "name": name,
                    "mhz_now": 1000.0 if isinstance(clock, str) else clock,
                    "busy": 0.5,
                    "temp_c": None,
                    **self.shown[name],
                }
            )
            for name, clock in self.clocks.items()
        )

    # ------------------------------------------------------------ effects

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, Log):
            if effect.kind == "plan":
                self._new_plan(effect.fields)
            return
        if isinstance(effect, StartWorker):
            self._at(self.now_s + RESTART_S, lambda: self._restart(effect.app))
            return
        if isinstance(effect, StopWorker):
            self._at(self.now_s, lambda: self.kill(effect.app))
            return
        if isinstance(effect, Pin):
            self._check_gain(effect)
            self._pins_under_way.append(effect)
        of_unit = isinstance(effect, SetClock | SwitchUnit)
        life = 0 if of_unit else self.workers[effect.app].life
        channel = ("unit", effect.unit) if of_unit else (type(effect).__name__, effect.app)
        when_s = max(self.now_s + self._delay(), self._channels.get(channel, 0.0))
        self._channels[channel] = when_s
        self._at(when_s, lambda: self._perform(effect, life))

    def _perform(self, effect: Prepare | Pin | Activate | SetClock | SwitchUnit, life: int) -> None:
        lost = self._random.random() < self.loss
        if effect in self._pins_under_way:
            self._pins_under_way.remove(effect)
        if isinstance(effect, SetClock):
            if lost:
                return
            self.clocks[effect.unit] = effect.clock
            answer: Message = ClockSet(unit=effect.unit, clock=effect.clock, plan=effect.plan)
        elif isinstance(effect, SwitchUnit):
            if lost:
                return
            answer = self._switch(effect)
        else:
            worker = self.workers[effect.app]
            if lost or not worker.alive or worker.silent or worker.life != life:
                return
            if isinstance(effect, Prepare):
                worker.prepared.add(effect.gear)
                answer = Prepared(app=effect.app, gear=effect.gear, plan=effect.plan)
            elif isinstance(effect, Pin):
                worker.pinned = frozenset(effect.cpus)
                answer = Pinned(app=effect.app, unit=effect.unit, cpus=effect.cpus, plan=effect.plan)
            else:
                answer = self._activate(worker, effect)
        self._check()
        if self._random.random() >= self.loss:
            self._at(self.now_s + self._delay(), lambda: self.send(answer) and None)

    def _activate(self, worker: FakeWorker, effect: Activate) -> Activated:
        if effect.plan >= worker.plan:
            assert effect.gear in worker.prepared
            worker.gear, worker.plan, worker.cpus = effect.gear, effect.plan, effect.cpus
            since = max(number for number in self.plans if number <= effect.plan)
            wanted = [
                self._clock_planned(plan, effect.gear.unit)
                for number, plan in self.plans.items()
                if number >= since and plan["gears"].get(effect.app) == _plain(effect.gear)
            ]
            worker.needs_mhz = min(wanted)
        return Activated(app=effect.app, gear=worker.gear, plan=worker.plan)

    def _switch(self, effect: SwitchUnit) -> UnitSwitched:
        raise AssertionError(f"{effect} on a board none of whose units may be switched off")

    def _restart(self, app: str) -> None:
        self.workers[app].alive = True
        self.send(WorkerStarted(app=app))

    def _delay(self) -> float:
        return self._random.uniform(0.0, self._delay_s)

    # ------------------------------------------------------------ what must hold

    def _new_plan(self, fields: Mapping[str, object]) -> None:
        self.plans[fields["plan"]] = fields
        for app, worker in self.workers.items():
            if worker.gear is not None and fields["gears"].get(app) == _plain(worker.gear):
                worker.needs_mhz = min(worker.needs_mhz, self._clock_planned(fields, worker.gear.unit))

    @staticmethod
    def _clock_planned(plan: Mapping[str, object], unit: str) -> float:
        clock = plan["clocks"][unit]
        return 0.0 if isinstance(clock, str) else clock

    def _check(self) -> None:
        for app, worker in self.workers.items():
            if worker.gear is None:
                continue
            assert set(worker.cpus) <= worker.pinned, f"{app} runs on CPUs that it is not pinned to"
            clock = self.clocks[worker.gear.unit]
            stands_at = math.inf if isinstance(clock, str) else clock
            assert stands_at >= worker.needs_mhz, f"{app} runs {worker.gear} at {clock} MHz"

    def _claim(self, app: str) -> frozenset[int]:
        """Return the CPUs on which a worker's threads are or are about to be."""
        return self.workers[app].pinned.union(*(pin.cpus for pin in self._pins_under_way if pin.app == app))

    def _leaves(self, app: str) -> frozenset[int]:
        planned = self.plan["cpus"].get(app)
        # One that no plan names waits where it is.
        return frozenset() if planned is None else self._claim(app) - frozenset(planned)

    def _check_gain(self, pin: Pin) -> None:
        """Check that nobody gains a CPU that another is to leave, unless that one waits for it (perhaps indirectly)."""
        if self._lossy:
            return  # who holds what is then not known to the manager, which errs by repeating pins
        gained = frozenset(pin.cpus) - self._claim(pin.app)
        for other, worker in self.workers.items():
            on_gpu = worker.gear is not None and not worker.cpus  # its threads only hand requests on
            if other != pin.app and not on_gpu and gained & self._leaves(other):
                assert pin.app in self._waited_for(other), f"{pin} takes CPUs from {other}"

    def _waited_for(self, app: str) -> set[str]:
        found: set[str] = set()
        ahead = {app}
        while ahead:
            one = ahead.pop()
            wanted = frozenset(self.plan["cpus"].get(one, ())) - self._claim(one)
            ahead |= {other for other in self.workers if other != one and wanted & self._leaves(other)} - found
            found |= ahead
        return found


def make_world(
    policy: Policy,
    apps: Sequence[str] = ("a", "b"),
    *,
    specs: Sequence[AppSpec] | None = None,
    prepares_on: str | None = None,
    power_cap_w: float | None = None,
    **how: float,
) -> World:
    """Return a world with a manager of its own.

    Args:
        policy: the policy of the manager.
        apps: names of the applications that have a worker.
        specs: the applications as the manager knows them; None for those of `make_spec`.
        prepares_on: the unit on which networks are made ready.
        power_cap_w: cap of the units' power.
        how: `seed`, `delay_s` and `loss` of the world.
    """
    manager = Manager(
        board=BOARD,
        apps=specs or [make_spec(app) for app in apps],
        policy=policy,
        epoch_s=EPOCH_S,
        prepares_on=prepares_on,
        power_cap_w=power_cap_w,
    )
    return World(manager, tuple(apps), **how)


def quiet(effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects that are carried out: all but log entries."""
    return [effect for effect in effects if not isinstance(effect, Log)]


def _plain(gear: Gear) -> list[object]:
    return [gear.subnet, gear.unit, gear.cores]
