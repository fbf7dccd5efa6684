"""The control loop's measurements of itself."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_MOST_TIMES = 10_000
"""Most times of decisions that are kept, the latest; a run that goes on for days has millions."""


@dataclass(slots=True)
class LoopFigures:
    """The loop's measurements of itself.

    Attributes:
        epochs: number of epochs that the loop ran.
        overruns: number of epochs that were skipped because the one before had not ended.
        solve_ms: for each of the latest 10,000 decisions, how long it took, in milliseconds on the wall.
        apply_ms: for each of the latest 10,000 that changed something, time until the last answer that it was carried
            out, in milliseconds on the wall.
    """

    epochs: int = 0
    overruns: int = 0
    solve_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_TIMES))
    apply_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_TIMES))
