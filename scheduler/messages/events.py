"""Changes that the manager is told of.

The manager is told of every event. One of the board is also done to the board, first, by the driver: those are listed
in `BoardEvent`. To add an event, write its class here and put it into `Change`, and into `BoardEvent` if it is the
board's; the type checker then names the matches that have to know it.
"""

from __future__ import annotations

from dataclasses import dataclass


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
