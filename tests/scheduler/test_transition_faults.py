"""The board reaches a plan although plans are superseded, workers are silent or lost, and messages stray."""

from __future__ import annotations

import pytest

from helpers.fake_world import BOARD, EPOCH_S, gear, make_spec, make_world, quiet, retarget
from helpers.scripted import Scripted
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
    Prepare,
    Prepared,
    SetClock,
    StartWorker,
    Telemetry,
    Tick,
    WorkerLost,
    WorkerNotStarted,
    WorkerStarted,
)
from scheduler.views import Gear


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


def test_an_application_lost_again_and_again_is_given_up_and_others_get_its_cores():
    policy = Scripted({"a": gear("m", "big", 2), "b": gear("m", "little")})
    world = make_world(policy)
    world.run(1.0)
    for _ in range(5):
        assert world.logs("out") == []
        world.kill("a")
        world.run(4.0)
    assert [(out["app"], out["reason"]) for out in world.logs("out")] == [("a", "killed")]
    assert len(world.sent(StartWorker)) == 4
    policy.gears = {"b": gear("m", "big", 2)}
    world.send(retarget("b", target_ms=50.0))
    world.run(1.0)
    assert list(world.plan["gears"]) == ["b"]
    assert world.workers["b"].gear == gear("m", "big", 2)
    world.assert_arrived()
    # Nothing brings it back, and what is still said of it changes nothing.
    for message in (WorkerLost(app="a", reason="?"), WorkerStarted(app="a"), WorkerNotStarted(app="a", reason="?")):
        assert world.manager.on(message, world.now_s) == []
    world.send(Event(change=AppLeft(app="a"), text="a leaves"))
    world.run(60.0)
    assert len(world.sent(StartWorker)) == 4


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
