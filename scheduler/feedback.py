"""Feedback: corrections learned from how requests went, compared with what the plan in force foresaw.

`Caution` corrects plans that foresee too little latency, `Foresight` plans that foresee too much. Neither knows why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache


class Caution:
    """A margin on latency that grows while an application is late without a known cause, and shrinks again.

    A cumulative sum test (Page 1954) finds lateness. At an slo of 95 % it takes an application that goes as planned for
    late once in some 3,600 requests. It finds an application that is late one time in two, five or ten after 8, 23 or
    62 requests. Then the margin grows by `STEP`, from 0.05 to 0.10 for instance. After `WINDOW` requests without
    lateness it shrinks by a `STEP`. Steps are few and large, since each makes the manager decide anew.

    Attributes:
        margin: share to add to the latency of each operating point, 0 to `MOST`.
    """

    CERTAIN = math.log(100)
    """Sum from which lateness is certain: what was seen is a hundred times likelier if too many are late."""
    WINDOW = 200
    """Requests without lateness after which the margin shrinks."""
    STEP = 0.05
    """Change of the margin."""
    MOST = 0.5
    """Largest margin."""
    LEAST_PERMITTED = 0.01
    """Least share of misses that counts as permitted, however strict the slo: none can't be told from few."""

    def __init__(self) -> None:
        self.margin = 0.0
        self._sum = 0.0
        self._since_late = 0

    def forget(self) -> None:
        """Ignore what has finished so far: the cause of its lateness is known."""
        self._sum = 0.0

    def update(self, *, finished: int, on_time: int, slo: float, planned: float, foreseen: bool = False) -> bool:
        """Take in what finished since the last call.

        Args:
            finished: number of requests that ended.
            on_time: number of them that were within their target.
            slo: share of requests that are to be on time; at 0 none can be too late.
            planned: share of requests that the plan in force has on time, above `slo`.
            foreseen: True if that plan foresees lateness itself; a larger margin would not fix it, so none is added.

        Returns:
            True if too many were late.
        """
        if slo <= 0:
            return False
        # Page's test: the sum of the log-likelihood ratios of all requests so far, cut off at 0, passes a threshold. It
        # rises in the long run if more requests are late than the slo permits, and falls if fewer are.
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
    @lru_cache(maxsize=256)  # asked for each application in each epoch, nearly always for the same
    def _weights(cls, slo: float, planned: float) -> tuple[float, float]:
        """Return the log-likelihood ratio of a late request, and of one on time.

        Each is the logarithm of how much likelier such a request is where `many` are late than where `few` are, as
        planned.
        """
        # `many` is as far beyond the share that the slo permits as `few` is below it, as factors of the odds. So the
        # two weights nearly cancel out where just as many are late as the slo permits.
        permitted = min(max(1 - slo, cls.LEAST_PERMITTED), 1 - cls.LEAST_PERMITTED)
        few = max(1 - planned, cls.LEAST_PERMITTED / 2)
        odds = permitted / (1 - permitted)
        many_odds = odds * odds / (few / (1 - few))
        many = many_odds / (1 + many_odds)
        return math.log(many / few), math.log((1 - many) / (1 - few))


class Foresight:
    """Two ratios of observed to foreseen latency, 1 or below, for requests that are quicker than the plan says.

    The model of contention is near on average, and a run is one case: phases drift, and queues are shorter where late
    requests are dropped. So what is seen counts.

    - Once enough requests have finished to see the quantile that the plan is for, one ratio moves towards what they
      show: `wait_ratio` where the plan foresees waiting, else `own_ratio`. Neither says anything about the other.
    - What they show is the latency that lies above that quantile as likely as below it: of 40 requests the largest, for
      the 97.5 % quantile. The 39th lies below it three times of four, and since a ratio falls with what is low and does
      not rise with what is high, it would fall well below the truth.
    - It goes half the way, on a logarithmic scale, or all the way where little is left: from 1.0 towards 0.25 it goes
      to 0.5.
    - A plan made with the ratios runs slower, and then shows whether they were right. If too many requests were late,
      both ratios go a step back and stay there for a while, twice as long each time.

    Attributes:
        own_ratio: observed over foreseen latency of requests that wait for no other application.
        wait_ratio: observed over foreseen waiting for other applications.
    """

    NEAR = 0.9
    """A ratio goes all the way to what was observed if that is more than this factor of it."""
    WORTH = 0.98
    """A ratio that would fall to more than this factor of itself stays."""
    LEAST_OWN = 0.25
    """Least `own_ratio`."""
    LEAST_WAIT = 0.05
    """Least `wait_ratio`."""
    STEP_BACK = 0.25
    """Share of the way back to 1 that a ratio goes where too little was foreseen."""
    PATIENCE = 4
    """Windows for which the ratios stay after the first step back."""

    def __init__(self) -> None:
        self.own_ratio = 1.0
        self.wait_ratio = 1.0
        self._seen_ms: list[float] = []
        self._patience = self.PATIENCE
        self._pauses = 0

    def forget(self) -> None:
        """Ignore what has finished so far."""
        self._seen_ms.clear()

    def update(self, latencies_ms: Sequence[float], *, own_ms: float, waits_ms: float, share: float) -> None:
        """Take in what finished since the last call.

        Args:
            latencies_ms: latencies of the completed requests, and infinity for each that was given up.
            own_ms: latency that `share` of the requests do not exceed, by the plan in force, where they wait for no
                other application.
            waits_ms: the part of the foreseen latency that is waiting for other applications, by that plan, before
                `wait_ratio` counts; 0 where no CPU is shared.
            share: share of the requests that the plan has on time, above 0 and at most 1.
        """
        self._seen_ms.extend(latencies_ms)
        # A quantile of 0.975 needs 40 requests, so that one of them may lie above it.
        window = math.ceil(1 / max(1 - share, 0.01))
        if len(self._seen_ms) < window:
            return
        observed_ms = sorted(self._seen_ms)[_even_rank(len(self._seen_ms), share) - 1]
        self.forget()
        if self._pauses > 0:
            self._pauses -= 1
        elif waits_ms > 0:
            # What is left of the observed quantile after the requests' own part was waiting.
            shown = (observed_ms - self.own_ratio * own_ms) / waits_ms
            self.wait_ratio = self._towards(max(shown, self.LEAST_WAIT), self.wait_ratio)
        else:
            self.own_ratio = self._towards(max(observed_ms / own_ms, self.LEAST_OWN), self.own_ratio)

    def relapse(self) -> None:
        """Go a step back after too many were late: the ratios were too low."""
        if min(self.own_ratio, self.wait_ratio) < 1.0:
            self.own_ratio += self.STEP_BACK * (1 - self.own_ratio)
            self.wait_ratio += self.STEP_BACK * (1 - self.wait_ratio)
            self._pauses, self._patience = self._patience, 2 * self._patience
        self.forget()

    def _towards(self, shown: float, ratio: float) -> float:
        if shown >= self.WORTH * ratio:
            return ratio
        return shown if shown > self.NEAR * ratio else math.sqrt(ratio * shown)


def _even_rank(n: int, share: float) -> int:
    """Return the least rank among `n` observations whose value is at least as likely above the quantile as below it.

    The value of rank k lies below the quantile if k or more observations do, which has the probability
    P[Binomial(n, share) >= k]. So the rank is the least k with P <= 1/2; this holds for any distribution (David and
    Nagaraja, Order Statistics, 2003, 7.1). Of 40 it is the 40th for a share of 0.975, since P is 0.36 for the 40th and
    0.74 for the 39th. If it is above 1/2 for all, the largest has to do.

    Args:
        n: number of observations, at least one.
        share: the quantile, above 0 and at most 1.
    """
    rank = n
    exactly = at_least = share**n
    while rank > 1:
        exactly *= rank * (1 - share) / ((n - rank + 1) * share)
        at_least += exactly
        if at_least > 0.5:
            break
        rank -= 1
    return rank
