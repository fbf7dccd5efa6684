"""The verdict on an app: its share of on-time requests against its service-level objective; intervals of means."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from workloads.results.summary import AppSummary, Verdict

RESAMPLES = 2000
"""Resamples of a bootstrap: two bounds at 95 % take about 1000 (Efron and Tibshirani 1993, chapter 13)."""


def verdict_of(on_time: int, n: int, slo: float) -> Verdict:
    """Judge whether a share of on-time requests met its objective.

    At an objective of 0.95, 600 of 600 requests are `met`, 540 of 600 `missed`; 30 of 30 are `not shown`, since a share
    of 0.89 explains them as well.

    Args:
        on_time: Requests on time, of `n`.
        n: Requests that ended, or should have.
        slo: Share that must be on time, above 0 and at most 1.

    Returns:
        `met` if the whole 95 % interval of the share is at least `slo`, `missed` if all of it is below, else
        `not shown`: too few requests to tell.
    """
    low, high = wilson_interval(on_time, n)
    if low >= slo:
        return "met"
    return "missed" if high < slo else "not shown"


def verdicts_by_segment(app: AppSummary) -> tuple[Verdict, ...]:
    """Judge each segment of an app by itself, against the objective last in force.

    A run of 600 requests on time of 620 is `met` at 0.95. If its second segment has 20 of 40 on time, that one is
    `missed`, which the verdict on the whole run hides.
    """
    return tuple(verdict_of(round((each.on_time or 0.0) * each.n), each.n, app.slo) for each in app.segments)


def wilson_interval(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Bound a proportion by the score interval of Wilson (1927, doi:10.1080/01621459.1927.10502953).

    30 successes of 30 give (0.89, 1.0), 540 of 600 give (0.87, 0.92).

    Args:
        successes: Successes, 0 to `n`.
        n: Trials; with none, everything is possible.
        z: Quantile of the normal distribution; 1.96 for 95 %.

    Returns:
        The lower and the upper bound, within [0, 1].

    Raises:
        ValueError: `successes` is not within 0 and n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be between 0 and n={n!r}, not {successes!r}.")
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    spread = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    middle, scale = share + z * z / (2 * n), 1 + z * z / n
    # At the ends the bound is 0 or 1 exactly, which rounding would miss.
    low = 0.0 if successes == 0 else (middle - spread) / scale
    high = 1.0 if successes == n else (middle + spread) / scale
    return low, high


def credit_interval(credits: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """Bound the mean of credits at 95 %, requests taken as independent.

    Where each is 0 or 1 they are shares, bounded by Wilson's interval. Else requests are drawn anew with replacement,
    and the bounds are the percentiles of the means: the percentile interval of Efron and Tibshirani (An Introduction to
    the Bootstrap, 1993, chapter 13). For a few credits it is too narrow, and one credit says nothing of the spread.

    400 credits evenly spread from 0 to 1 give (0.47, 0.53), and (1, 1, 0.5, 0.5) give (0.5, 1.0).

    Args:
        credits: Credits from 0 to 1, shape (n,).
        seed: Seed of the draws; the same seed gives the same bounds.

    Returns:
        The lower and the upper bound, within [0, 1].
    """
    values = np.asarray(credits, dtype=np.float64)
    if np.isin(values, (0.0, 1.0)).all():
        return wilson_interval(int(values.sum()), values.size)
    if values.size == 1:
        return 0.0, 1.0
    rng = np.random.default_rng(seed)
    # One after another, since all draws of 10,000 requests at once would take 160 MB.
    means = [values[rng.integers(values.size, size=values.size)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5)).tolist()
    return low, high
