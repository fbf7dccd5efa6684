"""The statistics of a bench: means and ratios with intervals, and percentiles that a short run can support.

Pure functions of numbers. Nothing here knows what a policy or a mix is: a *scenario* is a group of observations that
the bootstrap draws as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from workloads.results.verdict import wilson_interval

FloatArray: TypeAlias = NDArray[np.float64]

BOOTSTRAP_SAMPLES = 2000
"""Number of draws for an interval; its ends then move by less than a tenth of its width from seed to seed."""

CONFIDENCE = 0.99
"""Confidence of an early-stopping percentile, that of MLPerf Inference's load generator."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfidenceInterval:
    """A figure with its 95 % interval.

    Attributes:
        value: the figure.
        low: lower end; None if there is only one observation, which says nothing about the spread.
        high: upper end; None if there is only one observation.
        scenarios: number of scenarios behind it.
        n: number of observations behind it.
        over_sets: the 2.5th and 97.5th percentile of `value` over sets of assumptions that are all equally good. More
            observations would not narrow this range. None if there is only one set.
    """

    value: float
    low: float | None
    high: float | None
    scenarios: int
    n: int
    over_sets: tuple[float, float] | None = None

    @property
    def ends(self) -> tuple[float, float] | None:
        """The outermost ends of the interval and of the range over sets; None if there is no interval."""
        if self.low is None or self.high is None:
            return None
        low, high = self.over_sets or (self.value, self.value)
        return min(self.low, low), max(self.high, high)


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean of one or more numbers."""
    return math.fsum(values) / len(values)


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of one or more numbers above 0. That of 2 and 8 is 4."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def mean_interval(values: Mapping[str, Sequence[float] | FloatArray], *, seed: int = 0) -> ConfidenceInterval | None:
    """Return the mean over scenarios, with its bootstrap interval.

    Each scenario counts alike, however many values it has: the mean is of the scenarios' own means. The bootstrap
    (Efron 1979, doi:10.1214/aos/1176344552; percentile method) draws scenarios with replacement, and then values within
    each drawn one: it shows what other mixes, and other seeds, could have given.

    Args:
        values: the observations of each scenario, in any unit; scenarios without any are left out.
        seed: seed of the draws; the same values and seed give the same interval.

    Returns:
        None if there is no value at all.
    """
    arrays = [np.asarray(own, dtype=np.float64) for own in values.values() if len(own)]
    if not arrays:
        return None
    n = sum(own.size for own in arrays)
    value = math.fsum(float(own.mean()) for own in arrays) / len(arrays)
    if n == 1:
        return ConfidenceInterval(value=value, low=None, high=None, scenarios=1, n=1)
    low, high = np.percentile(_bootstrap_means(arrays, np.random.default_rng(seed)), [2.5, 97.5]).tolist()
    return ConfidenceInterval(value=value, low=low, high=high, scenarios=len(arrays), n=n)


def ratio_interval(ratios: Mapping[str, Sequence[float]], *, seed: int = 0) -> ConfidenceInterval | None:
    """Return the geometric mean of paired ratios over scenarios, with its bootstrap interval.

    It is `mean_interval` of the logarithms. Ratios of 0.5 and 2 in two scenarios have a mean of 1.

    Args:
        ratios: the ratio of each pair in each scenario, all above 0; scenarios without any are left out.
        seed: seed of the draws; the same ratios and seed give the same interval.

    Returns:
        None if there is no ratio at all.
    """
    found = mean_interval({name: np.log(np.asarray(own, dtype=np.float64)) for name, own in ratios.items()}, seed=seed)
    if found is None:
        return None
    if found.low is None or found.high is None:
        return replace(found, value=math.exp(found.value))
    low, high = np.exp([found.low, found.high]).tolist()
    return replace(found, value=math.exp(found.value), low=low, high=high)


def mean_range_over_sets(values: Mapping[str, Sequence[FloatArray]]) -> tuple[float, float] | None:
    """Return the range of a mean over many sets of assumptions that are all equally good.

    Args:
        values: each observation of each scenario under each set, shape (sets,) in one order for all that have as
            many, or (1,) if no set changes it; scenarios without any are left out.

    Returns:
        The 2.5th and 97.5th percentile over the sets of the mean that `mean_interval` takes; None if there is at most
        one set.
    """
    means = _means_over_sets(values)
    return None if means is None else _middle(means)


def ratio_range_over_sets(ratios: Mapping[str, Sequence[FloatArray]]) -> tuple[float, float] | None:
    """Return the range of a geometric mean over many sets of assumptions that are all equally good.

    Args:
        ratios: the ratio of each pair of each scenario under each set, shape (sets,) in one order for all that
            have as many, or (1,) if no set changes it; scenarios without any are left out.

    Returns:
        The 2.5th and 97.5th percentile over the sets of the mean that `ratio_interval` takes; None if there is at most
        one set.
    """
    means = _means_over_sets({name: [np.log(one) for one in own] for name, own in ratios.items()})
    return None if means is None else _middle(np.exp(means))


def _means_over_sets(values: Mapping[str, Sequence[FloatArray]]) -> FloatArray | None:
    """Return the mean under each set, shape (sets,); None if there is at most one set."""
    sets = max((one.size for own in values.values() for one in own), default=1)
    if sets == 1:
        return None
    of_scenario = [np.stack([_repeated(one, sets) for one in own]).mean(axis=0) for own in values.values() if len(own)]
    means: FloatArray = np.stack(of_scenario).mean(axis=0)
    return means


def _repeated(values: FloatArray, sets: int) -> FloatArray:
    """Return values under each of so many sets, shape (sets,), from those under each of fewer.

    Boards of two families have sets that know nothing of each other: 26 of the one meet 300 of the other in an order
    that is shuffled, the same one for all arrays of 26.
    """
    if values.size in (1, sets):
        return np.broadcast_to(values, (sets,))
    order = np.random.default_rng(values.size).permutation(np.arange(sets) % values.size)
    repeated: FloatArray = values[order]
    return repeated


def _middle(values: FloatArray) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile."""
    low, high = np.percentile(values, [2.5, 97.5]).tolist()
    return low, high


def _bootstrap_means(values: Sequence[FloatArray], rng: np.random.Generator) -> FloatArray:
    """Return means over scenarios of means within them, each drawn anew, shape (BOOTSTRAP_SAMPLES,)."""
    drawn = rng.integers(len(values), size=(BOOTSTRAP_SAMPLES, len(values)))
    sums = np.zeros(BOOTSTRAP_SAMPLES)
    for place, own in enumerate(values):
        # A scenario that is drawn k times has its seeds drawn anew each time.
        times = (drawn == place).sum(axis=1)
        means = own[rng.integers(own.size, size=(int(times.sum()), own.size))].mean(axis=1)
        np.add.at(sums, np.repeat(np.arange(BOOTSTRAP_SAMPLES), times), means)
    means_of_draws: FloatArray = sums / len(values)
    return means_of_draws


def difference_interval(hits: int, n: int, base_hits: int, base_n: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two shares, hits/n - base_hits/base_n.

    It is Newcombe's hybrid of two Wilson intervals (Statistics in Medicine 17, 1998, 873-890, method 10). It treats
    requests as independent. Those that queue behind one another are not, so the interval is a little narrow.
    For 56 of 70 and 48 of 80 it is 0.052 to 0.334.

    Raises:
        ValueError: if hits are not within 0 and n.
    """
    low, high = wilson_interval(hits, n)
    base_low, base_high = wilson_interval(base_hits, base_n)
    if not n or not base_n:
        return -1.0, 1.0
    share, base = hits / n, base_hits / base_n
    return (
        share - base - math.hypot(share - low, base_high - base),
        share - base + math.hypot(high - share, base - base_low),
    )


def early_stopping_percentile(values: Sequence[float] | FloatArray, share: float) -> float | None:
    """Return a percentile that the true one does not exceed, with 99 % confidence, however short the run.

    The rule of MLPerf Inference's load generator (loadgen/early_stopping.cc, tolerance 0): with t of n values above a
    bound, the bound is believed if that few would come by chance with a probability of at most 1 - c were the true
    share above it 1 - p: P[Binomial(n, 1 - p) <= t] <= 1 - c. The estimate is the t-th largest value for the greatest
    such t, which must be at least 1: so p90 needs 64 values, p95 130, p99 662.

    Args:
        values: all values of the run, shape (n,), in any order; infinite for a request without a result.
        share: the percentile as a fraction below 1, such as 0.95.

    Returns:
        None if there are too few values.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    t = _allowed_above(ordered.size, share)
    return float(ordered[-t]) if t >= 1 else None


def _allowed_above(n: int, share: float) -> int:
    """Return the greatest t with P[Binomial(n, 1 - share) <= t] <= 1 - CONFIDENCE; -1 if there is none."""
    above = np.arange(n + 1)
    # In logarithms, since share**n alone vanishes in a long run.
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    log_ways = log_factorials[-1] - log_factorials - log_factorials[::-1]
    chances = np.exp(log_ways + above * math.log(1 - share) + (n - above) * math.log(share))
    return int(np.searchsorted(np.cumsum(chances), 1 - CONFIDENCE, side="right")) - 1
