"""Words for what an interval shows. A verdict is given only where the whole interval supports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from workloads.bench.statistics import Interval

Verdict = Literal["less", "more", "not shown"]


LEAST = 5
"""Mixes, or seeds of one mix alone, that a verdict needs: four that agree do so by chance once in sixteen times, and
an interval by the bootstrap is too narrow with so few."""


def ratio_verdict(interval: Interval | None) -> Verdict:
    """Whether a ratio is below or above 1; not shown where 1 lies within its interval, or too little is known."""
    if interval is None or interval.low is None or interval.high is None or not _enough(interval):
        return "not shown"
    if interval.high < 1:
        return "less"
    return "more" if interval.low > 1 else "not shown"


def aim_verdict(interval: Interval | None, most: float) -> Literal["met", "missed", "not shown"]:
    """Whether a ratio is at most an aim: met or missed where the whole interval says so."""
    if interval is None or interval.low is None or interval.high is None or not _enough(interval):
        return "not shown"
    if interval.high <= most:
        return "met"
    return "missed" if interval.low > most else "not shown"


def _enough(interval: Interval) -> bool:
    """Of one mix alone the interval is about its seeds."""
    return (interval.n if interval.scenarios == 1 else interval.scenarios) >= LEAST


AIMS: Mapping[str, float] = {
    "schedutil": 0.70,
    "floor+schedutil": 0.835,
    "joint+schedutil": 0.835,
    "best": 1.02,
    "oracle": 1.03,
}
"""By baseline, the greatest ratio of the units' energies that `joint` aims at: 30 % less than the paper's baseline,
16.5 % less (the paper's figure) than the two that share our networks or our floors, no more than `best` where nothing
changes, and 3 % above an oracle."""
