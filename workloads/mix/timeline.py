"""The events of a mix as the manager and the board are told of them, or the board alone.

Each event that is told carries all that is in force from then on, so that a later one can replace it: after
`at(10, unit="big", max_mhz=1400)` and `at(20, unit="big", busy=0.4)` the second one says 1,400 MHz too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from scheduler.board import Board, BoardUnit
from scheduler.messages import (
    AmbientChanged,
    AppJoined,
    AppLeft,
    Change,
    Event,
    Happening,
    HiddenEvent,
    PowerCapped,
    TargetChanged,
    UnitLimited,
    UnitSlowed,
)
from workloads.mix.errors import MixError
from workloads.mix.events import AppAddition, AppChange, AppRemoval, BoardChange, UnitChange
from workloads.mix.mix import Mix


def timeline(mix: Mix, board: Board) -> tuple[tuple[float, Happening], ...]:
    """Return all events of a mix on a board as (time in seconds, event), in order of time.

    Raises:
        MixError: The board cannot play one of them.
    """
    limits = {
        unit.name: UnitLimited(unit=unit.name, max_mhz=None, cpus_online=unit.all_cpus, other_load=0.0)
        for unit in board.units
    }
    happenings: list[tuple[float, Happening]] = []
    for event in mix.events:
        changes: Sequence[Change]
        hidden: list[HiddenEvent] = []
        match event:
            case AppChange():
                changes, text = [_target_changed(mix, event)], f"{event.app}: {_words(event.changes)}"
            case AppAddition():
                changes, text = [AppJoined(app=event.app.name, from_s=event.at_s)], f"{event.app.name} joins"
            case AppRemoval():
                changes, text = [AppLeft(app=event.app)], f"{event.app} leaves"
            case UnitChange():
                _check_unit(event, board)
                limits[event.unit] = _limited(limits[event.unit], event, board.unit(event.unit))
                if not any(limit.cpus_online for limit in limits.values()):
                    raise MixError(
                        f"at({event.at_s:g}, unit={event.unit!r}, cores=0): then every unit of board {board.name!r} is "
                        "away, and nothing can run; leave one, or bring one back first."
                    )
                told = {name: value for name, value in event.changes.items() if name != "slowdown"}
                changes, text = [limits[event.unit]] if told else [], f"{event.unit}: {_words(told)}"
                hidden = [_slowed(event)] if "slowdown" in event.changes else []
            case BoardChange():
                changes, text = _board_changes(event, board), f"board: {_words(event.changes)}"
            case _:
                assert_never(event)
        happenings += [(event.at_s, Event(change=change, text=text)) for change in changes]
        happenings += [(event.at_s, one) for one in hidden]
    return tuple(happenings)


def _target_changed(mix: Mix, event: AppChange) -> TargetChanged:
    target = [target for target in mix.targets_of(event.app) if target.from_s <= event.at_s][-1]
    return TargetChanged(
        app=event.app,
        target_ms=target.latency_ms,
        min_accuracy=target.min_accuracy,
        weight=target.weight,
        slo=target.slo,
    )


def _limited(before: UnitLimited, event: UnitChange, unit: BoardUnit) -> UnitLimited:
    """Return the limits of a unit after an event; `cores=2` leaves its first two CPUs, and `cores=0` none."""
    given = event.changes
    cores = unit.cores if given.get("cores") is None else int(given["cores"] or 0)
    return UnitLimited(
        unit=event.unit,
        max_mhz=given.get("max_mhz", before.max_mhz),
        cpus_online=unit.first_cpus(cores) if "cores" in given else before.cpus_online,
        other_load=given.get("busy", before.other_load) or 0.0,
    )


def _slowed(event: UnitChange) -> HiddenEvent:
    """Return the slowdown of an event; one of 1.5 makes 20 ms of service 30 ms."""
    slowdown = event.changes["slowdown"] or 1.0
    words = f"{slowdown:g} times as long" if slowdown > 1 else "no longer than they should"
    change = UnitSlowed(unit=event.unit, slowdown=slowdown)
    return HiddenEvent(change=change, text=f"{event.unit}: requests take {words} (the manager is not told)")


def _check_unit(event: UnitChange, board: Board) -> None:
    """Refuse to cap or to load a unit whose clock is fixed: neither can be done to it on demand."""
    unit = board.unit(event.unit)
    for name in ("max_mhz", "busy"):
        value = event.changes.get(name)
        if not unit.settable and value and not (name == "max_mhz" and value >= unit.mhz[-1]):
            raise MixError(
                f"at({event.at_s:g}, unit={unit.name!r}, {name}={value!r}): the clock of {unit.name!r} is fixed "
                f"(dvfs of board {board.name!r}), so this can't be done to it; leave the event out"
            )


def _board_changes(event: BoardChange, board: Board) -> list[Change]:
    """Return one change for each value of the event, since the manager is told of one thing at a time."""
    changes: list[Change] = []
    ambient_c = event.changes.get("ambient_c")
    if ambient_c is not None:
        if all(unit.thermal is None for unit in board.units):
            raise MixError(
                f"at({event.at_s:g}, ambient_c={ambient_c!r}): board {board.name!r} has no thermal "
                "model, so the heat around it changes nothing; leave the event out"
            )
        changes.append(AmbientChanged(ambient_c=ambient_c))
    if "power_cap_w" in event.changes:
        changes.append(PowerCapped(power_cap_w=event.changes["power_cap_w"]))
    return changes


def _words(changes: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} {'lifted' if value is None else f'{value:g}'}" for name, value in changes.items())
