"""The manager learns from telemetry and events, and shows a policy what it knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.fake_world import BOARD, EPOCH_S, PROFILE, World, gear, make_spec, make_world, retarget
from helpers.scripted import Scripted, Watchful
from helpers.settled_world import observed, settled_world
from helpers.shares import with_shares
from scheduler.app_knowledge import MARGIN
from scheduler.feedback import Caution
from scheduler.knowledge import Knowledge
from scheduler.manager import Manager
from scheduler.messages import AppJoined, Event, PowerCapped, Telemetry, Tick, UnitLimited
from scheduler.points import ArrivalModel


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
        slowed = {unit.name: unit.slowdown for unit in policy.snapshots[-1].units}
        assert view.service_ratio * slowed["big"] == pytest.approx(1.5, rel=0.06)
        # One report is not told from another cause, but a unit is the likelier one.
        assert slowed["little"] == 1.0 < slowed["big"]


def test_single_requests_that_were_held_up_do_not_make_it_decide():
    world, _ = settled_world()
    for _ in range(5):
        assert observed(world, EPOCH_S, service_ratio=10.0) == 0
        assert observed(world, 10 * EPOCH_S, service_ratio=1.0) == 0
    assert observed(world, 4 * EPOCH_S, service_ratio=10.0) == 1


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


def test_board_events_reach_the_policy():
    world, policy = settled_world()
    limit = UnitLimited(unit="big", max_mhz=1400.0, cpus_online=(1,), other_load=0.5)
    before = {(p.unit, p.mhz, p.subnet, p.cores): p for p in policy.snapshots[-1].apps[0].points}
    world.send(Event(change=limit, text="big is hot"))
    snapshot = policy.snapshots[-1]
    big = snapshot.units[0]
    assert (big.cpus_online, big.cores_online) == ((1,), 1)
    assert (big.mhz_allowed, big.static_w) == ((500.0, 1000.0), (0.1, 0.2))
    for point in snapshot.apps[0].points:
        if point.unit == "big":
            alone = before["big", point.mhz, point.subnet, point.cores]
            assert (point.cores, point.mhz <= 1400) == (1, True)
            assert point.service_ms == pytest.approx(2 * alone.service_ms)
    world.send(Event(change=PowerCapped(power_cap_w=2.5), text="cap"))
    assert policy.snapshots[-1].power_cap_w == 2.5


def test_what_the_board_shows_is_decided_on_within_an_epoch_and_the_plan_says_why():
    world, policy = settled_world()
    world.run(2 * EPOCH_S)
    policy.clocks = {"big": 1000.0}
    world.shown["big"] = {
        "max_mhz": 1000.0,
        "cpus_online": (1,),
        "held_by": "thermal CPU-therm 91 °C",
        "offline_by": "nvpmodel MODE_10W_2CORE",
    }
    world.run(EPOCH_S)
    held = ["big held at 1000 MHz by thermal CPU-therm 91 °C", "CPU 0 of big went offline (nvpmodel MODE_10W_2CORE)"]
    assert world.logs("plan")[-1]["why"] == held
    assert [log["text"] for log in world.logs("event")] == held
    assert world.plan["cpus"] == {"a": [1]}
    big = policy.snapshots[-1].units[0]
    assert (big.cpus_online, big.mhz_allowed, policy.snapshots[-1].events) == ((1,), (500.0, 1000.0), tuple(held))
    epoch = world.logs("epoch")[-1]["units"]["big"]
    assert (epoch["max_mhz"], epoch["cpus_online"], epoch["held_by"]) == (1000.0, [1], "thermal CPU-therm 91 °C")
    # The mix's limit, set and lifted meanwhile, does not lift the board's.
    limit = UnitLimited(unit="big", max_mhz=500.0, cpus_online=(0, 1), other_load=0.0)
    for asked_mhz, allowed in ((500.0, (500.0,)), (None, (500.0, 1000.0))):
        policy.clocks = {}
        world.send(Event(change=replace(limit, max_mhz=asked_mhz), text="the mix"))
        assert policy.snapshots[-1].units[0].mhz_allowed == allowed
    decided = len(policy.snapshots)
    world.shown["big"] = {}
    world.run(EPOCH_S)
    assert len(policy.snapshots) == decided  # one report is not enough to lift it
    world.run(EPOCH_S)
    assert policy.snapshots[-1].units[0].mhz_allowed == (500.0, 1000.0, 2000.0)
    assert policy.snapshots[-1].units[0].cpus_online == (0, 1)
    assert world.logs("event")[-2:] == [
        {"text": "big no longer held at 1000 MHz"},
        {"text": "CPU 0 of big came online"},
    ]


def test_a_board_whose_temperature_alone_changes_is_not_decided_on_again():
    world, _ = settled_world()
    world.shown["big"] = {"max_mhz": 1000.0, "held_by": "thermal 90 °C"}
    world.run(2 * EPOCH_S)
    decisions = world.manager.decisions
    for temp_c in range(91, 99):
        world.shown["big"] = {"max_mhz": 1000.0, "held_by": f"thermal {temp_c} °C"}
        world.run(EPOCH_S)
    assert world.manager.decisions == decisions


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
    limit = UnitLimited(unit="little", max_mhz=1000.0, cpus_online=(2,), other_load=0.3)
    manager.on(Event(change=limit, text="hot"), 0.0)
    shown = {unit.name: (unit.capacity, unit.dynamic_w) for unit in policy.snapshots[-1].units}
    assert shown["little"] == (0.5, (0.2, 0.5))
    assert shown["big"] == (1.0, (0.2, 0.5, 2.0))


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


@pytest.mark.parametrize(("share", "paced"), [(None, True), (1.0, False)])
def test_whether_clocks_can_follow_requests_depends_on_how_far_these_follow_the_clock(share, paced):
    # The shortest takes 2 ms at 1000 MHz. A mode leaves 250: there it takes 8 ms by the unit, and still 2 if the clock
    # does not stretch it, of which a change of 0.2 ms is too much.
    unit = replace(BOARD.units[0], mhz=(125.0, 250.0, 1000.0), transition_us=200.0).with_clocks(0, 2)
    spec = make_spec("a", profile=with_shares(PROFILE, [share]))
    board = replace(BOARD, units=(unit,))
    known = Knowledge(board=board, apps=[spec], objective="energy", power_cap_w=None, grace_s=1.0, paces=True)
    assert known._paced(board.units) == ({"big"} if paced else set())


def test_policy_is_shown_when_releases_are_as_long_as_they_keep_the_rate_declared():
    jittered = ArrivalModel(kind="periodic", rate_hz=10.0, jitter_ms=3.0)
    poisson = ArrivalModel(kind="poisson", rate_hz=10.0)
    specs = [make_spec("a", arrivals=jittered), make_spec("b", arrivals=poisson), make_spec("c", present=False)]
    policy = Watchful({app: gear() for app in "abc"})
    world = make_world(policy, ("a", "b", "c"), specs=specs)
    world.run(1.0)
    world.send(Event(change=AppJoined(app="c"), text="c joins"))
    joined_ms = 1000 * world.now_s
    world.run(0.3)
    views = {view.app: view for view in policy.snapshots[-1].apps}
    assert {app: view.phase_ms for app, view in views.items()} == {"a": 0.0, "b": None, "c": joined_ms}
    assert views["a"].arrival_model == jittered
    assert views["a"].profile == PROFILE
    # The manager may hear of it late; its requests come from when they were to come.
    late = make_world(policy, ("a", "b", "c"), specs=specs)
    late.run(1.05)
    late.send(Event(change=AppJoined(app="c", from_s=1.0), text="c joins"))
    late.run(0.3)
    assert {view.app: view.phase_ms for view in policy.snapshots[-1].apps}["c"] == 1000.0

    known = Knowledge(board=BOARD, apps=specs[:1], objective="energy", power_cap_w=None, grace_s=1.0)
    assert known.inputs().apps["a"].phase_ms == 0.0
    for number in range(1, 100):
        known.observe(Telemetry(apps=(world.report("a", arrived=3),), units=(), power_w=None), now_s=0.1 * number)
    found = known.inputs().apps["a"]
    assert found.rate_hz == pytest.approx(30.0, rel=0.2)
    assert found.phase_ms is None


def test_policy_is_shown_the_cpus_that_applications_have():
    policy = Watchful({"a": gear("s", "big", 2), "b": gear("s", "gpu")})
    world = make_world(policy, ("a", "b"))
    world.run(1.0)
    assert {view.app: view.cpus for view in policy.snapshots[0].apps} == {"a": (), "b": ()}
    assert {view.app: view.cpus for view in policy.snapshots[-1].apps} == {"a": (0, 1), "b": ()}


def test_inputs_are_the_same_object_until_something_of_them_changes():
    known = Knowledge(board=BOARD, apps=[make_spec("a")], objective="energy", power_cap_w=None, grace_s=1.0)
    first = known.inputs()
    assert known.inputs() is first
    known.power_cap_w = 3.0
    capped = known.inputs()
    assert capped is not first
    assert known.inputs() is capped
    known.retarget(retarget("a", target_ms=50.0).change, now_s=0.0)
    assert known.inputs().apps["a"].target_ms == 50.0
    known.leave("a")
    assert known.inputs().apps == {}
