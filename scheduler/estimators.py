"""Estimators of what an app does while it runs: its rate, how much slower it is than profiled, its recent latencies.

Each estimator is fed by `update` and read through properties. None has a clock, knows an app or decides anything.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice


class RateEstimator:
    """An estimate of arrivals a second, exponentially weighted over time.

    Ten arrivals in each second give 10 Hz from the first second on, where no rate was declared.

    A second estimate with a fifth of the time constant runs beside it. Where the slow one is so far from the fast one
    that chance does not explain it, the rate has changed: the slow one forgets what it has seen and goes on from the
    fast one.

    Args:
        declared_hz: the rate to start from, as if it had been observed for long; None where it is not known.
        time_constant_s: age at which an arrival counts 1/e as much as a new one, in seconds.
    """

    _FASTER = 5.0
    """Ratio of the two time constants."""
    _CERTAIN = 5.0
    """Standard deviations of the fast estimate that chance does not explain."""

    def __init__(self, declared_hz: float | None = None, *, time_constant_s: float = 5.0) -> None:
        self._slow = _Decaying(time_constant_s, declared_hz)
        self._fast = _Decaying(time_constant_s / self._FASTER, declared_hz)

    def update(self, arrived: int, interval_s: float) -> None:
        """Take in the requests that arrived in an interval.

        Args:
            arrived: number of requests.
            interval_s: length of the interval, in seconds.

        Raises:
            ValueError: if either is negative or not finite.
        """
        if not (0 <= arrived < math.inf and 0 <= interval_s < math.inf):
            raise ValueError(
                f"arrived is {arrived!r} and interval_s is {interval_s!r}; both must be finite and at least 0."
            )
        slow, fast = self._slow, self._fast
        slow.update(arrived, interval_s)
        fast.update(arrived, interval_s)
        slow_hz = slow.rate_hz
        if slow_hz is not None and fast.is_beyond_chance(slow_hz, self._CERTAIN):
            slow.go_on_from(fast)

    @property
    def rate_hz(self) -> float | None:
        """The estimate; None before any time has been observed where no rate was declared."""
        return self._slow.rate_hz

    def differs_from(self, rate_hz: float, *, deviations: float = 4.0) -> bool:
        """Return True if the estimate is further from a rate than chance explains.

        Args:
            rate_hz: the rate to compare with.
            deviations: number of standard deviations that chance explains. A larger deviation than four comes less
                than once in 10,000 independent looks.
        """
        return self._slow.is_beyond_chance(rate_hz, deviations)


class _Decaying:
    """Arrivals and time, both weighted by their age.

    Both are kept, and the rate is their quotient. So it is right from the first interval on, and depends little on how
    time is cut into intervals.

    Attributes:
        rate_hz: the estimate; None before any time has been observed where no rate was declared.
    """

    __slots__ = ("_arrivals", "_seconds", "_time_constant_s", "rate_hz")

    def __init__(self, time_constant_s: float, declared_hz: float | None) -> None:
        self._time_constant_s = time_constant_s
        self._seconds = 0.0 if declared_hz is None else time_constant_s
        self._arrivals = 0.0 if declared_hz is None else declared_hz * time_constant_s
        self.rate_hz = self._arrivals / self._seconds if self._seconds > 0 else None

    def update(self, arrived: int, interval_s: float) -> None:
        """Take in the requests that arrived in an interval."""
        # In an interval d with n arrivals, with the time constant T and the decay e = exp(-d / T):
        #   arrivals = arrivals · e + n · (1 - e) · T / d,  time = time · e + (1 - e) · T.
        decay, seconds = _decay(interval_s, self._time_constant_s)
        self._arrivals = self._arrivals * decay + arrived * (seconds / interval_s if interval_s > 0 else 1.0)
        self._seconds = self._seconds * decay + seconds
        if self._seconds > 0:
            self.rate_hz = self._arrivals / self._seconds

    def go_on_from(self, other: _Decaying) -> None:
        """Forget what was seen, and take over what another has seen."""
        self._arrivals, self._seconds, self.rate_hz = other._arrivals, other._seconds, other.rate_hz

    def is_beyond_chance(self, rate_hz: float, deviations: float) -> bool:
        """Return True if the estimate is more than so many standard deviations from a rate of Poisson arrivals."""
        if self.rate_hz is None:
            return False
        # The estimate of Poisson arrivals, weighed over a time T, has a standard deviation of √(rate / 2T) (Campbell's
        # theorem); periodic arrivals deviate less.
        # One arrival is the least that can be told from none, or a rate of 0 would differ by any.
        deviation_hz = max(math.sqrt(rate_hz / (2 * self._seconds)), 1 / self._seconds / deviations)
        return abs(self.rate_hz - rate_hz) > deviations * deviation_hz


@lru_cache(maxsize=16)  # asked for each application in each epoch, nearly always for the same
def _decay(interval_s: float, time_constant_s: float) -> tuple[float, float]:
    """Return exp(-d / T) and (1 - exp(-d / T)) · T."""
    return math.exp(-interval_s / time_constant_s), -math.expm1(-interval_s / time_constant_s) * time_constant_s


class SlowdownEstimator:
    """An estimate of observed over profiled service time, by a scalar Kalman filter with adaptive process noise.

    The filter is ALERT's (Wan et al., USENIX ATC 2020, "global slow-down factor"): the process noise follows the
    latest corrections, so the filter smooths while nothing changes and follows when something does. Two things are
    ours: all is relative to the estimate, with constants for samples that are means over an epoch; and no sample,
    however wild, moves the estimate by more than `MAX_MOVE` of itself, since machines stall. A doubling is followed in
    about ten samples.
    """

    MAX_MOVE = 0.1
    """Largest change by one sample, as a share of the estimate."""
    LOWEST = 0.1
    """Least estimate; a lower ratio says that the profile is of something else."""
    HIGHEST = 10.0
    """Largest estimate; a higher ratio says that the profile is of something else."""

    _NOISE = 0.05**2
    """Relative variance of a sample about the true ratio: 5 % of scatter between epochs."""
    _DRIFT = 0.01**2
    """Least relative variance by which the true ratio drifts between samples."""
    _MEMORY = 0.3
    """Weight of the old process noise against the latest correction (ALERT's alpha)."""

    def __init__(self) -> None:
        self._ratio = 1.0
        self._variance = self._NOISE
        self._process = self._DRIFT

    def update(self, ratio: float) -> None:
        """Take in one observed ratio.

        Args:
            ratio: observed over profiled service time, above 0.

        Raises:
            ValueError: if it is not a finite number above 0.
        """
        if not 0 < ratio < math.inf:
            raise ValueError(f"ratio is {ratio!r}; it must be a finite number above 0.")
        # Predict: since the last sample the true ratio has drifted, so the estimate's variance grew by the process
        # noise. Correct: the gain is the share of the difference that is taken for a change and not for noise.
        predicted = self._variance + self._process
        gain = predicted / (predicted + self._NOISE)
        move = min(max(gain * (ratio / self._ratio - 1), -self.MAX_MOVE), self.MAX_MOVE)
        self._variance = (1 - gain) * predicted
        # The process noise follows the squared corrections: after a large one the next sample counts for more.
        self._process = max(self._DRIFT, self._MEMORY * self._process + (1 - self._MEMORY) * move**2)
        self._ratio = min(max(self._ratio * (1 + move), self.LOWEST), self.HIGHEST)

    @property
    def ratio(self) -> float:
        """The estimate, 1.0 before the first sample."""
        return self._ratio


class LatencyWindow:
    """A window of the latest latencies.

    Args:
        size: number of latencies that are kept.
    """

    SIZE = 100
    """Number of latencies kept, unless told otherwise."""
    MEAN_OF = 20
    """Number of latencies that the mean is taken of."""

    def __init__(self, size: int = SIZE) -> None:
        self._latest_ms: deque[float] = deque(maxlen=size)

    def update(self, latencies_ms: Iterable[float]) -> None:
        """Take in latencies, oldest first."""
        self._latest_ms.extend(latencies_ms)

    @property
    def p95_ms(self) -> float | None:
        """The least latency that at least 95 % of them do not exceed; None where there are none."""
        if not self._latest_ms:
            return None
        return sorted(self._latest_ms)[math.ceil(0.95 * len(self._latest_ms)) - 1]

    @property
    def mean_ms(self) -> float | None:
        """Mean of the latest `MEAN_OF`, or of all while there are fewer; None where there are none."""
        latest_ms = list(islice(reversed(self._latest_ms), self.MEAN_OF))
        return math.fsum(latest_ms) / len(latest_ms) if latest_ms else None
