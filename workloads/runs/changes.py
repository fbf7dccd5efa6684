"""Changes to a run that goes on: what an application is asked for, and applications that come and leave.

Pure functions from a plan to a plan, and the events to tell the manager. Whoever runs it tells the workers too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from scheduler.messages import AppJoined, AppLeft, Event, Happening, TargetChanged
from workloads.ladder.checks import check_app
from workloads.ladder.ladders import supernet_label
from workloads.ladder.profiles import of_source
from workloads.mix.app import TARGET_CHECKS, App, Family
from workloads.mix.arrivals import External
from workloads.mix.errors import MixError, suggestion
from workloads.mix.mix import Presence, Target
from workloads.runs.app_sources import source_of
from workloads.runs.plan import AppPlan, RunPlan

Changed: TypeAlias = tuple[RunPlan, tuple[Event, ...]]
"""A plan with a change in it, and the events that tell of the change."""

MOST_CHANGES = 10_000
"""Most changes of one application's targets in a run: its worker and its summary know them all."""


def checked_changes(app: str, changes: Mapping[str, object]) -> dict[str, float]:
    """Return new targets of an application, checked as those of an `App` are.

    Raises:
        MixError: for a name that is no target, a value out of range, or nothing at all.
    """
    for key in changes:
        if key not in TARGET_CHECKS:
            raise MixError(f"app {app!r}: {key!r} can't be changed. {suggestion(key, TARGET_CHECKS)}")
    if not changes:
        raise MixError(f"app {app!r}: nothing changes; give one of {', '.join(TARGET_CHECKS)}.")
    return {key: TARGET_CHECKS[key](f"app {app!r}: {key}", value) for key, value in changes.items()}


def target_at(presence: Presence, at_s: float) -> Target:
    """Return the target of an application in force at a time; before its first, that one."""
    return [presence.targets[0], *(target for target in presence.targets if target.from_s <= at_s)][-1]


def retargeted(plan: RunPlan, app: str, changes: Mapping[str, object], at_s: float) -> Changed:
    """Return a plan in which an application has other targets from `at_s` on, until an event of the mix changes them.

    An event of the mix sets all its targets to what the mix says.

    Args:
        plan: the plan.
        app: name of an application that is there.
        changes: new values of `latency_ms`, `min_accuracy`, `weight` or `slo`.
        at_s: board time of the change.

    Raises:
        MixError: if they are out of range, the networks can't keep a floor, or there were too many changes.
    """
    checked, planned = checked_changes(app, changes), plan.apps[app]
    target = replace(target_at(planned.presence, at_s), from_s=at_s, **checked)
    if len(planned.presence.targets) >= MOST_CHANGES:
        raise MixError(f"app {app!r}: its targets were changed {MOST_CHANGES:,} times in this run; start it anew.")
    presence = with_target(planned.presence, target)
    check_app(presence, planned.ladder, plan.board)
    words = ", ".join(f"{key} {value:g}" for key, value in checked.items())
    return _with(plan, replace(planned, presence=presence), at_s, _target_event(app, target, f"{app}: {words}"))


def joined(plan: RunPlan, app: App, at_s: float) -> Changed:
    """Return a plan in which an application joins at `at_s`.

    Its networks are those of an application of the plan: others were not measured, and to measure them now would
    disturb those that are served and be disturbed by them.

    Args:
        plan: the plan.
        app: the application, whose requests come from clients. One that has left may come back, with the same networks.
        at_s: board time at which it joins.

    Raises:
        MixError: if it is there already, has other networks or arrivals, or can't be served.
    """
    before = plan.apps.get(app.name)
    if before is not None and not has_left(plan.events, app.name, at_s):
        raise MixError(f"app {app.name!r} is there already; remove it first, or give another name.")
    if not isinstance(app.arrivals, External):
        raise MixError(f"app {app.name!r}: arrivals must be External(), since it joins a run that goes on.")
    like = _like(plan, app) if before is None else before
    if app.supernet != like.app.supernet:
        raise MixError(
            f"app {app.name!r} had the networks {supernet_label(like.app.supernet)!r} before it was removed, and its "
            "requests are counted by them; give another name."
        )
    target = Target(from_s=at_s, **{key: getattr(app, key) for key in TARGET_CHECKS})
    presence = Presence(app=app, from_s=at_s, to_s=math.inf, targets=(target,))
    if before is not None:
        targets = with_target(before.presence, target).targets
        presence = replace(presence, from_s=before.presence.from_s, targets=targets)
    check_app(presence, like.ladder, plan.board)
    source = source_of(app, plan.seed)
    planned = AppPlan(
        presence=presence, ladder=like.ladder, profile=of_source(like.profile, source, like.ladder), source=source
    )
    event = Event(change=AppJoined(app=app.name, from_s=at_s), text=f"{app.name} joins")
    # The manager that comes in place of one that died knows the first targets of one that has come back.
    anew = () if before is None else (_target_event(app.name, target, f"{app.name}: its targets when it comes back"),)
    return _with(plan, planned, at_s, *anew, event)


def removed(plan: RunPlan, app: str, at_s: float) -> Changed:
    """Return a plan in which an application leaves at `at_s`."""
    planned = plan.apps[app]
    gone = replace(planned, presence=replace(planned.presence, to_s=at_s))
    return _with(plan, gone, at_s, Event(change=AppLeft(app=app), text=f"{app} leaves"))


def has_left(events: Sequence[tuple[float, Happening]], app: str, now_s: float) -> bool:
    """Return True if an application has left by now, and not come back."""
    left = False
    for at_s, event in events:
        if at_s <= now_s and isinstance(event.change, AppLeft | AppJoined) and event.change.app == app:
            left = isinstance(event.change, AppLeft)
    return left


def with_target(presence: Presence, target: Target) -> Presence:
    """Return the presence of an application with another target from `target.from_s` on, until its next."""
    others = [one for one in presence.targets if one.from_s != target.from_s]
    return replace(presence, targets=tuple(sorted([*others, target], key=lambda one: one.from_s)))


def _like(plan: RunPlan, app: App) -> AppPlan:
    for planned in plan.apps.values():
        if planned.app.supernet == app.supernet:
            return planned
    known = dict.fromkeys(supernet_label(planned.app.supernet) for planned in plan.apps.values())
    asked = "a Family" if isinstance(app.supernet, Family) else repr(app.supernet)
    raise MixError(
        f"app {app.name!r}: supernet must be one of {', '.join(known)}, whose networks were measured before the start, "
        f"not {asked}. For others, put an app of them into the mix and start anew."
    )


def _target_event(app: str, target: Target, text: str) -> Event:
    change = TargetChanged(
        app=app,
        target_ms=target.latency_ms,
        min_accuracy=target.min_accuracy,
        weight=target.weight,
        slo=target.slo,
    )
    return Event(change=change, text=text)


def _with(plan: RunPlan, planned: AppPlan, at_s: float, *new: Event) -> Changed:
    """Return a plan with another state of one application, and events at `at_s`, after those of the same time."""
    place = sum(1 for time_s, _ in plan.events if time_s <= at_s)
    events = (*plan.events[:place], *((at_s, event) for event in new), *plan.events[place:])
    return replace(plan, apps={**plan.apps, planned.app.name: planned}, events=events), new
