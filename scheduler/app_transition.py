"""One application's part of a transition: the gear and CPUs that it has, those that it is to get, and the next step.

- It follows the numbered steps of `scheduler.transition` for the worker of one application.
- It does not know the other applications: who has to wait for whom is decided in `scheduler.transition`.
- It does not know the clocks: it asks whether the clock of its new unit is up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scheduler.board import BoardUnit
from scheduler.messages import Activate, Activated, Log, Pin, Pinned, Prepare, Prepared
from scheduler.views import Gear

Step = Prepare | Pin | Activate
"""An effect that a worker has to answer before the next step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AppGoal:
    """The gear and CPUs that a plan wants for one application.

    Attributes:
        gear: the gear.
        cpus: the numbers of its CPUs, rising; `()` on a GPU.
        plan: number of the first plan that wanted this gear on these CPUs.
        why: the reason of that plan, for the log.
    """

    gear: Gear
    cpus: tuple[int, ...]
    plan: int
    why: str


@dataclass(slots=True)
class AppTransition:
    """One application's worker: what it has acknowledged, what it is to reach, and what it has been asked.

    Attributes:
        app: name of the application.
        running: False between the loss of its worker and the worker's return.
        healthy: False from an effect that was not answered in time until the worker is heard of again.
        gear: the gear acknowledged last; None before the first.
        plan: number of the plan that `gear` was activated for.
        cpus: the CPUs of `gear`.
        claim: CPUs on which its threads may be: those read back last, and those of a pin not read back yet.
        goal: gear and CPUs that it is to reach; None before the first plan.
        waits: True while it is not planned for, since no unit that it can run on is there. Its goal is then out of
            date.
        prepared: True once the goal's network is ready.
        pin: the last pin sent.
        pinned: True once that pin has been read back.
        activations: the activations sent that the worker may be in or may yet come into: the one acknowledged last
            and all after it.
        asked: the effect that it has to answer next.
        asked_s: when it was asked, board time.
    """

    app: str
    running: bool = True
    healthy: bool = True
    gear: Gear | None = None
    plan: int = 0
    cpus: tuple[int, ...] = ()
    claim: frozenset[int] = frozenset()
    goal: AppGoal | None = None
    waits: bool = False
    prepared: bool = False
    pin: Pin | None = None
    pinned: bool = False
    activations: tuple[Activate, ...] = ()
    asked: Step | None = None
    asked_s: float = 0.0

    # ------------------------------------------------------------ state

    @property
    def certain(self) -> bool:
        """True if it runs in `gear` for certain: no later activation is under way."""
        return not self.activations or self.activations[-1].plan == self.plan

    @property
    def in_goal_gear(self) -> bool:
        """True if it runs in the gear of its goal for certain."""
        return self.goal is not None and self.certain and self.gear == self.goal.gear

    @property
    def ready(self) -> bool:
        """True if only its unit's clock or its CPUs can keep it from its goal."""
        return self.running and (self.prepared or self.in_goal_gear)

    @property
    def settled(self) -> bool:
        """True if it is in the gear of its goal, and on the CPUs of its goal alone."""
        goal = self.goal
        return goal is not None and self.in_goal_gear and self.cpus == goal.cpus and self.claim == set(goal.cpus)

    def heads_for(self, unit: str) -> bool:
        """Return True if it is to run on that unit, or runs there and stays."""
        return self.goal is not None and not self.waits and self.goal.gear.unit == unit

    def leaves(self, unit: str) -> bool:
        """Return True if it runs, or may run, on that unit in a gear that it is to leave."""
        gears = {self.gear, *(sent.gear for sent in self.activations)}
        goal = self.goal.gear if self.goal else None
        return any(gear is not None and gear.unit == unit and gear != goal for gear in gears)

    def uses(self, unit: BoardUnit) -> bool:
        """Return True if it is to run on that unit, or may have threads on its CPUs, as whatever runs there has."""
        return (self.goal is not None and self.goal.gear.unit == unit.name) or not self.claim.isdisjoint(unit.cpus)

    # ------------------------------------------------------------ steps

    def aim(self, goal: AppGoal) -> None:
        """Take a new goal; a step under way to the old one is no longer waited for."""
        self.goal, self.prepared, self.asked = goal, False, None

    def next_step(self, clock_is_up: Callable[[str], bool]) -> Step | None:
        """Return the step that brings it nearer to its goal; None if it has arrived or has to wait.

        Args:
            clock_is_up: returns True for a unit whose clock is high enough to begin the new gear.
        """
        goal = self.goal
        if goal is None or self.waits or self.asked or not self.running or not self.healthy:
            return None
        cpus = frozenset(goal.cpus)
        # Step 5, or nothing: it runs the goal's gear there, so only the threads' CPUs may be more than the goal's.
        if self.in_goal_gear and self.cpus == goal.cpus:
            at_home = not cpus or (self.pinned and self.claim == cpus)
            return None if at_home else Pin(app=self.app, unit=goal.gear.unit, cpus=goal.cpus, plan=goal.plan)
        # Steps 1 and 2.
        if not self.ready:
            return Prepare(app=self.app, gear=goal.gear, plan=goal.plan)
        if not clock_is_up(goal.gear.unit):
            return None
        # Step 3: to the old and the new CPUs together, since requests of the old gear still run on the old ones.
        if cpus and not (self.pinned and cpus <= self.claim):
            both = cpus.union(self.cpus, *(sent.cpus for sent in self.activations))
            return Pin(app=self.app, unit=goal.gear.unit, cpus=tuple(sorted(both)), plan=goal.plan)
        # Step 4.
        return Activate(app=self.app, gear=goal.gear, cpus=goal.cpus, plan=goal.plan)

    def ask(self, step: Step, now_s: float) -> None:
        """Note that the worker has been asked for a step."""
        self.asked, self.asked_s = step, now_s
        if isinstance(step, Pin):
            self.pin, self.pinned = step, False
            self.claim |= frozenset(step.cpus)
        elif isinstance(step, Activate):
            self.activations = (*(sent for sent in self.activations if sent != step), step)

    def let_go(self) -> None:
        """Claim no CPU any more once it has arrived on a GPU, wherever its threads are."""
        if self.in_goal_gear and self.goal and not self.goal.cpus:
            self.claim = frozenset()

    def give_up_waiting(self) -> None:
        """Count the worker as unhealthy; when it is heard of again, it begins anew with preparing."""
        self.healthy, self.asked, self.prepared = False, None, False

    # ------------------------------------------------------------ answers

    def on_prepared(self, ack: Prepared) -> None:
        """Take in that a network is ready, if it is the goal's."""
        if self.running and self.goal and (ack.gear, ack.plan) == (self.goal.gear, self.goal.plan):
            self.prepared = True
            self._answered(Prepare)

    def on_pinned(self, ack: Pinned) -> Log | None:
        """Take in the CPUs read back, if they are those of the last pin.

        CPUs of it that are offline are not among them. Old ones are not missed, since nothing runs there any more.
        Without one of the goal's the pin counts as not answered: as a rule a plan without that CPU follows.

        Returns:
            A log entry where CPUs are missing, else None.
        """
        pin = self.pin
        if pin is None or ack.plan != pin.plan or not ack.cpus or set(ack.cpus) - set(pin.cpus):
            return None
        self.claim, self.pinned = frozenset(ack.cpus), True
        if self.asked is not pin or self.claim.issuperset(self.goal.cpus if self.goal else ()):
            self._answered(Pin)
        if len(ack.cpus) == len(pin.cpus):
            return None
        return Log(kind="pin", fields={"app": self.app, "asked": list(pin.cpus), "cpus": list(ack.cpus)})

    def on_activated(self, ack: Activated) -> Log | None:
        """Take in the gear that the worker runs now.

        Returns:
            The log entry of a change of gear; None if the gear did not change.
        """
        if not self.running or not self.activations:
            return None
        last = self.activations[-1]
        if not self.plan <= ack.plan <= last.plan:
            return None
        for sent in self.activations:
            if sent.plan == ack.plan:
                if ack.gear != sent.gear:
                    return None
                self.cpus = sent.cpus
        if ack.plan == last.plan:
            self._answered(Activate)
        # A worker never goes back to an older activation, so those before this one can't come into force any more.
        self.activations = tuple(sent for sent in self.activations if sent.plan >= ack.plan)
        before, self.gear, self.plan = self.gear, ack.gear, ack.plan
        if before == self.gear:
            return None
        fields = {
            "app": self.app,
            "from": before and before.plain(),
            "to": self.gear and self.gear.plain(),
            "why": self.goal.why if self.goal else "",
        }
        return Log(kind="gear", fields=fields)

    def _answered(self, kind: type[Prepare] | type[Pin] | type[Activate]) -> None:
        self.healthy = True
        if isinstance(self.asked, kind):
            self.asked = None
