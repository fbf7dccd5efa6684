"""All figures that a decision rests on: equal inputs need no second decision.

The inputs are plain data. `changes` tells two of them apart, and `limited` applies limits to a unit. This module does
not know where the figures come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

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

    Reasons are not part of it: a temperature in them may change every epoch, and is no reason to decide again.

    Attributes:
        max_mhz: highest clock allowed; None for no limit.
        cpus_online: the CPUs that may be used, a part of `BoardUnit.all_cpus`.
        other_load: share of the unit's core time that other programs take, 0 to 1.
        capped_by: reason for `max_mhz` in words, where the board set it; None where the mix did.
        taken_by: by CPU that the mix leaves and the board does not, the reason in words.
    """

    max_mhz: float | None
    cpus_online: tuple[int, ...]
    other_load: float
    capped_by: str | None = field(default=None, compare=False)
    taken_by: Mapping[int, str] = field(default_factory=dict, compare=False)


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

    A rate that went from 10 to 12.5 gives `["camera: rate_hz 10 → 12.5"]`, a cap by heat
    `["big held at 1200 MHz by thermal CPU-therm 91 °C"]`.

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
        before = asdict(old.apps.get(app, app_inputs))
        after = asdict(app_inputs)
        texts += [_text(f"{app}: {key}", was, after[key]) for key, was in before.items() if was != after[key]]
    for unit, unit_inputs in new.units.items():
        texts += unit_changes(unit, old.units[unit], unit_inputs)
    if old.power_cap_w != new.power_cap_w:
        texts.append(_text("power_cap_w", old.power_cap_w, new.power_cap_w))
    return texts


def unit_changes(name: str, old: UnitInputs, new: UnitInputs) -> list[str]:
    """Return the differences between two limits of a unit in words, with the board's reason for its own.

    Args:
        name: name of the unit.
        old: the limits before.
        new: the limits now.
    """
    texts = []
    if old.max_mhz != new.max_mhz:
        if new.capped_by is not None:
            texts.append(f"{name} held at {new.max_mhz:g} MHz by {new.capped_by}")
        elif old.capped_by is not None:
            texts.append(f"{name} no longer held at {old.max_mhz:g} MHz")
        else:
            texts.append(_text(f"{name}: max_mhz", old.max_mhz, new.max_mhz))
    lost: dict[str, list[int]] = {}
    for cpu in old.cpus_online:
        if cpu not in new.cpus_online:
            lost.setdefault(new.taken_by.get(cpu, "as the mix says"), []).append(cpu)
    back = [cpu for cpu in new.cpus_online if cpu not in old.cpus_online]
    if lost and not new.cpus_online:
        texts.append(f"{name} went away ({', '.join(lost)})")
    else:
        texts += [f"{_cpus(cpus)} of {name} went offline ({reason})" for reason, cpus in lost.items()]
    if back:
        texts.append(f"{_cpus(back)} of {name} came online" if old.cpus_online else f"{name} came back")
    if old.other_load != new.other_load:
        texts.append(_text(f"{name}: other_load", old.other_load, new.other_load))
    return texts


def _cpus(numbers: Sequence[int]) -> str:
    return f"CPU{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


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
    left = unit.with_clocks(0, len(unit.allowed(limits.max_mhz)))
    return replace(
        left,
        cpus=tuple(cpu for cpu in unit.cpus if cpu in limits.cpus_online),
        speed=left.speed * (1 - min(limits.other_load, MAX_OTHER_LOAD_IN_PLANS)),
    )
