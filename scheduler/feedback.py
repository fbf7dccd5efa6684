"""What is learned from how requests went, beside what the plan in force foresaw.

`Caution` is for plans that foresee too little, `Foresight` for those that foresee too much. Neither knows why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


class Caution:
    """A margin that grows while an application is late without a known cause, and shrinks again.

    Whether it is late is a cumulative sum test (Page 1954): each request adds the logarithm of how much likelier it is
    where too many are late than where as many are as planned. The sum never falls below 0, and where it passes
    `CERTAIN` the margin grows by `STEP`. It rises in the long run where more are late than the slo permits. At an slo
    of 95 % an application that goes as planned is taken for late once in some 3,600 requests, and one that is late one
    time in two, five or ten is found out after 8, 23 or 62. `WINDOW` requests without that take a `STEP` off again: few
    and large steps, since each is decided on.
    """

    CERTAIN = math.log(100)
    WINDOW = 200
    STEP = 0.05
    MOST = 0.5
    LEAST_PERMITTED = 0.01
    """Share of misses that is taken for permitted at least, however strict the slo: none can't be told from few."""

    def __init__(self) -> None:
        self.margin = 0.0
        self._sum = 0.0
        self._since_late = 0

    def forget(self) -> None:
        """What has finished so far says nothing: its cause is known."""
        self._sum = 0.0

    def update(self, *, finished: int, on_time: int, slo: float, planned: float, foreseen: bool = False) -> bool:
        """Takes in what finished since the last call; says whether too much of it was late.

        Args:
            finished: requests that ended.
            on_time: of them, those within their target.
            slo: share of requests that are to be on time; at 0 none can be too late.
            planned: share that the plan in force is for, above `slo`.
            foreseen: whether that plan foresees lateness itself; more margin would not mend it, so none is added.
        """
        if slo <= 0:
            return False
        late_weight, on_time_weight = self._weights(slo, planned)
        self._sum = max(0.0, self._sum + late_weight * (finished - on_time) + on_time_weight * on_time)
        self._since_late += finished
        failed = self._sum > self.CERTAIN
        if failed:
            self._sum, self._since_late = 0.0, 0
            if not foreseen:
                self.margin = min(self.margin + self.STEP, self.MOST)
        elif self._since_late >= self.WINDOW:
            self.margin = max(self.margin - self.STEP, 0.0)
            self._since_late = 0
        return failed

    @classmethod
    def _weights(cls, slo: float, planned: float) -> tuple[float, float]:
        """Of a late request and of one on time: the shares are as far apart as what is planned is from the slo."""
        permitted = min(max(1 - slo, cls.LEAST_PERMITTED), 1 - cls.LEAST_PERMITTED)
        few = max(1 - planned, cls.LEAST_PERMITTED / 2)
        odds = permitted / (1 - permitted)
        many_odds = odds * odds / (few / (1 - few))
        many = many_odds / (1 + many_odds)
        return math.log(many / few), math.log((1 - many) / (1 - few))


class Foresight:
    """Observed over foreseen latency, where requests are quicker than the plan says: 1 or below.

    The scheduler's problem has a request wait for one of every other application on a shared unit. That is safe, and
    often far more than happens: arrivals may never meet, or cores be enough. So once enough requests have finished to
    see the share of them that the plan is for, a ratio goes half the way to what they show, on a logarithmic scale,
    or all of it where little is left: the one of waiting where the plan foresees some, else that of the requests' own
    latency. The first says nothing of how long a request takes on a unit of its own, nor the other way round. A plan
    made with them runs slower, and then shows whether that was right. Where it was not, both go a step back and stay
    there, twice as long each time.
    """

    NEAR = 0.9
    """Within this factor of it a ratio goes all of the way."""
    WORTH = 0.98
    """A ratio that would fall by less than this factor stays."""
    LEAST_OWN = 0.25
    LEAST_WAIT = 0.05
    STEP_BACK = 0.25
    """Share of the way back to 1 that a ratio goes where too little was foreseen."""
    PATIENCE = 4
    """Windows without a look further down after the first step back."""

    def __init__(self) -> None:
        self.own_ratio = 1.0
        self.wait_ratio = 1.0
        self._seen_ms: list[float] = []
        self._patience = self.PATIENCE
        self._pauses = 0

    def forget(self) -> None:
        """What has finished so far says nothing."""
        self._seen_ms.clear()

    def update(self, latencies_ms: Sequence[float], *, own_ms: float, waits_ms: float, share: float) -> None:
        """Takes in what finished since the last call.

        Args:
            latencies_ms: of completed requests; of those given up, infinity.
            own_ms: what the plan in force says that `share` of them do not exceed where they wait for nobody else.
            waits_ms: services of other applications that one may wait for, 0 on a unit that is not shared.
            share: of the requests, above 0 and at most 1.
        """
        self._seen_ms.extend(latencies_ms)
        window = math.ceil(1 / max(1 - share, 0.01))
        if len(self._seen_ms) < window:
            return
        observed_ms = sorted(self._seen_ms)[math.ceil(share * len(self._seen_ms)) - 1]
        self.forget()
        if self._pauses > 0:
            self._pauses -= 1
        elif waits_ms > 0:
            shown = (observed_ms - self.own_ratio * own_ms) / waits_ms
            self.wait_ratio = self._towards(max(shown, self.LEAST_WAIT), self.wait_ratio)
        else:
            self.own_ratio = self._towards(max(observed_ms / own_ms, self.LEAST_OWN), self.own_ratio)

    def relapse(self) -> None:
        """Too many were late: what was believed was too little."""
        if min(self.own_ratio, self.wait_ratio) < 1.0:
            self.own_ratio += self.STEP_BACK * (1 - self.own_ratio)
            self.wait_ratio += self.STEP_BACK * (1 - self.wait_ratio)
            self._pauses, self._patience = self._patience, 2 * self._patience
        self.forget()

    def _towards(self, shown: float, ratio: float) -> float:
        if shown >= self.WORTH * ratio:
            return ratio
        return shown if shown > self.NEAR * ratio else math.sqrt(ratio * shown)
