"""The transition of a board from the gears and clocks in force to those of a plan, without an unsafe moment between.

`Transition` keeps what workers and board have *acknowledged*, the goal of each, and what they have been asked and not
yet answered. From these it derives the next effects. There is no script that could be left half done, so a newer plan,
a lost answer or a lost worker is nothing special.

One application changes gear in these steps, each begun when the one before is acknowledged:

1. *Prepare* the new network, off the request path (not where only its CPUs change). The unit on which that is done
   stands at a high clock meanwhile: 100 ms of work at 1,400 MHz take 0.7 s at 200 MHz, and for that time the
   application may be late.
2. Its new unit stands at the *higher* of its old and its new clock. A unit's clock goes up as soon as one of the
   applications that it is for is ready.
3. *Pin* it to its old and new CPUs together, once nobody else holds those it gains.
4. *Activate*: from the next request on it runs the new gear on the new CPUs.
5. *Pin* it to its new CPUs alone. Read back from the kernel, this is what frees the others for those who wait.
6. A unit's clock goes *down* once no application on it is in a gear that it is to leave.
7. A unit that may be switched off *goes off* once nobody has used it for a while. One that is off *comes on* as soon as
   an application is to use it, before its clock is set and before anybody is pinned there.

So a worker never runs on a core that it has not been pinned to, shrinking comes before growing, and nothing waits
for an application that it does not depend on. The tokens of the cores, held by each request to its end, exclude
what is left: a request that was in flight when its application moved.

Some cases are special:

- *Swaps*: applications that wait for each other's CPUs in a ring would wait for ever, so one of them may share CPUs for
  the moment of the exchange.
- *Governors*: a unit with a governor is left to it. It is handed to the governor, or taken back to a clock below its
  present one, as in step 6.
- *GPUs*: an application on a GPU holds no CPU; its threads stay where they were.
- *Denied clocks*: the clock that the board granted is the one in force. Where it is below the one asked for, nothing
  begins that needs more. As a rule a cap is the reason, telemetry shows it with the next epoch, and a plan that keeps
  it follows. Where nothing shows for `DENIED_EPOCHS`, the board goes on to the plan with the clock that it has.
- *Waiting*: an application that no unit can take now is left as it is, and nothing waits for it.

An application that leaves an effect unanswered for `ACK_TIMEOUT_S` is unhealthy: it keeps its gear, its cores stay
its own and its clock stays up, and it is asked again once it is heard of. Effects for one application (or unit) must be
carried out in the order given, and a worker must never apply an activation older than the last it applied.

The steps of one application, 1 and 3 to 5, are in `scheduler.app_transition`, those of one unit in
`scheduler.unit_transition`. This module does not know why a plan was made, what latency or power is, or what the time
is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import assert_never

from scheduler.app_transition import AppGoal, AppTransition
from scheduler.board import Board
from scheduler.messages import (
    Ack,
    Activated,
    ClockSet,
    Effect,
    Hints,
    Log,
    Pin,
    Pinned,
    Prepare,
    Prepared,
    SetClock,
    Standing,
    UnitSwitched,
)
from scheduler.rings import ring_breakers
from scheduler.unit_transition import UnitClock, UnitSwitching
from scheduler.views import Gear, Plan

ACK_TIMEOUT_S = 2.0
"""Time without an answer to an effect after which a worker counts as unhealthy."""


class Transition:
    """A board on its way to the latest plan, or arrived there; applications join it with nothing in force.

    Args:
        board: the board.
        prepares_on: name of the unit on which networks are made ready; None where that takes as long at any clock.
    """

    def __init__(self, board: Board, prepares_on: str | None = None) -> None:
        self._prepares_on = prepares_on
        self._prepare_mhz: float | None = None
        self._apps: dict[str, AppTransition] = {}
        self._board = board
        self._units = {unit.name: UnitClock() for unit in board.units}
        self._switches = {unit.name: UnitSwitching(unit.name, unit.may_switch_off) for unit in board.units}
        self._plan = 0
        # True if nothing has happened since there was last nothing to ask for, as in nearly every epoch.
        self._still = False
        self._unsettled: list[str] = []  # since then

    # ------------------------------------------------------------ state

    def gear(self, app: str) -> Gear | None:
        """Return the gear that an application has acknowledged; None before the first, or for an unknown one."""
        return self._apps[app].gear if app in self._apps else None

    def held(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return, by application that has a goal, its unit and the CPUs there that it has or is about to have."""
        return {name: (app.goal.gear.unit, app.goal.cpus) for name, app in self._apps.items() if app.goal}

    def unsettled(self) -> list[str]:
        """Return the applications that are not in the gear and on the CPUs of the latest plan."""
        return self._unsettled if self._still else [name for name, app in self._apps.items() if not app.settled]

    @property
    def at_rest(self) -> bool:
        """True if every application that is planned and runs, and every unit, is where the latest plan wants it."""
        arrived = all(app.settled for app in self._apps.values() if app.running and not app.waits)
        return arrived and all(unit.arrived for name, unit in self._units.items() if self._switches[name].heads_on)

    def awaits(self, pin: Pin) -> bool:
        """Return True if an application's next step is the answer to this pin."""
        return pin.app in self._apps and self._apps[pin.app].asked == pin

    # ------------------------------------------------------------ what happens

    def join(self, app: str, *, running: bool) -> None:
        """Take in a new application.

        Args:
            app: its name.
            running: True if its worker runs; False if the worker is still to come back.
        """
        self._still = False
        self._apps[app] = AppTransition(app, running=running)

    def take_over(self, app: str, where: Standing) -> None:
        """Take in where an application stands that another manager has brought there.

        Its CPUs are those where it may have threads: it moves on from there, and nobody is pinned there before.

        Args:
            app: its name; one that is not there is passed over.
            where: where its worker stands, with no order to it under way.
        """
        if app in self._apps:
            self._still = False
            self._apps[app] = AppTransition(
                app, gear=where.gear, plan=where.plan, cpus=where.cpus, claim=frozenset(where.cpus)
            )

    def leave(self, app: str) -> None:
        """Forget an application that ended: its cores are free from here on."""
        self._still = False
        self._apps.pop(app, None)

    def lost(self, app: str, plan: int) -> None:
        """Take in that an application's worker died: its gear and cores are gone, its goal is asked for anew.

        Args:
            app: its name.
            plan: a number above those of all plans so far, so that late answers of the dead worker are told apart.
        """
        self._still = False
        goal, waits = self._apps[app].goal, self._apps[app].waits
        self._apps[app] = AppTransition(app, running=False, goal=goal and replace(goal, plan=plan), waits=waits)

    def started(self, app: str) -> None:
        """Take in that an application's worker is there again, warm and in no gear."""
        self._still = False
        self._apps[app].running = True

    def heard(self, app: str, gear: Gear | None, plan: int) -> list[Effect]:
        """Take in a sign of life of an application; it also makes up for a lost acknowledgement.

        Args:
            app: its name.
            gear: the gear that it says it is in; None for none.
            plan: number of the plan that this gear was activated for.

        Returns:
            The log entry of a change of gear that was not known, if any.
        """
        worker = self._apps.get(app)
        if worker is None:
            return []
        was_healthy, worker.healthy = worker.healthy, True
        if was_healthy and (gear is None or (plan == worker.plan and worker.certain)):
            return []
        self._still = False
        if gear is None:
            return []
        return _logged(worker.on_activated(Activated(app=app, gear=gear, plan=plan)))

    def clock_seen(self, unit: str, mhz: float) -> None:
        """Take in the clock at which a unit was seen; it need not be one of the unit's."""
        if self._units[unit].on_seen(mhz):
            self._still = False

    def leave_waiting(self, apps: Collection[str]) -> None:
        """Take in which applications are not planned for. They stay as they are, and nobody waits for them to move.

        Args:
            apps: their names.
        """
        for name, app in self._apps.items():
            if app.waits != (name in apps):
                self._still, app.waits = False, name in apps

    def aim(
        self,
        plan: Plan,
        cpus: Mapping[str, tuple[int, ...]],
        number: int,
        why: str,
        prepare_mhz: float | None = None,
    ) -> None:
        """Take a plan as the new goal; what is not acknowledged yet of the plan before is superseded.

        Args:
            plan: gears for all applications but those that are left waiting, and clocks for all units but those that
                are away.
            cpus: by application, the CPUs of its gear.
            number: the plan's; each plan has a larger one than the plan before.
            why: the reason, for the log.
            prepare_mhz: clock at which networks are made ready; None for that of the plan.
        """
        self._still, self._plan, self._prepare_mhz = False, number, prepare_mhz
        for name, gear in plan.gears.items():
            app = self._apps[name]
            if app.goal is None or (app.goal.gear, app.goal.cpus) != (gear, cpus[name]):
                app.aim(AppGoal(gear=gear, cpus=cpus[name], plan=number, why=why))
        # A unit that goes away forgets its clock: the kernel brings it back at another one (its highest, as a rule).
        self._units = {name: unit if name in plan.clocks else UnitClock() for name, unit in self._units.items()}
        for name, clock in plan.clocks.items():
            hints = Hints(
                clamps_mhz={app: mhz for app, mhz in plan.clamps_mhz.items() if plan.gears[app].unit == name},
                paces={app: pace for app, pace in plan.paces.items() if plan.gears[app].unit == name},
            )
            self._units[name].aim(clock, hints, number)

    def acknowledge(self, ack: Ack) -> list[Effect]:
        """Take an answer in; one that answers nothing, or comes too late to matter, changes nothing.

        Returns:
            The log entry of a changed gear or clock or a switched unit, if any.
        """
        self._still = False
        if isinstance(ack, ClockSet | UnitSwitched):
            if ack.unit not in self._units:
                return []
            return _logged(
                self._units[ack.unit].on_set(ack)
                if isinstance(ack, ClockSet)
                else self._switches[ack.unit].on_switched(ack)
            )
        app = self._apps.get(ack.app)
        if app is None:
            return []
        match ack:
            case Prepared():
                app.on_prepared(ack)
            case Pinned():
                return _logged(app.on_pinned(ack))
            case Activated():
                return _logged(app.on_activated(ack))
            case _:
                assert_never(ack)
        return []

    def expire(self, now_s: float) -> list[Effect]:
        """Find, once an epoch, the workers and units that have not answered in time, and clocks denied for too long.

        Returns:
            A log entry for each; a unit's clock is asked for again at once, a worker once it is heard of.
        """
        effects: list[Effect] = []
        for name, app in self._apps.items():
            if app.asked and now_s - app.asked_s >= ACK_TIMEOUT_S:
                self._still = False
                waiting_for = type(app.asked).__name__
                effects.append(Log(kind="unhealthy", fields={"app": name, "waiting_for": waiting_for}))
                app.give_up_waiting()
        for name, switch in self._switches.items():
            if switch.asked and now_s - switch.asked_s >= ACK_TIMEOUT_S:
                effects += [Log(kind="unhealthy", fields={"unit": name, "waiting_for": "SwitchUnit"}), switch.asked]
                switch.asked_s = now_s
        for name, unit in self._units.items():
            if unit.asked and now_s - unit.asked_s >= ACK_TIMEOUT_S:
                effects += [Log(kind="unhealthy", fields={"unit": name, "waiting_for": "SetClock"}), unit.asked]
                unit.asked_s = now_s
            if denied := unit.denied_for_long(name):
                effects.append(denied)
                self._still = False
        return effects

    # ------------------------------------------------------------ next effects

    def advance(self, now_s: float) -> list[Effect]:
        """Return all effects that can be asked for now and have not been."""
        if self._still:
            return []
        effects = self._switch(now_s)
        effects += [effect for unit in self._units for effect in self._set_clock(unit, now_s)]
        for app in self._apps.values():
            app.let_go()
        blocked: dict[str, set[str]] = {}
        for name, app in self._apps.items():
            step = app.next_step(self._clock_is_up)
            blockers = self._blockers(name, step) if isinstance(step, Pin) else set()
            if blockers:
                blocked[name] = blockers
            elif step:
                app.ask(step, now_s)
                effects.append(step)
        for name in ring_breakers(blocked):
            if step := self._apps[name].next_step(self._clock_is_up):
                self._apps[name].ask(step, now_s)
                effects.append(step)
        # What is to be prepared is known only now.
        if self._prepares_on in self._units:
            effects += self._set_clock(self._prepares_on, now_s)
        self._unsettled = self.unsettled()
        self._still = not effects and not any(switch.waits for switch in self._switches.values())
        return effects

    def _switch(self, now_s: float) -> list[Effect]:
        """Return the orders to switch units on and off."""
        effects: list[Effect] = []
        for unit in self._board.units:
            switch, clock = self._switches[unit.name], self._units[unit.name]
            if not switch.allowed:
                continue
            order = switch.next_order(
                used=any(app.uses(unit) for app in self._apps.values()),
                may_go=clock.goal is not None and clock.arrived,
                plan=self._plan,
                now_s=now_s,
            )
            if order:
                switch.ask(order, now_s)
                effects.append(order)
                # Whether the unit really goes or not, its clock is not known from here on.
                self._units[unit.name] = clock.forgotten()
        return effects

    def _clock_is_up(self, unit: str) -> bool:
        return self._switches[unit].usable and self._units[unit].is_up

    def _blockers(self, name: str, pin: Pin) -> set[str]:
        """Return the applications that still hold a CPU which this pin would gain, and are to leave that CPU.

        An application that is to stay there shares the CPU by plan and is not waited for.
        """
        gained = set(pin.cpus) - self._apps[name].claim
        return {
            other
            for other, app in self._apps.items()
            if other != name and not app.waits and gained & app.claim - set(app.goal.cpus if app.goal else ())
        }

    def _set_clock(self, name: str, now_s: float) -> list[Effect]:
        """Ask for the clock that a unit needs now, unless it has it or was asked for it."""
        unit = self._units[name]
        clock, hints = self._needed_clock(name, unit)
        standing, told = (unit.asked.clock, unit.asked.hints) if unit.asked else (unit.clock, unit.hints)
        if clock is None or (clock, hints) == (standing, told) or not self._switches[name].usable:
            return []
        # Answers are told apart by their plan, so a second order for one plan waits for the answer to the first.
        if unit.asked and unit.asked.plan == unit.plan:
            return []
        if clock != standing and not self._may_change(name, unit, clock, standing):
            return []
        unit.asked, unit.asked_s = SetClock(unit=name, clock=clock, plan=unit.plan, hints=hints), now_s
        return [unit.asked]

    def _needed_clock(self, name: str, unit: UnitClock) -> tuple[float | str | None, Hints]:
        """Return the clock of the plan, or the one at which networks are made ready, and what goes with it."""
        goal, mhz = unit.goal, self._prepare_mhz
        if name != self._prepares_on or mhz is None or goal is None or isinstance(goal, str) or goal >= mhz:
            return goal, unit.goal_hints
        if not any(isinstance(app.asked, Prepare) for app in self._apps.values()):
            return goal, unit.goal_hints
        # Clocks of requests would leave the unit at its lowest clock between two requests.
        return mhz, replace(unit.goal_hints, paces={})

    def _may_change(self, name: str, unit: UnitClock, clock: float | str, standing: float | str | None) -> bool:
        """Return True if a unit may go to another clock now."""
        # A governor moves the clock by itself, so does a cap, and a manager that has taken over has set none yet: the
        # clock before is the one last seen.
        old = standing if isinstance(standing, int | float) and unit.denied_mhz is None else unit.mhz
        leaves = any(app.leaves(name) for app in self._apps.values())
        # One that was not even seen yet may be a way down.
        if not isinstance(clock, str) and (clock >= old if old is not None else not leaves):
            # Step 1, or step 2: up as soon as one of the applications that it is for is ready, or at once for none.
            heading_here = [app for app in self._apps.values() if app.heads_for(name)]
            return clock != unit.goal or not heading_here or any(app.ready for app in heading_here)
        # Step 6: down, or to a governor, once no application there is in a gear that it is to leave.
        return not leaves


def _logged(log: Log | None) -> list[Effect]:
    return [] if log is None else [log]
