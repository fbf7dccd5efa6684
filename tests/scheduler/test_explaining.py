"""What an explanation says of a plan is what independent searches find: costs of constraints, and the runner-up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.app_inputs import make_inputs
from helpers.fake_world import BOARD, gear, make_spec
from helpers.snapshots import posed
from scheduler.decisions import Decision, Grounds, snapshot_of, unlimited
from scheduler.explaining import Constraint, Explanation, explain, without
from scheduler.inputs import Inputs
from scheduler.objectives import OBJECTIVES, Quantity
from scheduler.policies import Joint, appraise, evaluate_choice, gear_of
from scheduler.solver import solve
from scheduler.views import Plan

# On units of one core all models of contention agree, so that `solve` alone is the reference.
NARROW = replace(
    BOARD,
    units=(
        replace(BOARD.units[0], cpus=(0,)),
        replace(BOARD.units[1], cpus=(1,), static_w=(0.02, 0.04, 0.08), dynamic_w=(0.05, 0.1, 0.4), speed=0.4),
    ),
)
WANTS = make_inputs()


def grounds(*apps: str, objective="energy", board=NARROW) -> Grounds:
    return Grounds.of(board, [make_spec(app) for app in apps], objective)


def decision(cap_w=None, board=NARROW, gears=None, limits=None, **apps) -> Decision:
    """Return a decision; each application is given by what it wants otherwise than `WANTS`."""
    units = {unit.name: unlimited(board, unit.name) for unit in board.units}
    for name, limit in (limits or {}).items():
        units[name] = replace(units[name], **limit)
    inputs = {app: replace(WANTS, **wants) for app, wants in apps.items()}
    return Decision(
        now_s=0.0,
        inputs=Inputs(apps=inputs, units=units, power_cap_w=cap_w),
        gears=gears or dict.fromkeys(apps),
        paces=False,
    )


def explained(facts: Grounds, made: Decision) -> Explanation:
    return explain(facts, made, Joint().decide(snapshot_of(facts, made)))


def costs(of: Explanation) -> dict[tuple[str, str | None], float]:
    return {(cost.constraint.kind, cost.constraint.name): cost.amount for cost in of.costs}


def best_power_w(facts: Grounds, made: Decision) -> float:
    return solve(posed(snapshot_of(facts, made))).power_w


def test_a_floor_costs_what_the_larger_network_takes_more():
    facts, made = grounds("a"), decision(a={"min_accuracy": 0.7, "target_ms": 500.0})
    said = explained(facts, made)
    assert said.chosen.gears["a"].subnet == "m"
    lower = decision(a={"target_ms": 500.0})
    assert snapshot_of(facts, lower).apps[0].points[0].subnet == "s"
    more_w = best_power_w(facts, made) - best_power_w(facts, lower)
    assert more_w > 0
    assert costs(said) == {("target", "a"): 0.0, ("floor", "a"): pytest.approx(more_w)}
    assert [cost.constraint for cost in said.costs if cost.binds] == [Constraint(kind="floor", name="a")]


def test_a_target_costs_what_being_quicker_takes():
    facts, made = grounds("a"), decision(a={"target_ms": 6.0})
    said = explained(facts, made)
    assert not said.apps[0].late
    more_w = best_power_w(facts, made) - best_power_w(facts, decision(a={"target_ms": 1e9}))
    assert more_w > 0
    assert costs(said) == {("target", "a"): pytest.approx(more_w)}


def test_a_cap_that_keeps_targets_from_being_met_stands_in_the_way():
    said = explained(grounds("a"), decision(cap_w=0.15, a={"target_ms": 6.0}))
    cap = next(cost for cost in said.costs if cost.constraint.kind == "cap")
    assert cap.gains is Quantity.VIOLATION
    assert cap.amount == pytest.approx(said.best.figures.violation)
    assert cap.saves_w < 0
    assert cap.without.figures.violation == 0


def test_a_limit_of_a_unit_and_a_target_that_no_gear_meets_are_told():
    made = decision(limits={"big": {"max_mhz": 500.0}}, a={"target_ms": 5.0})
    said = explained(grounds("a"), made)
    (side,) = said.apps
    assert side.late
    assert side.quickest_ms > 5.0
    assert list(said.limits) == ["big"]
    limit = next(cost for cost in said.costs if cost.constraint.kind == "limit")
    assert limit.on_time == ("a",)


def test_a_load_costs_what_its_requests_take_and_accuracy_is_that_of_who_is_there():
    made = decision(a={}, b={})
    said = explained(grounds("a", "b", objective="accuracy"), made)
    loads = [cost for cost in said.costs if cost.constraint.kind == "load"]
    assert [cost.constraint.name for cost in loads] == ["a", "b"]
    for cost in loads:
        assert cost.gains is Quantity.POWER
        (other,) = {"a", "b"} - {cost.constraint.name}
        alone = solve(posed(snapshot_of(grounds(other, objective="accuracy"), decision(**{other: {}}))))
        assert said.best.figures.power_w - cost.amount == pytest.approx(alone.power_w)


def test_gears_that_are_kept_are_told_apart_from_the_best():
    facts = grounds("a")
    best = explained(facts, decision(a={})).chosen
    second = explained(facts, decision(a={})).runner_up
    assert second.gears != best.gears
    # A policy that keeps its gears whatever they cost.
    made = decision(a={}, gears=dict(second.gears))
    keeping = Joint(hysteresis=1.0).decide(snapshot_of(facts, made))
    said = explain(facts, made, keeping)
    assert said.kept
    assert said.chosen.gears == second.gears
    assert said.best.gears == said.runner_up.gears == best.gears


def test_a_policy_that_does_not_weigh_has_the_best_plan_beside_it():
    facts, made = grounds("a"), decision(a={})
    plan = Plan(gears={"a": gear("l", "big")}, clocks={"big": "schedutil", "little": 500.0})
    said = explain(facts, made, plan, weighs=False)
    assert (said.costs, said.runner_up, said.kept, said.chosen.figures) == ((), None, False, None)
    assert said.apps[0].latency_ms is None
    assert said.best.figures.power_w == pytest.approx(best_power_w(facts, made))


def test_it_says_how_far_it_is():
    facts, made = grounds("a", "b"), decision(a={"min_accuracy": 0.7}, b={})
    told = []
    plan = Joint().decide(snapshot_of(facts, made))
    explain(facts, made, plan, on_progress=lambda done, total: told.append((done, total)))
    # Two targets, a floor, two loads; then each application in another gear.
    assert told == [(done, 7) for done in range(1, 8)]


def test_without_power_figures_no_cost_is_in_watts():
    units = tuple(replace(unit, static_w=None, dynamic_w=None) for unit in NARROW.units)
    unpowered = replace(NARROW, units=units)
    said = explained(grounds("a", board=unpowered), decision(board=unpowered, a={"min_accuracy": 0.7}))
    assert not said.powered
    assert {cost.saves_w for cost in said.costs} == {None}


wants = st.fixed_dictionaries(
    {
        "target_ms": st.sampled_from([4.0, 12.0, 30.0, 200.0]),
        "min_accuracy": st.sampled_from([0.0, 0.7, 0.9]),
        "rate_hz": st.sampled_from([2.0, 20.0, 60.0]),
        "weight": st.sampled_from([1.0, 3.0]),
    }
)


caps_w = st.sampled_from([None, 0.2, 1.0])
objectives = st.sampled_from(list(OBJECTIVES))


@settings(max_examples=30, deadline=None)
@given(a=wants, cap_w=caps_w, objective=objectives)
def test_costs_are_those_of_independent_searches_and_never_negative(a, cap_w, objective):
    facts, made = grounds("a", objective=objective), decision(cap_w=cap_w, a=a)
    said = explained(facts, made)
    before = solve(posed(snapshot_of(facts, made)))
    assert said.best.figures.power_w == pytest.approx(before.power_w)
    assert said.best.figures.violation == pytest.approx(before.violation)
    for cost in said.costs:
        assert cost.amount >= 0
        assert cost.binds == (cost.amount > 0)
        after = solve(posed(snapshot_of(facts, without(facts, made, cost.constraint))))
        if cost.gains is Quantity.POWER:
            assert cost.amount == cost.saves_w == pytest.approx(before.power_w - after.power_w)
        elif cost.gains is Quantity.VIOLATION:
            assert cost.amount == pytest.approx(before.violation - after.violation)
        elif cost.gains is None:
            assert after.power_w == pytest.approx(before.power_w, rel=1e-5)
            assert cost.saves_w == 0


@settings(max_examples=15, deadline=None)
@given(a=wants, b=wants, objective=objectives)
def test_so_are_those_of_applications_that_share_a_board(a, b, objective):
    facts, made = grounds("a", "b", objective=objective), decision(a=a, b=b)
    said = explained(facts, made)
    for cost in said.costs:
        snapshot = snapshot_of(facts, without(facts, made, cost.constraint))
        after = appraise(Joint().decide(snapshot), snapshot)
        assert cost.without.figures == after
        if cost.gains is Quantity.POWER:
            assert cost.amount == cost.saves_w == pytest.approx(said.best.figures.power_w - after.power_w)
        elif cost.gains is Quantity.VIOLATION:
            assert cost.amount == pytest.approx(said.best.figures.violation - after.violation)


@settings(max_examples=30, deadline=None)
@given(a=wants)
def test_the_runner_up_is_the_best_of_all_plans_in_another_gear(a):
    facts, made = grounds("a"), decision(a=a)
    said = explained(facts, made)
    snapshot = snapshot_of(facts, made)
    values = []
    for point in snapshot.apps[0].points:
        if gear_of(point) != said.chosen.gears["a"]:
            clocks = {unit.name: unit.mhz_allowed[0] for unit in snapshot.units} | {point.unit: point.mhz}
            figures = evaluate_choice(snapshot, {"a": point}, clocks, {"a": tuple(range(point.cores))})
            values.append((round(figures.violation, 9), figures.power_w))
    if not values:
        assert said.runner_up is None
        return
    second = said.runner_up.figures
    assert (second.violation, second.power_w) == pytest.approx(min(values), abs=1e-8)
    assert second == appraise(Plan(gears=said.runner_up.gears, clocks=said.runner_up.clocks), snapshot)
