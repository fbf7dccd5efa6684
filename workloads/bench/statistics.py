"""The statistics of a bench: ratios, their intervals, and percentiles that a short run can vouch for.

Pure functions of numbers. Nothing here knows what a policy or a mix is: a *scenario* is whatever is drawn again as
a whole in the bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workloads.results.verdict import wilson_interval

BOOTSTRAP_SAMPLES = 2000
"""Draws behind an interval; its ends then move by less than a tenth of its width from seed to seed."""

CONFIDENCE = 0.99
"""Of an early-stopping percentile, as in MLPerf Inference's load generator."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A figure with its 95 % interval.

    Attributes:
        value: the figure.
        low: lower bound; None where one observation alone says nothing of the spread.
        high: upper bound, likewise.
        scenarios: behind it.
        n: observations behind it.
        over_sets: ends of the range of `value` over sets of assumptions that are all equally good, 2.5th to 97.5th
            percentile: what more observations would not narrow. None where there is one set alone.
    """

    value: float
    low: float | None
    high: float | None
    scenarios: int
    n: int
    over_sets: tuple[float, float] | None = None

    @property
    def ends(self) -> tuple[float, float] | None:
        """The outermost ends, of the interval and of the range over sets; None where there is no interval."""
        if self.low is None or self.high is None:
            return None
        low, high = self.over_sets or (self.value, self.value)
        return min(self.low, low), max(self.high, high)


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean of positive numbers, at least one."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def ratio_interval(ratios: Mapping[str, Sequence[float]], *, seed: int = 0) -> Interval | None:
    """The geometric mean of paired ratios over scenarios, with its bootstrap interval.

    Each scenario counts alike, however many ratios it has: the mean is of the scenarios' own geometric means. The
    bootstrap (Efron 1979, doi:10.1214/aos/1176344552; percentile method) draws scenarios with replacement, and then
    ratios within each that was drawn: what another choice of mixes, and other seeds, could have given.

    Args:
        ratios: for each scenario the ratio of each pair, all positive; scenarios without any are left out.
        seed: of the draws; the same ratios and seed give the same interval.

    Returns:
        None where there is no ratio at all.
    """
    logs = [np.log(np.asarray(own, dtype=np.float64)) for own in ratios.values() if len(own)]
    if not logs:
        return None
    n = sum(own.size for own in logs)
    value = math.exp(math.fsum(float(own.mean()) for own in logs) / len(logs))
    if n == 1:
        return Interval(value=value, low=None, high=None, scenarios=1, n=1)
    low, high = np.exp(np.percentile(_bootstrap_means(logs, np.random.default_rng(seed)), [2.5, 97.5])).tolist()
    return Interval(value=value, low=low, high=high, scenarios=len(logs), n=n)


def range_over_sets(ratios: Mapping[str, Sequence[NDArray[np.float64]]]) -> tuple[float, float] | None:
    """Where the mean of paired ratios lies under each of many sets of assumptions that are all equally good.

    Args:
        ratios: for each scenario each pair's ratio under each set, shape (sets,) in one order for all pairs, or (1,)
            for a pair that no set changes; scenarios without any are left out.

    Returns:
        The 2.5th and 97.5th percentile over the sets of the mean that `ratio_interval` takes; None where there is at
        most one set.
    """
    logs = [np.log(np.stack(np.broadcast_arrays(*own))).mean(axis=0) for own in ratios.values() if len(own)]
    if max((own.size for own in logs), default=1) == 1:
        return None
    means = np.exp(np.stack(np.broadcast_arrays(*logs)).mean(axis=0))
    low, high = np.percentile(means, [2.5, 97.5]).tolist()
    return low, high


def _bootstrap_means(logs: Sequence[NDArray[np.float64]], rng: np.random.Generator) -> NDArray[np.float64]:
    """Means over scenarios of means within them, each drawn anew, shape (BOOTSTRAP_SAMPLES,)."""
    drawn = rng.integers(len(logs), size=(BOOTSTRAP_SAMPLES, len(logs)))
    sums = np.zeros(BOOTSTRAP_SAMPLES)
    for place, own in enumerate(logs):
        # A scenario that is drawn k times has its seeds drawn anew each time.
        times = (drawn == place).sum(axis=1)
        means = own[rng.integers(own.size, size=(int(times.sum()), own.size))].mean(axis=1)
        np.add.at(sums, np.repeat(np.arange(BOOTSTRAP_SAMPLES), times), means)
    means_of_draws: NDArray[np.float64] = sums / len(logs)
    return means_of_draws


def difference_interval(hits: int, n: int, base_hits: int, base_n: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two shares, hits/n - base_hits/base_n.

    Newcombe's hybrid of two Wilson intervals (Statistics in Medicine 17, 1998, 873-890, method 10). It takes requests
    as independent; those that queue behind one another are not, so it is a little narrow.

    Raises:
        ValueError: hits are not within 0 and n.
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


def early_stopping_percentile(values: Sequence[float] | NDArray[np.float64], share: float) -> float | None:
    """A percentile that the true one does not exceed, with 99 % confidence, however short the run.

    The rule of MLPerf Inference's load generator (loadgen/early_stopping.cc, tolerance 0): with t of n values above a
    bound, the bound is believed if that few would come by chance with a probability of at most 1 - c were the true
    share above it 1 - p: P[Binomial(n, 1 - p) <= t] <= 1 - c. The estimate is the t-th largest value for the greatest
    such t, which must be at least 1: so p90 needs 64 values, p95 130, p99 662.

    Args:
        values: of the whole run, shape (n,), in any order; infinite for a request without a result.
        share: which percentile, as a fraction below 1.

    Returns:
        None where there are too few values.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    t = _allowed_above(ordered.size, share)
    return float(ordered[-t]) if t >= 1 else None


def _allowed_above(n: int, share: float) -> int:
    """The greatest t with P[Binomial(n, 1 - share) <= t] <= 1 - CONFIDENCE; -1 where there is none."""
    above = np.arange(n + 1)
    # In logarithms, since share**n alone vanishes in a long run.
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    log_ways = log_factorials[-1] - log_factorials - log_factorials[::-1]
    chances = np.exp(log_ways + above * math.log(1 - share) + (n - above) * math.log(share))
    return int(np.searchsorted(np.cumsum(chances), 1 - CONFIDENCE, side="right")) - 1
