"""What a policy is shown and what it answers. Names and meaning are the public surface for users' own policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scheduler.objectives import ObjectiveName
from scheduler.problem import OperatingPoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Gear:
    """What one application runs in: a sub-network on some cores of a unit. The clock belongs to the unit."""

    subnet: str
    unit: str
    cores: int

    @classmethod
    def of(cls, entry: Sequence[Any]) -> Gear:
        """Return the gear that `plain` gave: `["small", "big", 2]` is `small` on two cores of `big`."""
        subnet, unit, cores = entry
        return cls(subnet=subnet, unit=unit, cores=cores)

    def plain(self) -> list[object]:
        """Return the gear as plain values for a message or a log: `[subnet, unit, cores]`."""
        return [self.subnet, self.unit, self.cores]


@dataclass(frozen=True, kw_only=True, slots=True)
class AppView:
    """One application as it stands at an epoch.

    Attributes:
        app: its name.
        target_ms: latency target in force.
        min_accuracy: accuracy floor in force.
        weight: importance.
        slo: share of requests that must be within the target.
        rate_hz: arrivals a second, declared or observed.
        queue_len: requests waiting.
        gear: acknowledged gear; None before the first.
        n: requests finished (completed, dropped or failed) since the last epoch.
        on_time: share of them within the target; None where n is 0.
        p95_ms: 95th percentile of the latest latencies; None where there are none.
        mean_ms: mean of the latest 20 latencies; None where there are none.
        service_ratio: observed over profiled service time, 1.0 where unknown.
        own_ratio: observed over foreseen latency where nobody else is waited for, if plans foresee too much; else 1.0.
        wait_ratio: the same of the waiting for other applications on a shared unit.
        points: its operating points at this rate, those of the smallest sub-network first.
    """

    app: str
    target_ms: float
    min_accuracy: float
    weight: float
    slo: float
    rate_hz: float
    queue_len: int
    gear: Gear | None
    n: int
    on_time: float | None
    p95_ms: float | None
    mean_ms: float | None
    service_ratio: float
    own_ratio: float
    wait_ratio: float
    points: tuple[OperatingPoint, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitView:
    """One unit as it stands at an epoch.

    Attributes:
        name: of the unit.
        kind: `cpu` or `gpu`.
        cores_online: cores that may be used now.
        mhz_now: its clock.
        mhz_allowed: the clocks it may take now, rising.
        busy: share of its core time taken since the last epoch, 0 to 1.
        temp_c: its temperature; None where unknown.
        static_w: power at each of `mhz_allowed` with no load; None where unknown.
        dynamic_w: power of one busy core above that, at each of `mhz_allowed`; None where unknown.
        capacity: what a core gets through at its top clock with nothing limiting it, relative to other units' cores.
    """

    name: str
    kind: str
    cores_online: int
    mhz_now: float
    mhz_allowed: tuple[float, ...]
    busy: float
    temp_c: float | None
    static_w: tuple[float, ...] | None
    dynamic_w: tuple[float, ...] | None
    capacity: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """All that a policy decides on."""

    epoch: int
    now_s: float
    apps: tuple[AppView, ...]
    units: tuple[UnitView, ...]
    power_w: float | None
    power_cap_w: float | None
    objective: ObjectiveName
    events: tuple[str, ...]
    """What has happened since the last decision, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A policy's answer: a gear for every application, and for every unit a clock in MHz or a governor's name."""

    gears: Mapping[str, Gear]
    clocks: Mapping[str, float | str]
    optimal: bool | None = None
    """Whether the policy has proven that nothing better exists; None where it makes no such claim."""
    clamps_mhz: Mapping[str, float] = field(default_factory=dict)
    """By application, the clock that it needs while it runs; heeded by the governor `schedutil-uclamp` alone."""
