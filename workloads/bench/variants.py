"""Changes of a mix for a comparison: more of its apps, or other accuracy floors. Pure functions from mix to mix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from workloads.mix.app import App
from workloads.mix.events import AppAddition, AppChange, AppRemoval, BoardChange, MixEvent, UnitChange, at
from workloads.mix.mix import Mix

Floors = Mapping[str, Sequence[tuple[float, float]]]
"""The accuracy floors of each app, by app: pairs of the time in seconds from which a floor holds, and the floor."""


def clone_apps(mix: Mix, times: int) -> Mix:
    """Return the mix with each app that many times: itself, then NAME-2 and so on, with the same targets and events.

    A clone has its own arrivals and service times, because they are drawn by its name. Arrivals of a `Trace` are the
    same, because nothing is drawn. Events of the board happen once.
    """
    events: list[MixEvent] = []
    for event in mix.events:
        match event:
            case AppAddition():
                events += [replace(event, app=_clone(event.app, number)) for number in range(1, times + 1)]
            case AppChange() | AppRemoval():
                events += [replace(event, app=_cloned_name(event.app, number)) for number in range(1, times + 1)]
            case UnitChange() | BoardChange():
                events.append(event)
            case _:
                assert_never(event)
    apps = [_clone(app, number) for number in range(1, times + 1) for app in mix.apps]
    return replace(mix, apps=apps, events=events)


def with_floors(mix: Mix, floors: Floors) -> Mix:
    """Return the mix with other accuracy floors in place of its own; an app that is not named keeps its own.

    Args:
        mix: the mix to change.
        floors: the new floors by app.
    """
    events: list[MixEvent] = []
    for event in mix.events:
        if isinstance(event, AppAddition):
            event = replace(event, app=_floored(event.app, floors))
        if isinstance(event, AppChange) and event.app in floors:
            changes = {key: value for key, value in event.changes.items() if key != "min_accuracy"}
            if not changes:
                continue
            event = replace(event, changes=changes)
        events.append(event)
    for app, own in floors.items():
        events += [at(from_s, app, min_accuracy=floor) for from_s, floor in own[1:]]
    return replace(mix, apps=[_floored(app, floors) for app in mix.apps], events=events)


def _floored(app: App, floors: Floors) -> App:
    return replace(app, min_accuracy=floors[app.name][0][1]) if app.name in floors else app


def _clone(app: App, number: int) -> App:
    return replace(app, name=_cloned_name(app.name, number))


def _cloned_name(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"
