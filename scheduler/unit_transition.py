"""One unit's part of a transition: its clock and its switch.

It does not know the applications: who is on a unit, or is to be there, is handed in by `scheduler.transition`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.board import reaches
from scheduler.messages import ClockSet, Hints, Log, SetClock, SwitchUnit, UnitSwitched

LEAST_REST_S = 2.0
"""Shortest time for which a unit has to be unused before it is switched off; 20 epochs of 0.1 s."""

REST_PER_SWITCH = 100.0
"""Time for which a unit has to be unused before it is switched off, in times that off and on took together.

So at most 1 % of a unit's time goes by in switching, however often plans change their mind.
"""

DENIED_EPOCHS = 2
"""Epochs for which a plan waits for a clock that the board did not grant.

A cap is in the report after it, or in the one after that, if it came as that report was made."""


@dataclass(slots=True)
class UnitClock:
    """One unit's clock: acknowledged, wanted and asked for.

    Attributes:
        clock: the last clock asked for that was acknowledged, in MHz or a governor's name; None before the first.
        mhz: the clock at which the unit really stands, as last heard; None before that.
        hints: what went with `clock`.
        denied_mhz: the clock that the board gives instead of `clock`, which it has not granted; None where it has.
        denied_epochs: epochs since then.
        goal: the clock that the latest plan wants, in MHz or a governor's name; None before the first plan.
        goal_hints: what goes with `goal`.
        plan: number of the first plan that wanted `goal` and its hints.
        asked: the effect that has to be answered next.
        asked_s: when it was asked for, board time.
    """

    clock: float | str | None = None
    mhz: float | None = None
    hints: Hints = field(default_factory=Hints)
    denied_mhz: float | None = None
    denied_epochs: int = 0
    goal: float | str | None = None
    goal_hints: Hints = field(default_factory=Hints)
    plan: int = 0
    asked: SetClock | None = None
    asked_s: float = 0.0

    @property
    def is_up(self) -> bool:
        """True if it stands at its goal's clock or above, or is left to a governor."""
        if self.goal is None or isinstance(self.goal, str):
            return True
        # Another clock may be on its way, or be in force although its acknowledgement was lost.
        if self.asked is not None:
            return False
        if self.clock is None:  # a manager that has taken over knows the clock from the board's report alone
            return self.mhz is not None and reaches(self.mhz, self.goal)
        if isinstance(self.clock, str):
            return True
        return self.clock >= self.goal and (self.denied_mhz is None or reaches(self.denied_mhz, self.goal))

    @property
    def arrived(self) -> bool:
        """True if the goal has been asked for and acknowledged, or there is none."""
        return self.asked is None and self.goal in (None, self.clock)

    def forgotten(self) -> UnitClock:
        """Return the clock of a unit that is switched off: the goal is left, and has to be asked for anew."""
        return UnitClock(goal=self.goal, goal_hints=self.goal_hints, plan=self.plan)

    def aim(self, clock: float | str, hints: Hints, plan: int) -> None:
        """Take a plan's clock and hints as the goal; where they are the goal already, its number stays as it is."""
        if (self.goal, self.goal_hints) != (clock, hints):
            self.goal, self.goal_hints, self.plan = clock, hints, plan

    def on_seen(self, mhz: float) -> bool:
        """Take in the clock at which the unit was seen; return True if that is another one than the last time."""
        moved, self.mhz = self.mhz != mhz, mhz
        # A cap that is lifted gives the clock that was asked for back by itself. On a paced unit that does not show.
        if self.denied_mhz is not None and isinstance(self.clock, int | float) and not self.hints.paces:
            self.denied_mhz = None if reaches(mhz, self.clock) else mhz
        return moved

    def denied_for_long(self, unit: str) -> Log | None:
        """Count an epoch; go on with the clock that the board gives if it has denied the other one for too many.

        Args:
            unit: name of the unit.

        Returns:
            The log entry of that, if so.
        """
        self.denied_epochs += self.denied_mhz is not None
        if self.denied_epochs <= DENIED_EPOCHS:
            return None
        log = Log(kind="denied", fields={"unit": unit, "asked": self.clock, "granted": self.denied_mhz})
        self.denied_mhz, self.denied_epochs = None, 0
        return log

    def on_set(self, ack: ClockSet) -> Log | None:
        """Take in the clock that was granted.

        Returns:
            The log entry of a change of clock, or of a clock that was denied; else None.
        """
        if self.asked is None or self.asked.plan != ack.plan:
            return None
        before, asked = self.clock if isinstance(self.clock, str) else self.mhz, self.asked.clock
        self.clock, self.hints, self.asked = asked, self.asked.hints, None
        self.denied_mhz, self.denied_epochs = None, 0
        if not isinstance(ack.clock, str):
            self.mhz = ack.clock
            if not isinstance(asked, str) and not reaches(ack.clock, asked):
                self.denied_mhz = ack.clock
        if before == ack.clock and self.denied_mhz is None:
            return None
        fields = {"unit": ack.unit, "from": before, "to": ack.clock}
        if asked != ack.clock:
            fields["asked"] = asked
        return Log(kind="clock", fields=fields)


@dataclass(slots=True)
class UnitSwitching:
    """The switch of one unit: on or off, as far as is known, and what it was asked.

    It goes off once it has been unused for `rest_s`, so that plans which change often do not have it switched each
    time. It comes on as soon as somebody is to use it. A unit that does not do what it was asked is asked again after
    the same rest. The board reports one that does not come on as away, so plans do without it meanwhile.

    Attributes:
        unit: name of the unit.
        allowed: True if its owner allows it to be switched off.
        is_on: True if it is on, as last acknowledged.
        asked: the effect that has to be answered next.
        asked_s: when it was asked for last, board time.
        unused_since_s: since when nobody has used it, board time; None while somebody does.
        took_ms: time that switching took the last time, by whether it was switched on.
        faults: reason for which it did not do what it was asked last, by whether that was to come on.
    """

    unit: str
    allowed: bool
    is_on: bool = True
    asked: SwitchUnit | None = None
    asked_s: float = 0.0
    unused_since_s: float | None = None
    took_ms: dict[bool, float] = field(default_factory=dict)
    faults: dict[bool, str] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """True if it is on for certain, and stays so."""
        return self.is_on and self.asked is None

    @property
    def heads_on(self) -> bool:
        """True if it is on, or was asked to come on, and was not asked to go off since."""
        return self.asked.on if self.asked else self.is_on

    @property
    def rest_s(self) -> float:
        """Time for which it has to be unused before it is switched off; `LEAST_REST_S` until switching was measured."""
        return max(LEAST_REST_S, REST_PER_SWITCH * sum(self.took_ms.values()) / 1000)

    @property
    def waits(self) -> bool:
        """True if it will have to be switched when time has passed, though nothing else happens."""
        return self.asked is None and (self.unused_since_s is not None if self.is_on else True in self.faults)

    def next_order(self, *, used: bool, may_go: bool, plan: int, now_s: float) -> SwitchUnit | None:
        """Return the order to switch it now; None to leave it as it is. Only asked where it may be switched at all.

        Args:
            used: True if an application is or may be there, or is to be.
            may_go: True if nothing else is asked of it.
            plan: number of the plan in force.
            now_s: present time, board time.
        """
        if used or not may_go or not self.usable:
            self.unused_since_s = None
        elif self.unused_since_s is None:
            self.unused_since_s = now_s
        if not self.heads_on:
            failed = not self.asked and True in self.faults
            due = now_s - self.asked_s >= self.rest_s if failed else used
            return SwitchUnit(unit=self.unit, on=True, plan=plan) if due else None
        if self.unused_since_s is None or now_s - self.unused_since_s < self.rest_s:
            return None
        return SwitchUnit(unit=self.unit, on=False, plan=plan)

    def ask(self, order: SwitchUnit, now_s: float) -> None:
        """Note that it has been asked to go off or to come on."""
        self.asked, self.asked_s, self.unused_since_s = order, now_s, None

    def on_switched(self, ack: UnitSwitched) -> Log | None:
        """Take in that it went off or came on, or why not.

        Returns:
            A log entry; None for an answer to nothing, or where the same is wrong as the last time.
        """
        if self.asked is None or (ack.on, ack.plan) != (self.asked.on, self.asked.plan):
            return None
        self.asked = None
        if ack.fault is None:
            self.is_on = ack.on
            self.took_ms[ack.on] = ack.took_ms
            self.faults.pop(ack.on, None)
            return Log(kind="switch", fields={"unit": ack.unit, "on": ack.on, "took_ms": ack.took_ms})
        # One that was to come on may have been on its way off, and is off then, or not on with all its CPUs.
        self.is_on = not ack.on
        before, self.faults[ack.on] = self.faults.get(ack.on), ack.fault
        if before == ack.fault:
            return None
        return Log(kind="switch", fields={"unit": ack.unit, "on": ack.on, "fault": ack.fault})
