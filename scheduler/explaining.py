"""Explains a plan: what binds, what else was possible, and what each constraint costs.

`explain` poses the decision again, as the manager posed it, and then with one thing changed at a time:

- **Costs.** Each target, floor, cap, limit of a unit, and each application's load is dropped in turn. What the best
  plan then gains is what that constraint costs. Where it gains something, the constraint *binds*.
- **The runner-up** is the best plan in which at least one application is in another gear. Any such plan lacks the
  chosen gear of some application, so it is the best of those plans that lack the first one's, the second one's, ...

**Example.** A camera with a floor of 0.80 runs `large`, and the units take 0.52 W. Without the floor the best plan has
it run `small` for 0.40 W: the floor costs 0.12 W. Its target of 200 ms is met at the lowest clock anyway: it costs
nothing, and does not bind.

All plans are valued by `appraise`, and best plans are those of `Joint` without gears to keep. This module does not know
logs, words or policies by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from scheduler.decisions import Decision, Grounds, snapshot_of, unlimited
from scheduler.inputs import UnitInputs
from scheduler.objectives import OBJECTIVES, ObjectiveName, Quantity
from scheduler.policies import Joint, appraise, gear_of
from scheduler.problem import OperatingPoint, Points
from scheduler.solver import Evaluation
from scheduler.views import AppView, Gear, Plan, Snapshot

ConstraintKind = Literal["target", "floor", "load", "cap", "limit"]

_LOOSE = 1e6
"""Factor on a target that is dropped: a problem's targets are finite."""

_SAME = 1e-6
"""Relative difference of two powers, and difference of two other quantities, from which on they are not the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A plan and what it is foreseen to come to.

    Attributes:
        gears: by application, its gear.
        clocks: by unit, its clock in MHz, or the governor that sets it.
        figures: what it comes to; None where a governor sets a clock, or a gear has no operating point at its clock.
        proven: True if it is proven that nothing better exists; None where nobody claims it.
        within: share by which a better plan could be better at most; None where that is not known.
    """

    gears: Mapping[str, Gear]
    clocks: Mapping[str, float | str]
    figures: Evaluation | None
    proven: bool | None
    within: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Constraint:
    """One thing that a plan has to keep to.

    Attributes:
        kind: `target` and `floor` of an application; `load`, that its requests are there at all; `limit` of a unit's
            clocks and CPUs; `cap` of the power.
        name: the application or the unit; None for the cap.
    """

    kind: ConstraintKind
    name: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The gain of the best plan where one constraint is dropped.

    Attributes:
        constraint: what is dropped.
        gains: the first quantity of the objective that gets better; None where none does.
        amount: by how much that gets better, above 0; 0 where nothing does. A power is in watts.
        saves_w: power of the best plan as it is less that without the constraint; below 0 where what is gained (less
            violation, more accuracy) takes power. 0 where nothing is gained, None where power is not known.
        on_time: applications that are foreseen late as it is, and on time without the constraint.
        without: the best plan without it.
    """

    constraint: Constraint
    gains: Quantity | None
    amount: float
    saves_w: float | None
    on_time: tuple[str, ...]
    without: Choice

    @property
    def binds(self) -> bool:
        """True if the best plan would be better without this constraint."""
        return self.gains is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class AppSide:
    """One application under the plan.

    Attributes:
        view: the application as the policy saw it.
        gear: its gear.
        accuracy: accuracy of its sub-network, a fraction; None where unknown.
        latency_ms: latency foreseen for the share of requests that a plan is made for (`points.planned_share`), waiting
            included; None where the plan foresees nothing.
        waits_ms: the part of it that is waiting for other applications.
        quickest: its point of the least latency alone, of those that meet its floor if there are any.
        quickest_ms: that latency.
    """

    view: AppView
    gear: Gear
    accuracy: float | None
    latency_ms: float | None
    waits_ms: float | None
    quickest: OperatingPoint
    quickest_ms: float

    @property
    def late(self) -> bool:
        """True if the latency foreseen is above the target."""
        return self.latency_ms is not None and self.latency_ms > self.view.target_ms * (1 + _SAME)


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """The reasons of a plan.

    Attributes:
        objective: name of the objective.
        powered: True if the power of all units is known.
        chosen: the plan in force.
        apps: the applications under it.
        limits: the limits of the units that have any.
        power_cap_w: cap of the power in force; None for none.
        best: the best plan, whatever gears are in force.
        priced: True if costs and runner-up were looked for.
        kept: True if the plan has the gears that were in force, though others are better by a little.
        runner_up: the best plan with another gear for at least one application; None where there is none, or where the
            plan foresees nothing to compare with.
        costs: for each constraint, what it costs the best plan; empty where `weighs` was false.
    """

    objective: ObjectiveName
    powered: bool
    chosen: Choice
    apps: tuple[AppSide, ...]
    limits: Mapping[str, UnitInputs]
    power_cap_w: float | None
    best: Choice
    priced: bool
    kept: bool
    runner_up: Choice | None
    costs: tuple[Cost, ...]

    @property
    def full(self) -> tuple[str, ...]:
        """The units that are overloaded under the plan."""
        figures = self.chosen.figures
        return tuple(name for name, over in figures.unit_terms.items() if over > _SAME) if figures else ()


def explain(
    grounds: Grounds,
    decision: Decision,
    plan: Plan,
    *,
    weighs: bool = True,
    prices: bool = True,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> Explanation:
    """Explain a plan. That takes some four decisions for each application, and one without prices.

    Args:
        grounds: the facts of the run.
        decision: what the plan rests on.
        plan: the plan in force; it names every application of the decision that can be served.
        weighs: True if the policy looks for the best plan. For another, costs and runner-up would be those of a plan
            that nobody looked for, and only `best` is worked out.
        prices: False to leave out costs and runner-up, where the policy weighs them.
        on_progress: called with the number of decisions made so far, and of all of them.
    """
    snapshot = snapshot_of(grounds, decision)
    chosen = _choice(plan, snapshot)
    best = _best(snapshot)
    apps = tuple(_app_side(grounds, view, chosen) for view in snapshot.apps)
    constraints = list(_constraints(grounds, decision)) if weighs and prices else []
    # The runner-up needs something to be compared with.
    others = snapshot.apps if weighs and prices and chosen.figures is not None else ()
    total = len(constraints) + len(others)
    costs, second = [], []
    for constraint in constraints:
        costs.append(_cost(grounds, decision, snapshot, best, constraint))
        on_progress(len(costs), total)
    for view in others:
        second += _in_another_gear(view, snapshot, chosen)
        on_progress(len(costs) + len(second), total)
    in_force = all(decision.gears.get(app) == gear for app, gear in plan.gears.items())
    return Explanation(
        objective=snapshot.objective,
        powered=grounds.board.powered,
        chosen=chosen,
        apps=apps,
        limits={name: one for name, one in decision.inputs.units.items() if one != unlimited(grounds.board, name)},
        power_cap_w=snapshot.power_cap_w,
        best=best,
        priced=weighs and prices,
        kept=weighs and in_force and best.gears != chosen.gears,
        runner_up=min(second, key=lambda one: _rank(snapshot.objective, one), default=None),
        costs=tuple(costs),
    )


def _choice(plan: Plan, snapshot: Snapshot) -> Choice:
    figures = appraise(plan, snapshot)
    return Choice(
        gears=dict(plan.gears), clocks=dict(plan.clocks), figures=figures, proven=plan.optimal, within=plan.within
    )


def _best(snapshot: Snapshot) -> Choice:
    """Return the best plan, with no gears in force to keep."""
    free = replace(snapshot, apps=tuple(replace(view, gear=None) for view in snapshot.apps))
    return _choice(Joint().decide(free), free)


def _app_side(grounds: Grounds, view: AppView, chosen: Choice) -> AppSide:
    gear, figures = chosen.gears[view.app], chosen.figures
    profile = next(spec.profile for spec in grounds.apps if spec.app == view.app)
    # What was seen of its latencies is in own_ratio and wait_ratio; an evaluation has both sides divided by own_ratio.
    latency_ms = own_ms = None
    if figures is not None:
        latency_ms = view.own_ratio * figures.latency_ms[view.app]
        own_ms = view.own_ratio * figures.own_ms[view.app]
    accurate = [point for point in view.points if point.accuracy >= view.min_accuracy] or view.points
    quickest = min(accurate, key=lambda point: point.latency_ms)
    return AppSide(
        view=view,
        gear=gear,
        accuracy=profile.rung(gear.subnet).accuracy,
        latency_ms=latency_ms,
        waits_ms=None if latency_ms is None or own_ms is None else max(0.0, latency_ms - own_ms),
        quickest=quickest,
        quickest_ms=view.own_ratio * quickest.latency_ms,
    )


# ---------------------------------------------------------------- costs


def _constraints(grounds: Grounds, decision: Decision) -> Iterator[Constraint]:
    """Yield all that a plan has to keep to, application by application, then unit by unit."""
    apps = decision.inputs.apps
    for app, inputs in apps.items():
        yield Constraint(kind="target", name=app)
        if inputs.min_accuracy > 0:
            yield Constraint(kind="floor", name=app)
        if len(apps) > 1:
            yield Constraint(kind="load", name=app)
    for unit, limits in decision.inputs.units.items():
        if limits != unlimited(grounds.board, unit):
            yield Constraint(kind="limit", name=unit)
    if decision.inputs.power_cap_w is not None:
        yield Constraint(kind="cap")


def without(grounds: Grounds, decision: Decision, constraint: Constraint) -> Decision:
    """Return the decision with one constraint dropped."""
    inputs, name = decision.inputs, constraint.name
    match constraint.kind:
        case "cap":
            return replace(decision, inputs=replace(inputs, power_cap_w=None))
        case "limit":
            assert name is not None
            units = {**inputs.units, name: unlimited(grounds.board, name)}
            return replace(decision, inputs=replace(inputs, units=units))
        case "load":
            apps = {app: one for app, one in inputs.apps.items() if app != name}
        case "floor":
            apps = {app: replace(one, min_accuracy=0.0) if app == name else one for app, one in inputs.apps.items()}
        case "target":
            apps = {
                app: replace(one, target_ms=one.target_ms * _LOOSE) if app == name else one
                for app, one in inputs.apps.items()
            }
    return replace(decision, inputs=replace(inputs, apps=apps))


def _cost(grounds: Grounds, decision: Decision, snapshot: Snapshot, best: Choice, constraint: Constraint) -> Cost:
    """Return what a constraint costs the best plan."""
    before = best.figures
    loose = _best(snapshot_of(grounds, without(grounds, decision, constraint)))
    after = loose.figures
    # A plan of Joint has a clock and an operating point everywhere.
    assert before is not None
    assert after is not None
    # The accuracy of an application that is not there is not counted in either of the two.
    gone = constraint.name if constraint.kind == "load" else None
    uncounted = sum(view.weight * _accuracy(view, best.gears[view.app]) for view in snapshot.apps if view.app == gone)
    gains, amount = _gain(snapshot.objective, before, after, uncounted)
    saved_w = before.power_w - after.power_w if gains is not None else 0.0
    return Cost(
        constraint=constraint,
        gains=gains,
        amount=amount,
        saves_w=saved_w if grounds.board.powered else None,
        on_time=tuple(app for app, term in after.app_terms.items() if term <= _SAME < before.app_terms.get(app, 0.0)),
        without=loose,
    )


def _accuracy(view: AppView, gear: Gear) -> float:
    return next(point.accuracy for point in view.points if gear_of(point) == gear)


def _gain(
    objective: ObjectiveName, before: Evaluation, after: Evaluation, uncounted: float
) -> tuple[Quantity | None, float]:
    """Return the first quantity that gets better, and by how much; None and 0 where all stay, or one gets worse.

    It gets worse only where a search did not find the best plan: there are too many applications.

    Args:
        objective: the objective.
        before: the best plan with the constraint.
        after: the best plan without it.
        uncounted: weighted accuracy of an application that is in `before` only.
    """
    for quantity in OBJECTIVES[objective].levels:
        was, now = before.of(quantity), after.of(quantity)
        gain = now - (was - uncounted) if quantity.raised else was - now
        if abs(gain) > _SAME * (max(1.0, was) if quantity is Quantity.POWER else 1.0):
            return (quantity, gain) if gain > 0 else (None, 0.0)
    return None, 0.0


# ---------------------------------------------------------------- the runner-up


def _in_another_gear(view: AppView, snapshot: Snapshot, chosen: Choice) -> list[Choice]:
    """Return the best plan with another gear for one application; none where it has no other."""
    rest = Points.of(point for point in view.points if gear_of(point) != chosen.gears[view.app])
    if not rest:
        return []
    apps = tuple(replace(one, points=rest) if one is view else one for one in snapshot.apps)
    return [_best(replace(snapshot, apps=apps))]


def _rank(objective: ObjectiveName, choice: Choice) -> tuple[float, ...]:
    assert choice.figures is not None  # see `_cost`
    values = ((quantity, choice.figures.of(quantity)) for quantity in OBJECTIVES[objective].levels)
    return tuple(round(-value if quantity.raised else value, 9) for quantity, value in values)
