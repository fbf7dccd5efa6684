"""The manager, driven through virtual time: the transition protocol, when it decides, and what it survives."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest
from fake_world import BOARD, EPOCH_S, PROFILE, Scripted, World, make_profile, make_spec, retarget
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.inputs import UnitInputs, limited
from scheduler.knowledge import MARGIN, Caution
from scheduler.manager import Manager
from scheduler.messages import (
    Activate,
    Activated,
    AppAdded,
    AppRemoved,
    ClockSet,
    Event,
    Log,
    Pin,
    Pinned,
    PowerCapped,
    Prepare,
    Prepared,
    SetClock,
    StartWorker,
    Telemetry,
    Tick,
    UnitLimited,
    WorkerLost,
    WorkerStarted,
)
from scheduler.policies import Joint, make_policy
from scheduler.views import Gear


def gear(subnet: str = "s", unit: str = "big", cores: int = 1) -> Gear:
    return Gear(subnet=subnet, unit=unit, cores=cores)


def make_world(policy, apps=("a", "b"), *, specs=None, **how):
    manager = Manager(board=BOARD, apps=specs or [make_spec(app) for app in apps], policy=policy, epoch_s=EPOCH_S)
    return World(manager, tuple(apps), **how)


def quiet(effects):
    return [effect for effect in effects if not isinstance(effect, Log)]


# ---------------------------------------------------------------- the protocol, step by step


def test_first_gear_by_hand():
    manager = Manager(
        board=BOARD,
        apps=[make_spec("a")],
        policy=Scripted({"a": gear("m", "big", 2)}, {"big": 2000.0}),
        epoch_s=EPOCH_S,
    )
    idle = [SetClock(unit=unit, clock=500.0, epoch=1) for unit in ("little", "gpu")]
    prepare = Prepare(app="a", gear=gear("m", "big", 2), epoch=1)
    assert quiet(manager.on(Tick(epoch=0), 0.0)) == [*idle, prepare]
    assert manager.on(Prepared(app="a", gear=gear("m", "big", 2), epoch=1), 0.1) == [
        SetClock(unit="big", clock=2000.0, epoch=1)
    ]
    pin = Pin(app="a", unit="big", cpus=(0, 1), epoch=1)
    assert quiet(manager.on(ClockSet(unit="big", clock=2000.0, epoch=1), 0.2)) == [pin]
    activate = Activate(app="a", gear=gear("m", "big", 2), cpus=(0, 1), epoch=1)
    assert manager.on(Pinned(app="a", unit="big", cpus=(0, 1), epoch=1), 0.3) == [activate]
    done = manager.on(Activated(app="a", gear=gear("m", "big", 2), epoch=1), 0.4)
    fields = {"app": "a", "from": None, "to": ["m", "big", 2], "why": "start"}
    assert done == [Log(kind="gear", fields=fields)]
    assert quiet(manager.on(Tick(epoch=1), 0.5)) == []


def steps(world, app):
    """What an application was asked to do, in short."""
    words = []
    for effect in world.effects:
        if isinstance(effect, Prepare | Activate) and effect.app == app:
            words.append(f"{type(effect).__name__} {effect.gear.subnet}")
        elif isinstance(effect, Pin) and effect.app == app:
            words.append(f"Pin {effect.cpus}")
        elif isinstance(effect, SetClock):
            words.append(f"{effect.unit} {effect.clock:g}" if isinstance(effect.clock, float) else effect.clock)
    return words


def change_of(policy, world, gears, clocks=None):
    """Make the policy want something else, and return the effects that follow until all is quiet."""
    policy.gears.update(gears)
    policy.clocks = dict(clocks or {})
    world.effects.clear()
    world.send(retarget())
    world.run(1.0)
    world.assert_arrived()


def test_move_pins_to_both_raises_first_and_lowers_last():
    policy = Scripted({"a": gear("l", "big", 2)}, {"big": 2000.0})
    world = make_world(policy, ("a",))
    world.run(1.0)
    change_of(policy, world, {"a": gear("m", "little")}, {"little": 1000.0})
    assert steps(world, "a") == [
        "Prepare m",
        "little 1000",
        "Pin (0, 1, 2)",
        "Activate m",
        "big 500",
        "Pin (2,)",
    ]


def test_shrinking_activates_before_it_gives_up_cores():
    policy = Scripted({"a": gear("m", "big", 2)})
    world = make_world(policy, ("a",))
    world.run(1.0)
    change_of(policy, world, {"a": gear("m", "big", 1)})
    assert steps(world, "a") == ["Prepare m", "Activate m", "Pin (0,)"]


def test_growing_waits_until_the_core_was_read_back():
    policy = Scripted({"a": gear("m", "big"), "b": gear("m", "big")})
    world = make_world(policy)
    world.run(1.0)
    change_of(policy, world, {"a": gear("m", "big", 2), "b": gear("s", "little")})
    order = [type(e).__name__ + e.app for e in world.effects if isinstance(e, Pin | Activate)]
    assert order == ["Pinb", "Activateb", "Pinb", "Pina", "Activatea"]


def test_swap_of_full_units_shares_for_a_moment():
    policy = Scripted({"a": gear("m", "big", 2), "b": gear("m", "little", 2)})
    world = make_world(policy)
    world.run(1.0)
    change_of(policy, world, {"a": gear("m", "little", 2), "b": gear("m", "big", 2)})
    pins = [(e.app, e.cpus) for e in world.sent(Pin)]
    assert pins == [("a", (0, 1, 2, 3)), ("a", (2, 3)), ("b", (0, 1, 2, 3)), ("b", (0, 1))]


def test_a_clock_alone_needs_no_gear():
    policy = Scripted({"a": gear()})
    world = make_world(policy, ("a",))
    world.run(1.0)
    change_of(policy, world, {}, {"big": 2000.0})
    assert steps(world, "a") == ["big 2000"]
    change_of(policy, world, {}, {"big": 1000.0})
    assert steps(world, "a") == ["big 1000"]


def test_governors_take_over_last_and_are_relieved_like_a_clock():
    policy = Scripted({"a": gear("m")}, {"big": 2000.0})
    world = make_world(policy, ("a",))
    world.run(1.0)
    change_of(policy, world, {"a": gear("s")}, {"big": "schedutil"})
    assert steps(world, "a") == ["Prepare s", "Activate s", "schedutil"]
    # The world's governors stand at 1000 MHz: a clock above that comes first, one below comes last.
    change_of(policy, world, {"a": gear("m")}, {"big": 2000.0})
    assert steps(world, "a") == ["Prepare m", "big 2000", "Activate m"]
    change_of(policy, world, {}, {"big": "ondemand"})
    change_of(policy, world, {"a": gear("s")}, {"big": 500.0})
    assert steps(world, "a") == ["Prepare s", "Activate s", "big 500"]


def test_gpu_takes_no_cpus_and_gives_back_those_held():
    policy = Scripted({"a": gear("m", "big", 2), "b": gear("m", "gpu")})
    world = make_world(policy)
    world.run(1.0)
    change_of(policy, world, {"a": gear("m", "gpu"), "b": gear("m", "big", 2)})
    assert steps(world, "a") == ["Prepare m", "Activate m"]
    assert [e.cpus for e in world.sent(Pin)] == [(0, 1)]


# ---------------------------------------------------------------- the protocol, at random

UNITS = st.sampled_from(["big", "little", "gpu"])
GEARS = st.builds(gear, st.sampled_from("sml"), UNITS, st.integers(1, 2)).map(
    lambda g: replace(g, cores=1) if g.unit == "gpu" else g
)
CLOCKS = st.dictionaries(UNITS, st.sampled_from([500.0, 1000.0, 2000.0, "schedutil"]))
APPS = ("a", "b", "c", "d")
PLANS = st.tuples(st.fixed_dictionaries(dict.fromkeys(APPS, GEARS)), CLOCKS, st.floats(0.0, 0.8))
HAPPENINGS = st.lists(st.tuples(PLANS, st.sampled_from([None, None, *APPS])), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(
    happenings=HAPPENINGS,
    seed=st.integers(0, 10_000),
    delay_s=st.sampled_from([0.0, 0.05, 0.4]),
    loss=st.sampled_from([0.0, 0.0, 0.2]),
)
def test_any_plans_are_reached_safely(happenings, seed, delay_s, loss):
    """Plans superseding each other, workers killed, answers late, out of order or lost: see `World` for the checks."""
    policy = Scripted(dict.fromkeys(APPS, gear()))
    world = make_world(policy, APPS, seed=seed, delay_s=delay_s, loss=loss)
    for (gears, clocks, pause_s), victim in happenings:
        policy.gears, policy.clocks = gears, clocks
        world.send(retarget())
        if victim is not None and world.workers[victim].alive:
            world.kill(victim)
        world.run(pause_s)
    world.loss = 0.0
    world.run(12.0)
    world.assert_arrived()
    assert not world.logs("policy_failed")
    # Nothing more is asked of anybody.
    world.effects.clear()
    world.run(2.5)
    assert quiet(world.effects) == []


# ---------------------------------------------------------------- superseded, silent, lost


def test_newer_plan_supersedes_what_is_not_acknowledged():
    policy = Scripted({"a": gear("m")})
    manager = Manager(board=BOARD, apps=[make_spec("a")], policy=policy, epoch_s=EPOCH_S)
    manager.on(Tick(epoch=0), 0.0)
    policy.gears["a"] = gear("l")
    second = manager.on(retarget(), 0.05)
    assert quiet(second) == [Prepare(app="a", gear=gear("l"), epoch=2)]
    assert manager.on(Prepared(app="a", gear=gear("m"), epoch=1), 0.1) == []
    assert quiet(manager.on(Prepared(app="a", gear=gear("l"), epoch=2), 0.2)) == [
        SetClock(unit="big", clock=500.0, epoch=1)
    ]


def test_going_back_activates_again_where_the_worker_may_have_left():
    policy = Scripted({"a": gear("m")})
    world = make_world(policy, ("a",))
    world.run(1.0)
    world.workers["a"].silent = True
    policy.gears["a"] = gear("s")
    world.send(retarget())
    world.manager.on(Prepared(app="a", gear=gear("s"), epoch=2), world.now_s)  # its Activate is on the way
    policy.gears["a"] = gear("m")
    effects = world.manager.on(retarget(), world.now_s)
    assert quiet(effects) == [Prepare(app="a", gear=gear("m"), epoch=3)]


def test_silent_worker_keeps_gear_and_cores_and_the_others_go_on():
    policy = Scripted({"a": gear("m", "big", 2), "b": gear("m", "little")})
    world = make_world(policy, ("a", "b", "c"), specs=[make_spec("a"), make_spec("b"), make_spec("c", present=False)])
    world.run(1.0)
    world.workers["a"].silent = True
    policy.gears = {"a": gear("s", "little"), "b": gear("l", "little"), "c": gear("s", "big", 2)}
    policy.clocks = {"big": 500.0, "little": 2000.0}
    world.effects.clear()
    world.send(Event(change=AppAdded(app="c"), text="c joins"))
    world.run(1.9)
    assert world.logs("unhealthy") == []
    world.run(3.0)
    assert world.logs("unhealthy") == [{"app": "a", "waiting_for": "Prepare"}]
    assert world.workers["a"].gear == gear("m", "big", 2)
    assert world.workers["b"].gear == gear("l", "little")
    assert world.workers["c"].gear is None  # a's cores are still a's
    assert not [pin for pin in world.sent(Pin) if pin.app == "c"]
    assert len([effect for effect in world.sent(Prepare) if effect.app == "a"]) == 1
    world.workers["a"].silent = False
    world.run(2.0)
    world.assert_arrived()


def test_clock_that_is_not_acknowledged_is_asked_for_again():
    manager = Manager(board=BOARD, apps=[], policy=Scripted({}), epoch_s=EPOCH_S)
    first = quiet(manager.on(Tick(epoch=0), 0.0))
    assert quiet(manager.on(Tick(epoch=1), 1.9)) == []
    assert quiet(manager.on(Tick(epoch=2), 2.0)) == first


def test_lost_worker_comes_back_and_the_others_go_on():
    policy = Scripted({"a": gear("m", "big"), "b": gear("m", "big")})
    world = make_world(policy)
    world.run(1.0)
    world.effects.clear()
    world.kill("a")
    assert world.effects == [Log(kind="lost", fields={"app": "a", "reason": "killed"}), StartWorker(app="a")]
    policy.gears["b"] = gear("l", "big")
    world.send(retarget("b", target_ms=50.0))
    world.run(0.5)
    assert world.workers["b"].gear == gear("l", "big")
    assert world.logs("epoch")[-1]["apps"]["a"]["gear"] is None
    world.run(1.0)
    world.assert_arrived()
    assert len(world.sent(StartWorker)) == 1


def test_late_answers_of_a_dead_worker_do_not_count():
    policy = Scripted({"a": gear("m")})
    manager = Manager(board=BOARD, apps=[make_spec("a")], policy=policy, epoch_s=EPOCH_S)
    manager.on(Tick(epoch=0), 0.0)
    manager.on(WorkerLost(app="a", reason="killed"), 0.1)
    assert manager.on(Prepared(app="a", gear=gear("m"), epoch=1), 0.2) == []
    assert manager.on(WorkerLost(app="a", reason="killed"), 0.3) == []  # told twice
    prepare = Prepare(app="a", gear=gear("m"), epoch=2)
    assert quiet(manager.on(WorkerStarted(app="a"), 0.4)) == [prepare]
    assert manager.on(Prepared(app="a", gear=gear("m"), epoch=1), 0.5) == []


def test_removed_application_leaves_its_cores():
    policy = Scripted({"a": gear("m", "big", 2), "b": gear("m", "little")})
    world = make_world(policy)
    world.run(1.0)
    policy.gears["b"] = gear("m", "big", 2)
    del world.workers["a"]  # the driver ends it
    world.send(Event(change=AppRemoved(app="a"), text="a leaves"))
    world.run(1.0)
    assert list(world.plan["gears"]) == ["b"]
    world.assert_arrived()
    assert world.manager.on(WorkerLost(app="a", reason="ended"), world.now_s) == []


def test_application_lost_before_it_joins_is_started_and_waited_for():
    policy = Scripted({"a": gear("m")})
    world = make_world(policy, ("a",), specs=[make_spec("a", present=False)])
    world.run(0.5)
    assert world.logs("epoch")[-1]["apps"] == {}
    world.kill("a")
    world.send(Event(change=AppAdded(app="a"), text="a joins"))
    world.run(0.5)
    assert world.sent(Prepare) == []
    world.run(1.0)
    world.assert_arrived()


@pytest.mark.parametrize(
    "message",
    [
        Prepared(app="x", gear=gear(), epoch=1),
        Pinned(app="x", unit="big", cpus=(0,), epoch=1),
        Activated(app="x", gear=gear(), epoch=1),
        Activated(app="a", gear=gear("l"), epoch=99),
        Activated(app="a", gear=gear("l"), epoch=0),
        Pinned(app="a", unit="big", cpus=(0, 1), epoch=1),
        ClockSet(unit="x", clock=1.0, epoch=1),
        ClockSet(unit="big", clock=1.0, epoch=99),
        WorkerLost(app="x", reason="?"),
        WorkerStarted(app="x"),
        WorkerStarted(app="a"),
        Event(change=AppAdded(app="a"), text="again"),
        Event(change=AppAdded(app="x"), text="unknown"),
    ],
)
def test_stray_messages_change_nothing(message):
    world = make_world(Scripted({"a": gear()}), ("a",))
    world.run(1.0)
    assert world.manager.on(message, world.now_s) == []


def test_telemetry_stands_in_for_a_lost_acknowledgement():
    world = make_world(Scripted({"a": gear()}), ("a",))
    manager = world.manager
    manager.on(Tick(epoch=0), 0.0)
    manager.on(Prepared(app="a", gear=gear(), epoch=1), 0.0)
    manager.on(ClockSet(unit="big", clock=500.0, epoch=1), 0.0)
    manager.on(Pinned(app="a", unit="big", cpus=(0,), epoch=1), 0.0)
    report = world.report("a", gear=gear(), epoch=1)
    logs = manager.on(Telemetry(apps=(report,), units=(), power_w=None), 0.1)
    assert [log.kind for log in logs] == ["gear"]
