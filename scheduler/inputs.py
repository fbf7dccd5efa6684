"""All figures that a decision rests on: equal inputs need no second decision.

The inputs are plain data. `changes` tells two of them apart, and `limited` applies limits to a unit. This module does
not know where the figures come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from scheduler.board import BoardUnit

MAX_OTHER_LOAD_IN_PLANS = 0.95
"""Largest load of other programs that a plan takes into account.

A unit that others take completely is planned with the rest, 5 %, so that its pace stays above 0.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class AppInputs:
    """The part of the inputs that belongs to one application.

    Attributes:
        target_ms: latency target in force.
        min_accuracy: accuracy floor in force, a fraction; 0 for none.
        weight: importance.
        slo: share of requests that must be within the target.
        rate_hz: arrivals a second.
        service_ratio: observed over profiled service time.
        margin: share added to the latency of each operating point.
        own_ratio: observed over foreseen latency of requests that wait for no other application, at most 1.
        wait_ratio: observed over foreseen waiting for other applications, at most 1.
    """

    target_ms: float
    min_accuracy: float
    weight: float
    slo: float
    rate_hz: float
    service_ratio: float
    margin: float
    own_ratio: float
    wait_ratio: float


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitInputs:
    """The part of the inputs that belongs to one unit: its limits.

    Attributes:
        max_mhz: highest clock allowed; None for no limit.
        cpus_online: the CPUs that may be used, a part of `BoardUnit.all_cpus`.
        other_load: share of the unit's core time that other programs take, 0 to 1.
    """

    max_mhz: float | None
    cpus_online: tuple[int, ...]
    other_load: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """The inputs of one decision.

    Attributes:
        apps: the inputs of each application present, by name.
        units: the limits of each unit, by name, in the order of the board.
        power_cap_w: cap of the units' power; None for none.
    """

    apps: Mapping[str, AppInputs]
    units: Mapping[str, UnitInputs]
    power_cap_w: float | None


def changes(old: Inputs | None, new: Inputs) -> list[str]:
    """Return the differences between two inputs in words; an empty list means that there is nothing new to decide.

    A rate that went from 10 to 12.5 gives `["camera: rate_hz 10 → 12.5"]`.

    Args:
        old: the inputs last decided on; None before the first decision.
        new: the inputs now.
    """
    if old is None:
        return ["start"]
    if old == new:
        return []
    texts = [f"{app} left" for app in old.apps if app not in new.apps]
    texts += [f"{app} joined" for app in new.apps if app not in old.apps]
    for app, app_inputs in new.apps.items():
        texts += _differences(app, old.apps.get(app, app_inputs), app_inputs)
    for unit, unit_inputs in new.units.items():
        texts += _differences(unit, old.units[unit], unit_inputs)
    if old.power_cap_w != new.power_cap_w:
        texts.append(_text("power_cap_w", old.power_cap_w, new.power_cap_w))
    return texts


def _differences(owner: str, old: AppInputs | UnitInputs, new: AppInputs | UnitInputs) -> list[str]:
    after = asdict(new)
    return [_text(f"{owner}: {key}", was, after[key]) for key, was in asdict(old).items() if was != after[key]]


def _text(name: str, before: object, after: object) -> str:
    return " ".join([name, *(f"{x:.4g}" if isinstance(x, float) else str(x) for x in (before, "→", after))])


def limited(unit: BoardUnit, limits: UnitInputs) -> BoardUnit:
    """Return the unit as it is under its limits: a smaller, slower unit of the same kind.

    CPUs 0 to 3 at (1000, 1400, 1800) MHz, under a limit of 1,450 MHz with CPUs 1 and 3 online and others taking a
    quarter of the time, are two cores at (1000, 1400) MHz with three quarters of their pace at each. The lowest clock
    is always left.

    Args:
        unit: the unit without limits.
        limits: its limits; one that is not away altogether.
    """
    left = len(unit.allowed(limits.max_mhz))
    # The pace at each clock that is left has to be the unit's own times 1 - other_load. But `BoardUnit.pace` is stated
    # from the top clock, and that is now F' instead of F. With the memory share m it says
    #   speed / (m + (1 - m) · F / mhz) = (speed / d) / (m / d + (1 - m / d) · F' / mhz),  d = m + (1 - m) · F / F'.
    d = unit.memory_share + (1 - unit.memory_share) * unit.mhz[-1] / unit.mhz[left - 1]
    return replace(
        unit,
        cpus=tuple(cpu for cpu in unit.cpus if cpu in limits.cpus_online),
        mhz=unit.mhz[:left],
        static_w=unit.static_w and unit.static_w[:left],
        dynamic_w=unit.dynamic_w and unit.dynamic_w[:left],
        speed=unit.speed / d * (1 - min(limits.other_load, MAX_OTHER_LOAD_IN_PLANS)),
        memory_share=unit.memory_share / d,
    )
