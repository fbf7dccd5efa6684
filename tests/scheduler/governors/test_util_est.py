"""util_est lets schedutil remember what tasks needed before, as worked out by hand and by the kernel's integers.

By hand: with a half-life h of 32 · 1.048576 = 33.554 ms a task that runs for w at the top clock after a long sleep
has come to 1 - 2^(-w/h): .3385 for 20 ms, .0981 for 5 ms.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.kernel_pelt import PERIOD_US, KernelCore
from scheduler.governors import Schedutil, SchedutilUclamp, make_governor
from scheduler.governors.pelt import CoreLoad
from scheduler.governors.util_est import EnqueuedTasks
from scheduler.policies.energy_aware import estimated_utilisation

TABLE = tuple(float(mhz) for mhz in range(200, 2001, 100))
TOP = 2000.0
LONG_MS = 1000.0
"""A sleep after which nothing is left of what was tracked."""


class Board:
    """Drives a governor of two cores as a simulation does, by edges, and notes the clock that it asks for at each."""

    def __init__(self, governor: Schedutil, mhz: float = TOP) -> None:
        self.governor, self.mhz = governor, mhz
        self.now_ms, self.busy_us = 0.0, [0.0, 0.0]
        for core in (0, 1):
            governor.edge(0.0, core, False, mhz)
        self.asked()

    def asked(self) -> float:
        """The clock asked for now."""
        return self.governor.step(1000 * self.now_ms, tuple(self.busy_us), self.mhz, TABLE)

    def sleep(self, ms: float) -> None:
        self.now_ms += ms

    def run(self, ms: float, task: int | None = 1, core: int = 0) -> float:
        """The clock asked for when the task wakes; it then runs for so long."""
        self.governor.edge(1000 * self.now_ms, core, True, self.mhz, task)
        asked_mhz = self.asked()
        self.now_ms += ms
        self.busy_us[core] += 1000 * ms
        self.governor.edge(1000 * self.now_ms, core, False, self.mhz, task)
        return asked_mhz


def estimates(*runs_ms: float, sleep_ms: float = LONG_MS, pace: float = 1.0) -> list[float]:
    """Return, after each run, what the task is estimated to need; it runs at a share of the largest core's pace."""
    load, tasks, now_us, found = CoreLoad(0.0), EnqueuedTasks(), 0.0, []
    for ms in runs_ms:
        for busy, us in ((True, 1000 * ms), (False, 1000 * sleep_ms)):
            load.edge(now_us, busy, pace)
            tasks.edge(load.tracked_us, 1 if busy else None)
            now_us += us
        load.edge(now_us, True, pace)
        tasks.edge(load.tracked_us, 1)
        found.append(tasks.util)
    return found


# ---------------------------------------------------------------- what is remembered


def test_a_periodic_task_is_remembered_as_what_it_has_come_to_when_it_goes_to_sleep() -> None:
    # 10 ms of every 40: (1 - 2^(-10/h)) / (1 - 2^(-40/h)) = .18664 / .56234 = .3319, and not its mean of .25.
    assert estimates(*[10.0] * 20, sleep_ms=30.0)[-1] == pytest.approx(0.3319, abs=1e-4)


def test_it_is_remembered_by_its_work_and_not_by_how_long_that_took() -> None:
    # The same work at half the clock takes 20 of the 40 ms, and 10 of tracked time; the rest is caught up on in sleep.
    assert estimates(*[20.0] * 20, sleep_ms=20.0, pace=0.5)[-1] == pytest.approx(0.3319, abs=1e-4)


@pytest.mark.parametrize("capacity", [0.4, 1.0])
def test_placement_plans_with_what_the_governor_remembers(capacity: float) -> None:
    planned = estimated_utilisation(rate_hz=25.0, work_ms=10.0 * capacity)
    assert estimates(*[10.0] * 40, sleep_ms=30.0, pace=capacity)[-1] == pytest.approx(planned, abs=1e-9)


def test_a_task_that_grows_is_believed_at_once() -> None:
    assert estimates(5.0, 20.0) == pytest.approx([0.0981, 0.3385], abs=1e-4)


def test_a_task_that_shrinks_is_believed_by_a_quarter_each_time() -> None:
    # .3385, then .3385 - (.3385 - .0981) / 4 = .2784, .2784 - (.2784 - .0981) / 4 = .2333, .1995.
    assert estimates(20.0, 5.0, 5.0, 5.0) == pytest.approx([0.3385, 0.2784, 0.2333, 0.1995], abs=1e-4)


def test_a_change_of_less_than_one_per_cent_is_left_alone() -> None:
    # 19.4 ms make .3302, 8.5 of 1024 below .3385; 19.2 ms .3274, 11.3 below; 20.4 ms .3439, above.
    first, near, farther, above = estimates(20.0, 19.4, 19.2, 20.4)
    assert near == first
    assert farther == pytest.approx(0.3385 - (0.3385 - 0.3274) / 4, abs=1e-4)
    assert above == pytest.approx(0.3439, abs=1e-4)


WHOLE_PERIODS = st.tuples(
    st.integers(1, 3),  # which task
    st.integers(1, 6).map(lambda n: 4 * n),  # how many periods it runs: whole ones of tracked time at each clock
    st.sampled_from([0.25, 0.5, 1.0]),
    st.sampled_from([0, 0, 1, 5, 40, 400]),  # and how many the core then idles
)


@given(trace=st.lists(WHOLE_PERIODS, min_size=1, max_size=12))
@settings(deadline=None)
def test_estimates_are_those_of_the_kernels_integers(trace: list[tuple[int, int, float, int]]) -> None:
    load, tasks, kernel, now_us = CoreLoad(0.0), EnqueuedTasks(), KernelCore(), 0.0
    for number, run, pace, idle in trace:
        load.edge(now_us, True, pace)
        tasks.edge(load.tracked_us, number)
        kernel.wake(number)
        assert tasks.util == pytest.approx(kernel.estimate / 1024, abs=0.006)
        now_us += run * PERIOD_US
        load.edge(now_us, False, pace)
        tasks.edge(load.tracked_us, None)
        kernel.live(True, run * PERIOD_US, pace, number)
        kernel.sleep(number)
        assert (tasks.util, kernel.estimate) == (0.0, 0)
        if idle:
            now_us += idle * PERIOD_US
            load.edge(now_us, False, pace)
            kernel.live(False, idle * PERIOD_US, pace)
        assert load.util == pytest.approx(kernel.util, abs=0.002)


# ---------------------------------------------------------------- the clock asked for


@pytest.mark.parametrize(("task", "mhz"), [(1, 900.0), (None, 500.0)])
def test_a_task_that_wakes_has_the_clock_of_its_last_run_at_once(task: int | None, mhz: float) -> None:
    # 10 ms of every 40: 1.25 · 2000 · .3319 = 830. Not knowing the task: .3319 · 2^(-30/h) = .1786, 447.
    board = Board(Schedutil(max_mhz=TOP))
    for _ in range(20):
        asked_mhz = board.run(10.0, task)
        board.sleep(30.0)
    assert asked_mhz == mhz


def test_a_task_that_sleeps_asks_for_nothing() -> None:
    # Run for 20 ms: .3385, request 846. Asleep for 10 ms: .3385 · 2^(-10/h) = .2753, 688.
    board = Board(Schedutil(max_mhz=TOP))
    board.run(20.0)
    assert board.asked() == 900
    board.sleep(10.0)
    assert board.asked() == 700


def test_a_task_that_runs_longer_than_ever_asks_for_what_is_tracked() -> None:
    # Remembered as .0981, request 245; after 40 ms of running 1 - 2^(-40/h) = .5623, 1406.
    governor = Schedutil(max_mhz=TOP)
    board = Board(governor)
    board.run(5.0)
    board.sleep(LONG_MS)
    governor.edge(1000 * board.now_ms, 0, True, TOP, 1)
    assert board.asked() == 300
    board.now_ms += 40.0
    board.busy_us[0] += 40_000.0
    assert board.asked() == 1500


def test_a_task_that_never_sleeps_is_never_learnt() -> None:
    # Nothing is remembered before the first sleep: 50 ms of running make .6440, request 1610, as without a number.
    clocks = []
    for task in (1, None):
        governor = Schedutil(max_mhz=TOP)
        board = Board(governor)
        governor.edge(0.0, 0, True, TOP, task)
        board.now_ms, board.busy_us[0] = 50.0, 50_000.0
        governor.edge(50_000.0, 0, True, TOP, task)  # the clock was told of, and nothing else
        clocks.append(board.asked())
    assert clocks == [1700, 1700]


def test_each_task_of_a_core_is_remembered_by_itself() -> None:
    # 20 ms: .3385, request 846. 5 ms: .0981, request 245.
    board = Board(Schedutil(max_mhz=TOP))
    for task, ms in ((1, 20.0), (2, 5.0)):
        board.run(ms, task)
        board.sleep(LONG_MS)
    clocks = []
    for task, ms in ((1, 20.0), (2, 5.0)):
        clocks.append(board.run(ms, task))
        board.sleep(LONG_MS)
    assert clocks == [900, 300]


def test_a_task_is_another_one_on_another_core() -> None:
    board = Board(Schedutil(max_mhz=TOP))
    board.run(20.0, core=0)
    board.sleep(LONG_MS)
    assert board.run(20.0, core=1) == 200
    board.sleep(LONG_MS)
    assert board.run(20.0, core=1) == 900


def test_the_estimate_of_a_task_that_comes_at_the_moment_of_a_step_still_counts() -> None:
    governor = Schedutil(max_mhz=TOP)
    board = Board(governor)
    board.run(20.0)
    board.sleep(LONG_MS)
    assert board.asked() == 200
    assert board.run(20.0) == 900


def test_the_busiest_core_counts_by_estimate_or_by_what_is_tracked() -> None:
    # Core 1 has run for 40 ms by then, 1 - 2^(-40/h) = .5623, request 1406; core 0 wakes with .3385, 846.
    governor = Schedutil(max_mhz=TOP)
    board = Board(governor)
    board.run(20.0, core=0)
    board.sleep(LONG_MS)
    governor.edge(1000 * board.now_ms, 1, True, TOP, 2)
    board.now_ms += 40.0
    board.busy_us[1] += 40_000.0
    assert board.run(1.0, core=0) == 1500


def test_a_core_that_is_handed_on_does_not_catch_up_in_between() -> None:
    # Two tasks by turns at half the clock, 10 ms each, for 100 ms: 1 - 2^(-50/h) = .6440 tracked. Had the core idled
    # between them, as it does for 1 ms in the other case, each 5 ms that it is behind would count as idle.
    clocks = {}
    for gap_ms in (0.0, 1.0):
        board = Board(Schedutil(max_mhz=TOP), mhz=1000.0)
        for number in range(10):
            board.run(10.0, task=number % 2)
            board.now_ms += gap_ms
        clocks[gap_ms] = board.asked()
    assert clocks[0.0] == 1700
    assert clocks[1.0] < 1300


@pytest.mark.parametrize(("capacity", "mhz"), [(1.0, 900.0), (0.5, 1000.0)])
def test_a_smaller_core_is_measured_against_its_own_capacity(capacity: float, mhz: float) -> None:
    # 20 ms at the top clock of a core of half the capacity are 10 ms of tracked time: 1 - 2^(-10/h) = .1866, over .5
    # .3733, 933. The largest core: 846.
    governor = make_governor("schedutil", max_mhz=TOP, capacity=capacity)
    assert isinstance(governor, Schedutil)
    board = Board(governor)
    board.run(20.0)
    assert board.asked() == mhz
    board.sleep(LONG_MS)
    assert board.run(20.0) == mhz


# ---------------------------------------------------------------- with clamps


@pytest.mark.parametrize("capacity", [0.4, 1.0])
def test_a_clamp_holds_an_estimate_down_too(capacity: float) -> None:
    # As remembered it asks for 846 MHz and more; its hint says 500.
    board = Board(governor := SchedutilUclamp(max_mhz=TOP, capacity=capacity))
    governor.hint(0, 500.0)
    board.run(20.0)
    board.sleep(LONG_MS)
    assert board.run(20.0) == 500


def test_a_core_without_a_hint_is_estimated_as_without_clamps() -> None:
    board = Board(governor := SchedutilUclamp(max_mhz=TOP))
    governor.hint(1, 300.0)
    board.run(20.0)
    board.sleep(LONG_MS)
    assert board.run(20.0) == 900
