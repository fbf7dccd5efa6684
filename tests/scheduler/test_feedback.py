"""The manager grows cautious where requests are late, and corrects its forecasts where they are early."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.app_knowledge import planned_share
from scheduler.feedback import Caution, Foresight

SHARE = 0.975
"""Forty requests show it."""


def seen(foresight: Foresight, latency_ms: float, *, own_ms: float = 100.0, windows: int = 1) -> float:
    for _ in range(windows):
        foresight.update([latency_ms] * 40, own_ms=own_ms, waits_ms=0.0, share=SHARE)
    return foresight.own_ratio


# ---------------------------------------------------------------- caution


def told(caution: Caution, *, late: int, of: int) -> bool:
    return caution.update(finished=of, on_time=of - late, slo=0.95, planned=SHARE)


def requests_until_caution(late_share: float, *, slo: float = 0.95) -> float:
    """Mean over 100 applications that are late with that probability, one request at a time."""
    luck, counts, planned = random.Random(0), [], planned_share(slo)
    for _ in range(100):
        caution, count = Caution(), 1
        while not caution.update(finished=1, on_time=luck.random() >= late_share, slo=slo, planned=planned):
            count += 1
        counts.append(count)
    return sum(counts) / len(counts)


def test_caution_grows_at_once_and_fades():
    caution = Caution()
    assert not told(caution, late=3, of=3)  # each adds ln(.0975 / .025) = 1.36, and it takes ln 100 = 4.61
    assert caution.margin == 0.0
    assert told(caution, late=1, of=1)
    assert caution.margin == Caution.STEP
    for _ in range(5):
        assert not told(caution, late=1, of=40)
    assert caution.margin == pytest.approx(0.0)
    for _ in range(100):
        told(caution, late=40, of=40)
    assert caution.margin == Caution.MOST


def test_those_on_time_count_against_those_that_are_late():
    caution = Caution()
    told(caution, late=3, of=3)
    told(caution, late=0, of=18)  # each takes ln(.9025 / .975) = -.0773 off, all of them more than one late one adds
    assert not told(caution, late=1, of=1)
    assert told(caution, late=1, of=1)


def test_caution_comes_soon_where_it_should_and_seldom_where_it_should_not():
    assert requests_until_caution(0.5) < 9
    assert requests_until_caution(0.2) < 28
    assert requests_until_caution(0.1) < 75
    assert requests_until_caution(0.025) > 2500


@pytest.mark.parametrize("slo", [0.5, 0.8, 0.9])
def test_what_is_planned_raises_no_alarm_soon_whatever_the_slo(slo):
    assert requests_until_caution((1 - slo) / 2, slo=slo) > 500


@pytest.mark.parametrize("slo", [0.01, 0.5, 0.99, 1.0])
def test_all_late_raises_it_soon_whatever_the_slo(slo):
    assert requests_until_caution(1.0, slo=slo) < 10


def test_where_none_can_be_too_late_there_is_no_caution():
    assert not Caution().update(finished=1000, on_time=0, slo=0.0, planned=0.5)


def test_lateness_that_is_foreseen_is_told_but_adds_no_margin():
    caution = Caution()
    assert caution.update(finished=9, on_time=0, slo=0.95, planned=SHARE, foreseen=True)
    assert caution.margin == 0.0


def test_caution_forgets_what_is_excused():
    caution = Caution()
    told(caution, late=3, of=3)
    caution.forget()
    assert not told(caution, late=3, of=3)
    assert caution.margin == 0.0


def test_caution_fades_whatever_is_excused_between():
    caution = Caution()
    assert told(caution, late=4, of=4)
    for _ in range(caution.WINDOW // 40):
        assert caution.margin == Caution.STEP
        told(caution, late=0, of=40)
        caution.forget()
    assert caution.margin == 0.0


# ---------------------------------------------------------------- foresight


def test_foresight_goes_half_the_way_each_time_it_has_seen_enough():
    foresight = Foresight()
    foresight.update([50.0] * 39, own_ms=100.0, waits_ms=0.0, share=SHARE)
    assert foresight.own_ratio == 1.0  # thirty-nine do not show one in forty
    foresight.update([50.0], own_ms=100.0, waits_ms=0.0, share=SHARE)
    assert foresight.own_ratio == pytest.approx(0.5**0.5)
    # The next plan foresees as much more as it was told to: what is observed over it is what is left of the way.
    assert seen(foresight, 50.0) == pytest.approx(0.5**0.75)
    assert seen(foresight, 50.0, windows=2) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("quick", "slow", "shown"),
    [
        (40, 0, 0.5),
        (39, 1, 0.9),  # the 39th is below the quantile three times of four, so the largest counts
        (66, 1, 0.5),  # of 67 the 66th is above it as often as below
        (65, 2, 0.9),
    ],
)
def test_foresight_takes_what_is_as_likely_above_the_quantile_of_the_plan_as_below(quick, slow, shown):
    foresight = Foresight()
    foresight.update([50.0] * quick + [90.0] * slow, own_ms=100.0, waits_ms=0.0, share=SHARE)
    assert foresight.own_ratio == pytest.approx(shown**0.5)  # half the way; 0.9 is not near


@pytest.mark.parametrize("share", [0.6, 0.75, 0.95, 0.975, 0.99])
def test_what_foresight_takes_is_too_low_for_at_most_half_of_all_windows(share):
    luck, windows, too_low = random.Random(1), 400, 0
    for _ in range(windows):
        foresight = Foresight()
        latencies_ms = [luck.uniform(0, 100) for _ in range(math.ceil(1 / (1 - share)))]
        foresight.update(latencies_ms, own_ms=200.0, waits_ms=0.0, share=share)
        shown_ms = 200.0 * foresight.own_ratio**2  # it has gone half the way
        too_low += shown_ms < 100 * share
    assert too_low / windows < 0.5 + 4 * 0.5 / math.sqrt(windows)  # four standard deviations of chance


def test_on_a_shared_unit_foresight_learns_of_the_waiting_alone():
    foresight = Foresight()
    foresight.update([80.0] * 40, own_ms=60.0, waits_ms=40.0, share=SHARE)
    assert (foresight.own_ratio, foresight.wait_ratio) == (1.0, pytest.approx(0.5**0.5))  # 20 of 40 ms
    low = seen(foresight, 54.0, own_ms=60.0)  # now alone on its unit
    assert (low, foresight.wait_ratio) == (pytest.approx(0.9**0.5), pytest.approx(0.5**0.5))
    foresight.update([60.0 * low] * 40, own_ms=60.0, waits_ms=40.0, share=SHARE)
    assert foresight.wait_ratio == pytest.approx((0.5**0.5 * Foresight.LEAST_WAIT) ** 0.5)


def test_a_relapse_takes_both_back():
    foresight = Foresight()
    foresight.update([80.0] * 40, own_ms=60.0, waits_ms=40.0, share=SHARE)
    seen(foresight, 30.0, own_ms=60.0)
    foresight.relapse()
    assert (foresight.own_ratio, foresight.wait_ratio) == pytest.approx((0.75 * 0.5**0.5 + 0.25,) * 2)


def test_foresight_takes_longer_latencies_for_no_news():
    assert seen(Foresight(), 150.0) == 1.0
    assert seen(Foresight(), 99.0) == 1.0  # less than it is worth


def test_foresight_ends_at_its_least():
    assert seen(Foresight(), 1.0, windows=20) >= Foresight.LEAST_OWN


def test_after_a_relapse_foresight_waits_twice_as_long_each_time():
    foresight = Foresight()
    low = seen(foresight, 50.0)
    for patience in (4, 8):
        foresight.relapse()
        back = low + (1 - low) / 4
        assert foresight.own_ratio == pytest.approx(back)
        assert seen(foresight, 50.0, windows=patience) == pytest.approx(back)
        low = seen(foresight, 50.0)
        assert low < back


def test_a_relapse_from_nothing_changes_nothing():
    foresight = Foresight()
    foresight.relapse()
    assert seen(foresight, 50.0) == pytest.approx(0.5**0.5)


@settings(deadline=None)
@given(
    turns=st.lists(st.one_of(st.floats(1, 300), st.none()), max_size=40),
    own_ms=st.floats(1, 200),
    waits_ms=st.lists(st.just(0.0) | st.floats(0.1, 200), min_size=40, max_size=40),
)
def test_foresight_stays_within_its_bounds(turns, own_ms, waits_ms):
    foresight = Foresight()
    for latency_ms, wait_ms in zip(turns, waits_ms, strict=False):
        before = foresight.own_ratio, foresight.wait_ratio
        if latency_ms is None:
            foresight.relapse()
            assert (foresight.own_ratio, foresight.wait_ratio) >= before
        else:
            foresight.update([latency_ms] * 40, own_ms=own_ms, waits_ms=wait_ms, share=SHARE)
            assert (foresight.own_ratio, foresight.wait_ratio) <= before
        assert Foresight.LEAST_OWN <= foresight.own_ratio <= 1.0
        assert Foresight.LEAST_WAIT <= foresight.wait_ratio <= 1.0
