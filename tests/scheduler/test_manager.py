"""The manager, driven through virtual time: the transition protocol, when it decides, and what it survives."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.fake_world import BOARD, EPOCH_S, Scripted, World, make_profile, make_spec, retarget
from scheduler.app_knowledge import MARGIN
from scheduler.feedback import Caution
from scheduler.inputs import UnitInputs, limited
from scheduler.manager import Manager
from scheduler.messages import (
    Activate,
    Activated,
    AppJoined,
    AppLeft,
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
from scheduler.points import ArrivalModel
from scheduler.policies import HINDSIGHT, NETWORKS, Joint, make_policy
from scheduler.views import Gear, Plan


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
    idle = [SetClock(unit=unit, clock=500.0, plan=1) for unit in ("little", "gpu")]
    prepare = Prepare(app="a", gear=gear("m", "big", 2), plan=1)
    assert quiet(manager.on(Tick(epoch=0), 0.0)) == [*idle, prepare]
    assert manager.on(Prepared(app="a", gear=gear("m", "big", 2), plan=1), 0.1) == [
        SetClock(unit="big", clock=2000.0, plan=1)
    ]
    pin = Pin(app="a", unit="big", cpus=(0, 1), plan=1)
    assert quiet(manager.on(ClockSet(unit="big", clock=2000.0, plan=1), 0.2)) == [pin]
    activate = Activate(app="a", gear=gear("m", "big", 2), cpus=(0, 1), plan=1)
    assert manager.on(Pinned(app="a", unit="big", cpus=(0, 1), plan=1), 0.3) == [activate]
    done = manager.on(Activated(app="a", gear=gear("m", "big", 2), plan=1), 0.4)
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


@settings(max_examples=60, deadline=None)
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
    assert quiet(second) == [Prepare(app="a", gear=gear("l"), plan=2)]
    assert manager.on(Prepared(app="a", gear=gear("m"), plan=1), 0.1) == []
    assert quiet(manager.on(Prepared(app="a", gear=gear("l"), plan=2), 0.2)) == [
        SetClock(unit="big", clock=500.0, plan=1)
    ]


def test_a_clock_falls_only_once_every_gear_that_may_be_in_force_allows_it():
    """Two activations are under way: the first, for the higher clock, may be carried out after the second was sent."""
    slow, fast = Gear(subnet="s", unit="gpu", cores=1), Gear(subnet="m", unit="gpu", cores=1)
    policy = Scripted({"a": fast}, {"gpu": 1000.0})
    manager = Manager(board=BOARD, apps=[make_spec("a")], policy=policy, epoch_s=EPOCH_S)
    manager.on(Tick(epoch=0), 0.0)
    manager.on(Prepared(app="a", gear=fast, plan=1), 0.1)
    sent = manager.on(ClockSet(unit="gpu", clock=1000.0, plan=1), 0.2)
    assert quiet(sent) == [Activate(app="a", gear=fast, cpus=(), plan=1)]
    policy.gears, policy.clocks = {"a": slow}, {"gpu": 500.0}
    manager.on(retarget(), 0.3)
    sent = manager.on(Prepared(app="a", gear=slow, plan=2), 0.4)
    assert quiet(sent) == [Activate(app="a", gear=slow, cpus=(), plan=2)]
    assert quiet(manager.on(Tick(epoch=1), 0.5)) == []
    assert quiet(manager.on(Activated(app="a", gear=fast, plan=1), 0.6)) == []
    assert quiet(manager.on(Activated(app="a", gear=slow, plan=2), 0.7)) == [SetClock(unit="gpu", clock=500.0, plan=2)]


def test_a_pin_takes_no_cpu_back_that_the_worker_may_have_left_already():
    """It holds CPU 0 for all the manager knows; but nothing it runs is there, nor will be."""
    near, far, wide = gear("s"), Gear(subnet="s", unit="little", cores=1), Gear(subnet="s", unit="little", cores=2)
    policy = Scripted({"a": near}, {"little": 500.0})
    world = make_world(policy, ("a",))
    world.run(0.5)
    policy.gears = {"a": far}
    manager = world.manager
    manager.on(retarget(), 1.0)
    manager.on(Prepared(app="a", gear=far, plan=2), 1.0)
    assert quiet(manager.on(Pinned(app="a", unit="little", cpus=(0, 2), plan=2), 1.0)) == [
        Activate(app="a", gear=far, cpus=(2,), plan=2)
    ]
    assert quiet(manager.on(Activated(app="a", gear=far, plan=2), 1.0)) == [
        Pin(app="a", unit="little", cpus=(2,), plan=2)
    ]
    policy.gears = {"a": wide}
    manager.on(retarget(), 1.1)
    assert quiet(manager.on(Prepared(app="a", gear=wide, plan=3), 1.1)) == [
        Pin(app="a", unit="little", cpus=(2, 3), plan=3)
    ]


def test_going_back_activates_again_where_the_worker_may_have_left():
    policy = Scripted({"a": gear("m")})
    world = make_world(policy, ("a",))
    world.run(1.0)
    world.workers["a"].silent = True
    policy.gears["a"] = gear("s")
    world.send(retarget())
    world.manager.on(Prepared(app="a", gear=gear("s"), plan=2), world.now_s)  # its Activate is on the way
    policy.gears["a"] = gear("m")
    effects = world.manager.on(retarget(), world.now_s)
    assert quiet(effects) == [Prepare(app="a", gear=gear("m"), plan=3)]


def test_silent_worker_keeps_gear_and_cores_and_the_others_go_on():
    policy = Scripted({"a": gear("m", "big", 2), "b": gear("m", "little")})
    world = make_world(policy, ("a", "b", "c"), specs=[make_spec("a"), make_spec("b"), make_spec("c", present=False)])
    world.run(1.0)
    world.workers["a"].silent = True
    policy.gears = {"a": gear("s", "little"), "b": gear("l", "little"), "c": gear("s", "big", 2)}
    policy.clocks = {"big": 500.0, "little": 2000.0}
    world.effects.clear()
    world.send(Event(change=AppJoined(app="c"), text="c joins"))
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
    assert manager.on(Prepared(app="a", gear=gear("m"), plan=1), 0.2) == []
    assert manager.on(WorkerLost(app="a", reason="killed"), 0.3) == []  # told twice
    prepare = Prepare(app="a", gear=gear("m"), plan=2)
    assert quiet(manager.on(WorkerStarted(app="a"), 0.4)) == [prepare]
    assert manager.on(Prepared(app="a", gear=gear("m"), plan=1), 0.5) == []


def test_removed_application_leaves_its_cores():
    policy = Scripted({"a": gear("m", "big", 2), "b": gear("m", "little")})
    world = make_world(policy)
    world.run(1.0)
    policy.gears["b"] = gear("m", "big", 2)
    del world.workers["a"]  # the driver ends it
    world.send(Event(change=AppLeft(app="a"), text="a leaves"))
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
    world.send(Event(change=AppJoined(app="a"), text="a joins"))
    world.run(0.5)
    assert world.sent(Prepare) == []
    world.run(1.0)
    world.assert_arrived()


@pytest.mark.parametrize(
    "message",
    [
        Prepared(app="x", gear=gear(), plan=1),
        Pinned(app="x", unit="big", cpus=(0,), plan=1),
        Activated(app="x", gear=gear(), plan=1),
        Activated(app="a", gear=gear("l"), plan=99),
        Activated(app="a", gear=gear("l"), plan=0),
        Pinned(app="a", unit="big", cpus=(0, 1), plan=1),
        ClockSet(unit="x", clock=1.0, plan=1),
        ClockSet(unit="big", clock=1.0, plan=99),
        WorkerLost(app="x", reason="?"),
        WorkerStarted(app="x"),
        WorkerStarted(app="a"),
        Event(change=AppJoined(app="a"), text="again"),
        Event(change=AppJoined(app="x"), text="unknown"),
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
    manager.on(Prepared(app="a", gear=gear(), plan=1), 0.0)
    manager.on(ClockSet(unit="big", clock=500.0, plan=1), 0.0)
    manager.on(Pinned(app="a", unit="big", cpus=(0,), plan=1), 0.0)
    report = world.report("a", gear=gear(), plan=1)
    logs = manager.on(Telemetry(apps=(report,), units=(), power_w=None), 0.1)
    assert [log.kind for log in logs] == ["gear"]


# ---------------------------------------------------------------- when it decides


def observed(world, seconds, **changes):
    """Let the world's epochs pass by with other reports of `a`; returns the plans' reasons."""
    before = len(world.logs("plan"))
    start_s = world.now_s
    decisions = world.manager.decisions
    for number in range(1, round(seconds / EPOCH_S) + 1):
        now_s = start_s + number * EPOCH_S
        report = world.report("a", **{"latencies_ms": (), **changes})
        world.manager.on(Telemetry(apps=(report,), units=(), power_w=None), now_s)
        world.manager.on(Tick(epoch=number), now_s)
    world.now_s = start_s + seconds
    assert len(world.logs("plan")) == before
    return world.manager.decisions - decisions


def settled_world(**spec):
    policy = Scripted({"a": gear("s")})
    world = make_world(policy, ("a",), specs=[make_spec("a", **spec)])
    world.run(1.0)
    assert world.manager.decisions == 1
    return world, policy


def test_nothing_new_is_not_decided_on():
    world, _ = settled_world()
    assert observed(world, 20.0, arrived=1) == 0
    assert [log["decided"] for log in world.logs("epoch")][:3] == [True, False, False]


@pytest.mark.parametrize(
    ("changes", "decides"),
    [
        ({"service_ratio": 1.02}, False),
        ({"service_ratio": 1.5}, True),
        ({"arrived": 3}, True),
        ({"queue_len": 2}, False),
    ],
)
def test_what_is_measured_counts_once_it_has_moved_for_certain(changes, decides):
    world, policy = settled_world()
    assert (observed(world, 10.0, **changes) > 0) is decides
    view = policy.snapshots[-1].apps[0]
    if "arrived" in changes:
        assert view.rate_hz == pytest.approx(30.0, rel=0.2)
    if changes.get("service_ratio") == 1.5:
        assert view.service_ratio == pytest.approx(1.5, rel=0.06)


def test_single_requests_that_were_held_up_do_not_make_it_decide():
    world, _ = settled_world()
    for _ in range(5):
        assert observed(world, EPOCH_S, service_ratio=10.0) == 0
        assert observed(world, 10 * EPOCH_S, service_ratio=1.0) == 0
    assert observed(world, 2 * EPOCH_S, service_ratio=10.0) == 1


def test_poisson_arrivals_do_not_make_it_decide():
    """Two a second: 0, 1, 2 arrivals in half a second as often as they come."""
    world, _ = settled_world()
    world.manager.on(Tick(epoch=0), 1.0)
    pattern = [0, 3, 1, 1, 0, 1, 2, 0, 0, 2]  # mean 1 per epoch of 0.1 s: the declared 10 Hz
    before = world.manager.decisions
    for number in range(200):
        now_s = 1.1 + number * EPOCH_S
        report = world.report("a", arrived=pattern[number % 10], latencies_ms=())
        world.manager.on(Telemetry(apps=(report,), units=(), power_w=None), now_s)
        world.manager.on(Tick(epoch=number), now_s)
    assert world.manager.decisions == before


def test_event_is_decided_on_at_once():
    policy = Scripted({"a": gear("s")})
    world = make_world(policy, ("a",))
    world.run(1.05)
    policy.clocks = {"big": 2000.0}
    effects = world.send(retarget(target_ms=20.0))
    assert quiet(effects) == [SetClock(unit="big", clock=2000.0, plan=2)]
    event, plan = (effect for effect in effects if isinstance(effect, Log))
    assert event == Log(kind="event", fields={"text": "a: {'target_ms': 20.0}"})
    assert plan.fields["why"] == ["a: target_ms 100 → 20"]
    assert policy.snapshots[-1].events == ("a: {'target_ms': 20.0}",)
    assert policy.snapshots[-1].apps[0].target_ms == 20.0


def test_board_events_reach_the_policy():
    world, policy = settled_world()
    limit = UnitLimited(unit="big", max_mhz=1400.0, cores_online=1, other_load=0.5)
    before = {(p.unit, p.mhz, p.subnet, p.cores): p for p in policy.snapshots[-1].apps[0].points}
    world.send(Event(change=limit, text="big is hot"))
    snapshot = policy.snapshots[-1]
    big = snapshot.units[0]
    assert (big.cores_online, big.mhz_allowed, big.static_w) == (1, (500.0, 1000.0), (0.1, 0.2))
    for point in snapshot.apps[0].points:
        if point.unit == "big":
            alone = before["big", point.mhz, point.subnet, point.cores]
            assert (point.cores, point.mhz <= 1400) == (1, True)
            assert point.service_ms == pytest.approx(2 * alone.service_ms)
    world.send(Event(change=PowerCapped(power_cap_w=2.5), text="cap"))
    assert policy.snapshots[-1].power_cap_w == 2.5


def test_lost_core_moves_who_was_on_it():
    policy = Scripted({"a": gear("s"), "b": gear("s")})
    world = make_world(policy)
    world.run(1.0)
    assert world.plan["cpus"] == {"a": [0], "b": [1]}
    limit = UnitLimited(unit="big", max_mhz=None, cores_online=1, other_load=0.0)
    world.send(Event(change=limit, text="one core is gone"))
    world.run(1.0)
    assert world.plan["cpus"] == {"a": [0], "b": [0]}
    world.assert_arrived()
    assert len(world.sent(Prepare)) == 2  # only CPUs changed


def test_networks_below_the_floor_are_not_offered():
    world, policy = settled_world(min_accuracy=0.7)
    subnets = {point.subnet for point in policy.snapshots[-1].apps[0].points}
    assert subnets == {"m", "l"}
    world.send(retarget(min_accuracy=0.95))
    assert {point.subnet for point in policy.snapshots[-1].apps[0].points} == {"s", "m", "l"}


def test_closed_loop_asks_for_one_result_a_target():
    _, policy = settled_world(arrivals=ArrivalModel(kind="saturate"), target_ms=50.0)
    assert policy.snapshots[-1].apps[0].rate_hz == pytest.approx(20.0)


def test_unknown_rate_is_learned():
    policy = Scripted({"a": gear("s")})
    world = make_world(policy, ("a",), specs=[make_spec("a", arrivals=ArrivalModel(kind="poisson"))])
    world.run(1.0)
    assert policy.snapshots[0].apps[0].rate_hz == 0.0
    observed(world, 10.0, arrived=2)
    assert policy.snapshots[-1].apps[0].rate_hz == pytest.approx(20.0, rel=0.2)


# ---------------------------------------------------------------- policies that fail, lateness, logs


class Faulty(Scripted):
    fault: Exception | None = None

    def decide(self, snapshot):
        if self.fault:
            raise self.fault
        return super().decide(snapshot)


class Unchecked(Scripted):
    """Its gears as they are, whoever is there."""

    def decide(self, snapshot):
        return Plan(gears=self.gears, clocks={unit.name: unit.mhz_allowed[0] for unit in snapshot.units})


class Watchful(Scripted):
    every_epoch = True


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


def test_policy_is_shown_the_mean_of_the_latest_twenty_latencies():
    policy = Watchful({"a": gear("s")})
    manager = Manager(board=BOARD, apps=[make_spec("a")], policy=policy, epoch_s=EPOCH_S)
    world = World(manager, ("a",))
    manager.on(Tick(epoch=0), 0.0)
    assert policy.snapshots[-1].apps[0].mean_ms is None
    latencies_ms = (1000.0,) * 5 + (10.0,) * 19 + (30.0,)
    manager.on(Telemetry(apps=(world.report("a", latencies_ms=latencies_ms),), units=(), power_w=None), 0.05)
    manager.on(Tick(epoch=1), 0.1)
    assert policy.snapshots[-1].apps[0].mean_ms == pytest.approx(11.0)


def test_policy_is_shown_capacities_that_no_limit_changes():
    policy = Watchful({"a": gear("s", "little")})
    board = replace(BOARD, units=(BOARD.units[0], replace(BOARD.units[1], speed=0.5), BOARD.units[2]))
    manager = Manager(board=board, apps=[make_spec("a")], policy=policy, epoch_s=EPOCH_S)
    limit = UnitLimited(unit="little", max_mhz=1000.0, cores_online=1, other_load=0.3)
    manager.on(Event(change=limit, text="hot"), 0.0)
    shown = {unit.name: (unit.capacity, unit.dynamic_w) for unit in policy.snapshots[-1].units}
    assert shown["little"] == (0.5, (0.2, 0.5))
    assert shown["big"] == (1.0, (0.2, 0.5, 2.0))


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
        Event(change=UnitLimited(unit="big", max_mhz=None, cores_online=1, other_load=0.0), text="a core is lost")
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


def test_lateness_without_a_known_cause_makes_the_next_plan_more_careful():
    world, policy = settled_world()
    point = {(p.subnet, p.unit, p.cores, p.mhz): p.latency_ms for p in policy.snapshots[-1].apps[0].points}
    observed(world, 3.0, on_time=0)
    careful = {(p.subnet, p.unit, p.cores, p.mhz): p.latency_ms for p in policy.snapshots[-1].apps[0].points}
    for key, latency_ms in careful.items():
        assert latency_ms >= point[key] * (1 + MARGIN + Caution.STEP) / (1 + MARGIN) - 1e-9


def test_lateness_that_the_plan_foresees_changes_nothing():
    world, _ = settled_world(target_ms=1.0)
    assert world.logs("plan")[0]["violation"] > 0
    assert observed(world, 3.0, on_time=0) == 0


def test_lateness_right_after_a_change_is_excused():
    world, policy = settled_world()
    policy.clocks = {"big": 1000.0}
    world.send(retarget(target_ms=90.0))
    world.run(0.3)
    assert observed(world, 0.6, on_time=0) == 0


def test_latencies_shorter_than_foreseen_are_believed_and_said_to_the_policy():
    world, policy = settled_world()
    foreseen_ms = policy.snapshots[-1].apps[0].points[0].latency_ms
    assert observed(world, 20.0, latencies_ms=(foreseen_ms / 2,)) > 0
    assert policy.snapshots[-1].apps[0].own_ratio < 0.9


def test_latencies_shorter_than_a_foreseen_lateness_are_believed_too():
    world, policy = settled_world(target_ms=1.0)
    assert world.logs("plan")[0]["violation"] > 0
    foreseen_ms = policy.snapshots[-1].apps[0].points[0].latency_ms
    assert observed(world, 20.0, latencies_ms=(foreseen_ms / 2,)) > 0
    assert policy.snapshots[-1].apps[0].own_ratio < 0.9


def test_latencies_of_the_few_that_were_not_given_up_are_not_believed():
    world, policy = settled_world()
    foreseen_ms = policy.snapshots[-1].apps[0].points[0].latency_ms
    observed(world, 20.0, finished=2, on_time=2, latencies_ms=(foreseen_ms / 2,))
    assert policy.snapshots[-1].apps[0].own_ratio == 1.0


@given(
    share=st.floats(0, 1),
    other_load=st.floats(0, 0.9),
    max_mhz=st.none() | st.floats(100, 3000),
    cores=st.integers(1, 2),
)
def test_limited_unit_is_the_unit_where_it_is_left(share, other_load, max_mhz, cores):
    unit = replace(BOARD.units[0], memory_share=share, speed=0.7)
    left = limited(unit, UnitInputs(max_mhz=max_mhz, cores_online=cores, other_load=other_load))
    assert left.cores == cores
    wanted = tuple(mhz for mhz in unit.mhz if max_mhz is None or mhz <= max_mhz) or unit.mhz[:1]
    assert left.mhz == wanted
    assert len(left.static_w) == len(left.dynamic_w) == len(left.mhz)
    for mhz in left.mhz:
        assert left.pace(mhz) == pytest.approx(unit.pace(mhz) * (1 - other_load))


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
    assert {log.kind for log in logs} == {"epoch", "plan", "gear", "clock", "event", "lost", "unhealthy"}
    for log in logs:
        assert msgpack.unpackb(msgpack.packb(log.fields)) == log.fields
    epoch = world.logs("epoch")[5]
    assert set(epoch) == {"epoch", "decided", "units", "host", "apps", "power_w", "violation", "optimal"}
    assert set(epoch["units"]["big"]) == {"mhz", "busy", "temp_c", "power_w"}
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


@pytest.mark.parametrize("name", [*NAMES, *(f"{name}+schedutil" for name in NAMES), "floor+ondemand"])
def test_every_policy_brings_the_board_through_a_mix(name):
    apps = ("a", "b", "c")
    specs = [make_spec("a"), make_spec("b", min_accuracy=0.7), make_spec("c", target_ms=30.0, present=False)]
    world = make_world(make_policy(name), apps, specs=specs, delay_s=0.05)
    for event in (
        retarget("a", target_ms=20.0),
        Event(change=AppJoined(app="c"), text="c joins"),
        Event(change=UnitLimited(unit="gpu", max_mhz=500.0, cores_online=1, other_load=0.0), text="hot"),
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


def test_same_messages_same_effects():
    runs = []
    for _ in range(2):
        world = make_world(make_policy("joint"), ("a", "b"), seed=3, delay_s=0.2, loss=0.1)
        world.run(1.0)
        world.send(retarget(target_ms=15.0))
        world.run(5.0)
        runs.append(world.effects)
    assert runs[0] == runs[1]
