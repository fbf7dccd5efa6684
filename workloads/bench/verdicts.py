"""Words for what an interval shows. A verdict is given only where all that is known of a figure supports it.

That is the whole interval over mixes and seeds, and, where a board's power is fitted, the whole range over the sets of
power figures too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from workloads.bench.statistics import Interval
from workloads.bench.tasks import OURS
from workloads.bench.words import change_of

Verdict = Literal["less", "more", "not shown"]


LEAST = 5
"""Mixes, or seeds of one mix alone, that a verdict needs: four that agree do so by chance once in sixteen times, and
an interval by the bootstrap is too narrow with so few."""


def ratio_verdict(interval: Interval | None) -> Verdict:
    """Whether a ratio is below or above 1; not shown where 1 lies within its interval, or too little is known."""
    low, high = _ends(interval)
    if high < 1:
        return "less"
    return "more" if low > 1 else "not shown"


def aim_verdict(interval: Interval | None, most: float) -> Literal["met", "missed", "not shown"]:
    """Whether a ratio is at most an aim: met or missed where the whole interval says so."""
    low, high = _ends(interval)
    if high <= most:
        return "met"
    return "missed" if low > most else "not shown"


def aim_of(policy: str, baseline: str) -> float | None:
    """The greatest ratio that a policy aims at; None where there is no aim."""
    return AIMS.get(baseline) if policy == OURS else None


def conclusion(policy: str, baseline: str, interval: Interval | None) -> str:
    """All that is concluded of a comparison, such as `less, aim −30.0 % met`."""
    verdict, aim = ratio_verdict(interval), aim_of(policy, baseline)
    words = "less not shown" if verdict == "not shown" else verdict
    return words if aim is None else f"{words}, aim {change_of(aim)} {aim_verdict(interval, aim)}"


def _ends(interval: Interval | None) -> tuple[float, float]:
    """Between what a ratio lies, as far as is known; anything where that is too little for a verdict."""
    ends = interval.ends if interval is not None and _enough(interval) else None
    return ends or (0.0, math.inf)


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
