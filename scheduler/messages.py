"""The manager's messages and effects: all data that goes in and out of `Manager.on`.

Times are seconds of board time. The manager performs nothing itself: a driver (the Ray manager actor, or the
simulator) carries the effects out and brings the answers back as messages. It carries out the effects for one
application, and for one unit, in the order given; an answer may be late, repeated or lost.

The `plan` of an effect, and of the answer to it, is the number of the plan that it serves. Plans are numbered from 1;
one epoch of the manager may have no plan or several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from scheduler.request_clock import Pace
from scheduler.views import Gear

# ---------------------------------------------------------------- messages in

Phase: TypeAlias = Literal["idle", "input", "cores", "run", "result"]
"""What a worker's inference thread does: it has nothing to do, waits for an input from the source, waits for cores,
runs a network on its cores, or hands a result out (score, client, `on_result`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestFault:
    """Something that went wrong with requests of an application, each time in the same words.

    Attributes:
        where: what raised: `source`, `input` (a client's), `network`, `score` or `on_result`.
        text: the error.
        times: how often.
        first: number of the first request that it happened to.
    """

    where: str
    text: str
    times: int
    first: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AppTelemetry:
    """One worker's report of the time since its last report.

    Attributes:
        app: name of the application.
        arrived: number of requests that arrived.
        finished: number of requests completed, dropped or failed.
        on_time: number of those `finished` that completed within the target.
        queue_len: number of requests waiting now.
        latencies_ms: latencies of the completed requests, from scheduled arrival to result.
        service_ratio: mean of observed over expected service time; None where nothing completed. The expected time is
            that of the profile, at the unit's clocks and beside the load there that the board was told of.
        gear: gear in force; None for none.
        plan: number of the plan that the last acknowledged activation served; -1 before the first.
        worker: number of the worker, which tells it from one that it replaces.
        phase: what its inference thread does now, a `Phase`.
        beats: how many steps its inference thread has made since its start.
        faults: what went wrong with requests since the worker's start.
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
    worker: int = 0
    phase: str = "idle"
    beats: int = 0
    faults: tuple[RequestFault, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitTelemetry:
    """The board agent's report of one unit since its last report.

    Attributes:
        name: name of the unit.
        mhz_now: its clock now, as the board shows it; it need not be one of the unit's.
        busy: share of its core time taken, 0 to 1.
        temp_c: its temperature; None where unknown.
        power_w: its mean power, idle power included: measured, a share of what was measured, or modelled; None where
            unknown.
        max_mhz: the highest clock that the board grants now, limits of the mix left out; None where none is seen.
        cpus_online: its CPUs that can be used, a part of `BoardUnit.all_cpus`: those online now, and those that the run
            itself has taken offline; None where that is not observed.
        held_by: reason for `max_mhz` in words, such as `thermal CPU-therm 91 °C`; None where none is known.
        offline_by: reason why CPUs are offline, such as `nvpmodel MODE_10W_2CORE`; None where none is known.
    """

    name: str
    mhz_now: float
    busy: float
    temp_c: float | None
    power_w: float | None = None
    max_mhz: float | None = None
    cpus_online: tuple[int, ...] | None = None
    held_by: str | None = None
    offline_by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HostTelemetry:
    """The board agent's report of the machine since its last report.

    Attributes:
        cores: share of time that each CPU was busy, 0 to 1, by the CPU's number from 0; None for one that was away at
            this report or at the last. CPUs above the last one were never there.
        others: busy CPUs that were not ours, over the latest second, 0 to the number of CPUs; 1.5 is one CPU and a
            half.
        memory_used_mb: memory in use by all processes, over the latest second, in MB.
    """

    cores: tuple[float | None, ...]
    others: float
    memory_used_mb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Repinned:
    """The board agent's report that it pinned a worker again, since the kernel had let threads of it go elsewhere.

    Attributes:
        app: name of the application.
        before: CPUs on which those threads could run.
        cpus: CPUs on which all its threads may run now.
        fault: reason why they may not, in words; None where they do.
    """

    app: str
    before: tuple[int, ...]
    cpus: tuple[int, ...]
    fault: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fenced:
    """The board agent's report that a worker was fenced off and killed: it kept others from their cores.

    Attributes:
        app: name of the application.
        unit: name of the unit that it held.
        why: reason in words.
        held_ms: time for which it had held cores of it, or its lock.
        bound_ms: time for which it might have.
    """

    app: str
    unit: str
    why: str
    held_ms: float
    bound_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Telemetry:
    """One round of reports.

    Attributes:
        apps: reports of the workers; a worker that did not answer in time is left out.
        units: reports of the units.
        power_w: power of all units together, measured, or modelled in a simulation; None where unknown.
        host: report of the machine; None where there is none.
        rails_w: power of each rail of the board that was measured.
        repinned: the workers that were pinned again.
        fenced: the workers that were fenced off.
        stopped: applications whose worker does not report since its process is stopped.
    """

    apps: tuple[AppTelemetry, ...]
    units: tuple[UnitTelemetry, ...]
    power_w: float | None
    host: HostTelemetry | None = None
    rails_w: Mapping[str, float] = field(default_factory=dict)
    repinned: tuple[Repinned, ...] = ()
    fenced: tuple[Fenced, ...] = ()
    stopped: tuple[str, ...] = ()


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
class AppJoined:
    """An application begins; its worker is already started and warm."""

    app: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AppLeft:
    """An application ends; its worker may still finish the requests that it has."""

    app: str


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitLimited:
    """A unit has other limits from here on.

    Attributes:
        unit: name of the unit.
        max_mhz: highest clock allowed; None for no limit.
        cpus_online: the CPUs that may be used, a part of `BoardUnit.all_cpus`.
        other_load: share of the unit's core time that other programs take, 0 to 1.
    """

    unit: str
    max_mhz: float | None
    cpus_online: tuple[int, ...]
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

Change = TargetChanged | AppJoined | AppLeft | PowerCapped | BoardEvent
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
    """A worker died."""

    app: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerNotStarted:
    """A worker that was lost did not come back: its start failed."""

    app: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerStarted:
    """A worker came back after it was lost, warm, in no gear."""

    app: str


Message = Telemetry | Ack | Event | Tick | WorkerLost | WorkerNotStarted | WorkerStarted

# ---------------------------------------------------------------- effects out


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
