"""The estimators settle on what is true, follow what changes and are not thrown by one bad sample."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scheduler.estimators import LatencyWindow, RateEstimator, SlowdownEstimator

intervals_s = st.floats(0.01, 2)
rates_hz = st.floats(0.1, 100)


# ---------------------------------------------------------------- rate


def test_rate_starts_from_what_was_declared_or_knows_nothing() -> None:
    assert RateEstimator(15.0).rate_hz == 15
    assert RateEstimator().rate_hz is None
    assert not RateEstimator().differs_from(1.0)


def test_rate_weighs_intervals_by_their_age() -> None:
    # T = 1 s and steps of 1 s: the old weighs e^-1 = 0.3679. Declared 10, then 0 arrivals, then 4:
    # 10 · 0.3679 = 3.679; 3.679 · 0.3679 + 4 · 0.6321 = 3.882.
    estimator = RateEstimator(10.0, time_constant_s=1.0)
    estimator.update(0, 1.0)
    assert estimator.rate_hz == pytest.approx(3.679, abs=1e-3)
    estimator.update(4, 1.0)
    assert estimator.rate_hz == pytest.approx(3.882, abs=1e-3)


@given(counts=st.lists(st.tuples(st.integers(0, 50), intervals_s), min_size=1, max_size=30))
def test_undeclared_rate_is_a_weighted_mean_of_what_was_seen(counts: list[tuple[int, float]]) -> None:
    estimator = RateEstimator()
    for arrived, interval_s in counts:
        estimator.update(arrived, interval_s)
    seen_hz = [arrived / interval_s for arrived, interval_s in counts]
    assert estimator.rate_hz is not None
    assert min(seen_hz) * (1 - 1e-9) - 1e-9 <= estimator.rate_hz <= max(seen_hz) * (1 + 1e-9) + 1e-9


@given(
    share=st.floats(0.9, 1.1), per_interval=st.integers(1, 50), interval_s=st.floats(0.1, 2), halves=st.integers(2, 5)
)
def test_cutting_an_interval_of_even_arrivals_up_changes_nothing(
    share: float, per_interval: int, interval_s: float, halves: int
) -> None:
    # Near the declared rate, where nothing looks like another rate however it is cut.
    declared_hz = share * per_interval / interval_s
    whole, parts = RateEstimator(declared_hz), RateEstimator(declared_hz)
    whole.update(per_interval * halves, interval_s * halves)
    for _ in range(halves):
        parts.update(per_interval, interval_s)
    assert parts.rate_hz == pytest.approx(whole.rate_hz)


def test_a_burst_is_followed_within_a_second_and_its_end_within_three() -> None:
    estimator = RateEstimator(2.0)
    rng = np.random.default_rng(1)
    for rate_hz, within_s, low_hz, high_hz in ((24.0, 1.0, 15.0, 40.0), (2.0, 3.0, 0.5, 6.0)):
        for arrived in rng.poisson(rate_hz * 0.1, round(10 * within_s)).tolist():
            estimator.update(arrived, 0.1)
        assert low_hz < (estimator.rate_hz or 0.0) < high_hz


@given(declared_hz=rates_hz, seed=st.integers(0, 2**32))
def test_rate_follows_a_change_and_says_so(declared_hz: float, seed: int) -> None:
    estimator = RateEstimator(declared_hz)
    actual_hz = 5 * declared_hz + 5
    for arrived in np.random.default_rng(seed).poisson(actual_hz * 0.1, 300).tolist():
        estimator.update(arrived, 0.1)
    assert estimator.rate_hz == pytest.approx(actual_hz, abs=6 * math.sqrt(actual_hz / 10))
    assert estimator.differs_from(declared_hz)
    assert not estimator.differs_from(actual_hz, deviations=6)


def test_poisson_arrivals_at_the_declared_rate_are_no_change() -> None:
    rng = np.random.default_rng(3)
    for rate_hz in (0.5, 5.0, 50.0):
        estimator = RateEstimator(rate_hz)
        cried = 0
        for arrived in rng.poisson(rate_hz * 0.1, 20_000).tolist():
            estimator.update(arrived, 0.1)
            cried += estimator.differs_from(rate_hz)
        # Looks 0.1 s apart hang together: one excursion lasts some tens of them.
        assert cried < 0.005 * 20_000


def test_arrivals_in_no_time_are_not_lost() -> None:
    at_once, spread = RateEstimator(10.0), RateEstimator(10.0)
    at_once.update(5, 0.0)
    at_once.update(0, 0.1)
    spread.update(5, 0.1)
    assert at_once.rate_hz == pytest.approx(spread.rate_hz, rel=0.02)


def test_an_idle_app_loses_its_rate() -> None:
    estimator = RateEstimator(10.0)
    for _ in range(50):
        estimator.update(0, 1.0)
    assert estimator.rate_hz == pytest.approx(10 * math.exp(-10))
    assert estimator.differs_from(10.0)
    assert not estimator.differs_from(0.0)


@pytest.mark.parametrize(("arrived", "interval_s"), [(-1, 1.0), (1, -1.0), (1, math.nan), (1, math.inf)])
def test_rate_refuses_what_cannot_be(arrived: int, interval_s: float) -> None:
    with pytest.raises(ValueError, match="must be finite and at least 0"):
        RateEstimator(1.0).update(arrived, interval_s)


# ---------------------------------------------------------------- slowdown

ratios = st.floats(1e-6, 1e6)


def fed(*samples: float) -> SlowdownEstimator:
    estimator = SlowdownEstimator()
    for ratio in samples:
        estimator.update(ratio)
    return estimator


@given(history=st.lists(ratios, max_size=40), outlier=ratios)
def test_no_sample_moves_the_slowdown_by_more_than_a_tenth(history: list[float], outlier: float) -> None:
    estimator = fed(*history)
    before = estimator.ratio
    estimator.update(outlier)
    assert abs(estimator.ratio - before) <= 0.1 * before * (1 + 1e-9)
    assert 0.1 <= estimator.ratio <= 10
    # Towards the sample or not at all, and never past it unless the range ends there.
    assert min(before, max(outlier, 0.1)) * (1 - 1e-9) <= estimator.ratio <= max(before, min(outlier, 10)) * (1 + 1e-9)


@given(history=st.lists(ratios, max_size=40), truth=st.floats(0.2, 9))
def test_slowdown_settles_on_a_steady_ratio_whatever_came_before(history: list[float], truth: float) -> None:
    assert fed(*history, *[truth] * 80).ratio == pytest.approx(truth, rel=0.02)


@given(truth=st.floats(0.5, 3), seed=st.integers(0, 2**32))
def test_slowdown_smooths_scatter(truth: float, seed: int) -> None:
    samples = truth * np.random.default_rng(seed).normal(1, 0.05, 400)
    assume((samples > 0).all())
    estimator = fed(*samples[:200].tolist())
    errors = []
    for ratio in samples[200:].tolist():
        estimator.update(ratio)
        errors.append(estimator.ratio / truth - 1)
    assert np.std(errors) < 0.7 * 0.05


def test_a_doubling_is_followed_in_a_second_of_epochs() -> None:
    assert fed(*[1.0] * 50, *[2.0] * 10).ratio == pytest.approx(2, rel=0.05)


def test_one_stall_is_forgotten_in_a_second_of_epochs() -> None:
    assert fed(*[1.0] * 50, 30.0, *[1.0] * 10).ratio == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.nan, math.inf])
def test_slowdown_refuses_what_cannot_be(ratio: float) -> None:
    with pytest.raises(ValueError, match="must be a finite number above 0"):
        SlowdownEstimator().update(ratio)


# ---------------------------------------------------------------- latencies


@given(
    batches=st.lists(st.lists(st.floats(0, 1e4), max_size=10), max_size=10),
    size=st.integers(1, 30),
)
def test_p95_is_the_least_of_the_latest_that_95_per_cent_do_not_exceed(batches: list[list[float]], size: int) -> None:
    window = LatencyWindow(size)
    for batch in batches:
        window.update(batch)
    latest_ms = [latency for batch in batches for latency in batch][-size:]
    if not latest_ms:
        assert window.p95_ms is None
        return
    covering = [bound for bound in latest_ms if sum(ms <= bound for ms in latest_ms) >= 0.95 * len(latest_ms)]
    assert window.p95_ms == min(covering)


@given(batches=st.lists(st.lists(st.floats(0, 1e4), max_size=10), max_size=10))
def test_mean_is_of_the_latest_twenty(batches: list[list[float]]) -> None:
    window = LatencyWindow()
    for batch in batches:
        window.update(batch)
    latest_ms = [latency for batch in batches for latency in batch][-20:]
    assert window.mean_ms == (pytest.approx(np.mean(latest_ms)) if latest_ms else None)
