"""The ledger gives cores to waiting requests by deadline, and takes back those of the dead."""

import pytest

from helpers.small_ledger import BIG, Request, waits


def test_waiting_requests_are_served_by_deadline(ledger):
    first = ledger.take(0, "big", [4, 5], 9.0)
    late, early = Request(ledger, 1, [4], 5.0), Request(ledger, 2, [4, 5], 3.0)
    ledger.release(first)
    assert early.got().cpus == (4, 5)
    assert waits(ledger, 1)
    ledger.release(early.lease)
    assert late.got().cpus == (4,)


def test_no_later_deadline_passes_an_earlier_one_to_a_core_that_both_want(ledger):
    first = ledger.take(0, "big", [4], 9.0)
    pair, behind = Request(ledger, 1, [4, 5], 1.0), Request(ledger, 2, [5], 2.0)
    assert waits(ledger, 2)  # core 5 is free, but kept for the pair
    ledger.release(first)
    assert pair.got()
    assert waits(ledger, 2)
    ledger.release(pair.lease)
    assert behind.got()


def test_an_earlier_deadline_passes_a_waiting_pair(ledger):
    first = ledger.take(0, "big", [4], 9.0)
    pair = Request(ledger, 1, [4, 5], 2.0)
    assert ledger.take(2, "big", [5], 1.0)
    assert waits(ledger, 1)
    ledger.release(first)
    pair.given_up = True
    ledger.wake(1)
    pair.join(10)


def test_giving_up_frees_the_way_for_those_behind(ledger):
    first = ledger.take(0, "big", [4], 9.0)
    pair, behind = Request(ledger, 1, [4, 5], 1.0), Request(ledger, 2, [5], 2.0)
    pair.given_up = True
    ledger.wake(1)
    assert behind.got()
    assert pair.got() is None
    ledger.release(first)
    assert ledger.take(0, "big", [4], 1.0)


def test_a_lease_begins_when_the_cores_were_given_not_when_the_waiter_woke(ledger):
    first = ledger.take(0, "big", [4], 9.0)
    ledger._clock.sleep_until(3.0)
    second = Request(ledger, 1, [4], 1.0)
    ledger._clock.sleep_until(7.0)
    ledger.release(first)
    ledger._clock.sleep_until(8.0)
    lease = second.got()
    assert lease.start_s == 7.0
    assert lease.start_progress_ms == pytest.approx(7e3 * BIG.pace(500.0))


def test_units_do_not_wait_for_each_other_and_a_gpu_is_one_token(ledger):
    ledger.take(0, "big", [4, 5], 1.0)
    lease = ledger.take(1, "gpu", (), 1.0)
    assert lease.cpus == ()
    assert ledger.take(2, "gpu", (), 0.0, give_up=lambda: True) is None
    ledger.release(lease)
    assert ledger.take(2, "gpu", (), 0.0)


def test_releasing_again_or_after_a_reap_takes_nothing_from_others(ledger):
    stale = ledger.take(0, "big", [4], 1.0)
    ledger.reap(0)
    ledger.take(0, "big", [4], 1.0)
    ledger.release(stale)
    assert ledger.take(1, "big", [4], 0.0, give_up=lambda: True) is None


def test_reaping_leaves_the_others_alone(ledger):
    ledger.take(0, "big", [4], 1.0)
    ledger.take(1, "big", [5], 1.0)
    ledger.reap(0)
    assert ledger.take(2, "big", [5], 0.0, give_up=lambda: True) is None
    assert ledger.take(2, "big", [4], 0.0)


def test_a_reaped_waiter_gets_nothing(ledger):
    first = ledger.take(0, "big", [4], 1.0)
    waiter = Request(ledger, 1, [4], 1.0)
    ledger.reap(1)
    ledger.wake(1)
    assert waiter.got() is None
    ledger.release(first)
    assert ledger.take(2, "big", [4], 1.0)


@pytest.mark.parametrize("cpus", [[3], [4, 6], []])
def test_cpus_of_another_unit_are_refused(ledger, cpus):
    with pytest.raises(ValueError, match="cpus must be some of unit 'big'"):
        ledger.take(0, "big", cpus, 0.0)
