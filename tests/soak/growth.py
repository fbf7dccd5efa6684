"""How much a figure of a process has grown, whatever single samples say. Pure: it knows no processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_PERCENT = 1.0
"""A process that has grown by this or more since the warm-up has not passed."""

_MOST_SAMPLES = 400
"""Samples that a line is fitted to, at most: there are as many slopes as pairs of them."""


@dataclass(frozen=True, slots=True)
class Growth:
    """The growth of a figure over a window of time.

    Attributes:
        start: median of the first tenth of the samples.
        end: median of the last tenth.
        percent: growth over the window by the line through the samples, in percent of its begin.
        per_hour: slope of that line.
    """

    start: float
    end: float
    percent: float
    per_hour: float

    @property
    def passed(self) -> bool:
        """True if it has not grown by `MOST_PERCENT`."""
        return self.percent < MOST_PERCENT


def growth(at_s: Sequence[float], values: Sequence[float]) -> Growth:
    """Fit a line to samples, and return how much it rises.

    The slope is the median of the slopes of all pairs of samples (Theil 1950, Sen 1968): 29 % of the samples may be
    anything, such as peaks, without much effect on it. From 100 MB at first to 102 MB an hour later is 2 %.

    Args:
        at_s: times in seconds, rising, at least two.
        values: one for each.
    """
    step = -(-len(at_s) // _MOST_SAMPLES)
    times, all_values = np.asarray(at_s, dtype=float)[::step], np.asarray(values, dtype=float)
    thinned = all_values[::step]
    earlier, later = np.triu_indices(len(times), 1)
    slope = float(np.median((thinned[later] - thinned[earlier]) / (times[later] - times[earlier])))
    begin = float(np.median(thinned - slope * (times - times[0])))
    tenth = max(1, len(all_values) // 10)
    return Growth(
        start=float(np.median(all_values[:tenth])),
        end=float(np.median(all_values[-tenth:])),
        percent=100 * slope * float(times[-1] - times[0]) / begin if begin else 0.0,
        per_hour=3600 * slope,
    )
