"""An end of a worker's process is told once, soon, and with the reason that the board knows."""

from __future__ import annotations

import pytest

from helpers.fake_world import EPOCH_S
from helpers.loop_world import SMALL, World
from scheduler.messages import Fenced, WorkerLost, WorkerStarted
from scheduler.views import Gear

LARGE = Gear(subnet="l", unit="little", cores=2)
FENCED = Fenced(app="a", unit="big", why="its process was stopped", held_ms=110.0, bound_ms=100.0)


def times(entries: list[tuple[float, object]]) -> list[float]:
    return [at_s for at_s, _ in entries]


def assert_lost_for_the_fence(world: World) -> None:
    (lost,) = [entry for entry in world.log if entry["kind"] == "lost"]
    assert lost["reason"].startswith("its process was stopped for 110 ms")


def test_a_process_that_is_seen_to_end_is_lost_soon_and_its_late_calls_change_nothing():
    world = World("a", "b", gears={"a": SMALL, "b": LARGE})
    loop = world.loop()
    loop.run(until_s=0.45)
    world.seen_dead.add("a")
    loop.run(until_s=0.65)
    world.seen_dead.clear()
    loop.run(until_s=0.95)
    world.dead.add("a")  # only now do the calls to the first worker, and those to its successor, fail
    loop.run(until_s=1.05)
    world.dead.clear()
    loop.run(until_s=2.95)
    assert [lost.reason for _, lost in world.of(WorkerLost)] == ["its process ended", "a is gone"]
    assert times(world.of(WorkerLost))[0] == pytest.approx(0.6)  # one report after it was seen
    assert len(world.of(WorkerStarted)) == 2


@pytest.mark.parametrize("silent_epochs", [0, 3, 15])
def test_a_worker_that_was_fenced_off_is_lost_for_that_reason_though_its_end_is_seen_before_the_report(silent_epochs):
    world = World("a", "b", gears={"a": SMALL, "b": LARGE})
    loop = world.loop()
    loop.run(until_s=0.45)
    world.seen_dead.add("a")
    world.board_silent = silent_epochs > 0
    loop.run(until_s=0.55 + silent_epochs * EPOCH_S)
    world.board_silent = False
    world.fenced.append(FENCED)
    loop.run(until_s=0.65 + silent_epochs * EPOCH_S)
    assert_lost_for_the_fence(world)


def test_the_reason_waits_for_a_report_that_was_begun_after_the_end():
    world = World("a", "b", gears={"a": SMALL, "b": LARGE})
    world.board_late_s = 0.15
    loop = world.loop()
    loop.run(until_s=0.45)
    world.seen_dead.add("a")
    loop.run(until_s=0.65)
    world.fenced.append(FENCED)
    loop.run(until_s=0.75)
    assert_lost_for_the_fence(world)


def test_a_call_that_fails_as_its_process_has_ended_waits_for_the_reason_too():
    world = World("a", "b", gears={"a": SMALL, "b": LARGE})
    loop = world.loop()
    loop.run(until_s=0.45)
    world.seen_dead.add("a")
    world.dead.add("a")
    world.fenced.append(FENCED)
    loop.run(until_s=0.55)
    assert_lost_for_the_fence(world)


def test_a_worker_that_ended_is_lost_though_the_board_reports_no_more():
    world = World("a", "b", gears={"a": SMALL, "b": LARGE})
    loop = world.loop()
    loop.run(until_s=0.45)
    world.seen_dead.add("a")
    world.board_silent = True
    loop.run(until_s=3.05)
    assert times(world.of(WorkerLost)) == pytest.approx([2.5], abs=1.1 * EPOCH_S)  # two seconds after it was seen
