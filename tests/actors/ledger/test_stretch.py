"""An emulated request lasts as long as its unit's clock and the load of others say, also where they change."""

import itertools
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.clock import BoardClock
from actors.ledger.ledger import BoardLedger
from helpers.small_ledger import BIG, BOARD
from helpers.virtual_clock import ScriptedClock


def test_a_request_lasts_as_section_3_says_at_a_constant_clock(ledger):
    # t · (m + (1 - m) · f_max / f) / speed = 2 ms · (0.2 + 0.8 · 2000 / 500) / 0.05 = 136 ms
    lease = ledger.take(0, "big", [4], 0.0)
    assert ledger.stretch(lease, 2.0) == pytest.approx(0.136, abs=1e-9)


def test_a_clock_change_acts_in_the_middle_of_a_request(place):
    clock = ScriptedClock()
    ledger = BoardLedger.create(place(), BOARD, slots=1, clock=clock)
    ledger.set_unit("big", mhz=2000.0)
    # At 2000 MHz a profiled ms takes 20 ms, at 500 MHz 68 ms. 100 ms cover 5 of 8 ms; the other 3 take 204 ms.
    clock.script = [(0.100, lambda: ledger.set_unit("big", mhz=500.0))]
    lease = ledger.take(0, "big", [4], 0.0)
    assert ledger.stretch(lease, 8.0) == pytest.approx(0.304, abs=1e-9)
    ledger.remove()


def test_load_of_others_slows_a_request_by_its_share(ledger):
    ledger.set_unit("big", mhz=2000.0, other_load=0.75)
    lease = ledger.take(0, "big", [5], 0.0)
    assert ledger.stretch(lease, 1.0) == pytest.approx(0.080, abs=1e-9)


def test_a_slowdown_acts_in_the_middle_of_a_request_and_ends_so(place):
    clock = ScriptedClock()
    ledger = BoardLedger.create(place(), BOARD, slots=1, clock=clock)
    ledger.set_unit("big", mhz=2000.0)
    # A profiled ms takes 20 ms. 60 ms cover 3 of 8 ms; then 1.5 times as long, 60 ms cover 2; the other 3 take 60 ms.
    clock.script = [(0.060, lambda: ledger.slow("big", 1.5)), (0.120, lambda: ledger.slow("big", 1.0))]
    lease = ledger.take(0, "big", [4], 0.0)
    assert ledger.stretch(lease, 8.0) == pytest.approx(0.180, abs=1e-9)
    now = ledger.progress(lease)
    assert now.known_ms - lease.start_known_ms == pytest.approx(9.0)
    ledger.remove()


@given(
    service_ms=st.floats(0.01, 10),
    changes=st.lists(st.tuples(st.floats(0.001, 0.3), st.integers(0, 2), st.floats(0, 0.9)), max_size=6),
)
@settings(max_examples=40, deadline=None)
def test_a_stretch_ends_when_the_progress_covers_it_and_notices_a_rise_within_a_slice(place, service_ms, changes):
    clock = ScriptedClock()
    ledger = BoardLedger.create(place(), BOARD, slots=1, clock=clock)
    at_s, plan = 0.0, [(0.0, BIG.pace(500.0))]
    for wait_s, step, other in changes:
        at_s += wait_s
        clock.script.append(
            (at_s, lambda step=step, other=other: ledger.set_unit("big", mhz=BIG.mhz[step], other_load=other))
        )
        plan.append((at_s, BIG.pace(BIG.mhz[step]) * (1 - other)))
    left_ms, due_s = service_ms, math.nan
    for (from_s, pace), (to_s, _) in itertools.pairwise([*plan, (math.inf, 0.0)]):
        if left_ms <= 1e3 * pace * (to_s - from_s):
            due_s = from_s + left_ms / (1e3 * pace)
            break
        left_ms -= 1e3 * pace * (to_s - from_s)
    end_s = ledger.stretch(ledger.take(0, "big", [4], 0.0), service_ms)
    ledger.remove()
    assert due_s - 1e-6 <= end_s <= due_s + 0.002 + 1e-9


def test_a_stretch_that_is_over_returns_at_once_and_one_that_gives_up_early(ledger):
    lease = ledger.take(0, "big", [4], 0.0)
    ledger._clock.sleep_until(5.0)
    assert ledger.stretch(lease, 2.0) == 5.0
    ledger.set_unit("big", other_load=1.0)  # no progress at all
    assert ledger.stretch(lease, 1e6, give_up=lambda: ledger._clock.now_s() > 6.0) == pytest.approx(6.0, abs=0.003)


def test_a_stretch_on_the_wall_never_ends_early(place):
    clock = BoardClock(zero_s=time.monotonic(), time_scale=2.0)
    ledger = BoardLedger.create(place(), BOARD, slots=1, clock=clock)
    ledger.set_unit("big", mhz=2000.0)
    lease = ledger.take(0, "big", [4], 0.0)
    end_s = ledger.stretch(lease, 0.5)
    assert lease.start_s + 0.010 - 1e-9 <= end_s <= clock.now_s()
    ledger.remove()


class SteppedClock(BoardClock):
    """A wall clock that is none: 10 µs of board time pass at each look, and sleeps are noted and over at once."""

    def __init__(self, time_scale):
        super().__init__(zero_s=0.0, time_scale=time_scale)
        object.__setattr__(self, "past", {"now_s": 0.0, "slept_until_s": []})

    def now_s(self):
        self.past["now_s"] += 1e-5
        return self.past["now_s"]

    def sleep_until(self, at_s):
        self.past["slept_until_s"].append(at_s)
        self.past["now_s"] = max(at_s, self.past["now_s"])


@pytest.mark.parametrize("time_scale", [1.0, 4.0])
def test_the_slices_and_the_spun_end_of_a_stretch_are_wall_time(place, time_scale):
    clock = SteppedClock(time_scale)
    ledger = BoardLedger.create(place(), BOARD, slots=1, clock=clock)
    ledger.set_unit("big", mhz=2000.0)  # a profiled ms takes 20 ms
    lease = ledger.take(0, "big", [4], 0.0)
    end_s = ledger.stretch(lease, 0.5)
    ledger.remove()
    assert end_s == pytest.approx(lease.start_s + 0.010, abs=1e-4)
    slept_until_s = clock.past["slept_until_s"]
    assert slept_until_s[0] == pytest.approx(lease.start_s + 0.002 / time_scale, abs=1e-4)
    assert slept_until_s[1] == pytest.approx(slept_until_s[0] + 0.002 / time_scale, abs=1e-4)
    assert slept_until_s[-1] == pytest.approx(lease.start_s + 0.010 - 0.001 / time_scale, abs=1e-9)
