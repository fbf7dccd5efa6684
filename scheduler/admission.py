"""Says what a plan gives up, and tells an application that joins whether it gets what it asked for.

No application is refused: where no plan meets everything, the policy finds one that misses as little as it can, by
weight, and whoever is to miss something is named. So an application that joins is *accepted*, or *accepted degraded*
with what gives way; its own target may be met, and that of another give way.

**Example.** A camera of weight 1 joins on a full unit. The best plan has it answer in 108 ms, 35 % over its target of
80 ms, and keeps the door of weight 3 at its 50 ms: the camera is accepted degraded, and it is the camera that gives.

This module looks at plans that a policy has made; it does not know how. Words are made elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from scheduler.messages import Log
from scheduler.policies import points_of
from scheduler.problem import FULL_LOAD
from scheduler.solver import Evaluation
from scheduler.views import AppView, Plan, Snapshot

MISSED = 1e-6
"""Relative miss from which on something is missed, as explanations have it; the solver proves misses to 1e-7."""

Verdict = Literal["accepted", "degraded", "unforeseen"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AppMiss:
    """What one application is foreseen to miss.

    Attributes:
        app: its name.
        weight: its importance.
        target_ms: its latency target.
        latency_ms: latency foreseen for the share of its requests that a plan is made for, waiting included.
        late: relative excess of that latency over the target: 0.35 for 108 ms of 80; 0 where it is met.
        min_accuracy: its accuracy floor, a fraction; 0 for none.
        accuracy: accuracy of its sub-network, a fraction; 0 where it is unknown.
        short: relative lack of that accuracy: 0.1 for 0.72 of 0.80; 0 where the floor is kept.
    """

    app: str
    weight: float
    target_ms: float
    latency_ms: float
    late: float
    min_accuracy: float
    accuracy: float
    short: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Overload:
    """A unit of which more is asked than it can give.

    Attributes:
        unit: its name.
        load: core time asked for over core time that there is, on its most loaded CPU; above `FULL_LOAD`.
        apps: the applications on it; requests of any of them may queue for long.
    """

    unit: str
    load: float
    apps: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """All that a plan is foreseen to miss; empty where everything is met.

    Attributes:
        misses: the applications that are foreseen late or below their floor, in their order.
        overloads: the units that are overloaded.
        swamped: applications whose gear, at its clock, would keep its cores busy for more than `FULL_LOAD` of the time.
            The plan then foresees no latencies.
        waits: by application that has no gear in the plan, since no unit that it can run on is there, the reason.
        power_w: power foreseen, where it is above the cap; else None.
        power_cap_w: that cap; else None.
        governed: the units whose clock a governor sets; nothing else is then foreseen.
    """

    misses: tuple[AppMiss, ...] = ()
    overloads: tuple[Overload, ...] = ()
    swamped: tuple[str, ...] = ()
    waits: Mapping[str, str] = field(default_factory=dict)
    power_w: float | None = None
    power_cap_w: float | None = None
    governed: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """`accepted` where everything is met, `degraded` where anything is missed, else `unforeseen`."""
        if self.giving:
            return "degraded"
        return "unforeseen" if self.governed else "accepted"

    @property
    def giving(self) -> frozenset[str]:
        """Who or what gives anything: applications, overloaded units, and `cap`, each with its kind before it."""
        apps = {f"app {name}" for name in (*(one.app for one in self.misses), *self.swamped, *self.waits)}
        units = {f"unit {one.unit}" for one in self.overloads}
        return frozenset(apps | units | ({"cap"} if self.power_w is not None else set()))

    def plain(self) -> dict[str, object]:
        """Return it as plain values, for the epoch log."""
        return {
            **asdict(self),
            "misses": [asdict(one) for one in self.misses],
            "overloads": [{**asdict(one), "apps": list(one.apps)} for one in self.overloads],
            "swamped": list(self.swamped),
            "governed": list(self.governed),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """An answer to applications that join, or news of what gives way after an event.

    Attributes:
        now_s: time of the answer, board time.
        joined: the applications that it is for; empty where none joined and an event changed who gives anything.
        present: number of applications there are now.
        outlook: what the plan is foreseen to miss.
        best: True if nothing better is proven to exist, False if that is not proven; None where the policy claims
            nothing.
        within: share by which a better plan could be better at most (`Plan.within`).
    """

    now_s: float
    joined: tuple[str, ...]
    present: int
    outlook: Outlook
    best: bool | None
    within: float | None


def outlook_of(
    plan: Plan, snapshot: Snapshot, figures: Evaluation | None, waits: Mapping[str, str] | None = None
) -> Outlook:
    """Return what a plan is foreseen to miss.

    Args:
        plan: the plan.
        snapshot: the snapshot that it answers.
        figures: what it comes to, from `scheduler.policies.appraise`; None where that cannot tell.
        waits: by application that the snapshot leaves out, the reason.
    """
    waits = dict(waits or {})
    if figures is None:
        governed = tuple(unit for unit, clock in plan.clocks.items() if isinstance(clock, str))
        swamped = () if governed else tuple(view.app for view in snapshot.apps if not _at_its_clock(plan, view))
        return Outlook(waits=waits, swamped=swamped, governed=governed)
    over_cap = figures.cap_term > MISSED
    return Outlook(
        misses=tuple(_misses(plan, snapshot, figures)),
        overloads=tuple(
            Overload(
                unit=unit,
                load=FULL_LOAD * (1 + term),
                apps=tuple(app for app, gear in plan.gears.items() if gear.unit == unit),
            )
            for unit, term in figures.unit_terms.items()
            if term > MISSED
        ),
        waits=waits,
        power_w=figures.power_w if over_cap else None,
        power_cap_w=snapshot.power_cap_w if over_cap else None,
    )


def _at_its_clock(plan: Plan, view: AppView) -> bool:
    gear = plan.gears[view.app]
    return any(point.mhz == plan.clocks[gear.unit] for point in points_of(gear, view))


def _misses(plan: Plan, snapshot: Snapshot, figures: Evaluation) -> Iterator[AppMiss]:
    for view in snapshot.apps:
        # Weights may be small, and what is missed is not smaller for that.
        if figures.app_terms[view.app] <= MISSED * view.weight:
            continue
        # An evaluation has both latency and target divided by own_ratio (`problem_of`).
        latency_ms = view.own_ratio * figures.latency_ms[view.app]
        accuracy = points_of(plan.gears[view.app], view)[0].accuracy
        yield AppMiss(
            app=view.app,
            weight=view.weight,
            target_ms=view.target_ms,
            latency_ms=latency_ms,
            late=max(0.0, latency_ms / view.target_ms - 1),
            min_accuracy=view.min_accuracy,
            accuracy=accuracy,
            short=max(0.0, 1 - accuracy / view.min_accuracy) if view.min_accuracy else 0.0,
        )


class Admissions:
    """Answers applications that join, each once, and says when an event changes who gives anything."""

    def __init__(self) -> None:
        self._answered: frozenset[str] = frozenset()
        self._giving: frozenset[str] = frozenset()

    def told(self, plan: Plan, outlook: Outlook, apps: Collection[str], now_s: float, *, happened: bool) -> list[Log]:
        """Take in a decision, and return the log entry of an answer if there is one.

        Between events, figures that are learned may move a plan over its targets and back every few epochs. That is
        told in the entries of decisions alone.

        Args:
            plan: the plan.
            outlook: what it is foreseen to miss.
            apps: the applications present, those that wait for a unit included.
            now_s: present time, board time.
            happened: True if an event led to the decision, among other things.
        """
        joined = tuple(app for app in apps if app not in self._answered)
        self._answered = frozenset(apps)
        if not joined and not (happened and outlook.giving != self._giving):
            return []
        self._giving = outlook.giving
        answer = Admission(
            now_s=now_s, joined=joined, present=len(apps), outlook=outlook, best=plan.optimal, within=plan.within
        )
        fields = {**asdict(answer), "joined": list(joined), "outlook": outlook.plain()}
        return [Log(kind="admission", fields=fields)]
