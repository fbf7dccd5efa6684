"""Reports of workers and of the board, which a driver collects once an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from scheduler.views import Gear

Phase: TypeAlias = Literal["idle", "input", "cores", "run", "result"]
"""What a worker's inference thread does: it has nothing to do, waits for an input from the source, waits for cores,
runs a network on its cores, or hands a result out (score, client, `on_result`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestFault:
    """Something that went wrong with requests of an application, each time in the same words.

    Attributes:
        where: what raised: `source`, `input` (a client's), `network`, `score` or `on_result`; `output` where nothing
            did, but the output was cut at its cap.
        text: the error, or what is wrong with the output.
        times: how often.
        first: number of the first request that it happened to.
    """

    where: str
    text: str
    times: int
    first: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a worker stands when a manager takes over from one that died.

    Attributes:
        gear: gear in force; None for none.
        plan: number of the plan that the gear was activated for; -1 for none.
        cpus: the kernel's numbers of the CPUs where its threads may run, as read back; empty where none were pinned.
    """

    gear: Gear | None
    plan: int
    cpus: tuple[int, ...]


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
        board_at_s: board time when the board agent began to look; None where it did not report.
        stopped: applications whose worker does not report since its process is stopped.
    """

    apps: tuple[AppTelemetry, ...]
    units: tuple[UnitTelemetry, ...]
    power_w: float | None
    host: HostTelemetry | None = None
    rails_w: Mapping[str, float] = field(default_factory=dict)
    repinned: tuple[Repinned, ...] = ()
    fenced: tuple[Fenced, ...] = ()
    board_at_s: float | None = None
    stopped: tuple[str, ...] = ()
