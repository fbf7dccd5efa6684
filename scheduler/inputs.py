"""All figures that a decision rests on: equal inputs need no second decision.

The inputs are plain data. `changes` tells two of them apart, and `limited` applies limits to a unit. This module does
not know where the figures come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import is_

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
        service_ratio: observed over profiled service time on a unit that is as profiled.
        margin: share added to the latency of each operating point.
        own_ratio: observed over foreseen latency of requests that wait for no other application, at most 1.
        wait_ratio: observed over foreseen waiting for other applications, at most 1.
        phase_ms: board time of a first periodic release; None where it is not known. It changes only with the rate.
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
    phase_ms: float | None = field(default=None, compare=False)


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
        slowdowns: by unit, how many times as long requests take there as profiled; 1 for one that is left out.
    """

    apps: Mapping[str, AppInputs]
    units: Mapping[str, UnitInputs]
    power_cap_w: float | None
    slowdowns: Mapping[str, float] = field(default_factory=dict)

    def is_made_of(self, other: Inputs) -> bool:
        """Return True if both are made of the very same parts; then also what `==` leaves out, reasons, is the same."""
        return (
            self.slowdowns is other.slowdowns
            and self.power_cap_w == other.power_cap_w
            and _same_parts(self.apps, other.apps)
            and _same_parts(self.units, other.units)
        )


def _same_parts(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return one.keys() == other.keys() and all(map(is_, one.values(), other.values()))


def changes(old: Inputs | None, new: Inputs, runs_on: Mapping[str, str] | None = None) -> list[str]:
    """Return the differences between two inputs in words; an empty list means that there is nothing new to decide.

    A rate that went from 10 to 12.5 gives `["camera gets 12.5 requests a second, no longer 10"]`, a cap by heat
    `["big held at 1200 MHz by thermal CPU-therm 91 °C"]`.

    Args:
        old: the inputs last decided on; None before the first decision.
        new: the inputs now.
        runs_on: by application, the unit that it runs on, as far as that is known.
    """
    if old is None:
        return ["start"]
    if old == new:
        return []
    texts = [f"{app} left" for app in old.apps if app not in new.apps]
    texts += [f"{app} joined" for app in new.apps if app not in old.apps]
    for app, app_inputs in new.apps.items():
        texts += _app_changes(app, old.apps.get(app, app_inputs), app_inputs, (runs_on or {}).get(app))
    for unit, unit_inputs in new.units.items():
        texts += unit_changes(unit, old.units[unit], unit_inputs)
        moved = new.slowdowns.get(unit, 1.0) / old.slowdowns.get(unit, 1.0) - 1
        if moved:
            texts.append(f"{unit} {_moved(moved)}")
    if old.power_cap_w != new.power_cap_w:
        capped = new.power_cap_w is not None
        texts.append(f"power is capped at {new.power_cap_w:g} W" if capped else "power is no longer capped")
    return texts


def _app_changes(name: str, old: AppInputs, new: AppInputs, unit: str | None) -> list[str]:
    """Return the differences between two inputs of an application in words that its user knows."""
    texts = []
    if new.target_ms != old.target_ms:
        texts.append(f"{name} has a target of {new.target_ms:.4g} ms, no longer {old.target_ms:.4g}")
    if new.min_accuracy != old.min_accuracy:
        texts.append(f"{name} has an accuracy floor of {new.min_accuracy:.4g}, no longer {old.min_accuracy:.4g}")
    if new.weight != old.weight:
        texts.append(f"{name} has a weight of {new.weight:.4g}, no longer {old.weight:.4g}")
    if new.slo != old.slo:
        texts.append(f"{name} wants {_percent(new.slo)} on time, no longer {_percent(old.slo)}")
    if new.rate_hz != old.rate_hz:
        texts.append(f"{name} gets {new.rate_hz:.4g} requests a second, no longer {old.rate_hz:.4g}")
    if new.service_ratio != old.service_ratio:
        # Before and after are told apart in the time that an inference takes: from 1.0 to 1.11 it is 11 % slower.
        where = f" on {unit}" if unit else ""
        texts.append(f"{name} {_moved(new.service_ratio / old.service_ratio - 1)}{where}")
    if new.margin != old.margin:
        cause = "was late more often than planned" if new.margin > old.margin else "has been on time for long"
        was, now = _percent(old.margin), _percent(new.margin)
        texts.append(f"{name} {cause}: plans leave it {now} of spare time, no longer {was}")
    if new.own_ratio != old.own_ratio:
        cause = "answers sooner than planned" if new.own_ratio < old.own_ratio else "is late again"
        was, now = _percent(old.own_ratio), _percent(new.own_ratio)
        texts.append(f"{name} {cause}: plans count {now} of its latency, no longer {was}")
    if new.wait_ratio != old.wait_ratio:
        cause = "waits less than planned" if new.wait_ratio < old.wait_ratio else "is late again"
        was, now = _percent(old.wait_ratio), _percent(new.wait_ratio)
        texts.append(f"{name} {cause}: plans count {now} of its waiting for others, no longer {was}")
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
        # A cap of the board's that goes leaves what the mix asks, which is no news.
        if new.capped_by is None and (old.capped_by is not None or new.max_mhz is None):
            texts.append(f"{name} no longer held at {old.max_mhz:g} MHz")
        else:
            texts.append(f"{name} held at {new.max_mhz:g} MHz by {new.capped_by or 'the mix'}")
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
        was, now = _percent(old.other_load), _percent(new.other_load)
        texts.append(f"other programs take {now} of {name}, no longer {was}")
    return texts


def _moved(share: float) -> str:
    return f"{'slowed down' if share > 0 else 'sped up'} by {100 * abs(share):.0f} %"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _cpus(numbers: Sequence[int]) -> str:
    return f"CPU{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def limited(unit: BoardUnit, limits: UnitInputs, slowdown: float = 1.0) -> BoardUnit:
    """Return the unit as it is under its limits: a smaller, slower unit of the same kind.

    CPUs 0 to 3 at (1000, 1400, 1800) MHz, under a limit of 1,450 MHz with CPUs 1 and 3 online and others taking a
    quarter of the time, are two cores at (1000, 1400) MHz with three quarters of their pace at each. The lowest clock
    is always left.

    Args:
        unit: the unit without limits.
        limits: its limits; one that is not away altogether.
        slowdown: how many times as long requests take there as profiled.
    """
    left = unit.with_clocks(0, len(unit.allowed(limits.max_mhz)))
    return replace(
        left,
        cpus=tuple(cpu for cpu in unit.cpus if cpu in limits.cpus_online),
        speed=left.speed * (1 - min(limits.other_load, MAX_OTHER_LOAD_IN_PLANS)) / slowdown,
    )
