"""The manager decides when there is anything new, survives policies that fail, and logs what it did."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest

from helpers.fake_world import BOARD, EPOCH_S, gear, make_profile, make_spec, make_world, quiet, retarget
from helpers.scripted import Scripted, Watchful
from helpers.settled_world import observed, settled_world
from scheduler.manager import Manager
from scheduler.messages import (
    AppJoined,
    AppLeft,
    Event,
    Log,
    Prepare,
    Repinned,
    SetClock,
    Telemetry,
    Tick,
    UnitLimited,
    UnitTelemetry,
)
from scheduler.policies import HINDSIGHT, NETWORKS, Joint, make_policy
from scheduler.views import Plan


class Faulty(Scripted):
    fault: Exception | None = None

    def decide(self, snapshot):
        if self.fault:
            raise self.fault
        return super().decide(snapshot)


class Unchecked(Scripted):
    """A policy that plans its gears as they are, whichever applications are present."""

    def decide(self, snapshot):
        return Plan(gears=self.gears, clocks={unit.name: unit.mhz_allowed[0] for unit in snapshot.units})


class Elsewhere(Scripted):
    """A policy that takes `little` for an application whose unit is away."""

    def decide(self, snapshot):
        here = {unit.name for unit in snapshot.units}
        plan = super().decide(snapshot)
        gears = {app: one if one.unit in here else gear(one.subnet, "little") for app, one in plan.gears.items()}
        return replace(plan, gears=gears)


def test_nothing_new_is_not_decided_on():
    world, _ = settled_world()
    assert observed(world, 20.0, arrived=1) == 0
    assert [log["decided"] for log in world.logs("epoch")][:3] == [True, False, False]


def test_event_is_decided_on_at_once():
    policy = Scripted({"a": gear("s")})
    world = make_world(policy, ("a",))
    world.run(1.05)
    policy.clocks = {"big": 2000.0}
    effects = world.send(retarget(target_ms=20.0))
    assert quiet(effects) == [SetClock(unit="big", clock=2000.0, plan=2)]
    event, decision, plan = (effect for effect in effects if isinstance(effect, Log))
    assert decision.fields["apps"]["a"]["target_ms"] == 20.0
    assert event == Log(kind="event", fields={"text": "a: {'target_ms': 20.0}"})
    assert plan.fields["why"] == ["a has a target of 20 ms, no longer 100"]
    assert policy.snapshots[-1].events == ("a: {'target_ms': 20.0}",)
    assert policy.snapshots[-1].apps[0].target_ms == 20.0


def test_lost_core_moves_who_was_on_it():
    policy = Scripted({"a": gear("s"), "b": gear("s")})
    world = make_world(policy)
    world.run(1.0)
    assert world.plan["cpus"] == {"a": [0], "b": [1]}
    limit = UnitLimited(unit="big", max_mhz=None, cpus_online=(1,), other_load=0.0)
    world.send(Event(change=limit, text="one core is gone"))
    world.run(1.0)
    assert world.plan["cpus"] == {"a": [1], "b": [1]}
    world.assert_arrived()
    assert len(world.sent(Prepare)) == 2  # only CPUs changed


@pytest.mark.parametrize("unit", ["big", "gpu"])
def test_a_unit_that_is_away_is_planned_around_and_gets_its_clock_anew_when_it_is_back(unit):
    policy = Elsewhere({"a": gear("s", unit)}, {unit: 2000.0})
    world = make_world(policy, ("a",))
    world.run(1.0)
    whole = UnitLimited(unit=unit, max_mhz=None, cpus_online=BOARD.unit(unit).all_cpus, other_load=0.0)
    world.send(Event(change=replace(whole, cpus_online=()), text="away"))
    world.run(1.0)
    assert unit not in {shown.name for shown in policy.snapshots[-1].units}
    assert unit not in {point.unit for point in policy.snapshots[-1].apps[0].points}
    assert world.workers["a"].gear == gear("s", "little")
    assert unit not in world.plan["clocks"]
    world.effects.clear()
    world.send(Event(change=whole, text="back"))
    world.run(1.0)
    assert [effect.clock for effect in world.sent(SetClock) if effect.unit == unit] == [2000.0]
    world.assert_arrived()
    assert world.logs("policy_failed") == []


def test_without_any_unit_the_last_plan_stays_and_the_log_says_why():
    world = make_world(Scripted({"a": gear("s")}), ("a",))
    world.run(1.0)
    for unit in BOARD.units:
        limit = UnitLimited(unit=unit.name, max_mhz=None, cpus_online=(), other_load=0.0)
        world.send(Event(change=limit, text="away"))
    assert "board 'test': every unit is away" in world.logs("policy_failed")[-1]["error"]
    assert world.workers["a"].gear == gear("s")


def test_workers_that_were_pinned_again_are_logged():
    world, _ = settled_world()
    moved = Repinned(app="a", before=(0, 1, 2, 3), cpus=(0,))
    effects = world.manager.on(Telemetry(apps=(), units=(), power_w=None, repinned=(moved,)), world.now_s)
    fields = {"app": "a", "before": (0, 1, 2, 3), "cpus": (0,), "fault": None}
    assert effects == [Log(kind="repinned", fields=fields)]


def test_policy_that_wants_to_be_asked_every_epoch_is():
    counts = {}
    for kind in (Scripted, Watchful):
        policy = kind({"a": gear("s")})
        world = make_world(policy, ("a",))
        world.run(2.0)
        counts[kind] = len(policy.snapshots)
        assert [epoch["decided"] for epoch in world.logs("epoch")[-5:]] == [kind is Watchful] * 5
        assert len(world.logs("plan")) == 1  # the same plan again is no new plan
    assert counts[Scripted] == 1
    assert counts[Watchful] == len(world.logs("epoch")) == world.manager.decisions


def test_policy_that_raises_leaves_the_last_plan():
    policy = Faulty({"a": gear("s")})
    world = make_world(policy, ("a",))
    world.run(1.0)
    policy.fault = ZeroDivisionError("oops")
    policy.gears["a"] = gear("m")
    world.send(retarget(target_ms=20.0))
    world.run(1.0)
    assert world.logs("policy_failed") == [{"policy": "Faulty", "error": "ZeroDivisionError: oops"}]
    assert world.workers["a"].gear == gear("s")
    policy.fault = None  # it is asked again each epoch
    world.run(1.0)
    assert world.workers["a"].gear == gear("m")


def test_plan_that_cannot_be_carried_out_counts_as_a_failure():
    policy = Scripted({"a": gear("s", "big", 7)})
    world = make_world(policy, ("a",))
    world.run(0.5)
    (failure,) = world.logs("policy_failed")
    assert failure["error"].startswith("plan: gear of 'a' has 7 cores")
    assert quiet(world.effects) == []


@pytest.mark.parametrize(
    ("gears", "said"),
    [
        ({"a": gear("s")}, "gears lacks app 'b'"),
        ({"a": gear("s"), "b": gear("s"), "bb": gear("s")}, "gears has app 'bb', which is unknown. Did you mean 'b'?"),
        ({"a": gear("s"), "b": gear("s", "big", 2)}, "gear of 'b' has 2 cores; 'big' has 1 online"),
    ],
)
def test_plan_with_a_fault_names_it_and_the_last_one_stays(gears, said):
    policy = Unchecked({"a": gear("s"), "b": gear("s")})
    world = make_world(policy, ("a", "b"))
    world.run(0.5)
    world.send(
        Event(change=UnitLimited(unit="big", max_mhz=None, cpus_online=(1,), other_load=0.0), text="a core is lost")
    )
    policy.gears = gears
    world.run(0.3)
    world.send(retarget(target_ms=90.0))
    world.run(0.5)
    (failure,) = world.logs("policy_failed")
    assert said in failure["error"]
    assert {app: world.workers[app].gear for app in "ab"} == {"a": gear("s"), "b": gear("s")}


def test_accuracy_that_is_unknown_below_a_floor_is_a_failure_that_names_it():
    spec = make_spec("a", profile=make_profile(s=None, m=0.75, l=0.9), min_accuracy=0.5)
    world = make_world(Scripted({"a": gear("s")}), ("a",), specs=[spec])
    world.run(0.5)
    (failure,) = world.logs("policy_failed")
    assert "'a'" in failure["error"]
    assert "'s'" in failure["error"]


def test_logs_hold_plain_values_and_what_they_promise():
    world = make_world(Joint(), ("a", "b"))
    world.run(1.0)
    world.kill("a")
    world.workers["b"].silent = True
    world.send(retarget("b", target_ms=6.0, min_accuracy=0.9))
    world.run(3.0)
    world.workers["b"].silent = False
    world.run(1.0)
    logs = [effect for effect in world.effects if isinstance(effect, Log)]
    assert {log.kind for log in logs} == {
        "epoch",
        "decision",
        "admission",
        "plan",
        "gear",
        "clock",
        "event",
        "lost",
        "unhealthy",
        "stuck",
    }
    for log in logs:
        assert msgpack.unpackb(msgpack.packb(log.fields)) == log.fields
    epoch = world.logs("epoch")[5]
    assert set(epoch) == {"epoch", "decided", "units", "rails", "host", "apps", "power_w", "violation", "optimal"}
    assert set(epoch["units"]["big"]) == {
        "mhz",
        "busy",
        "temp_c",
        "power_w",
        "max_mhz",
        "cpus_online",
        "held_by",
        "offline_by",
    }
    app_keys = {"gear", "queue_len", "on_time", "p95_ms", "rate_hz", "service_ratio"}
    assert set(epoch["apps"]["a"]) == app_keys
    assert (epoch["violation"], epoch["optimal"]) == (0.0, True)
    assert epoch["power_w"] > 0.3  # the static power of three units at their lowest clocks


def test_power_is_unknown_where_the_board_has_no_figures():
    board = replace(BOARD, units=(replace(BOARD.units[0], static_w=None, dynamic_w=None), *BOARD.units[1:]))
    manager = Manager(board=board, apps=[make_spec("a")], policy=make_policy("largest"), epoch_s=EPOCH_S)
    epoch = manager.on(Tick(epoch=0), 0.0)[-1]
    assert epoch.fields["power_w"] is None
    assert epoch.fields["violation"] == 0.0


NAMES = [name for name in NETWORKS if name not in HINDSIGHT]


@pytest.mark.parametrize("name", [*NAMES, *(f"{name}+schedutil" for name in NAMES), "floor+ondemand", "floor+lavd"])
def test_every_policy_brings_the_board_through_a_mix(name):
    apps = ("a", "b", "c")
    specs = [make_spec("a"), make_spec("b", min_accuracy=0.7), make_spec("c", target_ms=30.0, present=False)]
    world = make_world(make_policy(name), apps, specs=specs, delay_s=0.05)
    for event in (
        retarget("a", target_ms=20.0),
        Event(change=AppJoined(app="c"), text="c joins"),
        Event(change=UnitLimited(unit="gpu", max_mhz=500.0, cpus_online=(0,), other_load=0.0), text="hot"),
        retarget("b", min_accuracy=0.85),
        Event(change=AppLeft(app="a"), text="a leaves"),
    ):
        world.run(1.0)
        world.assert_arrived()
        world.send(event)
    world.run(1.0)
    assert set(world.plan["gears"]) == {"b", "c"}
    assert world.plan["gears"]["b"][0] == "l"
    assert not world.logs("policy_failed")


@pytest.mark.parametrize(("awake", "cpus"), [({}, {"a": (0,), "b": (1,)}), ({"big": 1}, {"a": (0,), "b": (0,)})])
def test_applications_share_the_cpus_that_are_awake(awake, cpus):
    class Compact(Scripted):
        def decide(self, snapshot):
            return replace(super().decide(snapshot), awake_cpus=awake)

    world = make_world(Compact({"a": gear("s", "big"), "b": gear("s", "big")}))
    world.run(1.0)
    world.assert_arrived()
    assert {app: worker.cpus for app, worker in world.workers.items()} == cpus


def test_same_messages_same_effects():
    runs = []
    for _ in range(2):
        world = make_world(make_policy("joint"), ("a", "b"), seed=3, delay_s=0.2, loss=0.1)
        world.run(1.0)
        world.send(retarget(target_ms=15.0))
        world.run(5.0)
        runs.append(world.effects)
    assert runs[0] == runs[1]


def test_what_rails_measured_stands_until_the_board_reports_again():
    manager = Manager(board=BOARD, apps=[make_spec("a")], policy=make_policy("largest"), epoch_s=EPOCH_S)
    unit = UnitTelemetry(name="big", mhz_now=1000.0, busy=0.5, temp_c=None)
    manager.on(Telemetry(apps=(), units=(unit,), power_w=3.0, rails_w={"VDD_IN": 5.0}), 0.0)
    # A page that was read before has no report of the board.
    manager.on(Telemetry(apps=(), units=(), power_w=None), 0.1)
    assert manager.on(Tick(epoch=1), 0.1)[-1].fields["rails"] == {"VDD_IN": 5.0}
    manager.on(Telemetry(apps=(), units=(unit,), power_w=None), 0.2)
    assert manager.on(Tick(epoch=2), 0.2)[-1].fields["rails"] == {}
