"""What happens in a run by its mix: changes that the manager is told of, and hidden ones that it is not told of.

One of the board is done to the board, first, by the driver: those are listed in `BoardEvent`. To add an event, write
its class here and put it into `Change`, and into `BoardEvent` if it is the board's; the type checker then names the
matches that have to know it. A hidden one goes into `HiddenEvent` and not into `Change`, so no message can carry it.
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
    """An application begins; its worker is already started and warm.

    Attributes:
        app: its name.
        from_s: board time from which its requests come; None for the time at which this is taken in.
    """

    app: str
    from_s: float | None = None


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


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitSlowed:
    """A unit serves requests more slowly from here on, at any clock; nobody who plans is told.

    Attributes:
        unit: name of the unit.
        slowdown: how many times as long a request takes there, at least 1; 1 ends a slowdown.
    """

    unit: str
    slowdown: float


Change = TargetChanged | AppJoined | AppLeft | PowerCapped | UnitLimited | AmbientChanged
"""All changes that the manager is told of."""

BoardEvent = UnitLimited | AmbientChanged | UnitSlowed
"""Changes that a driver does to the board."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A change that the manager is told of; it does not find out by itself.

    Attributes:
        change: the change.
        text: the change in words, for logs and reports.
    """

    change: Change
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HiddenEvent:
    """A change that the manager is not told of: it has to find out from what is reported of requests.

    Attributes:
        change: the change.
        text: the change in words, for logs and reports.
    """

    change: UnitSlowed
    text: str


Happening = Event | HiddenEvent
"""All that happens by a mix, whoever is told."""
