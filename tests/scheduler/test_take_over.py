"""A manager that takes over from one that died goes on from where the board stands, on virtual time."""

from __future__ import annotations

import random

import pytest

from helpers.fake_world import BOARD, EPOCH_S, World, gear, make_spec, make_world, retarget
from helpers.scripted import Watchful
from scheduler.manager import Manager
from scheduler.messages import Effect, Message, Standing
from scheduler.views import Gear

APPS = ("a", "b", "c")


class Dead:
    """In place of a manager that has died: nobody answers."""

    decisions = 0

    def on(self, message: Message, now_s: float) -> list[Effect]:
        return []


def gears_of(rnd: random.Random) -> dict[str, Gear]:
    return {
        app: gear(rnd.choice("sml"), unit, 1 if unit == "gpu" else rnd.choice((1, 2)))
        for app, unit in zip(APPS, rnd.sample(["big", "little", "gpu"], 3), strict=True)
    }


def clocks_of(rnd: random.Random) -> dict[str, float | str]:
    return {unit.name: rnd.choice(unit.mhz) for unit in BOARD.units}


def stands(world: World) -> dict[str, Standing]:
    return {
        app: Standing(gear=worker.gear, plan=worker.plan, cpus=tuple(sorted(worker.pinned)))
        for app, worker in world.workers.items()
        if worker.alive
    }


def successor(world: World, policy: Watchful, past: tuple = ()) -> Manager:
    manager = Manager(board=BOARD, apps=[make_spec(app) for app in APPS], policy=policy, epoch_s=EPOCH_S)
    manager.take_over(past, stands(world), 1000)
    return manager


@pytest.mark.parametrize("seed", range(60))
def test_a_successor_brings_the_board_to_its_plan_without_an_unsafe_moment(seed: int) -> None:
    rnd = random.Random(seed)
    policy = Watchful(gears_of(rnd), clocks_of(rnd))
    world = make_world(policy, APPS, seed=seed, delay_s=0.15)
    world.run(1.0)
    policy.gears, policy.clocks = gears_of(rnd), clocks_of(rnd)
    world.run(rnd.uniform(0, 0.6))  # the world asserts at each step that nobody takes what another holds
    world.manager = Dead()
    world.run(0.3)
    # The clocks too: it lowers none before those whom it serves have left.
    wanted = gears_of(rnd)
    world.manager = successor(world, Watchful(wanted, clocks_of(rnd)))
    world.run(5.0)
    assert {app: worker.gear for app, worker in world.workers.items()} == wanted
    assert world.manager.decisions > 0


def test_a_successor_with_the_same_plan_changes_no_gear() -> None:
    gears = {"a": gear("s", "big", 1), "b": gear("m", "little", 2), "c": gear("l", "gpu", 1)}
    world = make_world(Watchful(gears), APPS)
    world.run(1.0)
    world.manager = successor(world, Watchful(gears))
    world.run(2.0)
    changes = [entry for entry in world.logs("gear") if entry["from"] is not None]
    assert changes == []


def test_a_successor_knows_the_targets_that_the_other_was_told_of() -> None:
    gears = {"a": gear("s", "big", 1), "b": gear("m", "little", 2), "c": gear("l", "gpu", 1)}
    world = make_world(Watchful(gears), APPS)
    world.run(1.0)
    policy = Watchful(gears)
    world.manager = successor(world, policy, past=((0.5, retarget("b", target_ms=33.0)),))
    world.run(0.5)
    (view,) = [view for view in policy.snapshots[0].apps if view.app == "b"]
    assert view.target_ms == 33.0
