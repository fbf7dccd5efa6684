"""schedutil obeys utilisation clamps while a task runs and after it, and each application gives its own hint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.snapshots import BIG, LITTLE, gear, make_snapshot, make_view
from scheduler.governors import GOVERNORS, HINTED, HintedGovernor, Schedutil, SchedutilUclamp, make_governor
from scheduler.policies import appraise
from scheduler.policies.clamps import clamps_of
from scheduler.views import Plan

TABLE = tuple(float(mhz) for mhz in range(200, 2001, 100))


def governed(*busy: bool, hints: Mapping[int, float], mhz: float = 1000) -> SchedutilUclamp:
    """A governor whose cores have been so since 0, and were last looked at then."""
    governor = SchedutilUclamp(max_mhz=2000)
    for core, hint in hints.items():
        governor.hint(core, hint)
    for core, runs in enumerate(busy):
        governor.edge(0, core, runs, mhz)
    governor.step(0, (0,) * len(busy), mhz, TABLE)
    return governor


@pytest.mark.parametrize("hint", [200.0, 700.0, 1300.0, 2000.0])
def test_a_running_task_gets_the_clock_it_asked_for_neither_less_nor_more(hint: float) -> None:
    # Plainly 10 ms of running at 1000 of 2000 make u = 1 - 2^(-5/33.554) = .0981, request 245, and 400 ms ask for 2000.
    governor = governed(True, False, hints={0: hint, 1: hint})
    assert governor.step(10_000, (10_000, 0), 1000, TABLE) == hint
    assert governor.step(400_000, (400_000, 0), 1000, TABLE) == hint


def test_an_idle_core_lets_go_of_its_lower_clamp_and_keeps_the_upper_one() -> None:
    # 200 ms busy at the top clock: u = .9839. Idle for 10 ms: u = .8003, request 2000, held down to the hint; for 70 ms
    # in all: u = .2317, request 579.
    for hints, clocks in (({}, [2000, 2000, 600]), ({0: 1000.0}, [1000, 1000, 600])):
        governor = governed(True, False, hints=hints, mhz=2000)
        got = [governor.step(200_000, (200_000, 0), 2000, TABLE)]
        governor.edge(200_000, 0, False, 2000)
        got.append(governor.step(210_000, (200_000, 0), 2000, TABLE))
        got.append(governor.step(270_000, (200_000, 0), 2000, TABLE))
        assert got == clocks


def test_the_highest_of_the_running_tasks_counts() -> None:
    governor = governed(True, True, False, hints={0: 600.0, 1: 900.0, 2: 2000.0})
    assert governor.step(10_000, (10_000, 10_000, 0), 1000, TABLE) == 900
    governor.edge(10_000, 1, False, 1000)
    governor.edge(10_000, 2, True, 1000)
    assert governor.step(20_000, (20_000, 10_000, 10_000), 1000, TABLE) == 2000


def test_a_core_without_a_hint_counts_as_it_is_used() -> None:
    # Core 1 runs for 40 ms at 1000 of 2000: u = 1 - 2^(-20/33.554) = .3385, request 846.
    governor = governed(True, True, hints={0: 400.0})
    assert governor.step(40_000, (40_000, 40_000), 1000, TABLE) == 900


def test_a_hint_taken_back_leaves_plain_schedutil() -> None:
    governor, plain = governed(True, False, hints={0: 2000.0}), Schedutil(max_mhz=2000)
    governor.hint(0, None)
    for core in (0, 1):
        plain.edge(0, core, core == 0, 1000)
    plain.step(0, (0, 0), 1000, TABLE)
    for now_us in (10_000, 50_000, 200_000):
        clock = plain.step(now_us, (now_us, 0), 1000, TABLE)
        assert governor.step(now_us, (now_us, 0), 1000, TABLE) == clock


def test_a_lone_busy_core_clocks_down_only_where_its_clamp_holds_it_down() -> None:
    # At 10 ms u = .1866, below the clamp of 1000/2000/1.25 = .4: the kernel does not clock a busy core down. At 50 ms
    # u = .6440, above it.
    governor = governed(True, hints={0: 1000.0}, mhz=2000)
    assert governor.step(10_000, (10_000,), 2000, TABLE) == 2000
    assert governor.step(50_000, (50_000,), 2000, TABLE) == 1000


@given(
    hint=st.sampled_from(TABLE),
    busy_ms=st.lists(st.integers(0, 40), min_size=1, max_size=15),
    top=st.integers(1, len(TABLE)),
)
@settings(deadline=None)
def test_no_clamp_makes_the_clock_leave_what_is_allowed_or_pass_the_hint(
    hint: float, busy_ms: list[int], top: int
) -> None:
    allowed = TABLE[:top]
    governor, now_us, busy_us, mhz = SchedutilUclamp(max_mhz=2000), 0.0, 0.0, allowed[0]
    governor.hint(0, hint)
    governor.hint(1, hint)
    for core in (0, 1):
        governor.edge(0, core, False, mhz)
    governor.step(0, (0, 0), mhz, allowed)
    for ms in busy_ms:
        governor.edge(now_us, 0, True, mhz)
        governor.edge(now_us + 1000 * ms, 0, False, mhz)
        now_us, busy_us = now_us + 50_000, busy_us + 1000 * ms
        mhz = governor.step(now_us, (busy_us, 0), mhz, allowed)
        assert mhz in allowed
        assert mhz <= hint


def test_who_takes_hints() -> None:
    taking = tuple(
        name
        for name in GOVERNORS
        if isinstance(make_governor(name, max_mhz=2000, kind="gpu" if name == "podgov" else "cpu"), HintedGovernor)
    )
    assert taking == HINTED == ("schedutil-uclamp",)


def test_a_lone_core_that_was_never_idle_keeps_its_clock_where_its_clamp_does_not_hold_it_down() -> None:
    # Busy for all of 10 ms, and idle at the very moment of the step: its utilisation is below its clamp.
    governor = SchedutilUclamp(max_mhz=2000)
    governor.hint(0, 2000)
    governor.edge(0.0, 0, True, 2000)
    governor.step(0.0, (0.0,), 2000, TABLE)
    governor.edge(10_000.0, 0, False, 2000)
    assert governor.step(10_000.0, (10_000.0,), 2000, TABLE) == 2000


# ---------------------------------------------------------------- who gives which hint


@pytest.mark.parametrize(("target_ms", "mhz"), [(100.0, 1000.0), (40.0, 1000.0), (39.0, 2000.0), (10.0, 2000.0)])
def test_an_application_alone_needs_the_lowest_clock_that_meets_its_target(target_ms: float, mhz: float) -> None:
    # medium takes 40 ms on one core of big at 1000 MHz, 20 at 2000; 10 ms it never meets.
    snapshot = make_snapshot(make_view("a", target_ms=target_ms))
    assert clamps_of(Plan(gears={"a": gear("medium", "big")}, clocks={}), snapshot) == {"a": mhz}


def test_on_cores_of_their_own_each_application_has_its_own_clamp() -> None:
    snapshot = make_snapshot(make_view("a", target_ms=30.0), make_view("b"), make_view("c", target_ms=80.0))
    gears = {"a": gear("medium", "big"), "b": gear("medium", "big"), "c": gear("medium", "little")}
    assert clamps_of(Plan(gears=gears, clocks={}), snapshot) == {"a": 2000.0, "b": 1000.0, "c": 500.0}


def test_on_shared_cores_the_waiting_counts_that_the_model_of_contention_foresees() -> None:
    plan = Plan(
        gears={"a": gear("medium", "big"), "b": gear("small", "big"), "c": gear("small", "big")},
        clocks={"big": 1000.0, "little": 500.0},
        cpus={"a": (0,), "b": (0,), "c": (1,)},
    )
    views = [make_view(app, rate_hz=10.0, target_ms=80.0, arrivals="periodic") for app in "abc"]
    foreseen = appraise(plan, make_snapshot(*views))
    # Alone a takes 40 ms, and it waits for b, which takes 20, but not for c.
    assert 40 < foreseen.latency_ms["a"] <= 60
    for target_ms, mhz in ((foreseen.latency_ms["a"] + 0.1, 1000.0), (foreseen.latency_ms["a"] - 0.1, 2000.0)):
        snapshot = make_snapshot(replace(views[0], target_ms=target_ms), *views[1:])
        assert clamps_of(plan, snapshot) == {"a": mhz, "b": 1000.0, "c": 1000.0}


def test_shared_cores_must_not_be_overloaded_together() -> None:
    # a and c share a CPU: twice 20 · 40 ms are 1600 ms of core time a second at 1000 MHz; it has 900 to give.
    views = [make_view(app, rate_hz=20.0, target_ms=1000.0) for app in "abc"]
    gears = {app: gear("medium", "big") for app in "abc"}
    plan = Plan(gears=gears, clocks={})
    assert clamps_of(plan, make_snapshot(*views)) == {"a": 2000.0, "b": 1000.0, "c": 2000.0}


def test_a_gpu_takes_no_hints() -> None:
    snapshot = make_snapshot(make_view("a"), units=(replace(BIG, kind="gpu"), LITTLE))
    assert clamps_of(Plan(gears={"a": gear("medium", "big")}, clocks={}), snapshot) == {}
