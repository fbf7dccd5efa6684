"""A request's draw is the same, however it is asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from actors.requests.draws import Draws


@given(seed=st.integers(0, 2**40), app=st.text(max_size=5), count=st.integers(0, 200))
def test_many_at_once_are_those_one_by_one(seed, app, count):
    draws = Draws(seed, app)
    assert draws.shares(count) == [draws.share(index) for index in range(count)]
    assert all(0 <= share < 1 for share in draws.shares(count))


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.5, 1.0])
def test_noise_is_lognormal_of_mean_one_and_that_coefficient_of_variation(noise):
    draws = Draws(7, "gate", noise)
    factors = np.array([draws.factor(index) for index in range(5000)])
    sigma = math.sqrt(math.log(1 + noise**2))
    known = stats.lognorm(s=sigma, scale=math.exp(-(sigma**2) / 2))
    assert (known.mean(), known.std()) == pytest.approx((1.0, noise))
    assert stats.kstest(factors, known.cdf).pvalue > 0.01
    assert factors.mean() == pytest.approx(1.0, abs=4 * noise / math.sqrt(5000))
    # It has nothing to do with where in the profile's samples a request falls, nor with the one before.
    assert abs(np.corrcoef(factors, draws.shares(5000))[0, 1]) < 0.06
    assert abs(np.corrcoef(factors[1:], factors[:-1])[0, 1]) < 0.06


@given(seed=st.integers(0, 2**40), app=st.text(max_size=5), noise=st.floats(0, 10), index=st.integers(0, 10_000_000))
def test_noise_is_the_requests_own_and_leaves_its_draw_alone(seed, app, noise, index):
    draws = Draws(seed, app, noise)
    factor = draws.factor(index)
    assert 0 < factor < math.inf
    assert Draws(seed, app, noise).factor(index) == factor
    assert draws.share(index) == Draws(seed, app).share(index)
    assert draws.of([20.0], index) == 20.0 * factor
    if noise == 0:
        assert factor == 1.0


def test_apps_seeds_and_requests_differ_in_noise():
    factors = [Draws(seed, app, 0.1).factor(index) for seed in (0, 1) for app in ("a", "b") for index in (0, 1)]
    assert len(set(factors)) == 8
