"""Ratios and differences in words, the same for tables, figures and the terminal."""

from __future__ import annotations

from workloads.bench.statistics import Interval
from workloads.table import UNKNOWN

_AS_FACTOR = 2.0
"""Ratios from here on are shown as factors: +1417 % is harder to read than ×15."""


def change_of(ratio: float) -> str:
    """A ratio as a change, such as `−41.0 %`; from twice on as a factor, such as `×2.8`."""
    return f"×{ratio:.1f}" if ratio >= _AS_FACTOR else f"{_signed(100 * (ratio - 1))} %"


def change_words(interval: Interval | None) -> str:
    """A ratio as a change with its interval, such as `−41.0 % (−48.2 % to −33.1 %)`."""
    if interval is None:
        return UNKNOWN
    if interval.low is None or interval.high is None:
        return change_of(interval.value)
    return f"{change_of(interval.value)} ({change_of(interval.low)} to {change_of(interval.high)})"


def points(difference: float | None) -> str:
    """A difference of shares in percentage points."""
    return UNKNOWN if difference is None else f"{_signed(100 * difference)}"


def _signed(value: float) -> str:
    text = f"{value:+.1f}".replace("-", "−")
    return "0.0" if text in {"+0.0", "−0.0"} else text
