"""The response times of a queue with one server, first come first served, as tables over its load.

In units of the mean service time a quantile of the response depends on the load and on the shapes of service times and
arrivals alone, so one table serves every clock and rate. This module does not know boards, targets or other
applications.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scheduler.problem import FULL_LOAD
from scheduler.profile import ServiceTime

FloatArray = NDArray[np.float64]

_STEPS = 32
"""Steps per mean service time in which a response is resolved; its quantile is good to about half a step."""

_MAX_POINTS = 2**14
"""Largest number of steps in all: where a few samples are hundreds of times the mean, the steps are longer instead."""

_LOADS = FULL_LOAD * np.linspace(0, 1, 32) ** 2
"""Loads at which responses are tabulated, close together where waiting sets in.

A service of few different lengths has jumps between them, at a load of 1 - slo for instance. Interpolation spreads such
a jump over one interval.
"""

_REQUESTS = 2**14
"""Requests of a periodic queue that is played: the response is good to 3 % at a load of 0.6, to 15 % at 0.85."""

_MAX_JITTER = 64.0
"""Jitter, in periods, from which on a response hardly grows: it is close to that of Poisson arrivals."""


def poisson_response(time: ServiceTime, share: float, load: FloatArray) -> FloatArray:
    """Return a quantile of the response time with Poisson arrivals, in mean service times, shape (n,).

    Args:
        time: the service time as profiled.
        share: which quantile, below 1.
        load: rate times mean service time, shape (n,), below 1.
    """
    return _interpolated(load, _LOADS, _poisson_table(time, share))


def periodic_response(time: ServiceTime, share: float, load: FloatArray, *, jitter: float) -> FloatArray:
    """Return a quantile of the response time with periodic arrivals, in mean service times, shape (n,).

    Args:
        time: the service time as profiled.
        share: which quantile, below 1.
        load: rate times mean service time, shape (n,), below 1.
        jitter: largest delay of a release, in periods; each is delayed by a uniform share of it.
    """
    level = _level(min(jitter, _MAX_JITTER))
    below = math.floor(level)
    response = np.zeros_like(load)
    for step, part in ((below, 1 - (level - below)), (below + 1, level - below)):
        if part > 0:
            response += part * _interpolated(load, *_periodic_table(time, share, step))
    return response


def _level(jitter: float) -> float:
    """Return the place of a jitter, in periods, in the order of those tabulated: 8 up to a period, 4 for each doubling.

    Half a period is at 4, a period at 8, two periods at 12. Between two of them responses are interpolated.
    """
    return 8 * jitter if jitter <= 1 else 8 + 4 * math.log2(jitter)


def _interpolated(load: FloatArray, loads: FloatArray, responses: FloatArray) -> FloatArray:
    """Return the response at each load from a table.

    It grows as 1 / (1 - load). So the product of response and 1 - load is interpolated, and kept beyond the table.
    """
    response: FloatArray = np.interp(load, loads, (1 - loads) * responses) / (1 - load)
    return response


@lru_cache(maxsize=1024)
def _poisson_table(time: ServiceTime, share: float) -> FloatArray:
    """Return a quantile of the response time in an M/G/1 queue, in mean service times, at each load of `_LOADS`.

    In units of the mean service time it depends on the load and on the shape of the service times alone, so one table
    serves every clock and rate.

    Args:
        time: the service time as profiled.
        share: which quantile, below 1.

    Returns:
        Shape (32,).
    """
    # The response is wait plus service. By Pollaczek and Khinchine the wait is a sum of N residual services with
    # P(N = n) = (1 - load) · load^n, so its transform is (1 - load) / (1 - load · residual). All of it is worked out on
    # a lattice of `size` points by the discrete Fourier transform, in which a sum of waits is a product.
    samples = np.array(time.samples_ms) / time.mean_ms
    # Beyond this many mean services the tail, close to exponential, holds a hundredth of 1 - share.
    longest_wait = np.mean(samples**2) / (2 * (1 - FULL_LOAD)) * math.log(100 / (1 - share))
    span = longest_wait + 2 * samples[-1] + 2
    steps = min(_STEPS, _MAX_POINTS / span)
    size = 2 ** math.ceil(math.log2(steps * span))
    samples *= steps
    # Each sample is shared between the two lattice points around it so that its mean stays.
    below = np.floor(samples).astype(np.intp)
    weights = np.concatenate([1 - (samples - below), samples - below]) / len(samples)
    service = np.bincount(np.concatenate([below, below + 1]), weights, size)
    # The residual has density P(service > x) / mean; the trapezium over each step keeps its mean.
    exceeds = np.maximum(1 - np.cumsum(service), 0) / steps
    residual = (exceeds + np.concatenate([[0], exceeds[:-1]])) / 2
    loads = _LOADS[:, np.newaxis]
    response = (1 - loads) / (1 - loads * np.fft.rfft(residual)) * np.fft.rfft(service)
    covered = np.cumsum(np.fft.irfft(response, size), axis=1)
    # A lattice point stands for the step around it, so `covered` is reached half a step beyond.
    last = np.argmax(covered >= share, axis=1)
    row = np.arange(len(_LOADS))
    before = np.where(last > 0, covered[row, last - 1], 0)
    quantile: FloatArray = (last - 0.5 + (share - before) / (covered[row, last] - before)) / steps
    return quantile


@lru_cache(maxsize=1024)
def _periodic_table(time: ServiceTime, share: float, level: int) -> tuple[FloatArray, FloatArray]:
    """Return a quantile of the response time in a queue with jittered periodic arrivals, played request by request.

    The n-th arrives at n + jitter · u periods, u uniform from 0 to 1. The same draws serve every load, so the response
    never falls with the load. Every sample is drawn as often as every other.

    Args:
        time: the service time as profiled.
        share: which quantile, below 1.
        level: which jitter, see `_level`.

    Returns:
        Loads, rising, and the quantile at each of them in mean service times, shape (24,) each.
    """
    jitter = level / 8 if level <= 8 else 2 ** ((level - 8) / 4)
    rng = np.random.default_rng(0)
    samples = np.array(time.samples_ms) / time.mean_ms
    services = rng.permutation(np.tile(samples, math.ceil(_REQUESTS / len(samples))))
    arrivals = np.sort(np.arange(len(services)) + jitter * rng.uniform(size=len(services)))
    # Below the first load nothing waits; the others are close together where waiting sets in.
    first = min(max(0.0, 1 - jitter) / float(samples[-1]), FULL_LOAD)
    loads = first + (FULL_LOAD - first) * np.linspace(0, 1, 24) ** 2
    # Lindley's recursion: the n-th wait is max(0, wait before + service before - gap), which is the running sum of
    # service - gap, less its least value so far.
    drift = np.zeros((len(loads), len(services)))
    np.cumsum(services[:-1] - np.diff(arrivals) / np.maximum(loads, 1e-9)[:, np.newaxis], axis=1, out=drift[:, 1:])
    responses = drift - np.minimum.accumulate(drift, axis=1) + services
    place = math.ceil(share * len(services)) - 1
    return loads, np.partition(responses, place, axis=1)[:, place]
