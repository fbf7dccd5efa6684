"""Load tracking and schedutil agree with the kernel's integers and with figures worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.kernel_pelt import KernelCore
from scheduler.governors import EdgeGovernor, Schedutil, make_governor
from scheduler.governors.pelt import CoreLoad

TABLE = tuple(float(mhz) for mhz in range(200, 2001, 100))
Stretch = tuple[bool, float, float]
"""Busy or not, for how many µs, at what share of the top clock."""


STEP = [(True, 500.0, 1.0)] * 400
RAMP = [(on, 10_000.0 * (k / 20 if on else 1 - k / 20), 0.5 + k / 40) for k in range(20) for on in (True, False)]
BURST = [
    (True, 37_300.0, 0.25),
    (True, 11_111.0, 0.75),
    (False, 52_000.0, 0.75),
    (True, 3_217.0, 1.0),
    (False, 400.0, 1.0),
]
FULL = [(True, 900_000.0, 0.5), (False, 7_000.0, 0.5), (True, 20_000.0, 0.5), (False, 30_000.0, 0.5)]


@pytest.mark.parametrize("trace", [STEP, RAMP, BURST * 5, FULL], ids=["step", "ramp", "burst", "full"])
def test_utilisation_is_that_of_the_kernels_integers(trace: list[Stretch]) -> None:
    load, kernel, now_us = CoreLoad(0.0), KernelCore(), 0.0
    for busy, us, clock_share in trace:
        load.edge(now_us, busy, clock_share)
        now_us += us
        load.edge(now_us, busy, clock_share)
        kernel.live(busy, us, clock_share)
        assert load.util == pytest.approx(kernel.util, abs=0.001)


@given(
    trace=st.lists(
        st.tuples(st.booleans(), st.integers(1, 60), st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0])),
        min_size=1,
        max_size=25,
    )
)
@settings(deadline=None)
def test_edges_give_what_stepping_through_every_stretch_gives(trace: list[tuple[bool, int, float]]) -> None:
    # The stepped one hears of no edge: only that the core was busy all of the last slice, or none of it.
    fed, stepped = CoreLoad(0.0), CoreLoad(0.0)
    now_us = busy_us = 0.0
    for busy, slices, clock_share in trace:
        fed.edge(now_us, busy, clock_share)
        for _ in range(slices):
            now_us += 500
            busy_us += 500 * busy
            stepped.sample(now_us, busy_us, clock_share)
        fed.edge(now_us, busy, clock_share)
        assert fed.util == pytest.approx(stepped.util, abs=1e-9)
    fed.sample(now_us, busy_us, 1.0)
    assert fed.util == pytest.approx(stepped.util, abs=1e-9)


@given(
    trace=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(0, 30)), min_size=1, max_size=20),
    clock_share=st.sampled_from([0.3, 1.0]),
)
@settings(deadline=None)
def test_more_work_never_means_less_utilisation(trace: list[tuple[int, int, int]], clock_share: float) -> None:
    light, heavy, now_us = CoreLoad(0.0), CoreLoad(0.0), 0.0
    for busy_ms, more_ms, idle_ms in trace:
        for load in (light, heavy):
            load.edge(now_us, True, clock_share)
        light.edge(now_us + 1000 * busy_ms, False, clock_share)
        heavy.edge(now_us + 1000 * (busy_ms + more_ms), False, clock_share)
        now_us += 1000 * (busy_ms + more_ms + idle_ms)
        for load in (light, heavy):
            load.edge(now_us, False, clock_share)
        assert heavy.util >= light.util - 1e-12 or light.util > 1023 / 1024


def test_a_clock_that_changes_in_mid_busy_counts_each_part_at_its_own_pace() -> None:
    # 20 ms at 500 of 2000 are 5 ms of tracked time and 15 behind; with 20 ms at 2000: u = 1 - 2^(-25/33.554) = .4034,
    # request 1008. Idle for 10 ms, and the 15 caught up on: u = .4034 · 2^(-25/33.554) = .2407, request 601.
    # Two cores, so that the one that never idles may clock down.
    governor = Schedutil(max_mhz=2000)
    for core in (0, 1):
        governor.edge(0, core, core == 0, 500)
    assert governor.step(0, (0, 0), 500, TABLE) == 500
    governor.edge(20_000, 0, True, 500)
    governor.edge(20_000, 1, False, 500)
    assert governor.step(40_000, (40_000, 0), 2000, TABLE) == 1100
    governor.edge(40_000, 0, False, 2000)
    assert governor.step(50_000, (40_000, 0), 2000, TABLE) == 700


def test_a_burst_counts_for_more_when_it_was_just_now() -> None:
    # 5 ms busy of 10 at the top clock: u = 1 - 2^(-5/33.554) = .0981, request 245; followed by 5 ms of idleness
    # .0981 · 2^(-5/33.554) = .0885, request 221. Without edges it is spread over the 10 ms: .5 · .1866 = .0933, 233.
    coarse = (200.0, 225.0, 240.0, 250.0, 2000.0)
    chosen = []
    for first in (True, False):
        governor = Schedutil(max_mhz=2000)
        governor.edge(0, 0, first, 2000)
        governor.step(0, (0,), 2000, coarse)
        governor.edge(5_000, 0, not first, 2000)
        chosen.append(governor.step(10_000, (5_000,), 2000, coarse))
    spread = Schedutil(max_mhz=2000)
    spread.step(0, (0,), 2000, coarse)
    chosen.append(spread.step(10_000, (5_000,), 2000, coarse))
    assert chosen == [225, 250, 240]


def test_load_that_no_edge_told_of_is_spread_over_idle_time() -> None:
    # Others take 40 % of the core, and it is all there is: u tends to .4, request 1000. Ours takes half of each 20 ms
    # besides, and others 40 % of the other half: u swings around .7 and its request stays above 1500.
    alone, beside = Schedutil(max_mhz=2000), Schedutil(max_mhz=2000)
    clocks = []
    for governor, ours in ((alone, False), (beside, True)):
        governor.edge(0, 0, False, 2000)
        governor.step(0, (0,), 2000, TABLE)
        busy_us = 0.0
        for half in range(1, 61):
            busy = ours and half % 2 == 0
            governor.edge((half - 1) * 10_000, 0, busy, 2000)
            busy_us += 10_000 if busy else 4_000
            clock = governor.step(half * 10_000, (busy_us,), 2000, TABLE)
        clocks.append(clock)
    assert clocks[0] == 1000
    assert clocks[1] >= 1500


def test_a_lone_core_that_idled_a_moment_may_clock_down() -> None:
    # After 10 ms busy u = .1866, request 466, and a core that never idled keeps its clock; 1 ms of idleness is enough.
    governor = Schedutil(max_mhz=2000)
    governor.edge(0, 0, True, 2000)
    governor.step(0, (0,), 2000, TABLE)
    assert governor.step(10_000, (10_000,), 2000, TABLE) == 2000
    governor.edge(19_000, 0, False, 2000)
    governor.edge(20_000, 0, True, 2000)
    assert governor.step(20_000, (19_000,), 2000, TABLE) < 2000


def test_who_hears_of_edges() -> None:
    hearing = [
        name
        for name in ("schedutil", "schedutil-uclamp", "lavd", "ondemand", "conservative", "interactive", "performance")
        if isinstance(make_governor(name, max_mhz=2000), EdgeGovernor)
    ]
    assert hearing == ["schedutil", "schedutil-uclamp", "lavd"]


def test_edges_may_tell_of_a_later_core_first() -> None:
    chosen = []
    for cores in ((0, 1), (1, 0)):
        governor = Schedutil(max_mhz=2000)
        for core in cores:
            governor.edge(0.0, core, core == 1, 2000)
        governor.step(0.0, (0.0, 0.0), 2000, TABLE)
        chosen.append(governor.step(20_000.0, (0.0, 20_000.0), 2000, TABLE))
    # 20 ms of work: 1.25 · 2000 · (1 - 0.5^(20 / 33.55)) = 846
    assert chosen == [900, 900]
