"""A simulated unit's meters agree with figures worked out by hand, and with each other whatever happens."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.simulator_bench import UNIT, Bench, Job
from scheduler.board import Board
from workloads.simulator.board import SimulatedBoard


class TestMeters:
    def test_time_idle_busy_and_energy_by_clock(self):
        bench = Bench(replace(UNIT, idle_share=0.25))
        bench.job(0.010, 10.0, cores=(0, 1))  # 5 ms at 500 MHz until 30 ms, 5 ms at 1000 until 40 ms
        bench.clock(0.030, 1000.0)
        bench.run(0.100)
        bench.unit.settle()
        assert bench.unit.meters.residency().time_s == pytest.approx([0.030, 0.070, 0.0])
        assert bench.unit.meters.residency().idle_s == pytest.approx([0.010, 0.060, 0.0])
        assert bench.unit.meters.residency().busy_s == pytest.approx([0.040, 0.020, 0.0])
        idle_j = 0.25 * (0.1 * 0.010 + 0.2 * 0.060)
        busy_j = 0.1 * 0.020 + 0.2 * 0.010 + 0.5 * 0.040 + 1.0 * 0.020
        assert bench.unit.meters.energy_j == pytest.approx(idle_j + busy_j, abs=1e-8)

    def test_other_load_counts_as_busy_on_every_core_online_that_no_request_has(self):
        bench = Bench()
        bench.limit(0.0, other_load=0.5)
        bench.job(0.1, 10.0, cores=(0,))  # 80 ms beside the other load
        bench.limit(0.3, other_load=0.5, cpus_online=(4,))
        bench.run(0.5)
        assert bench.unit.core_busy_s() == pytest.approx([0.05 + 0.08 + 0.16, 0.15])
        assert bench.unit.meters.residency().busy_s[0] == pytest.approx(0.44)
        assert bench.unit.meters.residency().idle_s[0] == 0.0
        assert bench.unit.meters.energy_j == pytest.approx(0.5 * 0.1 + 0.44 * 0.5)

    def test_a_unit_of_unknown_power_has_no_energy(self):
        bench = Bench(replace(UNIT, static_w=None, dynamic_w=None))
        bench.job(0.0, 10.0)
        bench.run(1.0)
        bench.unit.settle()
        assert bench.unit.meters.energy_j == 0.0
        assert math.fsum(bench.unit.meters.residency().busy_s) == pytest.approx(0.040)


ACTS = st.one_of(
    st.tuples(
        st.just("job"),
        st.floats(0.1, 30),
        st.sampled_from([(0,), (1,), (0, 1)]),
        st.floats(0, 5),
        st.integers(0, 3),
    ),
    st.tuples(st.just("clock"), st.sampled_from(UNIT.mhz)),
    st.tuples(
        st.just("limit"),
        st.sampled_from([None, 500.0, 1000.0]),
        st.sampled_from([(4,), (5,), (4, 5)]),
        st.floats(0, 0.9),
    ),
    st.tuples(st.just("spend"), st.floats(0.1, 3), st.booleans()),
    st.tuples(st.just("aside"), st.floats(0.1, 30)),
    st.tuples(st.just("switch"), st.booleans()),
)
SCRIPTS = st.lists(st.tuples(st.floats(0, 1), ACTS), max_size=25)


def play(bench: Bench, script) -> list[Job]:
    jobs = []
    for at_s, (what, *facts) in script:
        if what == "job":
            work_ms, cores, deadline_s, slot = facts
            jobs.append(bench.job(at_s, work_ms, cores=cores, deadline_s=deadline_s, slot=slot))
        elif what == "clock":
            bench.clock(at_s, facts[0])
        elif what == "limit":
            bench.limit(at_s, max_mhz=facts[0], cpus_online=facts[1], other_load=facts[2])
        elif what == "aside":
            bench.at(at_s, lambda ms=facts[0]: bench.unit.aside.begin(ms, lambda: None))
        elif what == "switch":
            bench.at(at_s, lambda on=facts[0]: bench.unit.claims() == [None, None] and bench.unit.switch(on))
        else:
            bench.at(at_s, lambda ms=facts[0], urgent=facts[1]: bench.unit.spend(ms, urgent=urgent))
    return jobs


class TestWhateverHappens:
    @settings(deadline=None, max_examples=60)
    @given(SCRIPTS, st.floats(0, 1), st.sampled_from([0.0, 300.0, 20_000.0]), st.sampled_from([None, 0.01]))
    def test_residency_prices_the_run_as_the_meter_did(self, script, idle_share, transition_us, off_w):
        spec = replace(UNIT, idle_share=idle_share, transition_us=transition_us, off_w=off_w, off_ms=9.0, on_ms=7.0)
        whole = Board(name="b", units=(spec,), base_w=None, sensor="none", power_source="made up")
        bench = Bench(spec)
        board = SimulatedBoard(whole, bench.agenda)
        bench.unit = board.units["big"]
        jobs = play(bench, script)
        bench.run(20.0)
        residency = board.residency("big")
        assert residency.energy_j(spec) == pytest.approx(bench.unit.meters.energy_j, rel=1e-9)
        assert math.fsum(residency.time_s) == pytest.approx(20.0)
        assert math.fsum(residency.busy_s) == pytest.approx(math.fsum(bench.unit.core_busy_s()))
        assert math.fsum(residency.active_s) == pytest.approx(math.fsum(residency.busy_s))
        assert math.fsum(residency.off_s) <= 20.0
        assert min(residency.off_s) >= 0
        assert all(job.end_s > job.start_s for job in jobs)

    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(st.tuples(st.floats(0, 0.5), st.sampled_from(UNIT.mhz)), max_size=10),
        st.floats(0.1, 40),
        st.floats(0, 1),
    )
    def test_a_service_ends_when_the_integral_of_the_pace_has_covered_it(self, clocks, work_ms, memory_share):
        spec = replace(UNIT, memory_share=memory_share)
        bench = Bench(spec)
        job = bench.job(0.1, work_ms)
        for at_s, mhz in clocks:
            bench.clock(at_s, mhz)
        bench.run(9.0)
        done_ms, mhz, since_s = 0.0, 500.0, 0.0
        for at_s, new_mhz in [*sorted(clocks, key=lambda clock: clock[0]), (math.inf, 0.0)]:
            span_s = max(0.0, min(at_s, job.end_s) - max(since_s, job.start_s))
            done_ms += 1e3 * span_s / (memory_share + (1 - memory_share) * 2000.0 / mhz)
            mhz, since_s = new_mhz, at_s
        assert done_ms == pytest.approx(work_ms, abs=1e-5)

    @settings(deadline=None, max_examples=60)
    @given(SCRIPTS)
    def test_no_core_is_held_twice_and_no_time_is_lost(self, script):
        bench = Bench()
        jobs = play(bench, [(at_s, act) for at_s, act in script if act[0] in ("job", "clock")])
        bench.run(20.0)
        for core in (0, 1):
            spans = sorted((job.start_s, job.end_s) for job in jobs if core in job.claim.cores)
            assert all(end_s <= start_s for (_, end_s), (start_s, _) in pairwise(spans))
            held_s = math.fsum(end_s - start_s for start_s, end_s in spans)
            assert bench.unit.core_busy_s()[core] == pytest.approx(held_s)
