"""Words for ratios and differences, the same in tables, figures and the terminal.

A verdict (`less`, `more`) is given only if the whole interval supports it: over mixes and seeds, and, on boards that
have sets of power figures, over those too. Nothing here prefers a policy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from workloads.bench.statistics import ConfidenceInterval
from workloads.report.table import UNKNOWN

OVER_SETS = "power sets"
"""The words before a range over the sets of power figures that a board may have."""

Verdict = Literal["less", "more", "not shown"]

ENOUGH = 5
"""Number of mixes, or of seeds of one mix alone, that a verdict needs: four that agree do so by chance once in sixteen
times, and a bootstrap interval of so few is too narrow."""

_AS_FACTOR = 2.0
"""The ratio from which on changes are shown as factors: +1417 % is harder to read than ×15."""


def ratio_verdict(interval: ConfidenceInterval | None) -> Verdict:
    """Return `less` or `more` if a ratio is below or above 1, and `not shown` if its interval does not decide that."""
    low, high = shown_range(interval)
    if high < 1:
        return "less"
    return "more" if low > 1 else "not shown"


def shown_range(interval: ConfidenceInterval | None) -> tuple[float, float]:
    """Return the range in which a ratio is shown to lie: 0 to infinity where too few mixes or seeds are behind it."""
    if interval is None or _count(interval) < ENOUGH:
        return 0.0, math.inf
    return interval.ends or (0.0, math.inf)


def change_of(ratio: float) -> str:
    """Return a ratio as a change: 0.59 gives `−41.0 %`. From 2 on it is a factor: 2.8 gives `×2.8`."""
    return f"×{ratio:.1f}" if ratio >= _AS_FACTOR else f"{_signed(100 * (ratio - 1))} %"


def change_words(interval: ConfidenceInterval | None) -> str:
    """Return a ratio as a change with its bounds: `−41.0 % (−48.2 to −33.1 %; power sets −44.0 to −38.2 %)`."""
    if interval is None:
        return UNKNOWN
    return with_bounds(change_of(interval.value), *bounds_words(interval))


def figure_words(interval: ConfidenceInterval | None, form: str, unit: str = "") -> str:
    """Return a figure with its bounds, such as `5.00 J (4.90 to 5.10 J; power sets 4.05 to 5.95 J)`.

    Args:
        interval: the figure; None if it is unknown.
        form: format of each number, such as `.2f`.
        unit: text behind each number and each range, such as ` J`.
    """
    if interval is None:
        return UNKNOWN
    bounds = bounds_words(interval, lambda low, high: f"{low:{form}} to {high:{form}}{unit}")
    return with_bounds(f"{interval.value:{form}}{unit}", *bounds)


def bounds_words(interval: ConfidenceInterval, span: Callable[[float, float], str] | None = None) -> list[str]:
    """Return the interval and the range over sets of power figures in words, each if there is one.

    Args:
        interval: the figure.
        span: words for a range from one number to another; None for the change that a ratio is.
    """
    from_to = span or _from_to
    words = []
    if interval.low is not None and interval.high is not None:
        words.append(from_to(interval.low, interval.high))
    if interval.over_sets is not None:
        words.append(f"{OVER_SETS} {from_to(*interval.over_sets)}")
    return words


def with_bounds(figure: str, *bounds: str) -> str:
    """Return a figure with bounds in brackets behind it, separated by semicolons."""
    return f"{figure} ({'; '.join(bounds)})" if bounds else figure


def points(difference: float | None) -> str:
    """Return a difference of shares in percentage points: -0.0123 gives `−1.2`."""
    return UNKNOWN if difference is None else f"{_signed(100 * difference)}"


def _count(interval: ConfidenceInterval) -> int:
    """Return the number of mixes behind an interval, or of seeds where it is of one mix."""
    return interval.n if interval.scenarios == 1 else interval.scenarios


def _from_to(low: float, high: float) -> str:
    first, last = change_of(low), change_of(high)
    return f"{first.removesuffix(' %') if last.endswith('%') else first} to {last}"


def _signed(value: float) -> str:
    text = f"{value:+.1f}".replace("-", "−")
    return "0.0" if text in {"+0.0", "−0.0"} else text
