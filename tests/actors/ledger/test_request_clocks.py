"""Requests on a paced unit get the clocks that they want, and nobody keeps a clock up who is gone."""

from dataclasses import replace

import pytest

from actors.ledger.ledger import BoardLedger
from helpers.small_ledger import BIG, BOARD, Request
from helpers.virtual_clock import VirtualClock
from scheduler.request_clock import Pace, Timing

RULE = Pace(rest_mhz=500.0, least_mhz=500.0, share=1.0)
# At 500, 1000 and 2000 MHz 10 ms take 680, 360 and 200 (a speed of 0.05, a fifth of which no clock stretches).
WORK_MS = 10.0


def timing(*, left_s: float, now_s: float = 0.0) -> Timing:
    return Timing(samples_ms=(WORK_MS,), arrival_s=now_s, deadline_s=now_s + left_s)


def pace(ledger, *slots: int, mhz: float = 1000.0, max_mhz: float | None = None) -> None:
    ledger.pace("big", mhz, dict.fromkeys(slots, RULE), max_mhz=max_mhz)


def mhz(ledger) -> float:
    return ledger.read("big").mhz


def test_the_clock_is_the_highest_that_is_wanted_and_the_lowest_while_none_is(ledger):
    ledger.set_unit("big", mhz=2000.0)
    pace(ledger, 0, 1)
    assert mhz(ledger) == 500.0
    slow = ledger.take(0, "big", [4], 9.0)
    assert mhz(ledger) == 500.0
    ledger.ask(slow, timing(left_s=0.5))
    assert mhz(ledger) == 1000.0
    quick = ledger.take(1, "big", [5], 9.0)
    ledger.ask(quick, timing(left_s=0.3))
    assert mhz(ledger) == 2000.0
    ledger.release(quick)
    assert mhz(ledger) == 1000.0
    ledger.release(slow)
    assert mhz(ledger) == 500.0


def test_between_two_requests_the_clock_stays_until_the_next_one_asks(ledger):
    pace(ledger, 0, 1)
    first = ledger.take(0, "big", [4], 9.0)
    ledger.ask(first, timing(left_s=0.3))
    changes = ledger.read("big").clock_changes
    second = Request(ledger, 1, [4], 9.0)
    ledger.release(first)
    ledger.ask(second.got(), timing(left_s=0.3))
    assert (mhz(ledger), ledger.read("big").clock_changes) == (2000.0, changes)


def test_a_unit_may_rest_at_the_plans_clock_and_rise_for_who_is_late(ledger):
    ledger.pace("big", 1000.0, {0: replace(RULE, rest_mhz=1000.0, least_mhz=1000.0)})
    assert mhz(ledger) == 1000.0
    lease = ledger.take(0, "big", [4], 9.0)
    ledger.ask(lease, timing(left_s=0.21))
    assert mhz(ledger) == 2000.0
    ledger.release(lease)
    assert mhz(ledger) == 1000.0


def test_a_slot_without_a_rule_has_the_plans_clock(ledger):
    pace(ledger, 1)
    ledger.ask(ledger.take(0, "big", [4], 9.0), timing(left_s=99.0))
    assert mhz(ledger) == 1000.0


def test_on_a_unit_that_is_not_paced_asking_changes_nothing(ledger):
    ledger.set_unit("big", mhz=1000.0)
    ledger.ask(ledger.take(0, "big", [4], 9.0), timing(left_s=0.01))
    assert mhz(ledger) == 1000.0
    assert ledger.wanted_mhz("big") is None


def test_what_runs_when_pacing_begins_gets_the_plans_clock(ledger):
    ledger.set_unit("big", mhz=2000.0)
    lease = ledger.take(0, "big", [4], 9.0)
    pace(ledger, 0)
    assert mhz(ledger) == 1000.0
    ledger.release(lease)
    assert mhz(ledger) == 500.0


def test_a_limit_holds_and_ending_it_leaves_the_clock_to_the_device(ledger):
    pace(ledger, 0, max_mhz=1000.0)
    lease = ledger.take(0, "big", [4], 9.0)
    ledger.ask(lease, timing(left_s=0.01))
    assert mhz(ledger) == 1000.0
    ledger.pace("big", 500.0, {})
    ledger.set_unit("big", mhz=2000.0)
    ledger.release(lease)
    assert mhz(ledger) == 2000.0


def test_the_dead_keep_no_clock_up(ledger):
    pace(ledger, 0)
    ledger.ask(ledger.take(0, "big", [4], 9.0), timing(left_s=0.01))
    assert mhz(ledger) == 2000.0
    ledger.reap(0)
    assert mhz(ledger) == 500.0


@pytest.fixture
def real(place):
    units = (replace(BIG, dvfs="cpufreq"), *BOARD.units[1:])
    ledger = BoardLedger.create(place(), replace(BOARD, units=units), slots=3, clock=VirtualClock())
    yield ledger
    ledger.remove()


def test_on_a_real_unit_the_clock_is_asked_for_and_the_device_sets_it(real):
    pace(real, 0)
    lease = real.take(0, "big", [4], 9.0)
    real.ask(lease, timing(left_s=0.3))
    assert (mhz(real), real.wanted_mhz("big")) == (500.0, 2000.0)
    real.await_ask(10_000)  # it was woken, so this returns at once
    real.set_unit("big", mhz=2000.0)
    real.release(lease)
    assert (mhz(real), real.wanted_mhz("big")) == (2000.0, 500.0)
