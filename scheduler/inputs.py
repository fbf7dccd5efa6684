"""All that a decision rests on: equal inputs need no second decision.

Plain data, what is different between two of them, and what a unit is under its limits. It does not know where the
figures come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from scheduler.board import BoardUnit

MAX_OTHER_LOAD = 0.95
"""Load that is not ours beyond which a unit is still reckoned to have the rest to give."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AppInputs:
    """Of one application."""

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
    """Of one unit: what it may do."""

    max_mhz: float | None
    cores_online: int
    other_load: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """Of the applications present and the whole board."""

    apps: Mapping[str, AppInputs]
    units: Mapping[str, UnitInputs]
    power_cap_w: float | None


def changes(old: Inputs | None, new: Inputs) -> list[str]:
    """In words, each difference between two inputs; none where there is nothing new to decide."""
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
    """The unit as it is under its limits: a smaller, slower one of its own kind.

    Its pace at each clock that is left is the unit's times 1 - `other_load`. From `BoardUnit.pace`, with the memory
    share m and the clocks F before and F' now at the top, that takes speed / d and the memory share m / d, where
    d = m + (1 - m) · F / F'. The lowest clock is always left.
    """
    left = len(unit.allowed(limits.max_mhz))
    d = unit.memory_share + (1 - unit.memory_share) * unit.mhz[-1] / unit.mhz[left - 1]
    return replace(
        unit,
        cpus=unit.cpus[: limits.cores_online],
        mhz=unit.mhz[:left],
        static_w=unit.static_w and unit.static_w[:left],
        dynamic_w=unit.dynamic_w and unit.dynamic_w[:left],
        speed=unit.speed / d * (1 - min(limits.other_load, MAX_OTHER_LOAD)),
        memory_share=unit.memory_share / d,
    )
