"""A simulated unit's tokens and services keep the times that are worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from helpers.simulator_bench import LONE, UNIT, Bench, moment
from scheduler.idle_state import IdleState


class TestService:
    def test_at_a_constant_clock_it_lasts_its_profiled_time_over_the_pace(self):
        bench = Bench()
        job = bench.job(1.0, 10.0)
        bench.run(2.0)
        assert (job.start_s, job.end_s) == (1.0, 1.04)

    def test_a_change_of_clock_acts_in_mid_service(self):
        bench = Bench()
        job = bench.job(0.0, 10.0)
        bench.clock(0.020, 2000.0)  # 5 of 10 ms are done, the rest goes four times as fast
        bench.clock(0.022, 1000.0)  # 7 are done
        bench.run(1.0)
        assert job.end_s == moment(0.028)

    def test_the_old_clock_stays_in_force_for_the_transition_latency(self):
        bench = Bench(replace(UNIT, transition_us=1000.0))
        job = bench.job(0.0, 10.0)
        bench.clock(0.020, 2000.0)
        bench.run(1.0)
        assert job.end_s == moment(0.021 + 0.00475)

    def test_what_memory_takes_is_not_stretched_by_the_clock(self):
        bench = Bench(replace(UNIT, memory_share=0.5, speed=0.5))
        job = bench.job(0.0, 10.0)
        bench.run(1.0)
        assert job.end_s == moment(0.050)  # 10 ms · (0.5 + 0.5 · 2000 / 500) / 0.5

    def test_other_load_leaves_requests_the_rest(self):
        bench = Bench()
        job = bench.job(0.0, 10.0)
        bench.limit(0.020, other_load=0.5)
        bench.run(1.0)
        assert job.end_s == moment(0.060)

    def test_a_core_that_has_slept_begins_later_by_the_deepest_exit_latency(self):
        states = (IdleState(residency_us=1000, exit_us=100), IdleState(residency_us=20_000, exit_us=2000))
        bench = Bench(replace(LONE, idle_states=states))
        jobs = [bench.job(at_s, 1.0) for at_s in (0.0, 0.005, 0.050)]
        bench.run(1.0)
        # 4 ms each; the first core has not slept yet, the second has for 1 ms, the third for 40.9 ms.
        assert [job.end_s for job in jobs] == [moment(0.004), moment(0.0091), moment(0.056)]
        assert bench.unit.meters.residency().busy_s[0] == pytest.approx(0.0141)

    def test_two_cores_wake_as_late_as_the_one_that_slept_deeper(self):
        bench = Bench(replace(UNIT, idle_states=(IdleState(residency_us=20_000, exit_us=2000),)))
        bench.job(0.0, 5.0, cores=(0,))  # until 20 ms, so that core 0 has slept 10 ms by 30 ms
        both = bench.job(0.030, 1.0, cores=(0, 1))
        bench.run(1.0)
        assert both.end_s == moment(0.036)


class TestTokens:
    def test_who_waits_gets_the_core_by_deadline_and_then_by_slot(self):
        bench = Bench()
        bench.job(0.0, 10.0)
        late = bench.job(0.001, 1.0, deadline_s=3.0, slot=0)
        second = bench.job(0.002, 1.0, deadline_s=2.0, slot=2)
        first = bench.job(0.003, 1.0, deadline_s=2.0, slot=1)
        bench.run(1.0)
        assert [job.start_s for job in (first, second, late)] == [moment(0.040), moment(0.044), moment(0.048)]

    def test_a_service_is_not_interrupted_by_an_earlier_deadline(self):
        bench = Bench()
        running = bench.job(0.0, 10.0, deadline_s=5.0)
        bench.job(0.001, 1.0, deadline_s=1.0)
        bench.run(1.0)
        assert running.end_s == moment(0.040)

    def test_two_that_come_at_one_moment_are_served_by_deadline(self):
        bench = Bench()
        later = bench.job(0.010, 1.0, deadline_s=3.0)
        sooner = bench.job(0.010, 1.0, deadline_s=2.0)
        bench.run(1.0)
        assert (sooner.start_s, later.start_s) == (moment(0.010), moment(0.014))

    def test_separate_cores_serve_side_by_side(self):
        bench = Bench()
        jobs = [bench.job(0.001 * core, 10.0, cores=(core,)) for core in (0, 1)]
        bench.run(1.0)
        assert [job.end_s for job in jobs] == [moment(0.040), moment(0.041)]

    def test_a_later_deadline_never_passes_an_earlier_one_to_a_core_that_both_want(self):
        bench = Bench()
        bench.job(0.0, 10.0, cores=(0,))
        wide = bench.job(0.001, 1.0, cores=(0, 1), deadline_s=2.0)
        passed_by = bench.job(0.002, 1.0, cores=(1,), deadline_s=3.0)
        urgent = bench.job(0.003, 1.0, cores=(1,), deadline_s=1.0)
        bench.run(1.0)
        assert urgent.start_s == moment(0.003)
        assert wide.start_s == moment(0.040)
        assert passed_by.start_s == moment(0.044)

    def test_who_gives_up_makes_way(self):
        bench = Bench()
        bench.job(0.0, 10.0, cores=(0,))
        wide = bench.job(0.001, 1.0, cores=(0, 1), deadline_s=2.0)
        other = bench.job(0.002, 1.0, cores=(1,), deadline_s=3.0)
        bench.at(0.010, lambda: bench.unit.withdraw(wide.claim))
        bench.run(1.0)
        assert other.start_s == moment(0.010)
        assert math.isnan(wide.start_s)

    def test_who_wants_its_core_no_more_leaves_it_to_the_next(self):
        bench = Bench()
        bench.job(0.0, 10.0)
        gone = bench.job(0.001, 1.0, deadline_s=2.0, wanted=False)
        other = bench.job(0.002, 1.0, deadline_s=3.0)
        bench.run(1.0)
        assert gone.asked_s == [moment(0.040)]
        assert other.start_s == moment(0.040)
        assert bench.unit.meters.residency().busy_s[0] == pytest.approx(0.044)

    def test_a_stopped_service_frees_its_cores_and_tells_nobody(self):
        bench = Bench()
        stopped = bench.job(0.0, 10.0)
        other = bench.job(0.001, 1.0)
        bench.at(0.010, lambda: bench.unit.stop(stopped.claim))
        bench.run(1.0)
        assert math.isnan(stopped.end_s)
        assert (other.start_s, other.end_s) == (moment(0.010), moment(0.014))
        assert bench.unit.core_busy_s() == pytest.approx([0.014, 0.0])

    def test_a_request_on_a_core_that_goes_offline_still_ends_there(self):
        bench = Bench()
        job = bench.job(0.0, 10.0, cores=(1,))
        bench.limit(0.010, cpus_online=(4,))
        bench.run(1.0)
        assert job.end_s == moment(0.040)


class TestManaging:
    def test_it_takes_an_idle_core_at_the_present_clock(self):
        bench = Bench()
        job = bench.job(0.0, 10.0, cores=(0,))
        bench.at(0.010, lambda: bench.unit.spend(1.0, urgent=True))
        bench.run(0.1)
        assert job.end_s == moment(0.040)
        assert bench.unit.meters.residency().managing_s == pytest.approx([0.004, 0, 0])
        assert bench.unit.core_busy_s() == pytest.approx([0.040, 0.004])
        assert bench.unit.meters.energy_j == pytest.approx(0.1 * 0.1 + 0.5 * 0.044)

    def test_it_takes_no_core_that_is_offline(self):
        bench = Bench()
        bench.limit(0.0, cpus_online=(5,))
        bench.at(0.010, lambda: bench.unit.spend(1.0, urgent=True))
        bench.run(0.1)
        assert bench.unit.core_busy_s() == pytest.approx([0.0, 0.004])

    def test_where_none_is_idle_it_delays_the_request_on_the_last_core(self):
        bench = Bench()
        jobs = [bench.job(0.001 * core, 10.0, cores=(core,)) for core in (0, 1)]
        bench.at(0.010, lambda: bench.unit.spend(1.0, urgent=True))
        bench.run(0.1)
        assert [job.end_s for job in jobs] == [moment(0.040), moment(0.045)]

    def test_what_is_not_urgent_delays_nobody(self):
        bench = Bench(LONE)
        job = bench.job(0.0, 10.0)
        took_s = []
        bench.at(0.010, lambda: took_s.append(bench.unit.spend(2.0, urgent=False)))
        bench.run(0.1)
        assert took_s == [pytest.approx(0.008)]
        assert job.end_s == moment(0.040)

    def test_what_is_done_aside_speeds_up_with_the_clock(self):
        bench = Bench(replace(UNIT, idle_share=0.5))
        done_s = []
        bench.at(0.010, lambda: bench.unit.aside.begin(4.0, lambda: done_s.append(bench.agenda.now_s)))
        bench.clock(0.018, 1000.0)  # 2 ms of the 4 are done, and the rest takes 4 ms in place of 8
        bench.run(0.1)
        bench.unit.settle()
        assert done_s == [moment(0.022)]
        assert bench.unit.meters.residency().managing_s == pytest.approx([0.008, 0.004, 0])
        assert bench.unit.meters.residency().idle_s == pytest.approx([0.010, 0.078, 0])
        assert bench.unit.core_busy_s() == pytest.approx([0.012, 0.0])
        busy_j = 0.008 * (0.1 + 0.5) + 0.004 * (0.2 + 1.0)
        assert bench.unit.meters.energy_j == pytest.approx(busy_j + 0.5 * (0.010 * 0.1 + 0.078 * 0.2))

    def test_what_is_done_aside_takes_idle_cores_and_then_the_last_and_delays_nobody(self):
        bench = Bench()
        job = bench.job(0.0, 10.0, cores=(0,))
        done_s = []
        for _ in range(2):
            bench.at(0.010, lambda: bench.unit.aside.begin(1.0, lambda: done_s.append(bench.agenda.now_s)))
        bench.run(0.1)
        assert done_s == [moment(0.014), moment(0.014)]
        assert job.end_s == moment(0.040)
        assert bench.unit.core_busy_s() == pytest.approx([0.040, 0.008])

    def test_on_an_idle_unit_it_wakes_the_unit(self):
        bench = Bench(replace(UNIT, idle_share=0.2))
        bench.at(0.010, lambda: bench.unit.spend(1.0, urgent=True))
        bench.run(0.1)
        bench.unit.settle()
        assert bench.unit.meters.residency().idle_s[0] == pytest.approx(0.096)
        assert bench.unit.meters.energy_j == pytest.approx(0.096 * 0.02 + 0.004 * (0.1 + 0.5))
