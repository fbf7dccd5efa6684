"""Applications of which no sub-network was profiled for a unit that is there: they wait, and the others are planned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.fake_world import BOARD, PROFILE, World, gear, make_spec
from helpers.scripted import Scripted
from scheduler.manager import Manager
from scheduler.messages import AppJoined, Event, UnitLimited
from scheduler.policies import make_policy
from scheduler.policies.names import HINDSIGHT, NETWORKS
from scheduler.profile import Profile


def _of(kind: str, cores: int, subnets: tuple[str, ...] = ("s", "m", "l")) -> Profile:
    """Return the profile of a ladder that was measured on so many cores of one kind only, where it has these networks.

    Other networks have all of their times.
    """

    def kept(subnet: str, time_kind: str, time_cores: int) -> bool:
        return subnet not in subnets or (time_kind, time_cores) == (kind, cores)

    rungs = (
        replace(rung, times=tuple(time for time in rung.times if kept(rung.subnet, time.kind, time.cores)))
        for rung in PROFILE.rungs
    )
    return replace(PROFILE, rungs=tuple(rungs))


ON_GPU = _of("gpu", 1)
_POLICIES = [name for name in NETWORKS if name not in HINDSIGHT]


def _world(policy: str, **specs: object) -> World:
    apps = [make_spec(app, **spec) for app, spec in specs.items()]
    manager = Manager(board=BOARD, apps=apps, policy=make_policy(policy), epoch_s=0.1)
    return World(manager, tuple(specs))


def _set_online(world: World, unit: str, cpus: tuple[int, ...]) -> None:
    limit = UnitLimited(unit=unit, max_mhz=None, cpus_online=cpus, other_load=0.0)
    world.send(Event(change=limit, text=f"{unit}: {cpus} online"))


def _news(world: World) -> list[str]:
    return [entry["text"] for entry in world.logs("event") if "wait" in entry["text"]]


@pytest.mark.parametrize("policy", _POLICIES)
def test_an_app_whose_only_unit_is_away_waits_and_the_others_are_planned_for(policy: str) -> None:
    world = _world(policy, a={}, b={"profile": ON_GPU})
    world.run(1.0)
    assert world.workers["b"].gear.unit == "gpu"
    plans = len(world.logs("plan"))
    _set_online(world, "gpu", ())
    world.run(1.0)
    assert world.logs("policy_failed") == []
    assert {*world.plan["gears"]} == {"a"}
    assert "gpu" not in world.plan["clocks"]
    assert _news(world) == ["b waits: no unit that it was profiled for has enough cores online (gpu)"]
    # The others follow what happens, as ever.
    _set_online(world, world.workers["a"].gear.unit, ())
    world.run(1.0)
    assert len(world.logs("plan")) > plans + 1
    for unit in BOARD.units:
        _set_online(world, unit.name, unit.all_cpus)
    world.run(1.0)
    assert {*world.plan["gears"]} == {"a", "b"}
    assert world.workers["b"].gear.unit == "gpu"
    assert _news(world)[1:] == ["b no longer waits"]
    world.assert_arrived()


@pytest.mark.parametrize("policy", _POLICIES)
def test_a_board_on_which_all_apps_wait_goes_on(policy: str) -> None:
    world = _world(policy, b={"profile": ON_GPU})
    world.run(0.5)
    _set_online(world, "gpu", ())
    world.run(0.5)
    assert world.logs("policy_failed") == []
    assert world.plan["gears"] == {}
    _set_online(world, "gpu", (0,))
    world.run(0.5)
    assert {*world.plan["gears"]} == {"b"}
    world.assert_arrived()


def test_an_app_that_joins_while_its_unit_is_away_gets_its_first_gear_when_it_is_back() -> None:
    world = _world("joint", a={}, b={"profile": ON_GPU, "present": False})
    world.run(0.5)
    _set_online(world, "gpu", ())
    world.send(Event(change=AppJoined(app="b"), text="b joined"))
    world.run(1.0)
    assert world.workers["b"].gear is None
    assert world.manager.settled, "the plan does without it"
    _set_online(world, "gpu", (0,))
    world.run(1.0)
    assert world.workers["b"].gear.unit == "gpu"
    world.assert_arrived()


def test_an_app_that_needs_more_cores_than_are_left_waits() -> None:
    world = _world("joint", a={}, b={"profile": _of("cpu", 2)})
    world.run(0.5)
    for unit in ("big", "little"):
        _set_online(world, unit, BOARD.unit(unit).cpus[:1])
    world.run(0.5)
    assert {*world.plan["gears"]} == {"a"}
    assert _news(world) == ["b waits: no unit that it was profiled for has enough cores online (big, little)"]


def test_an_app_with_a_smaller_network_for_what_is_left_runs_that_below_its_floor() -> None:
    world = _world("joint", b={"profile": _of("gpu", 1, ("m", "l")), "min_accuracy": 0.7})
    world.run(0.5)
    assert world.workers["b"].gear.subnet in ("m", "l")
    _set_online(world, "gpu", ())
    world.run(0.5)
    assert world.workers["b"].gear.subnet == "s"
    assert _news(world) == []


def test_nobody_waits_for_an_app_that_waits() -> None:
    """`b` is to make room for `a`; before it does, its new unit and its old one get too small for it."""
    policy = Scripted({"a": gear("s", "little"), "b": gear("s", "big", 2)})
    specs = [make_spec("a"), make_spec("b", profile=_of("cpu", 2))]
    world = World(Manager(board=BOARD, apps=specs, policy=policy, epoch_s=0.1), ("a", "b"))
    world.run(0.5)
    world.workers["b"].silent = True
    policy.gears = {"a": gear("s", "big"), "b": gear("s", "little", 2)}
    _set_online(world, "gpu", ())
    world.run(0.5)
    assert world.workers["a"].gear == gear("s", "little")
    _set_online(world, "little", (2,))
    policy.clocks = {"little": 2000.0}
    _set_online(world, "big", (0,))
    world.run(0.5)
    assert world.workers["a"].gear == gear("s", "big")
    assert world.clocks["little"] == 2000.0, "a clock does not wait for it either"


def test_a_worker_that_dies_while_its_app_waits_comes_back_into_its_gear_when_its_unit_does() -> None:
    world = _world("joint", a={}, b={"profile": ON_GPU})
    world.run(0.5)
    _set_online(world, "gpu", ())
    world.kill("b")
    world.run(2.0)
    assert world.workers["b"].alive
    assert world.workers["b"].gear is None
    assert world.manager.settled
    _set_online(world, "gpu", (0,))
    world.run(1.0)
    assert world.workers["b"].gear.unit == "gpu"
    world.assert_arrived()


_STEPS = st.lists(
    st.sampled_from([unit.name for unit in BOARD.units]).flatmap(
        lambda unit: st.tuples(st.just(unit), st.sets(st.sampled_from(BOARD.unit(unit).all_cpus)), st.floats(0.01, 0.6))
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(steps=_STEPS, seed=st.integers(0, 99))
def test_whatever_goes_and_comes_all_apps_are_served_once_all_is_back(steps, seed: int) -> None:
    apps = {"a": {}, "b": {"profile": ON_GPU}, "c": {"profile": _of("cpu", 2)}}
    specs = [make_spec(app, **spec) for app, spec in apps.items()]
    world = World(
        Manager(board=BOARD, apps=specs, policy=make_policy("joint"), epoch_s=0.1), tuple(apps), seed=seed, delay_s=0.15
    )
    world.run(0.5)
    for unit, cpus, for_s in steps:
        _set_online(world, unit, tuple(sorted(cpus)))
        world.run(for_s)
    for unit in BOARD.units:
        _set_online(world, unit.name, unit.all_cpus)
    world.run(6.0)
    assert {*world.plan["gears"]} == {*apps}
    assert world.manager.settled
    world.assert_arrived()
    told = [entry["error"] for entry in world.logs("policy_failed")]
    assert all("every unit is away" in error for error in told)
