"""The clock of a request is the least at which it ends in time, and never one that its rule or the limits forbid."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.board import BoardUnit
from scheduler.request_clock import Pace, Timing, clock_for

MHZ = (500.0, 1000.0, 2000.0)
UNIT = BoardUnit(name="big", kind="cpu", cpus=(0,), dvfs="cpufreq", mhz=MHZ, static_w=None, dynamic_w=None)
RULE = Pace(rest_mhz=500.0, least_mhz=500.0, share=0.5)


def chosen(
    rule: Pace = RULE,
    *,
    left_s: float,
    work_ms: float = 20.0,
    unit: BoardUnit = UNIT,
    allowed: tuple[float, ...] = MHZ,
    now_mhz: float = 500.0,
    other_load: float = 0.0,
    **timing: float,
) -> float:
    given = {"samples_ms": (work_ms,), "arrival_s": 1.0, "deadline_s": 1.0 + left_s, **timing}
    request = Timing(**given)  # type: ignore[arg-type]
    return clock_for(unit, allowed, rule, request, now_s=1.0, now_mhz=now_mhz, other_load=other_load)


@pytest.mark.parametrize(("left_s", "mhz"), [(0.08, 500.0), (0.0799, 1000.0), (0.04, 1000.0), (0.03, 2000.0)])
def test_it_is_the_least_that_ends_by_the_deadline(left_s: float, mhz: float) -> None:
    assert chosen(left_s=left_s) == mhz


def test_a_request_that_is_late_anyway_gets_the_highest() -> None:
    assert chosen(left_s=0.01) == 2000.0
    assert chosen(left_s=-1.0) == 2000.0


def test_it_ends_within_the_period_and_lets_the_next_be_on_time() -> None:
    assert chosen(replace(RULE, period_ms=40.0), left_s=1.0) == 1000.0
    # The next is due in 60 ms and takes 20 of them at the top clock.
    assert chosen(left_s=1.0, next_deadline_s=1.06) == 1000.0


def test_a_network_that_the_clock_does_not_stretch_gets_the_lowest() -> None:
    # 20 ms of which half follow the clock take 50 ms at a quarter of the top clock, and 30 at half.
    assert chosen(left_s=0.0201, memory_share=1.0) == 500.0
    assert chosen(left_s=0.0501, memory_share=0.5) == 500.0
    assert chosen(left_s=0.0499, memory_share=0.5) == 1000.0


def test_the_share_of_the_rule_and_the_slowdown_lengthen_the_work() -> None:
    request = Timing(samples_ms=(10.0, 20.0, 30.0, 80.0), arrival_s=0.0, deadline_s=0.08)
    clocks = [
        clock_for(UNIT, MHZ, replace(RULE, share=share), request, now_s=0.0, now_mhz=500.0, other_load=0.0)
        for share in (0.25, 0.5, 0.75, 1.0)
    ]
    assert clocks == [500.0, 500.0, 1000.0, 2000.0]
    assert chosen(replace(RULE, slowdown=2.0), left_s=0.08) == 1000.0
    assert chosen(left_s=0.08, other_load=0.5) == 1000.0
    assert chosen(left_s=0.08, extra_ms=0.1) == 1000.0


def test_while_the_clock_changes_the_old_one_counts() -> None:
    slow = replace(UNIT, transition_us=10_000.0)
    # In 45 ms it gets through 2.5 at 500 MHz while the clock changes, and through 17.5 at 1000.
    assert chosen(left_s=0.0451, unit=slow) == 1000.0
    assert chosen(left_s=0.0449, unit=slow) == 2000.0
    assert chosen(left_s=0.0449, unit=slow, now_mhz=1000.0) == 1000.0


def test_rule_and_limits_bound_it() -> None:
    assert chosen(replace(RULE, least_mhz=1000.0), left_s=9.0) == 1000.0
    assert chosen(replace(RULE, most_mhz=1000.0), left_s=0.01) == 1000.0
    assert chosen(left_s=0.01, allowed=(500.0, 1000.0)) == 1000.0
    assert chosen(replace(RULE, least_mhz=2000.0), left_s=9.0, allowed=(500.0, 1000.0)) == 1000.0
    assert chosen(replace(RULE, most_mhz=700.0, least_mhz=600.0), left_s=9.0, allowed=(1000.0, 2000.0)) == 1000.0


@given(
    samples_ms=st.lists(st.floats(0.1, 100), min_size=1, max_size=20).map(sorted),
    rule=st.builds(
        Pace,
        rest_mhz=st.just(500.0),
        least_mhz=st.sampled_from([100.0, *MHZ]),
        most_mhz=st.sampled_from([None, 1000.0, 2000.0]),
        share=st.floats(0, 1),
        period_ms=st.none() | st.floats(1, 500),
        slowdown=st.floats(0.5, 3),
    ),
    left_s=st.floats(-0.1, 0.5),
    next_s=st.just(math.inf) | st.floats(0, 0.5),
    transition_us=st.sampled_from([0.0, 140.0, 5000.0]),
    memory_share=st.floats(0, 0.9),
    own_share=st.none() | st.floats(0, 1),
    now_mhz=st.sampled_from(MHZ),
    other_load=st.floats(0, 0.9),
)
def test_every_lower_clock_is_too_slow_and_more_time_never_asks_for_a_higher_one(
    samples_ms, rule, left_s, next_s, transition_us, memory_share, own_share, now_mhz, other_load
) -> None:
    unit = replace(UNIT, transition_us=transition_us, memory_share=memory_share)

    def clock(more_s: float) -> float:
        request = Timing(
            samples_ms=samples_ms,
            arrival_s=0.0,
            deadline_s=left_s + more_s,
            next_deadline_s=next_s + more_s,
            memory_share=own_share,
        )
        return clock_for(unit, MHZ, rule, request, now_s=0.0, now_mhz=now_mhz, other_load=other_load)

    mhz = clock(0.0)
    assert mhz in MHZ
    assert clock(0.1) <= mhz
    work_ms = rule.slowdown * samples_ms[max(0, math.ceil(rule.share * len(samples_ms)) - 1)]
    due_s = min(left_s, next_s - work_ms / 1000, math.inf if rule.period_ms is None else rule.period_ms / 1000)
    for lower in (one for one in MHZ if rule.least_mhz <= one < mhz):
        lag_s = 0.0 if lower == now_mhz else transition_us / 1e6
        paces = [unit.pace(mhz, own_share) for mhz in (now_mhz, lower)]
        done_ms = 1000 * (lag_s * paces[0] + (due_s - lag_s) * paces[1]) * (1 - other_load)
        assert done_ms < work_ms * (1 + 1e-9)
