"""A request whose network has a memory share of its own gets on at its own pace; others get on as their unit does."""

import pytest

from helpers.small_ledger import BIG


def done_ms(ledger, lease):
    return ledger.progress(lease).done_ms - lease.start_progress_ms


def test_each_gets_on_by_its_own_share_through_changes_of_clock_and_load(ledger):
    # One of an inference's halves follows the clock; of the unit's other networks 80 % do.
    own = ledger.take(0, "big", [4], 0.0, memory_share=0.5)
    other = ledger.take(1, "big", [5], 0.0)
    assert (own.has_share, other.has_share) == (True, False)
    expected_ms = {0.5: 0.0, None: 0.0}
    for span_s, mhz, load in ((0.1, 500.0, 0.0), (0.2, 2000.0, 0.25), (0.05, 1000.0, 0.25), (0.3, 1000.0, 0.0)):
        ledger.set_unit("big", mhz=mhz, other_load=load)
        ledger._clock.sleep_until(ledger._clock.now_s() + span_s)
        for share in expected_ms:
            expected_ms[share] += 1e3 * span_s * BIG.pace(mhz, share) * (1 - load)
        assert [done_ms(ledger, own), done_ms(ledger, other)] == pytest.approx([*expected_ms.values()], rel=1e-12)
    assert ledger.progress(own).pace == BIG.pace(1000.0, 0.5)


def test_a_share_is_the_requests_not_the_slots(ledger):
    ledger.release(ledger.take(0, "big", [4], 0.0, memory_share=1.0))
    lease = ledger.take(0, "big", [4], 0.0)
    ledger._clock.sleep_until(1.0)
    assert done_ms(ledger, lease) == pytest.approx(1e3 * BIG.pace(500.0))


def test_a_lease_that_was_taken_away_gets_on_as_the_unit_does(ledger):
    lease = ledger.take(0, "big", [4], 0.0, memory_share=1.0)
    ledger.reap(0)
    ledger.take(0, "big", [4], 0.0, memory_share=0.9)
    ledger._clock.sleep_until(1.0)
    assert done_ms(ledger, lease) == pytest.approx(1e3 * BIG.pace(500.0))
    assert ledger.stretch(lease, 1.0) == 1.0


@pytest.mark.parametrize("share", [None, 0.0, 0.6, 1.0])
def test_the_bound_on_holding_cores_is_by_the_requests_own_progress(ledger, share):
    ledger.take(0, "big", [4], 0.0, most_ms=10.0, memory_share=share)
    ledger._clock.sleep_until(2.0)
    ledger.set_unit("big", mhz=1000.0)
    ledger._clock.sleep_until(3.0)
    held = ledger._referee._held(0, ledger._unit(0), 0, ledger._file.entry(0), stopped=False)
    assert held.progress_ms == pytest.approx(2e3 * BIG.pace(500.0, share) + 1e3 * BIG.pace(1000.0, share))
    fence = ledger._referee._fence(0, ledger._unit(0), 0, ledger._file.entry(0), held)
    assert fence.bound_ms == pytest.approx(max(2000.0, 40.0 / BIG.pace(1000.0, share)))


def known_ms(ledger, lease):
    return ledger.progress(lease).known_ms - lease.start_known_ms


def test_a_slowdown_holds_up_what_is_done_and_not_what_clocks_and_load_explain(ledger):
    own = ledger.take(0, "big", [4], 0.0, memory_share=0.5)
    other = ledger.take(1, "big", [5], 0.0)
    done = dict.fromkeys((0.5, None), 0.0)
    known = dict.fromkeys((0.5, None), 0.0)
    for span_s, slowdown, mhz, load in ((0.1, 1.0, 500.0, 0.0), (0.2, 1.5, 500.0, 0.25), (0.3, 3.0, 2000.0, 0.25)):
        ledger.slow("big", slowdown)
        ledger.set_unit("big", mhz=mhz, other_load=load)
        ledger._clock.sleep_until(ledger._clock.now_s() + span_s)
        for share in known:
            known[share] += 1e3 * span_s * BIG.pace(mhz, share) * (1 - load)
            done[share] += 1e3 * span_s * BIG.pace(mhz, share) * (1 - load) / slowdown
    assert [known_ms(ledger, own), known_ms(ledger, other)] == pytest.approx([*known.values()], rel=1e-12)
    assert [done_ms(ledger, own), done_ms(ledger, other)] == pytest.approx([*done.values()], rel=1e-12)
    # Of a lease begun meanwhile only what comes after counts.
    ledger.release(own)
    later = ledger.take(0, "big", [4], 0.0, memory_share=0.5)
    ledger._clock.sleep_until(ledger._clock.now_s() + 0.1)
    assert known_ms(ledger, later) == pytest.approx(100 * BIG.pace(2000.0, 0.5) * 0.75)
    assert done_ms(ledger, later) == pytest.approx(100 * BIG.pace(2000.0, 0.5) * 0.75 / 3)


def test_a_slowdown_is_no_change_of_clock_and_busy_time_goes_on(ledger):
    ledger.take(0, "big", [4], 0.0)
    before = ledger.read("big")
    ledger.slow("big", 2.0)
    ledger._clock.sleep_until(1.0)
    after = ledger.read("big")
    assert (after.mhz, after.clock_changes, after.other_load) == (before.mhz, before.clock_changes, before.other_load)
    assert after.busy_s[0] == pytest.approx(1.0)


@pytest.mark.parametrize("slowdown", [0.5, 0.0, -1.0, float("nan"), float("inf")])
def test_a_slowdown_that_is_none_is_refused(ledger, slowdown):
    with pytest.raises(ValueError, match=r"slowdown of unit 'big' must be a finite number of at least 1"):
        ledger.slow("big", slowdown)


def test_who_is_slowed_down_may_hold_its_cores_for_so_much_longer(ledger):
    ledger.slow("big", 4.0)
    ledger.take(0, "big", [4], 0.0, most_ms=10.0)
    ledger._clock.sleep_until(2.0)
    held = ledger._referee._held(0, ledger._unit(0), 0, ledger._file.entry(0), stopped=False)
    assert held.progress_ms == pytest.approx(2e3 * BIG.pace(500.0) / 4)
    fence = ledger._referee._fence(0, ledger._unit(0), 0, ledger._file.entry(0), held)
    assert fence.bound_ms == pytest.approx(max(2000.0, 4 * 40.0 / BIG.pace(500.0)))
