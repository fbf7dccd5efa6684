"""A unit that nobody uses goes off, and is back before anybody is there; see `SwitchingWorld` for what is never so."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.fake_world import gear, quiet, retarget
from helpers.scripted import Scripted
from helpers.switching_world import SWITCHING_BOARD, TOOK_MS, SwitchingWorld
from scheduler.messages import (
    Activate,
    ClockSet,
    Pin,
    Prepared,
    SetClock,
    SwitchUnit,
    UnitSwitched,
)
from scheduler.transition import ACK_TIMEOUT_S, Transition
from scheduler.unit_transition import LEAST_REST_S, REST_PER_SWITCH, UnitSwitching
from scheduler.views import Plan

REST_S = REST_PER_SWITCH * 2 * TOOK_MS / 1000
"""The rest before the unit goes off, once both ways have been measured."""


def world_at_rest(policy: Scripted, **how: float) -> SwitchingWorld:
    """Return a world in which the second unit has gone off."""
    world = SwitchingWorld(policy, ("a", "b"), **how)
    world.run(LEAST_REST_S + 2.0)
    assert world.off == {"little"}
    return world


def move(world: SwitchingWorld, policy: Scripted, unit: str) -> None:
    """Have application b go to a unit."""
    policy.gears["b"] = gear("s", unit)
    world.send(retarget())


@pytest.mark.parametrize("clock", [1000.0, "schedutil"])
def test_a_unit_without_application_goes_off_and_comes_back_first_of_all(clock: float | str) -> None:
    policy = Scripted(dict.fromkeys("ab", gear()), {"little": clock})
    world = world_at_rest(policy)
    world.effects.clear()
    move(world, policy, "little")
    world.run(1.0)
    world.assert_arrived()
    order = [e for e in quiet(world.effects) if isinstance(e, SwitchUnit | SetClock | Pin | Activate)]
    assert [type(e) for e in order[:4]] == [SwitchUnit, SetClock, Pin, Activate]
    assert order[0] == SwitchUnit(unit="little", on=True, plan=2)
    assert order[1] == SetClock(unit="little", clock=clock, plan=1)


def test_a_unit_that_is_off_is_no_change_to_decide_on() -> None:
    world = world_at_rest(Scripted(dict.fromkeys("ab", gear())))
    assert len(world.plans) == 1
    assert world.manager.settled


def test_a_unit_stays_on_while_it_was_used_lately() -> None:
    policy = Scripted({"a": gear(), "b": gear("s", "little")})
    world = SwitchingWorld(policy, ("a", "b"))
    for unit in ("big", "little") * 5:
        world.run(LEAST_REST_S - 0.5)
        move(world, policy, unit)
    assert world.switched == []


def test_a_unit_stays_on_while_a_silent_worker_may_run_there() -> None:
    policy = Scripted({"a": gear(), "b": gear("s", "little")})
    world = SwitchingWorld(policy, ("a", "b"))
    world.run(1.0)
    world.workers["b"].silent = True
    move(world, policy, "big")
    world.run(3 * LEAST_REST_S)
    assert world.off == set()
    world.workers["b"].silent = False
    world.run(2 * LEAST_REST_S)
    world.assert_arrived()


def test_a_unit_stays_on_until_its_last_thread_is_known_to_have_left() -> None:
    policy = Scripted({"a": gear(), "b": gear("s", "little")})
    world = SwitchingWorld(policy, ("a", "b"), delay_s=0.2)
    world.run(2.0)
    worker = world.workers["b"]
    move(world, policy, "big")
    while worker.gear != gear():
        world.run(0.01)
    worker.silent = True  # it runs on the other unit, and is still pinned to both
    world.run(3 * LEAST_REST_S)
    assert (world.off, worker.pinned) == (set(), {0, 1, 2} - {0 if worker.cpus == (1,) else 1})
    worker.silent = False
    world.run(2 * LEAST_REST_S)
    world.assert_arrived()


def test_the_rest_grows_with_the_time_that_switching_takes() -> None:
    policy = Scripted(dict.fromkeys("ab", gear()))
    world = world_at_rest(policy)
    for unit in ("little", "big"):
        move(world, policy, unit)
        world.run(1.0)
    left_s = world.now_s
    world.run(REST_S - 1.5)
    assert world.off == set()
    world.run(2.0)
    assert world.off == {"little"}
    assert world.switched[-1][0] >= left_s - 1.0 + REST_S


def test_a_unit_that_does_not_come_on_is_away_until_it_does() -> None:
    policy = Scripted(dict.fromkeys("ab", gear()))
    world = world_at_rest(policy)
    world.stuck = "it is stuck"
    move(world, policy, "little")
    world.run(0.2)
    assert {"unit": "little", "on": True, "fault": "it is stuck"} in world.logs("switch")
    assert "little went away (it is stuck)" in [entry["text"] for entry in world.logs("event")]
    # The next plan has to do without it.
    assert [unit.name for unit in policy.snapshots[-1].units] == ["big", "gpu"]
    move(world, policy, "big")
    world.run(1.0)
    assert world.workers["b"].gear == gear()
    world.stuck = None
    world.run(2 * REST_S)
    assert "little came back" in [entry["text"] for entry in world.logs("event")]
    assert [fields for fields in world.logs("switch") if "fault" in fields] == [
        {"unit": "little", "on": True, "fault": "it is stuck"}
    ]


def test_an_order_that_is_not_answered_is_given_again() -> None:
    world = SwitchingWorld(Scripted(dict.fromkeys("ab", gear())), ("a", "b"))
    world.run(LEAST_REST_S)
    world.loss = 1.0
    world.run(ACK_TIMEOUT_S + 1.0)
    assert {"unit": "little", "waiting_for": "SwitchUnit"} in world.logs("unhealthy")
    world.loss = 0.0
    world.run(ACK_TIMEOUT_S + 1.0)
    world.assert_arrived()


UNITS = st.sampled_from(["big", "big", "little", "gpu"])
GEARS = st.builds(gear, st.sampled_from("sm"), UNITS)
CLOCKS = st.dictionaries(UNITS, st.sampled_from([500.0, 1000.0, 2000.0, "schedutil"]))
APPS = ("a", "b", "c")
PLANS = st.tuples(st.fixed_dictionaries(dict.fromkeys(APPS, GEARS)), CLOCKS, st.sampled_from([0.1, 0.5, 2.2, 7.0]))
HAPPENINGS = st.lists(st.tuples(PLANS, st.sampled_from([None, None, *APPS])), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    happenings=HAPPENINGS,
    seed=st.integers(0, 10_000),
    delay_s=st.sampled_from([0.0, 0.05, 0.4]),
    loss=st.sampled_from([0.0, 0.0, 0.2]),
)
def test_nobody_is_ever_on_a_unit_that_is_off(happenings, seed, delay_s, loss) -> None:
    """Plans superseding each other, workers killed, answers late, out of order or lost."""
    policy = Scripted(dict.fromkeys(APPS, gear()))
    world = SwitchingWorld(policy, APPS, seed=seed, delay_s=delay_s, loss=loss)
    for (gears, clocks, pause_s), victim in happenings:
        policy.gears, policy.clocks = gears, clocks
        world.send(retarget())
        if victim is not None and world.workers[victim].alive:
            world.kill(victim)
        world.run(pause_s)
    world.loss = 0.0
    world.run(12.0 + REST_S)
    world.assert_arrived()
    assert not world.logs("policy_failed")
    for (came_s, _, on), (went_s, _, off) in pairwise(world.switched):
        assert on != off
        assert not on or went_s - came_s >= LEAST_REST_S
    world.effects.clear()
    world.run(2 * REST_S)
    assert quiet(world.effects) == []


def switch_of(**state: object) -> UnitSwitching:
    return UnitSwitching("little", allowed=True, **state)


@pytest.mark.parametrize("changes", [{"plan": 1}, {"on": True}])
def test_an_answer_to_another_order_changes_nothing(changes: dict[str, object]) -> None:
    switch = switch_of()
    switch.ask(SwitchUnit(unit="little", on=False, plan=2), 5.0)
    answer = {"unit": "little", "on": False, "plan": 2, "took_ms": 1.0, **changes}
    assert switch.on_switched(UnitSwitched(**answer)) is None
    assert not switch.usable


def test_a_unit_that_would_not_go_is_on_and_tried_again_after_a_rest() -> None:
    switch = switch_of()
    switch.ask(SwitchUnit(unit="little", on=False, plan=1), 5.0)
    ack = UnitSwitched(unit="little", on=False, plan=1, took_ms=0.0, fault="a request still runs there")
    assert switch.on_switched(ack) is not None
    assert switch.usable
    assert switch.next_order(used=False, may_go=True, plan=1, now_s=5.1) is None
    again = switch.next_order(used=False, may_go=True, plan=1, now_s=5.1 + LEAST_REST_S)
    assert again == SwitchUnit(unit="little", on=False, plan=1)


@pytest.mark.parametrize("clock", [500.0, "schedutil"])
def test_an_order_to_go_that_is_under_way_is_overtaken(clock: float | str) -> None:
    """The unit may be off by then, or not: it is not used before it has answered that it is on."""
    transition = Transition(SWITCHING_BOARD)
    transition.join("a", running=True)
    clocks = {unit.name: clock for unit in SWITCHING_BOARD.units}
    transition.aim(Plan(gears={"a": gear()}, clocks=clocks), {"a": (0,)}, 1, "start")
    for effect in transition.advance(0.0):
        if isinstance(effect, SetClock):
            transition.acknowledge(ClockSet(unit=effect.unit, clock=effect.clock, plan=1))
    transition.advance(0.1)
    assert transition.advance(0.1 + LEAST_REST_S) == [SwitchUnit(unit="little", on=False, plan=1)]
    transition.aim(Plan(gears={"a": gear("s", "little")}, clocks=clocks), {"a": (2,)}, 2, "more")
    assert SwitchUnit(unit="little", on=True, plan=2) in transition.advance(3.0)
    transition.acknowledge(Prepared(app="a", gear=gear("s", "little"), plan=2))
    transition.acknowledge(UnitSwitched(unit="little", on=False, plan=1, took_ms=1.0))
    assert transition.advance(3.1) == []
    transition.acknowledge(UnitSwitched(unit="little", on=True, plan=2, took_ms=1.0))
    assert SetClock(unit="little", clock=clock, plan=1) in transition.advance(3.2)
