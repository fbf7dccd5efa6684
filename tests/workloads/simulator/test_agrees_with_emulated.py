"""The simulated unit and the emulated one give the same times and joules for the same script."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.agent.devices.emulated import EmulatedDevice
from actors.ledger.ledger import BoardLedger
from helpers.simulator_bench import UNIT, AlertClock, Bench
from scheduler.board import Board
from scheduler.governors import make_governor
from scheduler.request_clock import Pace, Timing
from workloads.simulator.claim import CoreClaim, Work

# At 0.4 the longest work, 8 · 40 ms at a quarter of the pace and slowed down twice, is done within the 5 s played.
OTHER_LOADS = st.floats(0, 0.4)
CLOCKS = st.one_of(
    st.sampled_from(UNIT.mhz),
    st.sampled_from(["performance", "powersave", "ondemand", "conservative", "schedutil", "lavd"]),
)
SLOWDOWNS = st.tuples(st.just("slow"), st.floats(1, 2))
CHANGES = st.one_of(
    st.tuples(st.just("clock"), CLOCKS),
    SLOWDOWNS,
    st.tuples(
        st.just("limit"), st.sampled_from([None, 500.0, 1000.0]), st.sampled_from([(4,), (5,), (4, 5)]), OTHER_LOADS
    ),
)
# Odd times, so that no request, change or governor's step coincides with another: 0.7 s itself would be a step's.
TIMES = st.integers(1, 996).map(lambda place: place / 997 * 0.7)
CHANGE_TIMES = st.integers(1, 990).map(lambda place: (place + 0.37) / 991 * 0.7)
WORK = st.lists(
    st.tuples(TIMES, st.floats(1, 40), st.sampled_from([(4,), (4, 5)])), max_size=8, unique_by=lambda job: job[0]
)


ACTIVITY = 1.3


def timing_of(claim: CoreClaim) -> Timing:
    return Timing(
        samples_ms=claim.work.samples_ms,
        arrival_s=claim.arrival_s,
        deadline_s=claim.deadline_s,
        memory_share=claim.work.memory_share,
    )


def no_governor_again(changes) -> bool:
    """Return True if no governor is named while it has the clock: only the simulated one would begin anew here."""
    clocks = [facts[0] for _, (what, *facts) in sorted(changes) if what == "clock"]
    return all(old != new or not isinstance(new, str) for old, new in pairwise(clocks))


class Emulated:
    """The emulated unit, its clock stepped finely, so that governors are ticked when they are due."""

    def __init__(self, path, spec, slots=1) -> None:
        board = Board(name="b", units=(spec,), base_w=None, sensor="none", power_source="made up")
        self.clock = AlertClock()
        self.ledger = BoardLedger.create(path, board, slots=slots, clock=self.clock)
        self.device = EmulatedDevice(spec, self.ledger, self.clock)
        self._due_s = math.inf

    def at(self, at_s, change) -> None:
        self.clock.script.append((at_s, lambda: self._change(*change)))

    def _change(self, what, *facts) -> None:
        if what == "clock":
            self.device.set_clock(*facts)
        elif what == "slow":
            self.device.slow(*facts)
        else:
            max_mhz, cpus_online, other_load = facts
            self.device.limit(max_mhz=max_mhz, cpus_online=cpus_online, other_load=other_load)
        self._tick()

    def _tick(self) -> None:
        due_s = self.device.tick()
        if due_s not in (self._due_s, math.inf):
            self._due_s = due_s
            self.clock.script.append((due_s, self._tick))

    def wait(self, until_s) -> None:
        while self.clock.now_s() < until_s:
            self.clock.sleep_until(min(until_s, self.clock.now_s() + 0.002))

    def serve(self, at_s, work_ms, cpus, timing=None) -> float:
        self.wait(at_s)
        lease = self.ledger.take(0, "big", cpus, 9.0, activity=ACTIVITY if timing is None else 1.0)
        if timing is not None:
            self.ledger.ask(lease, timing)
        end_s = self.ledger.stretch(lease, work_ms)
        self.ledger.release(lease)
        return end_s

    def serve_side_by_side(self, jobs_of) -> tuple[list[list[float]], list[list[float]]]:
        """Serve each slot's jobs one after another on a core of its own, all slots at once.

        Returns:
            When each ends, and what clocks and load explain of its time, in profiled ms.
        """
        left, running = [list(jobs) for jobs in jobs_of], {}
        explained_ms: list[list[float]] = [[] for _ in jobs_of]
        ends_s: list[list[float]] = [[] for _ in jobs_of]
        while any(left) or running:
            for slot, jobs in enumerate(left):
                if slot not in running and jobs:
                    job = jobs.pop(0)
                    lease = self.ledger.take(slot, "big", (UNIT.cpus[slot],), 9.0, memory_share=job.work.memory_share)
                    self.ledger.ask(lease, timing_of(job))
                    running[slot] = lease, job
            due_s = []
            for slot, (lease, job) in list(running.items()):
                now = self.ledger.progress(lease)
                due_s.append(now.now_s + (lease.start_progress_ms + job.work_ms - now.done_ms) / (1e3 * now.pace))
                if due_s[-1] <= now.now_s + 1e-9:
                    ends_s[slot].append(now.now_s)
                    explained_ms[slot].append(now.known_ms - lease.start_known_ms)
                    self.ledger.release(lease)
                    del running[slot]
            # Something scripted may come before, and change when they end.
            self.clock.sleep_until(min(due_s))
        return ends_s, explained_ms


# Derandomized: a load at a governor's very threshold may fall on either side of it, by a rounding error.
@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    WORK,
    st.lists(st.tuples(CHANGE_TIMES, CHANGES), max_size=6, unique_by=lambda change: change[0]).filter(
        no_governor_again
    ),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_services_busy_times_clocks_and_energy_are_the_same(tmp_path_factory, work, changes, memory_share, idle_share):
    spec = replace(UNIT, memory_share=memory_share, idle_share=idle_share)
    emulated = Emulated(tmp_path_factory.mktemp("ledger") / "ledger", spec)
    bench = Bench(spec)
    for at_s, change in changes:
        emulated.at(at_s, change)
        what, *facts = change
        if what == "limit":
            bench.limit(at_s, max_mhz=facts[0], cpus_online=facts[1], other_load=facts[2])
        elif what == "slow":
            bench.at(at_s, lambda slowdown=facts[0]: bench.unit.slow(slowdown))
        else:
            governor = make_governor(facts[0], max_mhz=spec.mhz[-1]) if isinstance(facts[0], str) else None
            bench.at(at_s, lambda clock=facts[0], governor=governor: bench.unit.set_clock(clock, governor, edges=False))
    # All want the first core, one after the other.
    jobs = [
        bench.job(at_s, work_ms, cores=tuple(cpu - 4 for cpu in cpus), deadline_s=at_s, activity=ACTIVITY)
        for at_s, work_ms, cpus in sorted(work)
    ]
    bench.run(5.0)
    try:
        ends_s = [emulated.serve(at_s, work_ms, cpus) for at_s, work_ms, cpus in sorted(work)]
        emulated.wait(5.0)
        reading = emulated.ledger.read("big")
    finally:
        emulated.ledger.remove()
    bench.unit.settle()
    assert [job.end_s for job in jobs] == pytest.approx(ends_s, abs=1e-6)
    assert bench.unit.core_busy_s() == pytest.approx(reading.busy_s, abs=1e-6)
    assert (bench.unit.mhz, bench.unit.clock_changes) == (reading.mhz, reading.clock_changes)
    assert bench.unit.meters.energy_j == pytest.approx(reading.static_j + reading.dynamic_j, abs=1e-5)


def test_a_unit_that_is_switched_off_and_on_takes_the_same_energy(tmp_path):
    spec = replace(UNIT, may_switch_off=True, off_w=0.02, off_ms=40.0, on_ms=60.0, idle_share=0.5)
    emulated, bench = Emulated(tmp_path / "ledger", spec), Bench(spec)
    for at_s, on in ((0.2, False), (1.0, True)):
        bench.at(at_s, lambda on=on: bench.unit.switch(on))
        emulated.wait(at_s)
        assert emulated.device.switch(on) == (60.0 if on else 40.0)
    emulated.wait(1.5)
    bench.run(1.5)
    bench.unit.settle()
    reading = emulated.ledger.read("big")
    emulated.ledger.remove()
    # Of 1.5 s at 500 MHz it is off for 0.76, and one core is busy for 0.1.
    spent_j = 0.02 * 0.76 + 0.1 * (0.1 + 0.5 * 0.64) + 0.5 * 0.1
    assert bench.unit.meters.energy_j == pytest.approx(spent_j, rel=1e-9)
    assert reading.static_j + reading.dynamic_j == pytest.approx(spent_j, rel=1e-9)


# Here one request asks for cores after the other, so the clock may dip between two: changes are not compared.
@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    WORK,
    st.lists(st.tuples(CHANGE_TIMES, st.sampled_from([None, 500.0, 1000.0])), max_size=3, unique_by=lambda one: one[0]),
    st.sampled_from(UNIT.mhz),
    st.none() | st.floats(5, 200),
    OTHER_LOADS,
)
def test_requests_with_clocks_of_their_own_are_the_same(tmp_path_factory, work, limits, least_mhz, period_ms, busy):
    rule = Pace(rest_mhz=500.0, least_mhz=least_mhz, share=0.9, period_ms=period_ms)
    emulated, bench = Emulated(tmp_path_factory.mktemp("ledger") / "ledger", UNIT), Bench(UNIT)
    emulated.device.limit(other_load=busy)
    emulated.device.set_clock(1000.0, paces={0: rule})
    bench.unit.limit(max_mhz=None, cpus_online=UNIT.cpus, other_load=busy)
    bench.unit.set_clock(1000.0, None, paces={0: rule})
    for at_s, max_mhz in limits:
        emulated.at(at_s, ("limit", max_mhz, UNIT.cpus, busy))
        bench.limit(at_s, max_mhz=max_mhz, other_load=busy)
    jobs = []
    for number, (at_s, work_ms, cpus) in enumerate(sorted(work)):
        deadline_s = at_s + 0.02 + number * 0.03
        job = bench.job(at_s, work_ms, cores=tuple(cpu - 4 for cpu in cpus), deadline_s=deadline_s)
        job.claim.arrival_s, job.claim.work = at_s, Work((work_ms, 2 * work_ms))
        jobs.append(job)
    bench.run(3.0)
    try:
        ends_s = []
        for job, (at_s, work_ms, cpus) in zip(jobs, sorted(work), strict=True):
            ends_s.append(emulated.serve(at_s, work_ms, cpus, timing_of(job.claim)))
        emulated.wait(3.0)
        reading = emulated.ledger.read("big")
    finally:
        emulated.ledger.remove()
    bench.unit.settle()
    assert [job.end_s for job in jobs] == pytest.approx(ends_s, abs=1e-6)
    assert bench.unit.mhz == reading.mhz
    assert bench.unit.meters.energy_j == pytest.approx(reading.static_j + reading.dynamic_j, abs=1e-5)


LOADS_AND_CLOCKS = st.tuples(
    st.sampled_from(UNIT.mhz), st.sampled_from([None, 500.0, 1000.0]), st.just(UNIT.cpus), OTHER_LOADS
)
JOBS = st.lists(st.tuples(st.floats(1, 40), st.none() | st.floats(0, 1)), min_size=1, max_size=3)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.tuples(JOBS, JOBS),
    st.lists(st.tuples(CHANGE_TIMES, LOADS_AND_CLOCKS), max_size=6, unique_by=lambda change: change[0]),
    st.lists(st.tuples(TIMES, SLOWDOWNS), max_size=3, unique_by=lambda change: change[0]),
    st.floats(0, 1),
    st.booleans(),
)
def test_two_at_once_get_on_by_shares_of_their_own(tmp_path_factory, jobs, changes, slowdowns, memory_share, paced):
    """Each clock that comes meanwhile is fast for one network and slow for another, whoever caused it."""
    spec = replace(UNIT, memory_share=memory_share)
    # An odd period: work that takes exactly that long at a clock may fall on either side, by the simulator's 1 ns.
    rules = dict.fromkeys((0, 1), Pace(rest_mhz=500.0, least_mhz=500.0, share=0.9, period_ms=61.7)) if paced else {}
    emulated, bench = Emulated(tmp_path_factory.mktemp("ledger") / "ledger", spec, slots=2), Bench(spec)
    emulated.device.set_clock(1000.0, paces=rules)
    bench.unit.set_clock(1000.0, None, paces=rules)
    for at_s, (mhz, *limits) in changes:
        if not paced:
            emulated.at(at_s, ("clock", mhz))
            bench.clock(at_s, mhz)
        emulated.at(at_s, ("limit", *limits))
        bench.limit(at_s, max_mhz=limits[0], other_load=limits[2])
    for at_s, slow in slowdowns:
        emulated.at(at_s, slow)
        bench.at(at_s, lambda slowdown=slow[1]: bench.unit.slow(slowdown))
    simulated = [
        [
            bench.job(0.0, work_ms, cores=(slot,), slot=slot, deadline_s=9.0 + place)
            for place, (work_ms, _) in enumerate(of_slot)
        ]
        for slot, of_slot in enumerate(jobs)
    ]
    for ours, theirs in zip(simulated, jobs, strict=True):
        for job, (work_ms, share) in zip(ours, theirs, strict=True):
            job.claim.work = Work((work_ms,), share)
    try:
        ends_s, explained_ms = emulated.serve_side_by_side(
            [[replace(job.claim) for job in of_slot] for of_slot in simulated]
        )
    finally:
        emulated.ledger.remove()
    bench.run(20.0)
    assert [[job.end_s for job in of_slot] for of_slot in simulated] == [
        pytest.approx(ends, abs=1e-6) for ends in ends_s
    ]
    assert [[job.known_ms for job in of_slot] for of_slot in simulated] == [
        pytest.approx(known_ms, abs=1e-4) for known_ms in explained_ms
    ]
