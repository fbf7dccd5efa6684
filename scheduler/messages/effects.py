"""The effects that the manager asks for, and the answers to them.

A driver carries the effects for one application, and for one unit, out in the order given; an answer may be late,
repeated or lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.request_clock import Pace
from scheduler.views import Gear


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepare:
    """The order to make a gear's network ready, off the request path."""

    app: str
    gear: Gear
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """The order to move all threads of a worker to these CPUs, and to read back where they are."""

    app: str
    unit: str
    cpus: tuple[int, ...]
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Activate:
    """The order to change gear between two requests; from then on requests take the tokens of these CPUs."""

    app: str
    gear: Gear
    cpus: tuple[int, ...]
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Hints:
    """What goes with a unit's clock for the applications there.

    Attributes:
        clamps_mhz: by application, the clock that it needs while it runs, for a governor that takes hints.
        paces: by application, the rule by which its requests get clocks; empty where the unit stands at one clock.
    """

    clamps_mhz: Mapping[str, float] = field(default_factory=dict)
    paces: Mapping[str, Pace] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SetClock:
    """The order to set a unit's clock, or to hand it to a governor.

    Attributes:
        unit: name of the unit.
        clock: the clock in MHz, or the governor's name.
        plan: number of the plan that it serves.
        hints: what goes with it.
    """

    unit: str
    clock: float | str
    plan: int
    hints: Hints = field(default_factory=Hints)


@dataclass(frozen=True, kw_only=True, slots=True)
class SwitchUnit:
    """The order to take all CPUs of a unit offline, or to put them online again."""

    unit: str
    on: bool
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StartWorker:
    """The order to start a lost worker again."""

    app: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StopWorker:
    """The order to kill the process of a worker that hangs; its loss is reported as that of any other."""

    app: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Log:
    """A fact for the epoch log: `kind` names it, and `fields` hold plain values."""

    kind: str
    fields: Mapping[str, object]


Effect = Prepare | Pin | Activate | SetClock | SwitchUnit | StartWorker | StopWorker | Log


# ---------------------------------------------------------------- answers


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """The answer to `Prepare`: a worker has this gear's network ready."""

    app: str
    gear: Gear
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pinned:
    """The answer to `Pin`: the CPUs on which a worker's threads may run now, as read back from the kernel.

    They are fewer than were asked for where some of those are offline.
    """

    app: str
    unit: str
    cpus: tuple[int, ...]
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Activated:
    """The answer to `Activate`: a worker runs this gear from here on."""

    app: str
    gear: Gear
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockSet:
    """The answer to `SetClock`: the clock that a unit was granted, in MHz, or the governor that has it now."""

    unit: str
    clock: float | str
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitSwitched:
    """The answer to `SwitchUnit`.

    Attributes:
        unit: name of the unit.
        on: True if it was to come on, False if it was to go off.
        took_ms: time that it took on the wall; 0 where it is only played.
        plan: the plan of the order.
        fault: reason for which it did not do so, in words; None where it did.
    """

    unit: str
    on: bool
    took_ms: float
    plan: int
    fault: str | None = None


Ack = Prepared | Pinned | Activated | ClockSet | UnitSwitched
