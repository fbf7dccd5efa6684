"""The manager's messages and effects: all that goes in and out of `Manager.on`.

Times are seconds of board time. The manager performs nothing itself: a driver (the Ray manager actor, or the
simulator) carries the effects out and brings back what came of them as messages. It carries out the effects for one
application, and for one unit, in the order given; an answer may be late, repeated or lost.

The `plan` of an effect, and of the answer to it, is the number of the plan that it serves. Plans are numbered from 1;
one epoch of the manager may have no plan or several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.views import Gear

# ---------------------------------------------------------------- messages in


@dataclass(frozen=True, kw_only=True, slots=True)
class AppTelemetry:
    """What one worker reports of the time since its last report.

    Attributes:
        app: its name.
        arrived: requests that arrived.
        finished: requests completed, dropped or failed.
        on_time: those of them that completed within the target.
        queue_len: requests waiting now.
        latencies_ms: of the completed ones, from scheduled arrival to result.
        service_ratio: mean of observed over expected service time, the latter from the profile, at the unit's clocks
            and beside the load there that the board was told of; None where nothing completed.
        gear: gear in force.
        plan: number of the plan that the last acknowledged activation served; -1 before the first.
    """

    app: str
    arrived: int
    finished: int
    on_time: int
    queue_len: int
    latencies_ms: tuple[float, ...]
    service_ratio: float | None
    gear: Gear | None
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitTelemetry:
    """What the board agent reports of one unit since its last report.

    Attributes:
        name: of the unit.
        mhz_now: its clock.
        busy: share of its core time taken, 0 to 1.
        temp_c: its temperature; None where unknown.
        power_w: its mean power, idle included; None where unknown.
    """

    name: str
    mhz_now: float
    busy: float
    temp_c: float | None
    power_w: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HostTelemetry:
    """The machine itself since the last report.

    Attributes:
        cores: share of time that each CPU was busy, 0 to 1.
        others: CPUs' worth of that which was not ours, over the latest second, 0 to the number of CPUs.
        memory_used_mb: memory in use, of all processes, of the latest second.
    """

    cores: tuple[float, ...]
    others: float
    memory_used_mb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Telemetry:
    """One round of reports; a worker that did not answer in time is left out."""

    apps: tuple[AppTelemetry, ...]
    units: tuple[UnitTelemetry, ...]
    power_w: float | None
    host: HostTelemetry | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A worker has this gear's network ready (the answer to `Prepare`)."""

    app: str
    gear: Gear
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pinned:
    """The kernel's word on where a worker's threads may run now (the answer to `Pin`)."""

    app: str
    unit: str
    cpus: tuple[int, ...]
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Activated:
    """A worker runs this gear from here on (the answer to `Activate`)."""

    app: str
    gear: Gear
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockSet:
    """The clock that a unit was granted, or the governor that has it now (the answer to `SetClock`)."""

    unit: str
    clock: float | str
    plan: int


Ack = Prepared | Pinned | Activated | ClockSet


# ---------------------------------------------------------------- events
#
# An event is a message too. The manager is told of every event. One of the board is also done to the board, first, by
# the driver: those are listed in `BoardEvent`. To add an event, write its class here and put it into `Change`, and into
# `BoardEvent` if it is the board's; the type checker then names the matches that have to know it.


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetChanged:
    """An application has other targets from here on.

    Attributes:
        app: name of the application.
        target_ms: latency target.
        min_accuracy: accuracy floor, a fraction; 0 for none.
        weight: importance.
        slo: share of requests that must be within the target.
    """

    app: str
    target_ms: float
    min_accuracy: float
    weight: float
    slo: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AppAdded:
    """An application begins; its worker is already started and warm."""

    app: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AppRemoved:
    """An application ends; its worker may still finish the requests that it has."""

    app: str


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitLimited:
    """A unit has other limits from here on.

    Attributes:
        unit: name of the unit.
        max_mhz: highest clock allowed; None for no limit.
        cores_online: cores that may be used.
        other_load: share of the unit's core time that other programs take, 0 to 1.
    """

    unit: str
    max_mhz: float | None
    cores_online: int
    other_load: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerCapped:
    """The units have another power cap from here on; None lifts it."""

    power_cap_w: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AmbientChanged:
    """The temperature around the board is another from here on."""

    ambient_c: float


BoardEvent = UnitLimited | AmbientChanged
"""Changes that a driver does to the board before it tells the manager."""

Change = TargetChanged | AppAdded | AppRemoved | PowerCapped | BoardEvent
"""All changes that an event can carry."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A change that the manager is told of; it does not find out by itself.

    Attributes:
        change: the change.
        text: the change in words, for logs and reports.
    """

    change: Change
    text: str


# ---------------------------------------------------------------- the other messages


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """An epoch begins."""

    epoch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerLost:
    """A worker died; it is being started again."""

    app: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerStarted:
    """A worker came back after it was lost, warm, in no gear."""

    app: str


Message = Telemetry | Ack | Event | Tick | WorkerLost | WorkerStarted

# ---------------------------------------------------------------- effects out


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepare:
    """Make a gear's network ready, off the request path."""

    app: str
    gear: Gear
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """Move all threads of a worker to these CPUs and read them back."""

    app: str
    unit: str
    cpus: tuple[int, ...]
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Activate:
    """Change gear between two requests; from then on requests take the tokens of these CPUs."""

    app: str
    gear: Gear
    cpus: tuple[int, ...]
    plan: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SetClock:
    """Set a unit's clock in MHz, or hand it to a governor."""

    unit: str
    clock: float | str
    plan: int
    clamps_mhz: Mapping[str, float] = field(default_factory=dict)
    """By application there, the clock that it needs while it runs: a hint for a governor that takes hints."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StartWorker:
    """Start a lost worker again."""

    app: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Log:
    """A fact for the epoch log; `kind` names it, `fields` hold plain values."""

    kind: str
    fields: Mapping[str, object]


Effect = Prepare | Pin | Activate | SetClock | StartWorker | Log
