"""Who gave what in a run: what plans foresaw each app to miss, for how long, beside what it got.

The entries of decisions say what each plan was foreseen to miss; each holds until the next. So this is what the manager
knew it could not give. What became of the requests is in the summary, and whoever got nothing is named from that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from scheduler.admission import Outlook
from workloads.results.admission_words import per_cent
from workloads.results.summary import AppSummary, Summary


@dataclass(frozen=True, kw_only=True, slots=True)
class OutlookNote:
    """The part of a decision's entry that says what its plan was foreseen to miss; no outlook is nothing."""

    now_s: float
    apps: dict[str, dict[str, Any]]
    outlook: Outlook | None


@dataclass(slots=True)
class _Side:
    """One side of what an app gave, over the times in which it did."""

    for_s: float = 0.0
    area: float = 0.0
    most: float = 0.0

    def add(self, miss: float, for_s: float) -> None:
        if miss > 0:
            self.for_s += for_s
            self.area += miss * for_s
            self.most = max(self.most, miss)

    @property
    def mean(self) -> float:
        return self.area / self.for_s if self.for_s else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Concession:
    """What one app gave.

    Attributes:
        app: Its name.
        weight: Its importance, last in force.
        present_s: Time for which it was there, and plans were made for it.
        late: Time for which it was foreseen late, and by which share of its target: mean over that time, and most.
        short: The same below its accuracy floor.
        crowded_s: Time for which its unit was foreseen to be overloaded, or its gear too slow for its requests.
        waited_s: Time for which no unit was there that it could run on.
        starved: In words, each target under which none of its requests was on time.
    """

    app: str
    weight: float
    present_s: float
    late: _Side = field(default_factory=_Side)
    short: _Side = field(default_factory=_Side)
    crowded_s: float = 0.0
    waited_s: float = 0.0
    starved: tuple[str, ...] = ()

    @property
    def gave(self) -> bool:
        """True if it gave anything, or got nothing."""
        return bool(self.late.for_s or self.short.for_s or self.crowded_s or self.waited_s or self.starved)


def concessions(notes: Sequence[OutlookNote], summary: Summary) -> list[Concession]:
    """Return what each app of a run gave, in the order of the summary; those that were never planned for are left out.

    Args:
        notes: What each decision's plan was foreseen to miss, in order of time.
        summary: The summary of the run.
    """
    present_s: dict[str, float] = defaultdict(float)
    weights: dict[str, float] = {}
    sides: dict[str, tuple[_Side, _Side]] = defaultdict(lambda: (_Side(), _Side()))
    crowded_s: dict[str, float] = defaultdict(float)
    waited_s: dict[str, float] = defaultdict(float)
    for note, until_s in _in_force(notes, summary.duration_s):
        for_s = until_s - max(0.0, note.now_s)
        if for_s <= 0:
            continue
        for app, inputs in note.apps.items():
            present_s[app] += for_s
            weights[app] = float(inputs.get("weight", 1.0))
        if note.outlook is None:
            continue
        for miss in note.outlook.misses:
            late, short = sides[miss.app]
            late.add(miss.late, for_s)
            short.add(miss.short, for_s)
        crowded = {app for one in note.outlook.overloads for app in one.apps} | set(note.outlook.swamped)
        for app in crowded:
            crowded_s[app] += for_s
        for app in note.outlook.waits:
            waited_s[app] += for_s
    return [
        Concession(
            app=name,
            weight=weights[name],
            present_s=present_s[name],
            late=sides[name][0],
            short=sides[name][1],
            crowded_s=crowded_s[name],
            waited_s=waited_s[name],
            starved=starved(app),
        )
        for name, app in summary.apps.items()
        if name in present_s
    ]


def _in_force(notes: Sequence[OutlookNote], end_s: float) -> list[tuple[OutlookNote, float]]:
    """Return each note with the time until which it held, within the run."""
    ends_s = [min(later.now_s, end_s) for _, later in pairwise(notes)] + [end_s]
    return list(zip(notes, ends_s[: len(notes)], strict=True))


def starved(app: AppSummary) -> tuple[str, ...]:
    """Return in words each target of an app under which none of its requests was on time."""
    several = len(app.segments) > 1
    return tuple(
        f"none of {one.n} requests on time" + (f" from {one.from_s:g} s" if several else "")
        for one in app.segments
        if one.n and one.on_time == 0.0
    )


def concession_words(one: Concession) -> str:
    """Return what an app gave: `garage (weight 1): foreseen late for 60 % of its time, by 12 % (at most 35 %)`."""
    said = []
    for side, words in ((one.late, "foreseen late"), (one.short, "foreseen below its floor")):
        if side.for_s:
            by = f"by {per_cent(side.mean)}"
            most = f" (at most {per_cent(side.most)})" if side.most > 1.005 * side.mean else ""
            said.append(f"{words} for {_time(side.for_s, one)}, {by}{most}")
    if one.crowded_s:
        said.append(f"on cores foreseen to be overloaded for {_time(one.crowded_s, one)}")
    if one.waited_s:
        said.append(f"without a unit for {_time(one.waited_s, one)}")
    return f"{one.app} (weight {one.weight:g}): {'; '.join([*said, *one.starved])}"


def _time(for_s: float, one: Concession) -> str:
    return f"{100 * for_s / one.present_s:.0f} % of its time"


def concession_lines(given: Sequence[Concession]) -> list[str]:
    """Return a line for each app that gave anything, the one that gave most by weight first."""
    gave = [one for one in given if one.gave]
    return [
        concession_words(one) for one in sorted(gave, key=lambda one: -one.weight * (one.late.area + one.short.area))
    ]
