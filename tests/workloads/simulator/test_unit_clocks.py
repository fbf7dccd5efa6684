"""A simulated unit's clock: transitions, limits, and governors at their periods and hooks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.simulator_bench import LONE, UNIT, Bench, moment
from scheduler.governors import Schedutil


class TestClocks:
    def test_the_lowest_allowed_clock_of_at_least_what_is_asked_is_granted(self):
        bench = Bench()
        for asked_mhz, granted_mhz in ((501.0, 1000.0), (1.0, 500.0), (9999.0, 2000.0)):
            bench.unit.set_clock(asked_mhz, None)
            bench.run(bench.agenda.now_s + 0.001)
            assert bench.unit.mhz == granted_mhz

    def test_a_request_for_a_clock_supersedes_the_one_under_way(self):
        bench = Bench(replace(UNIT, transition_us=10_000.0))
        bench.clock(0.0, 2000.0)
        bench.clock(0.004, 1000.0)
        bench.run(0.0139)
        assert bench.unit.mhz == 500.0
        bench.run(1.0)
        assert (bench.unit.mhz, bench.unit.clock_changes) == (1000.0, 1)

    def test_a_clock_asked_for_again_takes_its_latency_from_then(self):
        bench = Bench(replace(UNIT, transition_us=10_000.0))
        for at_s, mhz in ((0.0, 2000.0), (0.004, 1000.0), (0.008, 2000.0)):
            bench.clock(at_s, mhz)
        bench.run(0.0179)
        assert bench.unit.mhz == 500.0
        bench.run(0.0181)
        assert bench.unit.mhz == 2000.0

    def test_a_request_taken_back_in_time_changes_nothing(self):
        bench = Bench(replace(UNIT, transition_us=10_000.0))
        bench.clock(0.0, 2000.0)
        bench.clock(0.004, 500.0)
        bench.run(1.0)
        assert (bench.unit.mhz, bench.unit.clock_changes) == (500.0, 0)

    def test_a_clock_outlives_a_limit(self):
        bench = Bench()
        bench.clock(0.0, 2000.0)
        bench.limit(0.1, max_mhz=1500.0)
        bench.run(0.2)
        assert (bench.unit.mhz, bench.unit.allowed) == (1000.0, (500.0, 1000.0))
        bench.limit(0.3)
        bench.run(0.4)
        assert (bench.unit.mhz, bench.unit.allowed) == (2000.0, UNIT.mhz)

    def test_a_limit_below_the_lowest_clock_leaves_that_one(self):
        bench = Bench()
        bench.clock(0.0, 2000.0)
        bench.limit(0.1, max_mhz=100.0)
        bench.run(0.2)
        assert (bench.unit.mhz, bench.unit.allowed) == (500.0, (500.0,))

    @pytest.mark.parametrize(("limit_mhz", "heat_mhz"), [(1000.0, 2000.0), (2000.0, 1000.0), (None, 1000.0)])
    def test_of_a_limit_and_of_heat_the_lower_counts(self, limit_mhz, heat_mhz):
        bench = Bench()
        bench.clock(0.0, 2000.0)
        bench.limit(0.1, max_mhz=limit_mhz)
        bench.at(0.2, lambda: bench.unit.hold_down(heat_mhz))
        bench.run(0.3)
        assert bench.unit.mhz == 1000.0
        bench.at(0.4, lambda: bench.unit.hold_down(None))
        bench.run(0.5)
        assert bench.unit.mhz == (limit_mhz or 2000.0)


class Recorder:
    """A governor that wants what it is told, and notes what it is handed."""

    hooked = False
    period_us = 10_000

    def __init__(self, mhz: float = 500.0) -> None:
        self.wants = mhz
        self.steps: list[tuple[float, ...]] = []

    def step(self, now_us, busy_us, mhz, mhz_allowed):
        self.steps.append((round(now_us), *(round(one) for one in busy_us), mhz))
        return min(self.wants, mhz_allowed[-1])


class EdgeRecorder(Recorder):
    hooked = True

    def __init__(self, mhz: float = 500.0) -> None:
        super().__init__(mhz)
        self.edges: list[tuple[float, int, bool, float]] = []

    def edge(self, now_us, core, busy, mhz, task=None):
        self.edges.append((round(now_us), core, busy, mhz))


class TestGovernors:
    def test_one_is_stepped_at_once_and_then_every_period_with_each_cores_busy_time(self):
        bench, governor = Bench(), Recorder()
        bench.job(0.005, 2.0, cores=(0,))
        bench.job(0.015, 10.0, cores=(1,))
        bench.at(0.0, lambda: bench.unit.set_clock("mine", governor))
        bench.run(0.0301)
        assert governor.steps == [
            (0, 0, 0, 500.0),
            (10_000, 5000, 0, 500.0),
            (20_000, 8000, 5000, 500.0),
            (30_000, 8000, 15_000, 500.0),
        ]

    def test_its_clock_comes_into_force_after_the_transition_latency(self):
        bench, governor = Bench(replace(UNIT, transition_us=2000.0)), Recorder(1000.0)
        job = bench.job(0.0001, 10.0)
        bench.at(0.0, lambda: bench.unit.set_clock("mine", governor))
        bench.run(1.0)
        assert job.end_s == moment(0.002 + (10 - 0.475) / 500)
        assert [step[-1] for step in governor.steps[:2]] == [500.0, 1000.0]

    def test_it_decides_at_once_when_its_limits_change_and_a_period_after_that(self):
        bench, governor = Bench(), Recorder(2000.0)
        bench.at(0.0, lambda: bench.unit.set_clock("mine", governor))
        bench.limit(0.014, max_mhz=1000.0)
        bench.run(0.0141)
        assert bench.unit.mhz == 1000.0
        bench.run(0.030)
        assert [step[0] for step in governor.steps] == [0, 10_000, 14_000, 24_000]

    def test_a_clock_in_mhz_ends_it(self):
        bench, governor = Bench(), Recorder(2000.0)
        bench.at(0.0, lambda: bench.unit.set_clock("mine", governor))
        bench.clock(0.015, 1000.0)
        bench.run(1.0)
        assert bench.unit.mhz == 1000.0
        assert len(governor.steps) == 2

    def test_it_is_told_every_edge_and_the_clock_until_then(self):
        bench, governor = Bench(LONE), EdgeRecorder(500.0)
        bench.at(0.0, lambda: bench.unit.set_clock("mine", governor))
        bench.job(0.002, 1.0)
        bench.run(0.009)
        assert governor.edges == [(0, 0, False, 500.0), (2000, 0, True, 500.0), (6000, 0, False, 500.0)]
        governor.wants = 1000.0
        bench.run(0.0101)  # the step at 10 ms changes the clock
        assert governor.edges[3:] == [(10_000, 0, False, 500.0)]

    def test_the_schedulers_hooks_step_it_once_a_period_has_passed_since_it_changed_the_clock(self):
        bench, governor = Bench(LONE), EdgeRecorder(1000.0)
        bench.at(0.0, lambda: bench.unit.set_clock("mine", governor))
        bench.job(0.0040, 1.0)  # too soon
        bench.job(0.0155, 1.0)
        bench.run(0.0240)
        assert [step[0] for step in governor.steps] == [0, 10_000, 15_500, 17_500]

    def test_a_period_counts_as_passed_at_its_very_end(self):
        bench, governor = Bench(LONE), EdgeRecorder(1000.0)
        bench.at(0.0, lambda: bench.unit.set_clock("mine", governor))
        bench.job(0.004, 3.0)  # until 10 ms, when the timer is due too
        bench.run(0.0101)
        assert [step[0] for step in governor.steps] == [0, 10_000, 10_000]

    def test_the_period_counts_from_the_change_of_clock_and_not_from_the_start(self):
        bench, governor = Bench(LONE), EdgeRecorder(1000.0)
        bench.at(0.020, lambda: bench.unit.set_clock("mine", governor))
        bench.job(0.025, 1.0)
        bench.run(0.0299)
        assert [step[0] for step in governor.steps] == [20_000]

    def test_one_that_runs_on_a_timer_is_told_of_edges_and_not_stepped_at_them(self):
        bench, governor = Bench(LONE), EdgeRecorder(1000.0)
        governor.hooked = False
        bench.at(0.0, lambda: bench.unit.set_clock("mine", governor))
        bench.job(0.0155, 1.0)
        bench.run(0.0240)
        assert [step[0] for step in governor.steps] == [0, 10_000, 20_000]
        assert [edge[0] for edge in governor.edges[-2:]] == [15_500, 17_500]

    def test_a_change_of_clock_alone_is_no_reason_to_decide(self):
        bench, governor = Bench(replace(LONE, transition_us=10_000.0)), EdgeRecorder(1000.0)
        bench.at(0.0, lambda: bench.unit.set_clock("mine", governor))
        governor.period_us = 9_999
        bench.run(0.0101)
        assert bench.unit.mhz == 1000.0
        assert [step[0] for step in governor.steps] == [0, 9999]

    def test_schedutil_settles_where_its_rule_does(self):
        # Busy 2.5 of every 10 ms at 500 MHz is a utilisation of about 0.0625: 1.25 · 0.0625 · 2000 = 156 MHz.
        bench = Bench(LONE)
        bench.at(0.0, lambda: bench.unit.set_clock("schedutil", Schedutil(max_mhz=2000.0)))
        for number in range(50):
            bench.job(0.001 + 0.010 * number, 0.625)
        bench.run(0.5)
        assert bench.unit.mhz == 500.0
        for number in range(100):  # always busy
            bench.job(0.501 + 0.010 * number, 50.0)
        bench.run(1.5)
        assert bench.unit.mhz == 2000.0
