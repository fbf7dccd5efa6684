"""The board reaches a plan step by step: gears, CPUs and clocks change in an order that is safe.

Most tests drive a whole manager through virtual time. Those on a bare `Transition` come last: the timeout, and rings
of applications that wait for each other.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.fake_world import BOARD, EPOCH_S, gear, make_spec, make_world, quiet, retarget
from helpers.scripted import Scripted
from scheduler.manager import Manager
from scheduler.messages import Activate, Activated, ClockSet, Log, Pin, Pinned, Prepare, Prepared, SetClock, Tick
from scheduler.rings import ring_breakers
from scheduler.transition import ACK_TIMEOUT_S, Transition
from scheduler.views import Plan


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
    """Return in short what an application was asked to do."""
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
    prepares_on=st.sampled_from([None, "little"]),
)
def test_any_plans_are_reached_safely(happenings, seed, delay_s, loss, prepares_on):
    """Plans superseding each other, workers killed, answers late, out of order or lost: see `World` for the checks."""
    policy = Scripted(dict.fromkeys(APPS, gear()))
    world = make_world(policy, APPS, seed=seed, delay_s=delay_s, loss=loss, prepares_on=prepares_on)
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


def asked_at_0() -> Transition:
    """Return a board on its way to a first plan: the clocks are set, the worker was asked to prepare and is silent."""
    transition = Transition(BOARD)
    transition.join("a", running=True)
    clocks = {unit.name: unit.mhz[0] for unit in BOARD.units}
    transition.aim(Plan(gears={"a": gear()}, clocks=clocks), {"a": (0,)}, 1, "start")
    effects = transition.advance(0.0)
    assert Prepare(app="a", gear=gear(), plan=1) in effects
    for effect in effects + transition.advance(0.0):
        if isinstance(effect, SetClock):
            transition.acknowledge(ClockSet(unit=effect.unit, clock=effect.clock, plan=1))
    return transition


def unhealthy(waiting_for: str) -> Log:
    return Log(kind="unhealthy", fields={"app": "a", "waiting_for": waiting_for})


def test_new_hints_alone_are_no_change_of_clock_for_the_log() -> None:
    transition = asked_at_0()
    clocks = {unit.name: "schedutil-uclamp" for unit in BOARD.units}
    logged = []
    for number, clamp_mhz in ((2, 500.0), (3, 1000.0)):
        plan = Plan(gears={"a": gear()}, clocks=clocks, clamps_mhz={"a": clamp_mhz})
        transition.aim(plan, {"a": (0,)}, number, "hints")
        for effect in transition.advance(0.0):
            if isinstance(effect, SetClock) and effect.unit == gear().unit:
                assert effect.hints.clamps_mhz == {"a": clamp_mhz}
                logged.append(transition.acknowledge(ClockSet(unit=effect.unit, clock=effect.clock, plan=effect.plan)))
    assert [len(effects) for effects in logged] == [1, 0]


def test_a_worker_is_unhealthy_from_the_timeout_on() -> None:
    transition = asked_at_0()
    assert transition.expire(ACK_TIMEOUT_S - 0.1) == []
    assert transition.expire(ACK_TIMEOUT_S) == [unhealthy("Prepare")]
    assert transition.expire(ACK_TIMEOUT_S + 0.1) == []


def test_an_unhealthy_worker_is_asked_again_once_it_is_heard_of_even_with_no_news() -> None:
    transition = asked_at_0()
    transition.expire(ACK_TIMEOUT_S)
    assert transition.advance(ACK_TIMEOUT_S) == []
    assert transition.heard("a", None, -1) == []
    assert transition.advance(2.1) == [Prepare(app="a", gear=gear(), plan=1)]


@pytest.mark.parametrize(
    ("blocked", "let_through"),
    [
        ({}, []),
        ({"a": {"b"}}, []),  # b can move
        ({"a": {"b"}, "b": {"a"}}, ["a"]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}}, ["a"]),
        ({"c": {"a"}, "a": {"b"}, "b": {"a"}}, ["a"]),  # c is in no ring
        ({"a": {"b", "c"}, "b": {"a"}}, []),  # the ring waits for c, which can move
        ({"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c"}}, ["a", "c"]),
    ],
)
def test_the_first_of_each_ring_is_let_through(blocked: dict[str, set[str]], let_through: list[str]) -> None:
    assert list(ring_breakers(blocked)) == let_through


def test_who_is_not_settled_is_known_anew_after_each_plan() -> None:
    transition = asked_at_0()
    clocks = {unit.name: unit.mhz[0] for unit in BOARD.units}
    for number, subnet in ((1, "s"), (2, "m")):
        wanted = gear(subnet)
        if number > 1:
            transition.aim(Plan(gears={"a": wanted}, clocks=clocks), {"a": (0,)}, number, "next")
            transition.advance(0.0)
        assert transition.unsettled() == ["a"]
        transition.acknowledge(Prepared(app="a", gear=wanted, plan=number))
        for _ in range(3):  # the clock, the pin, and the activation
            for effect in transition.advance(0.0):
                if isinstance(effect, SetClock):
                    transition.acknowledge(ClockSet(unit=effect.unit, clock=effect.clock, plan=effect.plan))
                elif isinstance(effect, Pin):
                    transition.acknowledge(Pinned(app="a", unit="big", cpus=effect.cpus, plan=number))
        assert transition.unsettled() == ["a"]
        transition.acknowledge(Activated(app="a", gear=wanted, plan=number))
        assert transition.unsettled() == []
        assert transition.advance(0.0) == []
        assert transition.unsettled() == []
