"""What is learned of an app while it runs: its rate, how much slower it is than profiled, its recent latencies.

Each estimator is fed by `update` and read through properties. None has a clock, knows an app or decides anything.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from itertools import islice


class RateEstimator:
    """Arrivals a second, exponentially weighted over time.

    With arrivals n in an interval d and decay e = exp(-d/T), both the weighted arrivals and the weighted time are
    kept, and the rate is their quotient: arrivals · e + n · (1 - e) · T/d over time · e + (1 - e) · T. So it is
    right from the first interval on where no rate was declared, and depends little on how time is cut up.

    A second estimate with a fifth of T runs beside it. Where that one is so far off that chance does not explain it,
    the rate has changed: what was seen before is forgotten, and the estimate goes on from the faster one.

    Args:
        declared_hz: the rate to start from, as if it had been observed for long; None where it is not known.
        time_constant_s: T; what was seen that long ago counts 1/e as much.
    """

    _FASTER = 5.0
    _CERTAIN = 5.0
    """Standard deviations of the faster estimate that are no chance."""

    def __init__(self, declared_hz: float | None = None, *, time_constant_s: float = 5.0) -> None:
        self._slow = _Decaying(time_constant_s, declared_hz)
        self._fast = _Decaying(time_constant_s / self._FASTER, declared_hz)

    def update(self, arrived: int, interval_s: float) -> None:
        """Takes in the requests that arrived in an interval.

        Raises:
            ValueError: if either is negative or not finite.
        """
        if not (0 <= arrived < math.inf and 0 <= interval_s < math.inf):
            raise ValueError(
                f"arrived is {arrived!r} and interval_s is {interval_s!r}; both must be finite and at least 0."
            )
        self._slow.update(arrived, interval_s)
        self._fast.update(arrived, interval_s)
        slow_hz, fast_hz = self._slow.rate_hz, self._fast.rate_hz
        if slow_hz is not None and fast_hz is not None and self._fast.is_beyond_chance(slow_hz, self._CERTAIN):
            self._slow.go_on_from(self._fast)

    @property
    def rate_hz(self) -> float | None:
        """The estimate; None before any time has been observed where no rate was declared."""
        return self._slow.rate_hz

    def differs_from(self, rate_hz: float, *, deviations: float = 4.0) -> bool:
        """Whether the estimate is further from that rate than chance explains.

        Four deviations come about less than once in 10,000 independent looks.
        """
        return self._slow.is_beyond_chance(rate_hz, deviations)


class _Decaying:
    """Arrivals and time, both weighted by their age."""

    def __init__(self, time_constant_s: float, declared_hz: float | None) -> None:
        self._time_constant_s = time_constant_s
        self._seconds = 0.0 if declared_hz is None else time_constant_s
        self._arrivals = 0.0 if declared_hz is None else declared_hz * time_constant_s

    def update(self, arrived: int, interval_s: float) -> None:
        decay = math.exp(-interval_s / self._time_constant_s)
        seconds = -math.expm1(-interval_s / self._time_constant_s) * self._time_constant_s
        self._arrivals = self._arrivals * decay + arrived * (seconds / interval_s if interval_s > 0 else 1.0)
        self._seconds = self._seconds * decay + seconds

    def go_on_from(self, other: _Decaying) -> None:
        """Takes over what another has seen."""
        self._arrivals, self._seconds = other._arrivals, other._seconds

    @property
    def rate_hz(self) -> float | None:
        return self._arrivals / self._seconds if self._seconds > 0 else None

    def is_beyond_chance(self, rate_hz: float, deviations: float) -> bool:
        """Whether Poisson arrivals at that rate explain the estimate only by so many standard deviations.

        Their estimate deviates by √(rate / 2T) (Campbell's theorem), T being the time that is weighed; periodic
        arrivals deviate less.
        """
        if self._seconds <= 0:
            return False
        # One arrival is the least that can be told from none, or a rate of 0 would differ by any.
        deviation_hz = max(math.sqrt(rate_hz / (2 * self._seconds)), 1 / self._seconds / deviations)
        return abs(self._arrivals / self._seconds - rate_hz) > deviations * deviation_hz


class SlowdownEstimator:
    """Observed over profiled service time, by a scalar Kalman filter with adaptive process noise.

    The filter is ALERT's (Wan et al., USENIX ATC 2020, "global slow-down factor"): the process noise follows the
    latest corrections, so the filter smooths while nothing changes and follows when something does. Here all is
    relative to the estimate, and the constants are our own, for samples that are means over an epoch. What is added
    is a bound for machines that stall: no sample, however wild, moves the estimate by more than `MAX_MOVE` of
    itself. A doubling is followed in about ten samples.
    """

    MAX_MOVE = 0.1
    """Largest change by one sample, as a share of the estimate."""
    LOWEST = 0.1
    HIGHEST = 10.0
    """Range of the estimate; a ratio outside it says that the profile is of something else."""

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
        """Takes in one observed ratio, above 0.

        Raises:
            ValueError: if it is not a finite number above 0.
        """
        if not 0 < ratio < math.inf:
            raise ValueError(f"ratio is {ratio!r}; it must be a finite number above 0.")
        predicted = self._variance + self._process
        gain = predicted / (predicted + self._NOISE)
        move = min(max(gain * (ratio / self._ratio - 1), -self.MAX_MOVE), self.MAX_MOVE)
        self._variance = (1 - gain) * predicted
        self._process = max(self._DRIFT, self._MEMORY * self._process + (1 - self._MEMORY) * move**2)
        self._ratio = min(max(self._ratio * (1 + move), self.LOWEST), self.HIGHEST)

    @property
    def ratio(self) -> float:
        """The estimate, 1.0 before the first sample."""
        return self._ratio


class LatencyWindow:
    """The latest latencies.

    Args:
        size: how many are kept.
    """

    SIZE = 100
    """How many are kept, unless told otherwise."""
    MEAN_OF = 20
    """How many the mean is of."""

    def __init__(self, size: int = SIZE) -> None:
        self._latest_ms: deque[float] = deque(maxlen=size)

    def update(self, latencies_ms: Iterable[float]) -> None:
        """Takes in latencies, oldest first."""
        self._latest_ms.extend(latencies_ms)

    @property
    def p95_ms(self) -> float | None:
        """The least of them that at least 95 % do not exceed; None where there are none."""
        if not self._latest_ms:
            return None
        return sorted(self._latest_ms)[math.ceil(0.95 * len(self._latest_ms)) - 1]

    @property
    def mean_ms(self) -> float | None:
        """Mean of the latest `MEAN_OF`, or of all while there are fewer; None where there are none."""
        latest_ms = list(islice(reversed(self._latest_ms), self.MEAN_OF))
        return math.fsum(latest_ms) / len(latest_ms) if latest_ms else None
