"""Verdicts on segments, and the interval of a mean of credits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.synthetic_run import make_run
from workloads.results.verdict import credit_interval, verdict_of, verdicts_by_segment, wilson_interval


@pytest.mark.parametrize("shape", [(2.0, 2.0), (0.5, 0.5), (8.0, 2.0)])
def test_credits_are_bounded_as_scipy_bounds_them(shape: tuple[float, float]) -> None:
    credits = np.random.default_rng(1).beta(*shape, size=300)
    found = stats.bootstrap(
        (credits,), np.mean, n_resamples=2000, confidence_level=0.95, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    width = found.high - found.low
    assert credit_interval(credits) == pytest.approx((found.low, found.high), abs=0.1 * width)


def test_two_credits_are_bounded_by_all_their_resamples() -> None:
    # Of four equally likely resamples of (0.2, 0.6) one has a mean of 0.2, and one of 0.6.
    assert credit_interval([0.2, 0.6]) == pytest.approx((0.2, 0.6))


@given(st.lists(st.booleans(), max_size=50))
def test_right_and_wrong_are_a_share(right: list[bool]) -> None:
    assert credit_interval(right) == wilson_interval(sum(right), len(right))


@settings(max_examples=10)  # each draws 4000 times
@given(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=2, max_size=12), st.integers(0, 3))
def test_bounds_are_within_the_credits_and_the_same_for_the_same_seed(credits: list[float], seed: int) -> None:
    low, high = credit_interval(credits, seed)
    assert 0 <= low <= high <= 1
    assert credit_interval(credits, seed) == (low, high)


def test_one_credit_says_nothing_of_the_spread() -> None:
    assert credit_interval([0.4]) == (0.0, 1.0)


def test_a_bad_segment_is_seen_behind_a_good_run() -> None:
    app = make_run().summary.apps["entrance"]
    first = replace(app.segments[0], on_time=1.0, n=1000)
    app = replace(app, slo=0.95, segments=[first, replace(first, on_time=0.5, n=40), replace(first, on_time=None, n=0)])
    assert verdict_of(1020, 1040, 0.95) == "met"
    assert verdicts_by_segment(app) == ("met", "missed", "not shown")
