"""Ratios and differences in words, the same for tables, figures and the terminal."""

from __future__ import annotations

from workloads.bench.statistics import Interval
from workloads.report.table import UNKNOWN

OVER_SETS = "power sets"
"""Words before a range over sets of power figures that fit a board equally well."""

_AS_FACTOR = 2.0
"""Ratios from here on are shown as factors: +1417 % is harder to read than ×15."""


def change_of(ratio: float) -> str:
    """A ratio as a change, such as `−41.0 %`; from twice on as a factor, such as `×2.8`."""
    return f"×{ratio:.1f}" if ratio >= _AS_FACTOR else f"{_signed(100 * (ratio - 1))} %"


def change_words(interval: Interval | None) -> str:
    """A ratio as a change with its bounds, such as `−41.0 % (−48.2 to −33.1 %; power sets −44.0 to −38.2 %)`."""
    if interval is None:
        return UNKNOWN
    return with_bounds(change_of(interval.value), *bounds_words(interval))


def bounds_words(interval: Interval) -> list[str]:
    """The interval and the range over sets of power figures, each where there is one."""
    words = []
    if interval.low is not None and interval.high is not None:
        words.append(_from_to(interval.low, interval.high))
    if interval.over_sets is not None:
        words.append(f"{OVER_SETS} {_from_to(*interval.over_sets)}")
    return words


def with_bounds(figure: str, *bounds: str) -> str:
    """A figure with what stands in brackets behind it; what starts a new line on the page follows a semicolon."""
    return f"{figure} ({'; '.join(bounds)})" if bounds else figure


def points(difference: float | None) -> str:
    """A difference of shares in percentage points."""
    return UNKNOWN if difference is None else f"{_signed(100 * difference)}"


def _from_to(low: float, high: float) -> str:
    first, last = change_of(low), change_of(high)
    return f"{first.removesuffix(' %') if last.endswith('%') else first} to {last}"


def _signed(value: float) -> str:
    text = f"{value:+.1f}".replace("-", "−")
    return "0.0" if text in {"+0.0", "−0.0"} else text
