"""The bound on holding cores, on a clock that the test turns."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.ledger.holding import LEAST_WALL_S, MULTIPLE, STOPPED_WALL_S, Held, HoldingWatch

LOOK_S = 0.2


def held(ticket=1.0, stopped=False, progress_ms=0.0, most_ms=math.inf):
    return Held(ticket=ticket, stopped=stopped, progress_ms=progress_ms, most_ms=most_ms)


def first_overdue_s(held_at, until_s, step_s=0.02):
    """Return when a holder, given by time, is first overdue for a watcher that looks all the time; None for never."""
    watch = HoldingWatch(LOOK_S)
    for step in range(round(until_s / step_s)):
        if watch.overdue([held_at(step * step_s)], step * step_s):
            return step * step_s
    return None


def test_a_holder_that_gets_on_is_overdue_at_a_multiple_of_the_slowest_inference():
    # 800 ms at the top clock, twice as long at half of it.
    top_s = first_overdue_s(lambda at_s: held(progress_ms=1000 * at_s, most_ms=800.0), 9.0)
    half_s = first_overdue_s(lambda at_s: held(progress_ms=500 * at_s, most_ms=800.0), 9.0)
    assert top_s == pytest.approx(0.8 * MULTIPLE, abs=0.03)
    assert half_s == pytest.approx(2 * 0.8 * MULTIPLE, abs=0.03)


def test_a_short_request_has_the_least_time():
    at_s = first_overdue_s(lambda at_s: held(progress_ms=1000 * at_s, most_ms=5.0), 9.0)
    assert at_s == pytest.approx(LEAST_WALL_S, abs=0.03)


def test_a_stopped_holder_is_overdue_soon_whatever_its_profile():
    at_s = first_overdue_s(lambda at_s: held(stopped=at_s >= 0.3), 2.0)
    assert at_s == pytest.approx(0.3 + STOPPED_WALL_S, abs=0.05)


def test_short_stops_do_not_add_up():
    assert first_overdue_s(lambda at_s: held(stopped=round(at_s / 0.02) % 4 != 0), 5.0) is None


def test_without_a_bound_only_a_stop_makes_it_overdue():
    assert first_overdue_s(lambda at_s: held(progress_ms=1e6 * at_s), 50.0) is None


def test_a_new_lease_begins_anew():
    assert first_overdue_s(lambda at_s: held(ticket=at_s // 0.5, progress_ms=1e6, most_ms=1.0), 9.0) is None


def test_a_watcher_that_slept_through_it_makes_nobody_overdue():
    watch = HoldingWatch(LOOK_S)
    one = held(stopped=True, progress_ms=1e6, most_ms=1.0)
    two = held(ticket=2.0, progress_ms=1e6, most_ms=1.0)
    assert watch.overdue([two], 0.0) == []
    # Everything stood still for an hour; at most `LOOK_S` of it counts.
    assert watch.overdue([one, two], 3600.0) == []
    assert watch.overdue([one, two], 3600.0 + LOOK_S) == [one]


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans(), st.floats(0, 1e4)), max_size=60), st.floats(1, 1000))
def test_nobody_is_overdue_before_the_watcher_saw_it_hold_for_its_bound(looks, most_ms):
    watch, now_s, seen_s, stopped_s, was_stopped = HoldingWatch(LOOK_S), 0.0, 0.0, 0.0, False
    for number, (passed_s, stopped, progress_ms) in enumerate(looks):
        now_s += passed_s
        counted_s = min(passed_s, LOOK_S) if number else 0.0
        seen_s += counted_s
        stopped_s = stopped_s + counted_s if stopped and was_stopped else 0.0
        was_stopped = stopped
        overdue = watch.overdue([held(stopped=stopped, progress_ms=progress_ms, most_ms=most_ms)], now_s)
        late = seen_s >= LEAST_WALL_S - 1e-9 and progress_ms >= MULTIPLE * most_ms
        if overdue:
            assert late or stopped_s >= STOPPED_WALL_S - 1e-9
        else:
            assert not (seen_s >= LEAST_WALL_S + 1e-9 and progress_ms >= MULTIPLE * most_ms)
            assert stopped_s < STOPPED_WALL_S + 1e-9
