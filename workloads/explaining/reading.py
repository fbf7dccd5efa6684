"""The plan that was in force at a moment of a run, and what it rested on, read back from the run's directory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from scheduler.decisions import Decision, Grounds, unlimited
from scheduler.errors import BROKEN, InputError
from scheduler.explaining import Explanation, explain
from scheduler.inputs import AppInputs, Inputs, UnitInputs
from scheduler.views import Gear, Plan
from workloads.progress import Progress, no_progress
from workloads.results.epoch_log import read_epoch_log
from workloads.results.run_dir import EPOCHS_FILE, LATE_EPOCHS, LoggedGear, RunDirError, StoredRun, parse_entries

_GROUNDS = TypeAdapter(Grounds)

WEIGHING = frozenset({"joint", "steady"})
"""The policies that look for the best plan in all that a plan has."""


class MomentError(InputError):
    """A time at which no plan is known; the message says which times are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Limits:
    """Limits of a unit as an entry has them."""

    max_mhz: float | None
    cpus_online: tuple[int, ...]
    other_load: float
    capped_by: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _DecisionEntry:
    """An entry of kind `decision`."""

    now_s: float
    apps: dict[str, AppInputs]
    units: dict[str, _Limits]
    power_cap_w: float | None
    gears: dict[str, LoggedGear | None]
    paces: bool
    optimal: bool | None
    slowdowns: dict[str, float] = field(default_factory=dict)
    cpus: dict[str, tuple[int, ...]] = field(default_factory=dict)
    within: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanEntry:
    """An entry of kind `plan`."""

    now_s: float
    plan: int
    why: tuple[str, ...]
    gears: dict[str, LoggedGear]
    cpus: dict[str, tuple[int, ...]]
    clocks: dict[str, float | str]
    paces: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A moment of a run.

    Attributes:
        run: the run.
        at_s: the moment, board time.
        number: number of the plan in force.
        decided_s: time at which it was decided.
        why: reasons for deciding anew then, in words.
        plan: the plan.
        cpus: by application, the CPUs that the plan gives it.
        paced: the applications whose requests get clocks of their own.
        grounds: the facts of the run that the manager was told.
        decision: what the plan rests on: the last decision, which may have come to the same plan again.
        behind: by application that is not in the gear of the plan yet, the gear that it was in; None for none.
    """

    run: StoredRun
    at_s: float
    number: int
    decided_s: float
    why: Sequence[str]
    plan: Plan
    cpus: Mapping[str, tuple[int, ...]]
    paced: frozenset[str]
    grounds: Grounds
    decision: Decision
    behind: Mapping[str, Gear | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanLog:
    """All plans of a run, and what they rested on, for one moment or several.

    Attributes:
        run: the run.
        grounds: the facts of the run that the manager was told.
        plans: its plans, in order of time.
        decisions: its decisions, in order of time.
        end_s: time up to which it is known which plan was in force, board time.
    """

    run: StoredRun
    grounds: Grounds
    plans: Sequence[PlanEntry]
    decisions: Sequence[_DecisionEntry]
    end_s: float

    def at(self, at_s: float) -> Moment:
        """Return a moment of the run.

        Args:
            at_s: the moment, in seconds from the start of the run.

        Raises:
            MomentError: the run has no such moment.
            RunDirError: the log is damaged.
        """
        run, path, first_s = self.run, self.run.path / EPOCHS_FILE, self.plans[0].now_s
        if not (math.isfinite(at_s) and first_s <= at_s <= self.end_s):
            raise MomentError(
                f"--at is {at_s:g}: {run.path} has plans from {first_s:.2f} s to {self.end_s:.2f} s; give a time "
                "within that."
            )
        plan = _latest(self.plans, at_s)
        fitting = [one for one in self.decisions if one.now_s <= at_s and one.apps.keys() >= plan.gears.keys()]
        if not fitting:
            raise RunDirError(
                f"{path}: what plan {plan.plan} rests on is missing; the file is damaged, run the mix again."
            )
        decision = _latest(fitting, at_s)
        in_gear: dict[str, Gear | None] = {}
        for change in run.gears:
            if change.now_s <= at_s:
                in_gear[change.app] = change.after
        return Moment(
            run=run,
            at_s=at_s,
            number=plan.plan,
            decided_s=plan.now_s,
            why=plan.why,
            plan=Plan(
                gears=plan.gears,
                clocks=plan.clocks,
                cpus={app: cpus for app, cpus in plan.cpus.items() if cpus},
                optimal=decision.optimal,
                within=decision.within,
            ),
            cpus=plan.cpus,
            paced=frozenset(plan.paces),
            grounds=self.grounds,
            decision=_decision(path, self.grounds, decision),
            behind={app: in_gear.get(app) for app, gear in plan.gears.items() if in_gear.get(app) != gear},
        )


def read_plans(run: StoredRun) -> PlanLog:
    """Read the plans of a run that has been read back.

    Raises:
        MomentError: no plan is known.
        RunDirError: the log is missing, of an earlier version or damaged.
    """
    path = run.path / EPOCHS_FILE
    if not path.is_file():
        raise RunDirError(f"{path}: is missing, and plans are known from it alone; run the mix again.")
    header, entries = read_epoch_log(path)
    if header.grounds is None:
        raise RunDirError(
            f"{path}: is of an earlier version, which does not say what plans rest on; run the mix again."
        )
    try:
        grounds = _GROUNDS.validate_python(header.grounds)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(map(str, fault["loc"]))
        raise RunDirError(
            f"{path}: header: grounds.{field}: {fault['msg']}; the file is damaged or of another version, run the mix "
            "again."
        ) from error
    plans = parse_entries(path, entries, "plan", PlanEntry)
    decisions = parse_entries(path, entries, "decision", _DecisionEntry)
    if not plans or not decisions:
        raise MomentError(f"{path}: no plan was made; `gearshift report {run.path}` says what went wrong.")
    end_s = run.summary.duration_s
    # The first plan may be from before t = 0. Requests may go on beyond a log that was cut, and what was planned then
    # is not known.
    logged_s = max(float(entry["now_s"]) for entry in entries)
    if logged_s < end_s - LATE_EPOCHS * header.epoch_ms / 1000:
        end_s = logged_s
    return PlanLog(run=run, grounds=grounds, plans=plans, decisions=decisions, end_s=end_s)


def moment_of(run: StoredRun, at_s: float) -> Moment:
    """Return a moment of a run, as `read_plans(run).at(at_s)` does."""
    return read_plans(run).at(at_s)


def weighs(moment: Moment) -> bool:
    """Return True if the policy of the run looks for the best plan in all that a plan has."""
    return moment.run.summary.policy in WEIGHING


def explanation_of(moment: Moment, on_progress: Progress = no_progress, *, prices: bool = True) -> Explanation:
    """Explain the plan of a moment.

    Args:
        moment: the moment.
        prices: False to leave out what constraints cost and the runner-up, which take most of the time.
        on_progress: told how far it is.

    Raises:
        RunDirError: what the log says of the plan, and of what it rests on, does not fit together.
    """
    try:
        return explain(
            moment.grounds,
            moment.decision,
            moment.plan,
            weighs=weighs(moment),
            prices=prices,
            on_progress=partial(on_progress, "decide again"),
        )
    except BROKEN as error:
        raise RunDirError(
            f"{moment.run.path / EPOCHS_FILE}: plan {moment.number} does not fit what it rests on "
            f"({type(error).__name__}: {error}); the file is damaged, run the mix again."
        ) from error


class _Timed(Protocol):
    @property
    def now_s(self) -> float: ...


_Entry = TypeVar("_Entry", bound=_Timed)


def _latest(entries: Sequence[_Entry], at_s: float) -> _Entry:
    """Return the last of the entries, in order of time, that is not after a moment."""
    return [entry for entry in entries if entry.now_s <= at_s][-1]


def _decision(path: Path, grounds: Grounds, entry: _DecisionEntry) -> Decision:
    told = {spec.app for spec in grounds.apps}
    units = {unit.name: unlimited(grounds.board, unit.name) for unit in grounds.board.units}
    for name in [*(app for app in entry.apps if app not in told), *(unit for unit in entry.units if unit not in units)]:
        raise RunDirError(f"{path}: a decision names {name!r}, which its header does not; run the mix again.")
    for name, one in entry.units.items():
        units[name] = UnitInputs(
            max_mhz=one.max_mhz, cpus_online=one.cpus_online, other_load=one.other_load, capped_by=one.capped_by
        )
    return Decision(
        now_s=entry.now_s,
        inputs=Inputs(apps=entry.apps, units=units, power_cap_w=entry.power_cap_w, slowdowns=entry.slowdowns),
        gears=entry.gears,
        paces=entry.paces,
        cpus=entry.cpus,
    )
