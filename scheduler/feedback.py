"""What is learned from how requests went, beside what the plan in force foresaw.

`Caution` is for plans that foresee too little, `Foresight` for those that foresee too much. Neither knows why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


class Caution:
    """A margin that grows while an application is late without a known cause, and shrinks again.

    Of each `WINDOW` requests as many may be late as the slo permits. One more, and the margin grows by `STEP` at once;
    a window without that takes `RELIEF` off it. So at a margin that suffices only now and then one window in six
    fails: the margin hovers there.
    """

    WINDOW = 40
    STEP = 0.05
    RELIEF = 0.01
    MOST = 0.5

    def __init__(self) -> None:
        self.margin = 0.0
        self._finished = 0
        self._late = 0

    def forget(self) -> None:
        """What has finished so far says nothing: its cause is known."""
        self._finished = self._late = 0

    def update(self, *, finished: int, on_time: int, slo: float) -> bool:
        """Takes in what finished since the last call; says whether too much of it was late."""
        self._finished += finished
        self._late += finished - on_time
        failed = self._late > (1 - slo) * self.WINDOW
        if failed:
            self.margin = min(self.margin + self.STEP, self.MOST)
        elif self._finished >= self.WINDOW:
            self.margin = max(self.margin - self.RELIEF, 0.0)
        else:
            return False
        self.forget()
        return failed


class Foresight:
    """Observed over foreseen latency, where requests are quicker than the plan says: 1 or below.

    The scheduler's problem has a request wait for one of every other application on a shared unit. That is safe, and
    often far more than happens: arrivals may never meet, or cores be enough. So once enough requests have finished to
    see the share of them that the plan is for, the ratio goes half the way to what they show, on a logarithmic scale,
    or all of it where little is left. A plan made with it runs slower, and then shows whether that was right. Where
    it was not, the ratio goes a step back and stays there, twice as long each time.
    """

    NEAR = 0.9
    """Within this factor of it the ratio goes all of the way."""
    WORTH = 0.98
    """A ratio that would fall by less than this factor stays."""
    LEAST = 0.25
    STEP_BACK = 1.25
    PATIENCE = 4
    """Windows without a look further down after the first step back."""

    def __init__(self) -> None:
        self.ratio = 1.0
        self._seen_ms: list[float] = []
        self._patience = self.PATIENCE
        self._waits = 0

    def forget(self) -> None:
        """What has finished so far says nothing."""
        self._seen_ms.clear()

    def update(self, latencies_ms: Sequence[float], *, foreseen_ms: float, share: float) -> None:
        """Takes in what finished since the last call.

        Args:
            latencies_ms: of completed requests.
            foreseen_ms: what the plan in force says that `share` of them do not exceed.
            share: of the requests, above 0 and at most 1.
        """
        self._seen_ms.extend(latencies_ms)
        window = math.ceil(1 / max(1 - share, 0.01))
        if len(self._seen_ms) < window:
            return
        observed_ms = sorted(self._seen_ms)[math.ceil(share * len(self._seen_ms)) - 1]
        self.forget()
        if self._waits > 0:
            self._waits -= 1
            return
        shown = max(observed_ms / foreseen_ms, self.LEAST)
        if shown < self.WORTH * self.ratio:
            self.ratio = shown if shown > self.NEAR * self.ratio else math.sqrt(self.ratio * shown)

    def relapse(self) -> None:
        """Too many were late: what was believed was too little."""
        if self.ratio < 1.0:
            self.ratio = min(self.ratio * self.STEP_BACK, 1.0)
            self._waits, self._patience = self._patience, 2 * self._patience
        self.forget()
