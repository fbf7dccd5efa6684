"""What requests of one application wait for each other agrees with a simulated queue and with Erlang's formula."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scheduler.points import ArrivalModel, response_quantile_ms
from scheduler.profile import ServiceTime

FloatArray = NDArray[np.float64]


def response_ms(samples_ms: FloatArray | Sequence[float], arrivals: ArrivalModel, slo: float) -> float:
    time = ServiceTime(kind="cpu", cores=1, samples_ms=tuple(sorted(map(float, samples_ms))))
    return float(response_quantile_ms(time, np.ones(1), arrivals=arrivals, slo=slo)[0])


def simulated_ms(arrivals_ms: FloatArray, services_ms: FloatArray) -> FloatArray:
    """Response times of a queue with one server, first come first served, by Lindley's recursion.

    The n-th wait is max(0, wait before + service before - gap), which is the running sum of service minus gap, less
    its running minimum.
    """
    drift = np.concatenate([[0.0], np.cumsum(services_ms[:-1] - np.diff(arrivals_ms))])
    wait = drift - np.minimum.accumulate(drift)
    return wait + services_ms


def test_the_simulated_queue_itself() -> None:
    arrivals_ms, services_ms = np.array([0.0, 5, 6, 50]), np.array([10.0, 10, 10, 10])
    np.testing.assert_allclose(simulated_ms(arrivals_ms, services_ms), [10, 15, 24, 10])


SHAPES = {
    "constant": np.full(1, 10.0),
    "real": np.random.default_rng(1).gamma(100, 0.1, 500),  # deviation of a tenth of the mean
    "exponential": np.random.default_rng(2).exponential(10, 2000),
    "two lengths": np.array([5.0] * 8 + [30.0] * 2),
    "heavy": np.array([4.0] * 19 + [100.0]),
}


@pytest.mark.parametrize("load", [0.03, 0.15, 0.3, 0.5, 0.7])
@pytest.mark.parametrize("shape", SHAPES)
def test_poisson_response_against_a_simulated_queue(shape: str, load: float) -> None:
    samples_ms = SHAPES[shape]
    mean_ms = float(samples_ms.mean())
    rng = np.random.default_rng(5)
    n = 600_000
    responses_ms = simulated_ms(np.cumsum(rng.exponential(mean_ms / load, n)), rng.choice(samples_ms, n))
    arrivals = ArrivalModel(kind="poisson", rate_hz=1000 * load / mean_ms)
    for slo in (0.9, 0.95, 0.99):
        quantile_ms = response_ms(samples_ms, arrivals, slo)
        assert quantile_ms == pytest.approx(np.quantile(responses_ms, slo), rel=0.03, abs=0.03 * mean_ms)


@pytest.mark.parametrize("load", ["1/20", "1/5", "2/5", "1/2", "7/10", "9/10"])
@pytest.mark.parametrize("slo", [0.82, 0.92, 0.97, 0.99, 0.999])
def test_poisson_with_constant_service_against_erlang(load: str, slo: float) -> None:
    # P(W <= x) = (1 - ρ) · sum over k <= x of (ρ(k - x))^k / k! · exp(ρ(x - k)), x in services: an alternating sum
    # whose terms cancel to many digits, hence the fractions.
    rho = Fraction(load)

    def covered(wait: float) -> float:
        x = Fraction(wait)
        total = Fraction(0)
        for k in range(math.floor(x) + 1):
            total += (rho * (k - x)) ** k / math.factorial(k) * exponential(rho * (x - k))
        return float((1 - rho) * total)

    wait = response_ms([10.0], ArrivalModel(kind="poisson", rate_hz=float(100 * rho)), slo) / 10 - 1
    assert covered(wait + 0.03) >= slo
    assert wait <= 0.03 or covered(wait - 0.03) <= slo


def exponential(x: Fraction) -> Fraction:
    """e^x to some 60 digits."""
    term = total = Fraction(1)
    for n in range(1, 120):
        term = (term * x / n).limit_denominator(10**60)
        total += term
    return total


@given(jitter_ms=st.floats(0, 31), slo=st.sampled_from([0.5, 0.9, 0.99]))
def test_jitter_adds_nothing_while_no_service_reaches_the_next_request(jitter_ms: float, slo: float) -> None:
    samples_ms = [8.0, 9.0, 10.0, 19.0]  # 19 ms and a jitter of 31 fit into a period of 50
    jittered = ArrivalModel(kind="periodic", rate_hz=20, jitter_ms=jitter_ms)
    assert response_ms(samples_ms, jittered, slo) == response_ms(samples_ms, replace(jittered, jitter_ms=0.0), slo)


@pytest.mark.parametrize("jitter", [0.2, 0.6, 1.0, 1.05, 2.5, 20.0])
@pytest.mark.parametrize("load", [0.15, 0.4, 0.6, 0.7])
@pytest.mark.parametrize("shape", ["constant", "real", "exponential", "two lengths"])
def test_jittered_response_against_a_simulated_queue(shape: str, load: float, jitter: float) -> None:
    samples_ms = SHAPES[shape]
    mean_ms = float(samples_ms.mean())
    period_ms = mean_ms / load
    rng = np.random.default_rng(5)
    n = 300_000
    arrivals_ms = np.sort(np.arange(n) * period_ms + rng.uniform(0, jitter * period_ms, n))
    responses_ms = simulated_ms(arrivals_ms, rng.choice(samples_ms, n))
    arrivals = ArrivalModel(kind="periodic", rate_hz=1000 / period_ms, jitter_ms=jitter * period_ms)
    for slo in (0.9, 0.95, 0.975):
        quantile_ms = response_ms(samples_ms, arrivals, slo)
        # Where few requests wait, the response jumps from one quantile to the next.
        low_ms, high_ms = np.quantile(responses_ms, [slo - 0.01, slo + 0.01])
        error = 0.05 if load <= 0.6 else 0.1
        assert (1 - error) * low_ms <= quantile_ms <= (1 + error) * high_ms


@pytest.mark.parametrize("load", [0.5, 0.7, 0.85])
def test_periodic_services_longer_than_the_period_delay_those_behind_them(load: float) -> None:
    samples_ms = np.array([5.0] * 15 + [25.0] * 5)
    rng = np.random.default_rng(7)
    services_ms = rng.choice(samples_ms, 400_000)
    period_ms = samples_ms.mean() / load
    simulated = np.quantile(simulated_ms(np.arange(400_000) * period_ms, services_ms), 0.95)
    assert simulated > 25 * 1.05
    quantile_ms = response_ms(samples_ms, ArrivalModel(kind="periodic", rate_hz=1000 / period_ms), 0.95)
    assert quantile_ms == pytest.approx(simulated, rel=0.1)


def test_a_wild_outlier_in_a_profile_is_priced_without_a_wild_table() -> None:
    # One of 1000 samples is 10,000 times the others: c² is near 1000, and the whole wait is behind that one.
    samples_ms = np.array([1.0] * 999 + [10_000.0])
    mean_ms = float(samples_ms.mean())
    rng = np.random.default_rng(5)
    responses_ms = simulated_ms(np.cumsum(rng.exponential(mean_ms / 0.5, 2_000_000)), rng.choice(samples_ms, 2_000_000))
    tracemalloc.start()
    quantile_ms = response_ms(samples_ms, ArrivalModel(kind="poisson", rate_hz=500 / mean_ms), 0.95)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 50e6
    assert quantile_ms == pytest.approx(np.quantile(responses_ms, 0.95), rel=0.15)
