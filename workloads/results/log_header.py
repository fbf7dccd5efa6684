"""The facts of a run that its log begins with, and the changes of them that it notes on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from scheduler.decisions import Grounds
from scheduler.profile import Profile
from workloads.ladder.ladders import metrics_of
from workloads.mix.briefing import app_spec
from workloads.mix.mix import Presence, Target
from workloads.results.planned import Planned
from workloads.results.thinning import Entry

JOINED, RETARGETED = "app", "target"
"""Kinds of entries of what was not planned: an application that joins, and a target that changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogHeader:
    """The facts of a run that all entries of its log share.

    Attributes:
        mix: Name of the mix.
        board: Name of the board.
        policy: Name of the policy.
        seed: Seed of the arrivals and the service times.
        time_scale: Wall time over board time.
        epoch_ms: Length of an epoch, board time.
        emulated: True if clocks and service times are emulated.
        power_source: Source of the power figures, in the board's words.
        units_mhz: Clocks of each unit, in the order of the board.
        ladders: Sub-networks of each app, smallest first.
        duration_s: Length of the mix, board time; None in a log from before it was noted.
        targets: Targets of each app, in order of time; None likewise.
        accuracies: Accuracy of each sub-network in `ladders`, and its source; None likewise.
        metrics: Words for the accuracy of each app, such as `top-1`; of those where they are known.
        noise: Noise of the mix on service times, `Mix.noise`; 0 in a log from before it was noted.
        grounds: What the manager was told before the run: a `scheduler.decisions.Grounds`, as plain values; None in a
            log from before it was noted.
    """

    mix: str
    board: str
    policy: str
    seed: int
    time_scale: float
    epoch_ms: float
    emulated: bool
    power_source: str
    units_mhz: Mapping[str, tuple[float, ...]]
    ladders: Mapping[str, tuple[str, ...]]
    # What a summary takes beside the log and the records, for a run that does not come to write its own.
    duration_s: float | None = None
    targets: Mapping[str, tuple[Target, ...]] | None = None
    accuracies: Mapping[str, tuple[tuple[float | None, str], ...]] | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    noise: float = 0.0
    # Plain, so that a log can be read where the scheduler's own classes have changed since.
    grounds: Mapping[str, Any] | None = None


def log_header(plan: Planned, *, time_scale: float, emulated: bool, profiles: Mapping[str, Profile]) -> LogHeader:
    """Return the header of a run's epoch log.

    Args:
        plan: The run as it was planned.
        time_scale: Wall time over board time.
        emulated: True if clocks and service times are emulated.
        profiles: Profile of each app's networks.
    """
    ladders = {name: profile.rungs for name, profile in profiles.items()}
    presences = plan.mix.all_apps()
    specs = [app_spec(presence, profiles[presence.app.name]) for presence in presences]
    return LogHeader(
        mix=plan.mix.name,
        board=plan.board.name,
        policy=plan.policy,
        seed=plan.seed,
        time_scale=time_scale,
        epoch_ms=plan.epoch_s * 1000,
        emulated=emulated,
        power_source=plan.board.power_source,
        units_mhz={unit.name: unit.mhz for unit in plan.board.units},
        ladders={name: tuple(rung.subnet for rung in ladder) for name, ladder in ladders.items()},
        duration_s=plan.mix.duration_s,
        targets={presence.app.name: tuple(presence.targets) for presence in presences},
        accuracies={
            name: tuple((rung.accuracy, rung.accuracy_source) for rung in ladder) for name, ladder in ladders.items()
        },
        metrics=metrics_of(plan.mix),
        noise=plan.mix.noise,
        grounds=asdict(Grounds.of(plan.board, specs, plan.mix.objective)),
    )


def app_entry(plan: Planned, presence: Presence, profile: Profile, metric: str | None, now_s: float) -> Entry:
    """Return the log's entry on an application that joins though it was not planned.

    Args:
        plan: The run.
        presence: The application, with its first target.
        profile: Profile of its networks.
        metric: Word for its accuracy; None where there is none.
        now_s: When it joins, board time.
    """
    grounds = Grounds.of(plan.board, [app_spec(presence, profile)], plan.mix.objective)
    return {
        "kind": JOINED,
        "now_s": now_s,
        "app": presence.app.name,
        "ladder": [rung.subnet for rung in profile.rungs],
        "accuracies": [(rung.accuracy, rung.accuracy_source) for rung in profile.rungs],
        "metric": metric,
        "grounds": asdict(grounds.apps[0]),
    }


def target_entry(app: str, target: Target, now_s: float) -> Entry:
    """Return the log's entry on a target that was not planned."""
    return {"kind": RETARGETED, "now_s": now_s, "app": app, **asdict(target)}


def with_changes(header: LogHeader, entries: Iterable[Entry]) -> LogHeader:
    """Return a header with the applications and the targets that entries of its log have added to it.

    Raises:
        KeyError: An entry lacks a field.
        TypeError: A field is of another type.
    """
    ladders, accuracies, metrics = dict(header.ladders), dict(header.accuracies or {}), dict(header.metrics)
    targets, told = dict(header.targets or {}), []
    for entry in entries:
        if entry["kind"] == JOINED:
            app = entry["app"]
            ladders[app] = tuple(entry["ladder"])
            accuracies[app] = tuple((accuracy, source) for accuracy, source in entry["accuracies"])
            targets[app] = ()
            if entry["metric"] is not None:
                metrics[app] = entry["metric"]
            told.append(entry["grounds"])
        elif entry["kind"] == RETARGETED:
            target = Target(**{key: entry[key] for key in Target.__dataclass_fields__})
            others = [one for one in targets[entry["app"]] if one.from_s != target.from_s]
            targets[entry["app"]] = tuple(sorted([*others, target], key=lambda one: one.from_s))
    if targets == (header.targets or {}):
        return header
    grounds = header.grounds and {**header.grounds, "apps": [*header.grounds["apps"], *told]}
    return replace(header, ladders=ladders, accuracies=accuracies, metrics=metrics, targets=targets, grounds=grounds)
