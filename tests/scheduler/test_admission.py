"""Whoever joins is told what the plan foresees: accepted, or degraded with who gives way and by how much."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.app_inputs import make_inputs
from helpers.fake_world import BOARD, PROFILE, gear, make_spec, make_world, retarget
from helpers.scripted import Scripted
from scheduler.admission import MISSED, outlook_of
from scheduler.decisions import Decision, Grounds, snapshot_of, unlimited
from scheduler.inputs import Inputs
from scheduler.messages import AppJoined, Event, PowerCapped, UnitLimited
from scheduler.policies import Joint, appraise, problem_of
from scheduler.policies.proof import within_of
from scheduler.problem import Allocation
from scheduler.views import Plan

WANTS = st.fixed_dictionaries(
    {
        "target_ms": st.sampled_from([1.0, 3.0, 8.0, 30.0, 100.0]),
        "min_accuracy": st.sampled_from([0.0, 0.7, 0.9, 0.95]),
        "weight": st.sampled_from([1e-6, 0.5, 3.0]),
        "rate_hz": st.sampled_from([1.0, 20.0, 90.0]),
        "own_ratio": st.sampled_from([0.5, 1.0]),
    }
)


def snapshot(wants, cap_w=None):
    facts = Grounds.of(BOARD, [make_spec(app) for app in wants], "energy")
    units = {unit.name: unlimited(BOARD, unit.name) for unit in BOARD.units}
    inputs = Inputs(apps={app: make_inputs(**one) for app, one in wants.items()}, units=units, power_cap_w=cap_w)
    return snapshot_of(facts, Decision(now_s=0.0, inputs=inputs, gears=dict.fromkeys(wants), paces=False))


def joins(app="b"):
    return Event(change=AppJoined(app=app), text=f"{app} joins")


@settings(max_examples=60)
@given(wants=st.lists(WANTS, min_size=1, max_size=5), cap_w=st.none() | st.sampled_from([0.31, 0.5, 5.0]))
def test_an_app_gives_exactly_where_the_plan_is_foreseen_to_miss_something_of_it(wants, cap_w):
    shown = snapshot({f"a{number}": one for number, one in enumerate(wants)}, cap_w)
    plan = Joint().decide(shown)
    figures = appraise(plan, shown)
    outlook = outlook_of(plan, shown, figures)
    weights = {view.app: view.weight for view in shown.apps}
    terms = {app: term / weights[app] for app, term in figures.app_terms.items()}
    assert {one.app for one in outlook.misses} == {app for app, term in terms.items() if term > MISSED}
    for one in outlook.misses:
        assert one.late + one.short == pytest.approx(terms[one.app])
        assert (one.late > 0) == (one.latency_ms > one.target_ms)
        assert one.weight == weights[one.app]
    assert {one.unit for one in outlook.overloads} == {u for u, term in figures.unit_terms.items() if term > MISSED}
    assert (outlook.power_w is not None) == (figures.cap_term > MISSED)
    assert (outlook.verdict == "degraded") == bool(outlook.giving)


def test_those_who_join_are_told_once_and_a_target_that_cannot_be_met_is_named():
    world = make_world(Joint(), specs=[make_spec("a"), make_spec("b", present=False, target_ms=1.0, weight=0.5)])
    world.run(1.0)
    (first,) = world.logs("admission")
    assert (first["joined"], first["outlook"]["misses"], first["best"]) == (["a"], [], True)
    world.send(joins())
    world.run(2.0)
    _, answer = world.logs("admission")
    assert (answer["joined"], answer["present"]) == (["b"], 2)
    (miss,) = answer["outlook"]["misses"]
    assert (miss["app"], miss["weight"], miss["target_ms"]) == ("b", 0.5, 1.0)
    assert miss["late"] == pytest.approx(miss["latency_ms"] / 1.0 - 1)
    assert miss["late"] > 0


def test_another_one_may_give_way_to_the_one_that_joins():
    """Both fit on one core only, and the one of little weight waits for the other."""
    policy = Scripted({"a": gear("l", "big", 2), "b": gear("l", "big", 2)})
    specs = [make_spec("a", target_ms=60.0, weight=0.1), make_spec("b", present=False)]
    world = make_world(policy, specs=specs)
    world.run(1.0)
    world.send(joins())
    before, after = world.logs("admission")
    assert before["outlook"]["misses"] == []
    assert ([one["app"] for one in after["outlook"]["misses"]], after["joined"]) == (["a"], ["b"])


def test_an_event_that_changes_who_gives_is_told_and_one_that_does_not_is_not():
    world = make_world(Joint(), ("a",), specs=[make_spec("a")])
    world.run(1.0)
    world.send(retarget(target_ms=1.0))
    world.send(retarget(target_ms=0.9))
    world.send(Event(change=PowerCapped(power_cap_w=0.01), text="cap"))
    world.send(Event(change=PowerCapped(power_cap_w=None), text="no cap"))
    world.send(retarget(target_ms=100.0))
    told = [
        (one["joined"], len(one["outlook"]["misses"]), one["outlook"]["power_cap_w"]) for one in world.logs("admission")
    ]
    assert told == [(["a"], 0, None), ([], 1, None), ([], 1, 0.01), ([], 1, None), ([], 0, None)]


def test_one_that_no_unit_can_serve_waits_and_is_named():
    rungs = PROFILE.rungs
    on_gpu = replace(PROFILE, rungs=tuple(replace(one, times=one.times[-1:]) for one in rungs))
    specs = [make_spec("a"), make_spec("b", present=False, profile=on_gpu)]
    world = make_world(Joint(), specs=specs)
    world.run(1.0)
    world.send(Event(change=UnitLimited(unit="gpu", max_mhz=None, cpus_online=(), other_load=0.0), text="away"))
    world.send(joins())
    answer = world.logs("admission")[-1]
    assert answer["joined"] == ["b"]
    assert list(answer["outlook"]["waits"]) == ["b"]
    assert "gpu" in answer["outlook"]["waits"]["b"]


def test_nothing_is_foreseen_under_a_governor_and_it_says_so():
    shown = snapshot({"a": {}})
    plan = Plan(gears={"a": gear()}, clocks={unit.name: "schedutil" for unit in shown.units})
    outlook = outlook_of(plan, shown, appraise(plan, shown))
    assert (outlook.verdict, outlook.governed) == ("unforeseen", ("big", "little", "gpu"))


def test_an_app_too_much_for_its_gear_is_named_though_no_latency_is_foreseen():
    shown = snapshot({"a": {"rate_hz": 90.0}, "b": {}})
    plan = Plan(gears={"a": gear("l"), "b": gear("s")}, clocks={unit.name: unit.mhz_allowed[0] for unit in shown.units})
    outlook = outlook_of(plan, shown, appraise(plan, shown))
    assert (outlook.verdict, outlook.swamped) == ("degraded", ("a",))


class TestWithin:
    """How far an answer is from the best at most."""

    @staticmethod
    def within(objective="energy", **figures):
        point = snapshot({"a": {}}).apps[0].points[0]
        problem = replace(problem_of(snapshot({"a": {"weight": 2.0}})), objective=objective)
        given = {"power_w": 1.0, "violation": 0.0, "optimal": False, "bound": 0.98, "violation_bound": 0.0, **figures}
        answer = Allocation(choice={"a": point}, mhz={}, cpus={}, latency_ms={}, **given)
        return within_of(answer, problem), point

    def test_a_power_against_its_bound(self):
        assert self.within()[0] == pytest.approx(0.02)
        assert self.within(optimal=True)[0] == 0.0

    def test_an_accuracy_against_its_bound(self):
        found, point = self.within("accuracy", bound=2 * 0.8)
        assert found == pytest.approx(1 - point.accuracy / 0.8)

    def test_a_violation_against_its_bound(self):
        assert self.within(violation=0.5, violation_bound=0.4)[0] == pytest.approx(0.2)
        assert self.within(violation=0.5, violation_bound=0.5)[0] == pytest.approx(0.02)
