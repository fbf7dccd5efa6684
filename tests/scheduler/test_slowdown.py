"""Slowdowns are found soon, not found in noise, and shared by the applications of a unit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.slowdown import FORGIVEN_S, MOST, Believed, Observation, Slowdowns, _nearest_median

NOISE = 0.1
SIGMA = math.sqrt(math.log1p(NOISE**2))
ratios = st.floats(0.2, 5)


class Fed:
    """Estimates on units `big` and `little` with what is believed, fed in virtual time."""

    def __init__(self, seed: int = 0) -> None:
        self.estimates = Slowdowns(["big", "little"])
        self.believed = Believed(["big", "little"])
        self.now_s = 0.0
        self.moves = 0
        self._rng = np.random.default_rng(seed)

    def noisy(self, truth: float, requests: int = 1) -> float:
        """Return the mean ratio of some requests with lognormal noise of mean 1."""
        return truth * float(np.exp(SIGMA * self._rng.standard_normal(requests) - SIGMA**2 / 2).mean())

    def report(self, *reports: tuple[str, str, float, int], after_s: float = 0.1) -> None:
        self.now_s += after_s
        self.estimates.observe([Observation(*one) for one in reports], self.now_s)
        self.moves += len(self.believed.follow(self.estimates))

    def run(self, count: int, truth: float | Callable[[], float], **of: object) -> None:
        app, unit, requests = of.get("app", "a"), of.get("unit", "big"), of.get("requests", 1)
        for _ in range(count):
            ratio = truth() if callable(truth) else truth
            self.report((app, unit, ratio, requests), after_s=of.get("after_s", 0.1))

    def ratio(self, app: str, unit: str = "big") -> float:
        return self.believed.units[unit] * self.believed.network(app)


# ---------------------------------------------------------------- alone


@pytest.mark.parametrize(("hz", "requests"), [(1, 1), (5, 1), (10, 1), (30, 3)])
def test_a_step_at_ten_per_cent_of_noise_is_learned_in_five_reports(hz: int, requests: int) -> None:
    took = []
    for seed in range(100):
        fed = Fed(seed)
        fed.run(60, lambda fed=fed: fed.noisy(1.0, requests), requests=requests, after_s=max(0.1, 1 / hz))
        reports = 0
        while abs(fed.estimates.ratio("a") / 1.5 - 1) > NOISE and reports < 50:
            reports += 1
            fed.run(1, fed.noisy(1.5, requests), requests=requests, after_s=max(0.1, 1 / hz))
        took.append(reports)
    # Of so many seeds in some the noise itself hides the step for a while.
    assert np.mean(np.array(took) <= 5) >= 0.9
    assert np.median(took) <= 3


@given(before=ratios, after=ratios)
def test_a_step_without_noise_is_learned_in_five_reports(before: float, after: float) -> None:
    fed = Fed()
    fed.run(60, before)
    fed.run(5, after)
    # A step of less than about a tenth is not told from noise in so few reports.
    assert fed.estimates.ratio("a") == pytest.approx(after, rel=0.12)


@given(truth=ratios)
def test_a_constant_ratio_makes_no_new_plan(truth: float) -> None:
    fed = Fed()
    fed.run(30, truth)
    moves = fed.moves
    fed.run(300, truth)
    # One that is just large enough to count may need more than 30 reports to be certain.
    assert fed.moves - moves <= (0.04 < abs(truth - 1) < 0.07)
    assert fed.ratio("a") == pytest.approx(truth, rel=0.06)


@pytest.mark.parametrize(("hz", "requests"), [(1, 1), (5, 1), (10, 1), (30, 3)])
def test_noise_about_a_constant_ratio_hardly_makes_a_new_plan(hz: int, requests: int) -> None:
    moves, errors = 0, []
    for seed in range(10):
        fed = Fed(seed)
        for _ in range(round(60 * min(hz, 10))):
            fed.run(1, fed.noisy(1.2, requests), requests=requests, after_s=max(0.1, 1 / hz))
            errors.append(math.log(fed.estimates.ratio("a") / 1.2))
        moves += fed.moves - 1  # the first is that of learning 1.2
    assert moves <= 10  # in ten minutes
    # Unbiased, but for the 0.5 % by which the median of such noise is below its mean, and for the beginning.
    assert abs(float(np.mean(errors[60:]))) < 0.02


@given(history=st.lists(ratios, max_size=30), outlier=st.floats(1e-3, 1e3))
def test_one_report_is_never_taken_for_a_step(history: list[float], outlier: float) -> None:
    fed = Fed()
    for ratio in history:
        fed.run(1, ratio)
    fed.run(60, 1.0)
    before = fed.ratio("a")
    fed.run(1, outlier)
    assert fed.ratio("a") == before


@given(samples=st.lists(st.floats(1e-6, 1e6), max_size=50))
def test_estimates_stay_finite_whatever_is_reported(samples: list[float]) -> None:
    fed = Fed()
    for ratio in samples:
        fed.run(1, ratio)
    assert math.exp(-2 * MOST) <= fed.estimates.ratio("a") <= math.exp(2 * MOST)
    assert 0 <= fed.estimates.deviation("a") < 1


def test_noise_is_estimated() -> None:
    for noise in (0.02, 0.1, 0.3):
        rng = np.random.default_rng(1)
        fed = Fed()
        for ratio in np.exp(noise * rng.standard_normal((400, 2))).mean(axis=1):
            fed.run(1, float(ratio), requests=2)
        assert fed.estimates.noise("a") == pytest.approx(noise, rel=0.3)


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.nan, math.inf])
def test_a_ratio_that_cannot_be_is_refused_by_name(ratio: float) -> None:
    with pytest.raises(ValueError, match="ratio of 'a' is"):
        Slowdowns(["big"]).observe([Observation("a", "big", ratio, 1)], 0.0)


# ---------------------------------------------------------------- together


def both(fed: Fed, epochs: int, a: float, b: float | None = None, *, every: int = 10) -> None:
    """Let `a` report each epoch and `b` once in so many; None for not at all."""
    for epoch in range(epochs):
        reports = [("a", "big", fed.noisy(a, 3), 3)]
        if b is not None and epoch % every == 0:
            reports.append(("b", "big", fed.noisy(b), 1))
        fed.report(*reports)


def test_a_seldom_application_is_warned_by_another_on_its_unit() -> None:
    for seed in range(20):
        fed = Fed(seed)
        both(fed, 200, 1.0, 1.0)
        both(fed, 5, 1.5)  # `b` has no request in this time
        assert fed.ratio("b") == pytest.approx(1.5, rel=0.15)
        assert fed.believed.units["little"] == 1.0


def test_who_moves_to_a_unit_takes_its_factor() -> None:
    fed = Fed()
    both(fed, 50, 1.5)
    fed.run(30, 1.0, app="b", unit="little")
    assert fed.ratio("b", "little") == pytest.approx(1.0, rel=0.06)
    assert fed.ratio("b", "big") == pytest.approx(1.5, rel=0.15)


def test_a_slow_network_is_not_taken_for_a_slow_unit() -> None:
    for seed in range(20):
        fed = Fed(seed)
        for slow in (1.0, 1.5):
            for _ in range(150):
                fed.report(*((app, "big", fed.noisy(slow if app == "a" else 1.0), 1) for app in "abc"))
        assert fed.ratio("a") == pytest.approx(1.5, rel=0.12)
        assert fed.ratio("b") == pytest.approx(1.0, rel=0.12)
        assert fed.believed.units["big"] == pytest.approx(1.0, rel=0.12)
        assert fed.believed.network("a") > 1.3


def test_an_application_that_leaves_is_forgotten_and_its_unit_is_not() -> None:
    fed = Fed()
    both(fed, 50, 1.5)
    for known in (fed.estimates, fed.believed):
        known.leave("a")
    assert fed.estimates.on("big") == []
    assert (fed.believed.network("a"), fed.estimates.ratio("a")) == (1.0, 1.0)
    assert fed.estimates.unit("big") > 1.3


def test_a_unit_that_nobody_runs_on_is_forgiven_and_later_if_that_was_wrong() -> None:
    fed = Fed()
    waits_s = []
    for _ in range(2):
        fed.run(20, 1.5)
        left_s = fed.now_s
        while fed.believed.units["big"] > 1.2:
            fed.run(1, 1.0, unit="little")
        waits_s.append(fed.now_s - left_s)
    assert waits_s == [pytest.approx(FORGIVEN_S, abs=0.2), pytest.approx(2 * FORGIVEN_S, abs=0.2)]


def test_a_unit_that_was_forgiven_and_turns_out_slow_bit_by_bit_is_remembered_for_longer_too() -> None:
    """Reports that no test for steps finds, each within three deviations, correct the factor just as well."""
    fed = Fed()
    waits_s = []
    for _ in range(3):
        fed.run(30, 1.13)
        assert fed.believed.units["big"] > 1.05
        left_s = fed.now_s
        while fed.believed.units["big"] > 1.05:
            fed.run(1, 1.0, unit="little")
        waits_s.append(fed.now_s - left_s)
    assert waits_s == [pytest.approx(times * FORGIVEN_S, abs=0.2) for times in (1, 2, 4)]


@settings(max_examples=300)
@given(values=st.lists(st.floats(-2, 2), min_size=1, max_size=9))
def test_what_a_unit_and_its_applications_have_in_common_is_laid_where_the_sum_is_least(values: list[float]) -> None:
    def total(shift: float) -> float:
        return math.fsum(abs(value - shift) for value in values)

    shift = _nearest_median(values)
    assert all(total(shift) <= total(value) + 1e-9 for value in [*values, 0.0])
    # Of several places the one nearest to where it was.
    assert all(abs(shift) <= abs(value) + 1e-9 for value in values if total(value) <= total(shift) + 1e-9)
