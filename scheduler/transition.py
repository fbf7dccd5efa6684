"""How the board gets from the gears and clocks in force to those of a plan, without an unsafe moment between.

`Transition` keeps what workers and board have *acknowledged*, what they are to come to, and what they have been
asked and not yet answered. From these it derives the next effects; there is no script that could be left half
done, so a newer plan, a lost answer or a lost worker is nothing special.

One application changes gear in these steps, each begun when the one before is acknowledged:

1. *Prepare* the new network, off the request path (not where only its CPUs change).
2. Its new unit stands at the *higher* of its old and its new clock. A unit's clock goes up as soon as one of the
   applications that it is for is ready.
3. *Pin* it to its old and new CPUs together, once nobody else holds those it gains.
4. *Activate*: from the next request on it runs the new gear on the new CPUs.
5. *Pin* it to its new CPUs alone. Read back from the kernel, this is what frees the others for those who wait.
6. A unit's clock goes *down* once no application on it is in a gear that it is to leave.

So a worker never runs on a core that it has not been pinned to, shrinking comes before growing, and nothing waits
for an application that it does not depend on. The tokens of the cores, held by each request to its end, exclude
what is left: a request that was in flight when its application moved.

Three cases need a word. *Swaps*: applications that wait for each other's CPUs in a ring would wait for ever, so one
of them may share for the moment of the exchange. *Governors*: a unit that one runs is left to it, and is handed
over, or taken back to a clock below its present one, as in step 6. *GPUs*: an application there holds no CPU; its
threads stay where they were.

An application that leaves an effect unanswered for `ACK_TIMEOUT_S` is unhealthy: it keeps its gear, its cores stay
its own and its clock stays up, and it is asked again once it is heard of. Effects for one application (or unit) must be
carried out in the order given, and a worker must never apply an activation older than the last it applied.

This module does not know why a plan was made, what latency or power is, or what the time is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from scheduler.board import Board
from scheduler.messages import (
    Ack,
    Activate,
    Activated,
    ClockSet,
    Effect,
    Log,
    Pin,
    Prepare,
    Prepared,
    SetClock,
)
from scheduler.views import Gear, Plan

ACK_TIMEOUT_S = 2.0
"""How long an effect may go unanswered before who was asked counts as unhealthy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Goal:
    """What an application is to come to, since the plan of number `plan`."""

    gear: Gear
    cpus: tuple[int, ...]
    plan: int
    why: str


@dataclass(slots=True)
class _App:
    """One application's worker: what it has acknowledged, where it is going and what it has been asked."""

    running: bool = True
    healthy: bool = True
    gear: Gear | None = None
    """Acknowledged, by the activation of number `plan`."""
    plan: int = 0
    cpus: tuple[int, ...] = ()
    """Those of `gear`."""
    claim: frozenset[int] = frozenset()
    """Where its threads may be: the CPUs read back last, and those of a pin not read back yet."""
    goal: _Goal | None = None
    prepared: bool = False
    """Whether the goal's network is."""
    pin: Pin | None = None
    """The last one sent; `pinned` says whether it has been read back."""
    pinned: bool = False
    activations: tuple[Activate, ...] = ()
    """Those sent that it may be in or may yet come into: the one acknowledged last, and all after it."""
    asked: Prepare | Pin | Activate | None = None
    """What it has to answer next, since `asked_s`."""
    asked_s: float = 0.0

    @property
    def certain(self) -> bool:
        """Whether `gear` is what it runs: no later activation is under way."""
        return not self.activations or self.activations[-1].plan == self.plan

    @property
    def in_goal_gear(self) -> bool:
        return self.goal is not None and self.certain and self.gear == self.goal.gear

    @property
    def ready(self) -> bool:
        """Whether nothing but its unit and its CPUs keeps it from its goal."""
        return self.running and (self.prepared or self.in_goal_gear)

    def let_go(self) -> None:
        """Arrived on a GPU it holds no CPU any more, wherever its threads are."""
        if self.in_goal_gear and self.goal and not self.goal.cpus:
            self.claim = frozenset()

    def leaves(self, unit: str) -> bool:
        """Whether it runs, or may run, on that unit in a gear that it is to leave."""
        gears = {self.gear, *(sent.gear for sent in self.activations)}
        goal = self.goal.gear if self.goal else None
        return any(gear is not None and gear.unit == unit and gear != goal for gear in gears)


@dataclass(slots=True)
class _Unit:
    """One unit's clock: acknowledged, wanted, asked for."""

    clock: float | str | None = None
    """The last one asked for that was acknowledged, in MHz or a governor's name; None before the first."""
    mhz: float | None = None
    """What it really stands at, as last heard."""
    clamps_mhz: Mapping[str, float] = field(default_factory=dict)
    """Those that went with `clock`."""
    goal: float | str | None = None
    goal_clamps_mhz: Mapping[str, float] = field(default_factory=dict)
    plan: int = 0
    """Number of the plan that `goal` and its clamps are of."""
    asked: SetClock | None = None
    asked_s: float = 0.0


class Transition:
    """A board on its way to the latest plan, or arrived there; applications join it with nothing in force."""

    def __init__(self, board: Board) -> None:
        self._apps: dict[str, _App] = {}
        self._units = {unit.name: _Unit() for unit in board.units}
        self._still = False
        """Whether nothing has happened since there was last nothing to ask for: so it is in nearly every epoch."""

    # ------------------------------------------------------------ what is the case

    def gear(self, app: str) -> Gear | None:
        """The gear that an application has acknowledged; None before the first, or for an unknown one."""
        return self._apps[app].gear if app in self._apps else None

    def held(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """By application that has a goal: its unit, and the CPUs there that it has or is about to have."""
        return {name: (app.goal.gear.unit, app.goal.cpus) for name, app in self._apps.items() if app.goal}

    def settled(self, app: str) -> bool:
        """Whether that application is in the gear and on the CPUs of the latest plan."""
        worker = self._apps[app]
        goal = worker.goal
        return goal is not None and worker.in_goal_gear and worker.cpus == goal.cpus and worker.claim == set(goal.cpus)

    @property
    def at_rest(self) -> bool:
        """Whether every application whose worker runs, and every unit, is where the latest plan wants it."""
        arrived = all(self.settled(name) for name, app in self._apps.items() if app.running)
        return arrived and all(unit.asked is None and unit.goal in (None, unit.clock) for unit in self._units.values())

    # ------------------------------------------------------------ what happens

    def join(self, app: str, *, running: bool) -> None:
        """An application begins; its worker runs, or is still to come back."""
        self._still = False
        self._apps[app] = _App(running=running)

    def leave(self, app: str) -> None:
        """An application ends: its cores are free from here on."""
        self._still = False
        self._apps.pop(app, None)

    def lost(self, app: str, plan: int) -> None:
        """An application's worker died: its gear and its cores are gone, its goal is asked for anew.

        Args:
            app: its name.
            plan: a number above that of all plans so far, so that late answers of the dead worker are told apart.
        """
        self._still = False
        goal = self._apps[app].goal
        self._apps[app] = _App(running=False, goal=goal and replace(goal, plan=plan))

    def started(self, app: str) -> None:
        """An application's worker is there again, warm, in no gear."""
        self._still = False
        self._apps[app].running = True

    def heard(self, app: str, gear: Gear | None, plan: int) -> list[Effect]:
        """An application was heard of, and said which gear it is in since which activation."""
        worker = self._apps.get(app)
        if worker is None:
            return []
        was_healthy, worker.healthy = worker.healthy, True
        if was_healthy and (gear is None or (plan == worker.plan and worker.certain)):
            return []
        self._still = False
        if gear is None:
            return []
        return self._activated(Activated(app=app, gear=gear, plan=plan))

    def clock_seen(self, unit: str, mhz: float) -> None:
        """A unit was seen at that clock."""
        if self._units[unit].mhz != mhz:
            self._units[unit].mhz = mhz
            self._still = False

    def aim(self, plan: Plan, cpus: Mapping[str, tuple[int, ...]], number: int, why: str) -> None:
        """Take a plan as the new goal; of the one before, what is not acknowledged yet is superseded.

        Args:
            plan: gears for all applications present, clocks for all units.
            cpus: by application, the CPUs of its gear.
            number: the plan's; each plan has a larger one than the plan before.
            why: the reason, for the log.
        """
        self._still = False
        for name, gear in plan.gears.items():
            app = self._apps[name]
            if app.goal is None or (app.goal.gear, app.goal.cpus) != (gear, cpus[name]):
                app.goal = _Goal(gear=gear, cpus=cpus[name], plan=number, why=why)
                app.prepared = False
                app.asked = None
        for name, clock in plan.clocks.items():
            unit = self._units[name]
            clamps_mhz = {app: mhz for app, mhz in plan.clamps_mhz.items() if plan.gears[app].unit == name}
            if (unit.goal, unit.goal_clamps_mhz) != (clock, clamps_mhz):
                unit.goal, unit.goal_clamps_mhz, unit.plan = clock, clamps_mhz, number

    def acknowledge(self, ack: Ack) -> list[Effect]:
        """Take an answer in; one that answers nothing, or comes too late to matter, changes nothing.

        Returns:
            What there is to log.
        """
        self._still = False
        if isinstance(ack, ClockSet):
            return self._clock_set(ack)
        if isinstance(ack, Activated):
            return self._activated(ack)
        app = self._apps.get(ack.app)
        if app is None:
            return []
        if isinstance(ack, Prepared):
            if app.running and app.goal and (ack.gear, ack.plan) == (app.goal.gear, app.goal.plan):
                app.prepared = True
                self._answered(app, Prepare)
        elif app.pin and (set(ack.cpus), ack.plan) == (set(app.pin.cpus), app.pin.plan):
            app.claim = frozenset(ack.cpus)
            app.pinned = True
            self._answered(app, Pin)
        return []

    def expire(self, now_s: float) -> list[Effect]:
        """Find who has not answered in time; a unit's clock is asked for again at once."""
        effects: list[Effect] = []
        for name, app in self._apps.items():
            if app.asked and now_s - app.asked_s >= ACK_TIMEOUT_S:
                self._still = False
                waiting_for = type(app.asked).__name__
                effects.append(Log(kind="unhealthy", fields={"app": name, "waiting_for": waiting_for}))
                app.healthy, app.asked, app.prepared = False, None, False
        for name, unit in self._units.items():
            if unit.asked and now_s - unit.asked_s >= ACK_TIMEOUT_S:
                effects += [Log(kind="unhealthy", fields={"unit": name, "waiting_for": "SetClock"}), unit.asked]
                unit.asked_s = now_s
        return effects

    # ------------------------------------------------------------ what is to be done

    def advance(self, now_s: float) -> list[Effect]:
        """All that can be asked for now and has not been."""
        if self._still:
            return []
        effects: list[Effect] = []
        for unit_name, unit in self._units.items():
            clock = self._next_clock(unit_name, unit)
            if clock is not None:
                unit.asked = SetClock(unit=unit_name, clock=clock, plan=unit.plan, clamps_mhz=unit.goal_clamps_mhz)
                unit.asked_s = now_s
                effects.append(unit.asked)
        for app in self._apps.values():
            app.let_go()
        blocked: dict[str, set[str]] = {}
        for name, app in self._apps.items():
            effect = self._next_step(name, app)
            blockers = self._blockers(name, effect) if isinstance(effect, Pin) else set()
            if blockers:
                blocked[name] = blockers
            elif effect:
                effects.append(self._ask(app, effect, now_s))
        for name in _ring_breakers(blocked):
            effect = self._next_step(name, self._apps[name])
            if effect:
                effects.append(self._ask(self._apps[name], effect, now_s))
        self._still = not effects
        return effects

    def _next_step(self, name: str, app: _App) -> Prepare | Pin | Activate | None:
        """The step that brings an application nearer to its goal; None where it has arrived or has to wait."""
        goal = app.goal
        if goal is None or app.asked or not app.running or not app.healthy:
            return None
        cpus = frozenset(goal.cpus)
        if app.in_goal_gear and app.cpus == goal.cpus:
            at_home = not cpus or (app.pinned and app.claim == cpus)
            return None if at_home else Pin(app=name, unit=goal.gear.unit, cpus=goal.cpus, plan=goal.plan)
        if not app.ready:
            return Prepare(app=name, gear=goal.gear, plan=goal.plan)
        if not self._clock_is_up(goal.gear.unit):
            return None
        if cpus and not (app.pinned and cpus <= app.claim):
            both = cpus.union(app.cpus, *(sent.cpus for sent in app.activations))
            return Pin(app=name, unit=goal.gear.unit, cpus=tuple(sorted(both)), plan=goal.plan)
        return Activate(app=name, gear=goal.gear, cpus=goal.cpus, plan=goal.plan)

    def _ask(self, app: _App, effect: Prepare | Pin | Activate, now_s: float) -> Effect:
        app.asked, app.asked_s = effect, now_s
        if isinstance(effect, Pin):
            app.pin, app.pinned = effect, False
            app.claim |= frozenset(effect.cpus)
        elif isinstance(effect, Activate):
            app.activations = (*(sent for sent in app.activations if sent != effect), effect)
        return effect

    def _blockers(self, name: str, pin: Pin) -> set[str]:
        """Who still holds a CPU that this pin would gain, and is to leave it.

        Who is to stay there shares it by plan and is not waited for.
        """
        gained = set(pin.cpus) - self._apps[name].claim
        return {
            other
            for other, app in self._apps.items()
            if other != name and gained & app.claim - set(app.goal.cpus if app.goal else ())
        }

    def _clock_is_up(self, name: str) -> bool:
        """Whether a unit stands at its goal's clock or above, or is a governor's business."""
        unit = self._units[name]
        if unit.goal is None or isinstance(unit.goal, str):
            return True
        if unit.asked is not None or unit.clock is None:  # another clock may be on its way, or in force unheard of
            return False
        return isinstance(unit.clock, str) or unit.clock >= unit.goal

    def _next_clock(self, name: str, unit: _Unit) -> float | str | None:
        """The clock to ask for now; None to leave it as it is or as it was asked for."""
        standing = unit.asked.clock if unit.asked else unit.clock
        if unit.goal is None:
            return None
        if unit.goal == standing:
            told = unit.asked.clamps_mhz if unit.asked else unit.clamps_mhz
            return unit.goal if unit.goal_clamps_mhz != told else None
        old = unit.mhz if isinstance(standing, str) else standing
        rises = not isinstance(unit.goal, str) and (old is None or unit.goal >= old)
        if rises:
            heading_here = [app for app in self._apps.values() if app.goal and app.goal.gear.unit == name]
            go = not heading_here or any(app.ready for app in heading_here)
        else:
            go = standing is None or not any(app.leaves(name) for app in self._apps.values())
        return unit.goal if go else None

    # ------------------------------------------------------------ answers

    def _answered(self, app: _App, kind: type[Prepare] | type[Pin] | type[Activate]) -> None:
        app.healthy = True
        if isinstance(app.asked, kind):
            app.asked = None

    def _activated(self, ack: Activated) -> list[Effect]:
        app = self._apps.get(ack.app)
        if app is None or not app.running or not app.activations:
            return []
        last = app.activations[-1]
        if not app.plan <= ack.plan <= last.plan:
            return []
        for sent in app.activations:
            if sent.plan == ack.plan:
                if ack.gear != sent.gear:
                    return []
                app.cpus = sent.cpus
        if ack.plan == last.plan:
            self._answered(app, Activate)
        app.activations = tuple(sent for sent in app.activations if sent.plan >= ack.plan)
        before, app.gear, app.plan = app.gear, ack.gear, ack.plan
        if before == app.gear:
            return []
        fields = {
            "app": ack.app,
            "from": before and before.plain(),
            "to": app.gear and app.gear.plain(),
            "why": app.goal.why if app.goal else "",
        }
        return [Log(kind="gear", fields=fields)]

    def _clock_set(self, ack: ClockSet) -> list[Effect]:
        unit = self._units.get(ack.unit)
        if unit is None or unit.asked is None or unit.asked.plan != ack.plan:
            return []
        before = unit.clock if isinstance(unit.clock, str) else unit.mhz
        unit.clock, unit.clamps_mhz, unit.asked = unit.asked.clock, unit.asked.clamps_mhz, None
        if not isinstance(ack.clock, str):
            unit.mhz = ack.clock
        if before == ack.clock:
            return []
        return [Log(kind="clock", fields={"unit": ack.unit, "from": before, "to": ack.clock})]


def _ring_breakers(blocked: Mapping[str, set[str]]) -> Iterator[str]:
    """Of each ring of applications that wait for each other, the first; `blocked` says who waits for whom.

    One that also waits for somebody outside the ring is not let through: that one can still move, or must not be
    disturbed.
    """
    broken: set[str] = set()
    for name in blocked:
        reach: set[str] = set()
        ahead = set(blocked[name])
        while ahead:
            other = ahead.pop()
            if other not in reach:
                reach.add(other)
                ahead |= blocked.get(other, set())
        if name in reach and reach <= set(blocked) and not reach & broken:
            broken.add(name)
            yield name
