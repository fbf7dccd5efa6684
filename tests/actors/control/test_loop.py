"""The control loop drives a real manager in virtual time: it sends messages in time, survives faults and counts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.fake_world import BOARD, EPOCH_S, retarget
from helpers.loop_world import SMALL, World
from helpers.virtual_clock import VirtualClock
from scheduler.messages import (
    Activate,
    Activated,
    AppLeft,
    Event,
    HiddenEvent,
    Pin,
    Prepare,
    StartWorker,
    StopWorker,
    Telemetry,
    Tick,
    UnitLimited,
    UnitSlowed,
    WorkerLost,
    WorkerStarted,
)
from scheduler.views import Gear

LARGE = Gear(subnet="l", unit="little", cores=2)


def times(entries: list[tuple[float, object]]) -> list[float]:
    return [at_s for at_s, _ in entries]


# ---------------------------------------------------------------- on time


def test_an_epoch_is_telemetry_and_then_a_tick():
    world = World("a", "b")
    world.loop().run(until_s=0.95)
    told = world.of(Telemetry, Tick)
    assert [type(message) for _, message in told] == [Telemetry, Tick] * 10
    assert times(told)[::2] == pytest.approx([EPOCH_S * number for number in range(10)])
    assert [message.epoch for _, message in told[1::2]] == list(range(1, 11))
    assert all({report.app for report in message.apps} == {"a", "b"} for _, message in told[::2])
    assert all(len(message.units) == len(BOARD.units) and message.host for _, message in told[::2])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.0, 1.5), max_size=6).map(sorted), st.floats(0.0, 0.2))
def test_an_event_is_told_when_it_is_due(at_s, effect_s):
    world = World("a")
    world.effect_s = effect_s
    events = [(moment_s, retarget("a", target_ms=50.0 + place)) for place, moment_s in enumerate(at_s)]
    world.loop(*events).run(until_s=1.0)
    due = [(moment_s, event) for moment_s, event in events if moment_s < 1.0]
    told = world.of(Event)
    assert [event for _, event in told] == [event for _, event in due]
    assert times(told) == pytest.approx([moment_s for moment_s, _ in due])


@given(st.floats(-3.0, 3.0))
@settings(max_examples=50, deadline=None)
def test_epochs_begin_at_multiples_of_their_length_whenever_the_loop_was_started(from_s):
    world = World("a")
    world.clock = VirtualClock(from_s)
    world.loop().run(until_s=from_s + 1.0)
    ticks_s = times(world.of(Tick))
    assert ticks_s[0] - from_s < EPOCH_S + 1e-9
    assert [at_s / EPOCH_S for at_s in ticks_s] == pytest.approx([round(at_s / EPOCH_S) for at_s in ticks_s])
    assert [later - earlier for earlier, later in pairwise(ticks_s)] == pytest.approx([EPOCH_S] * (len(ticks_s) - 1))
    assert len(ticks_s) >= 9


def test_a_decision_waits_for_nobody():
    world = World("a", "slow")
    world.silent.add("slow")
    loop = world.loop()
    loop.run(until_s=0.45)
    world.silent.clear()
    loop.run(until_s=0.95)
    assert times(world.of(Tick)) == pytest.approx([EPOCH_S * number for number in range(10)])
    heard = [[report.app for report in message.apps] for _, message in world.of(Telemetry)]
    assert heard == [["a"]] * 5 + [["a", "slow"]] * 5


def test_a_limit_reaches_the_board_before_the_manager_decides_on_it():
    world = World("a")
    limit = UnitLimited(unit="big", max_mhz=1000.0, cpus_online=(1,), other_load=0.0)
    world.loop((0.25, Event(change=limit, text="big"))).run(until_s=0.5)
    order = [what for _, what in world.of(UnitLimited, Event)]
    assert order == [limit, Event(change=limit, text="big")]


def test_a_slowdown_reaches_the_board_and_the_log_and_no_manager():
    world = World("a")
    slowed = UnitSlowed(unit="big", slowdown=1.5)
    world.loop((0.25, HiddenEvent(change=slowed, text="big: slower"))).run(until_s=0.5)
    assert [(at_s, what) for at_s, what in world.of(UnitSlowed, Event, HiddenEvent)] == [(pytest.approx(0.25), slowed)]
    said = [entry for entry in world.log if entry["kind"] == "event"]
    assert said == [{"kind": "event", "now_s": pytest.approx(0.25), "text": "big: slower"}]


def test_a_slowdown_that_the_agent_died_over_is_done_by_the_next_one():
    world = World("a")
    world.dead.add(None)
    loop = world.loop(
        (0.25, HiddenEvent(change=UnitSlowed(unit="big", slowdown=2.0), text="big: slower")),
        (0.26, HiddenEvent(change=UnitSlowed(unit="big", slowdown=1.5), text="big: a bit slower")),
        (0.27, HiddenEvent(change=UnitSlowed(unit="little", slowdown=3.0), text="little: slower")),
    )
    loop.run(until_s=0.3)
    world.dead.clear()
    given = len(world.of(UnitSlowed))
    loop.run(until_s=0.95)
    again = [what for _, what in world.of(UnitSlowed)[given:]]
    assert again == [UnitSlowed(unit="big", slowdown=1.5), UnitSlowed(unit="little", slowdown=3.0)]


def test_an_app_that_left_is_asked_no_more():
    world = World("a", "b")
    world.loop((0.25, Event(change=AppLeft(app="b"), text="b leaves"))).run(until_s=0.95)
    asked = [{report.app for report in message.apps} for _, message in world.of(Telemetry)]
    assert asked == [{"a", "b"}] * 3 + [{"a"}] * 7


def test_it_ends_when_told_to():
    world = World("a")
    world.loop().run(until_s=1e9, stopped=lambda: world.clock.now_s() > 0.5)
    assert 0.5 < world.clock.now_s() < 0.5 + 1.1 * EPOCH_S


# ---------------------------------------------------------------- what it survives


def test_a_lost_worker_is_reported_once_restarted_and_gets_its_gear_again():
    world = World("a", "b", gears={"a": SMALL, "b": LARGE})
    loop = world.loop()
    loop.run(until_s=0.45)
    assert [what.app for _, what in world.of(Activate)] == ["a", "b"]
    world.dead.add("a")
    loop.run(until_s=1.05)
    world.dead.clear()
    loop.run(until_s=1.95)
    assert [lost.app for _, lost in world.of(WorkerLost)] == ["a"]
    first_s, *again_s = times(world.of(StartWorker))
    assert first_s == pytest.approx(0.45)  # at once, not with the next epoch
    assert len(again_s) > 2  # it stayed dead for some epochs, and was tried again in each
    assert min(later - earlier for earlier, later in pairwise(again_s)) > 0.9 * EPOCH_S
    (back_s, started), *more = world.of(WorkerStarted)
    assert (started.app, more) == ("a", [])
    again = [what for at_s, what in world.of(Prepare, Pin, Activate) if at_s >= back_s]
    assert [type(what) for what in again] == [Prepare, Pin, Activate]
    assert {what.app for what in again} == {"a"}
    assert len(world.of(Tick)) == 20
    heard = [report.app for at_s, message in world.of(Telemetry) for report in message.apps if at_s > back_s]
    assert heard.count("a") == heard.count("b") > 5
    assert [entry["app"] for entry in world.log if entry["kind"] == "lost"] == ["a"]


def test_a_worker_lost_in_the_middle_of_its_change_of_gear_is_reported_once():
    world = World("a")
    world.effect_s = 0.15
    world.dead.add("a")
    loop = world.loop()
    loop.run(until_s=0.55)
    assert len(world.of(WorkerLost)) == 1
    world.dead.clear()
    loop.run(until_s=1.95)
    assert len(world.of(WorkerLost)) == 1
    assert [what.app for _, what in world.of(Activated)] == ["a"]


def test_a_worker_s_error_is_logged_and_asked_again():
    world = World("a", "b", gears={"a": SMALL, "b": LARGE})
    world.errors[Prepare] = 1
    world.loop().run(until_s=3.95)
    errors = [entry for entry in world.log if entry["kind"] == "error"]
    assert [(entry["app"], entry["text"]) for entry in errors] == [("a", "no Prepare today")]
    assert not world.of(WorkerLost)
    assert len(world.of(Tick)) == 40
    activated = {what.app: at_s for at_s, what in world.of(Activated)}
    assert activated.keys() == {"a", "b"}
    assert activated["b"] < 0.5 < activated["a"]


def test_a_worker_that_cannot_report_is_as_good_as_lost():
    world = World("a", "b")
    world.cannot_report["a"] = RuntimeError("it has not begun")
    world.loop().run(until_s=0.95)
    assert [(lost.app, lost.reason) for _, lost in world.of(WorkerLost)] == [("a", "it has not begun")]
    assert [what.app for _, what in world.of(WorkerStarted)] == ["a"]
    assert {what.app for _, what in world.of(Activated)} == {"a", "b"}


def test_a_hung_worker_is_ended_said_and_started_again():
    world = World("a", "b", gears={"a": SMALL, "b": LARGE})
    loop = world.loop()
    loop.run(until_s=0.45)
    world.silent.add("a")
    loop.run(until_s=8.0)
    world.silent.clear()
    world.dead.clear()
    loop.run(until_s=9.0)
    ((ended_s, ended),) = world.of(StopWorker)
    assert ended.app == "a"
    slow, ending = [entry for entry in world.log if entry["kind"] == "stuck"]
    assert (slow["ends"], ending["ends"], ending["now_s"]) == (False, True, ended_s)
    (lost,) = [entry for entry in world.log if entry["kind"] == "lost"]
    assert lost["app"] == "a"
    assert lost["reason"].startswith("it does not report for 5.")
    assert [what.app for _, what in world.of(WorkerStarted)] == ["a"]


def test_a_worker_whose_start_fails_again_and_again_is_given_up():
    world = World("a", "b", gears={"a": SMALL, "b": LARGE})
    world.errors[StartWorker] = 10**6
    loop = world.loop()
    loop.run(until_s=0.45)
    world.dead.add("a")
    loop.run(until_s=0.65)
    world.dead.clear()
    loop.run(until_s=9.95)
    (out,) = [entry for entry in world.log if entry["kind"] == "out"]
    assert (out["app"], out["reason"]) == ("a", "it did not start: no StartWorker today")
    pauses_s = [later - earlier for earlier, later in pairwise(times(world.of(StartWorker)))]
    assert pauses_s[-3:] == pytest.approx([0.5, 1.0, 2.0], abs=2 * EPOCH_S)
    assert world.manager.settled


@pytest.mark.parametrize("told", [True, False])
@settings(max_examples=25, deadline=None)
@given(at_s=st.floats(0.0, 0.9), for_s=st.floats(0.0, 3.0), effect_s=st.floats(0.0, 0.1))
def test_what_the_board_agent_died_over_is_given_to_the_next(told, at_s, for_s, effect_s):
    world = World("a", "b", gears={"a": SMALL, "b": LARGE})
    world.effect_s = effect_s
    limit = UnitLimited(unit="little", max_mhz=1000.0, cpus_online=(2, 3), other_load=0.0)
    loop = world.loop((0.5, Event(change=limit, text="little")))
    loop.run(until_s=at_s)
    if told:
        world.dead.add(None)
    else:
        world.hang()
    loop.run(until_s=at_s + for_s)
    loop.use_agent("another")
    loop.run(until_s=at_s + for_s + 4.0)
    assert not world.of(WorkerLost), "a worker is not lost with the agent"
    assert world.manager.settled
    assert {what.app: what.gear for _, what in world.of(Activated)} == {"a": SMALL, "b": LARGE}
    back_s = next(when_s for when_s, what in world.journal if what == "another")
    assert "follow the board" in [what for when_s, what in world.journal if when_s >= back_s]
    limits_s = times(world.of(UnitLimited))
    done_s = at_s if told else at_s - effect_s
    assert limits_s[0] < done_s or limits_s[-1] >= back_s, "the limit is done by one of them"


def test_a_worker_that_dies_while_there_is_no_agent_comes_back_with_it():
    world = World("a")
    loop = world.loop()
    loop.run(until_s=0.45)
    world.hang()
    world.dead |= {"a", None}
    loop.run(until_s=1.05)
    world.dead.discard("a")
    loop.use_agent("another")
    loop.run(until_s=2.95)
    assert len(world.of(WorkerLost)) == 1
    pins = [what for _, what in world.of(Pin)]
    assert [what.app for _, what in world.of(Activated)] == ["a", "a"]
    assert len(pins) == len(set(pins)), "no pin of the dead worker is given to its successor"


def test_a_board_agent_s_error_is_logged_and_it_is_asked_to_report_again():
    world = World("a")
    world.cannot_report[None] = OSError("no clock today")
    world.loop().run(until_s=0.95)
    errors = [(entry["app"], entry["text"]) for entry in world.log if entry["kind"] == "error"]
    assert errors == [(None, "no clock today")]
    assert times(world.of(str)) == pytest.approx([0.0, 0.1])
    assert not world.of(WorkerLost)


# ---------------------------------------------------------------- what it counts


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 2.0), st.floats(0.0, 1.0))
def test_epochs_that_a_stall_swallows_are_overruns(from_s, length_s):
    world = World("a")
    world.stalls_s = [(from_s, from_s + length_s)]
    loop = world.loop()
    loop.run(until_s=3.05)
    figures = loop.figures
    assert figures.epochs == len(world.of(Tick))
    assert figures.epochs + figures.overruns == 31
    # The epoch that the stall delays and, at most, the one that it begins in still take place.
    assert length_s / EPOCH_S - 2 - 1e-6 < figures.overruns < length_s / EPOCH_S + 1e-6


def test_an_undisturbed_loop_overruns_nothing():
    world = World("a", "b")
    world.effect_s = 0.04
    loop = world.loop()
    loop.run(until_s=1.95)
    assert (loop.figures.epochs, loop.figures.overruns) == (20, 0)


def test_a_change_is_timed_from_its_decision_to_the_last_answer():
    world = World("a")
    world.effect_s = 0.03
    loop = world.loop()
    loop.run(until_s=0.55)
    # Prepare, clock, pin and activate, one after the other, from the first tick at 0 on.
    assert loop.figures.apply_ms == pytest.approx([4 * 30.0])
    world.policy.gears["a"] = LARGE
    loop = world.loop((0.62, retarget("a", target_ms=70.0)))
    loop.run(until_s=1.55)
    # Prepare, pin to both, activate, pin to the new alone.
    assert loop.figures.apply_ms == pytest.approx([4 * 30.0])


def test_the_epoch_log_says_what_each_decision_took():
    world = World("a")
    loop = world.loop((0.35, retarget("a", target_ms=70.0)))
    loop.run(until_s=0.95)
    epochs = [entry for entry in world.log if entry["kind"] == "epoch"]
    assert len(epochs) == loop.figures.epochs == 10
    decided = [entry["epoch"] for entry in epochs if entry["solve_ms"] is not None]
    assert decided == [1, 5]
    assert len(loop.figures.solve_ms) == 2
