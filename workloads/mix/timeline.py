"""A mix's events as the manager and the board are told of them: each carries all that is in force from then on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scheduler.board import Board
from scheduler.messages import AmbientChanged, AppJoined, AppLeft, Event, PowerCapped, TargetChanged, UnitLimited
from workloads.mix.errors import MixError
from workloads.mix.events import AppAdded, AppChange, AppRemoved, BoardChange, UnitChange
from workloads.mix.mix import Mix


@dataclass(frozen=True, slots=True)
class _Limits:
    """Of each unit, what is in force."""

    units: Mapping[str, UnitLimited]

    def changed(self, change: UnitChange, cores: int) -> _Limits:
        old = self.units[change.unit]
        given = change.changes
        new = UnitLimited(
            unit=change.unit,
            max_mhz=given.get("max_mhz", old.max_mhz),
            cores_online=int(given["cores"] or cores) if "cores" in given else old.cores_online,
            other_load=given.get("busy", old.other_load) or 0.0,
        )
        return replace(self, units={**self.units, change.unit: new})


def timeline(mix: Mix, board: Board) -> tuple[tuple[float, Event], ...]:
    """All events of a mix on a board, in order of time.

    Raises:
        MixError: for one that this board can't play.
    """
    limits = _Limits(
        {u.name: UnitLimited(unit=u.name, max_mhz=None, cores_online=u.cores, other_load=0.0) for u in board.units}
    )
    events: list[tuple[float, Event]] = []
    for event in mix.events:
        if isinstance(event, AppChange):
            target = [target for target in mix.targets_of(event.app) if target.from_s <= event.at_s][-1]
            change = TargetChanged(
                app=event.app,
                target_ms=target.latency_ms,
                min_accuracy=target.min_accuracy,
                weight=target.weight,
                slo=target.slo,
            )
            events.append((event.at_s, Event(change=change, text=f"{event.app}: {_words(event.changes)}")))
        elif isinstance(event, UnitChange):
            _check_unit(event, board)
            limits = limits.changed(event, board.unit(event.unit).cores)
            text = f"{event.unit}: {_words(event.changes)}"
            events.append((event.at_s, Event(change=limits.units[event.unit], text=text)))
        elif isinstance(event, AppAdded):
            events.append((event.at_s, Event(change=AppJoined(app=event.app.name), text=f"{event.app.name} joins")))
        elif isinstance(event, AppRemoved):
            events.append((event.at_s, Event(change=AppLeft(app=event.app), text=f"{event.app} leaves")))
        else:
            events += _board_events(event, board)
    return tuple(events)


def _check_unit(event: UnitChange, board: Board) -> None:
    """A unit whose clock can't be set can't be capped or slowed by others on demand either."""
    unit = board.unit(event.unit)
    for name in ("max_mhz", "busy"):
        value = event.changes.get(name)
        if not unit.settable and value and not (name == "max_mhz" and value >= unit.mhz[-1]):
            raise MixError(
                f"at({event.at_s:g}, unit={unit.name!r}, {name}={value!r}): the clock of {unit.name!r} is fixed "
                f"(dvfs of board {board.name!r}), so this can't be done to it; leave the event out"
            )


def _board_events(event: BoardChange, board: Board) -> list[tuple[float, Event]]:
    """One for each change, since the manager is told of one thing at a time."""
    changes: list[AmbientChanged | PowerCapped] = []
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
    return [(event.at_s, Event(change=change, text=f"board: {_words(event.changes)}")) for change in changes]


def _words(changes: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} {'lifted' if value is None else f'{value:g}'}" for name, value in changes.items())
