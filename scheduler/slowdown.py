"""The evidence that requests take longer or shorter than profiled, shared by all applications of a unit.

A request of application a on unit u takes exp(U_u + N_a + e) times as long as profiled: a factor of the unit, a factor
of the application's networks, and noise. So an application that gets one request a second is warned by another that
gets thirty on the same unit, and one that moves to a unit takes that unit's factor with it.

The model is a linear Gaussian one in the logarithms, and these are its parts:

- *Noise.* The variance of e is estimated for each application from the differences of successive reports, in which both
  factors cancel out. A report on k requests has a k-th of it.
- *Drift.* Both factors wander. Each report corrects them by a Kalman filter; of the difference each takes the share
  that its variance has. (Their covariance is left out, which makes the filter a little quicker than the best one.) A
  difference beyond `CLIP` standard deviations corrects nothing: it is a stall, or a step that the next reports show.
- *Steps.* A two-sided cumulative sum test (Page, Biometrika 1954) of the differences, in standard deviations, finds a
  factor that has stepped. Then the factor is the mean of what was observed since the sum began to rise. A difference
  counts as `CLIP` at most, so a single report is never enough. The test looks at all applications of a unit together,
  then at each alone.
- *Whose is it?* A factor may be moved from a unit to all applications there without any change of what is foreseen. It
  is laid where most are as profiled: after a step, U_u moves by the median of -N_a of the applications there and U_u.

It knows no time of its own, no plans and no policies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low
from typing import NamedTuple

CLIP = 3.0
"""Standard deviations that one report counts for at most."""
ALLOWED = 1.0
"""Standard deviations a report that a cumulative sum lets pass: half of the step that it finds soonest."""
ALARM = 5.0
"""Cumulative sum that shows a step: above 2 · (`CLIP` - `ALLOWED`), so three reports at least. A false alarm comes once
in some 56,000 reports (Siegmund's approximation), and costs a noisier estimate for a few reports. An application by
itself needs one report more, so that the unit comes first where only one application tells of it."""
FIRST_SD = 0.1
"""Standard deviation of a request's noise, and of a unit's factor, before anything is known."""
NETWORK_SD = 0.05
"""The same of an application's factor: its networks were measured, so it is rather the unit."""
FLOOR_SD = 0.01
"""Standard deviation of a report that is left however many requests it is on: reports have errors in common."""
UNIT_DRIFT = 0.01**2
"""Variance by which the factor of a unit wanders in a second."""
NETWORK_DRIFT = 0.003**2
"""Variance by which the factor of an application wanders in a second; what drifts is rather the machine."""
NOISE_MEMORY = 50
"""Reports over which the noise is averaged."""
MOST = math.log(10)
"""Largest logarithm of an observed ratio; beyond it the profile is of something else."""
RATIO_CHANGE = 0.05
"""Share by which a ratio must differ from the one last decided on to count as another."""
CERTAIN = 3.0
"""Standard deviations by which it must differ besides."""
FORGIVEN_S = 20.0
"""Time without a request on a unit after which it is taken to be as profiled; doubled each time this was wrong."""
MOST_FORGIVEN_S = 320.0
"""The longest such time."""


class Observation(NamedTuple):
    """One report of an application.

    Attributes:
        app: name of the application.
        unit: name of the unit on which its requests ran.
        ratio: mean of observed over profiled service time, above 0.
        requests: number of requests that it is the mean of, at least 1.
    """

    app: str
    unit: str
    ratio: float
    requests: int


@dataclass(slots=True)
class _OneSided:
    """A cumulative sum of differences of one sign, and what was observed since it was last `ALLOWED` or less."""

    total: float = 0.0
    weight: float = 0.0
    weighted: float = 0.0

    def update(self, deviations: float, level: float, weight: float) -> None:
        # What little has gathered before is more likely noise than the beginning of a step.
        if self.total <= ALLOWED:
            self.weight = self.weighted = 0.0
        self.total = max(0.0, self.total + min(deviations, CLIP) - ALLOWED)
        self.weight += weight
        self.weighted += weight * level


@dataclass(slots=True)
class _Factor:
    """The logarithm of a factor, with its variance and the test for steps.

    Attributes:
        log: the estimate.
        variance: its variance.
    """

    log: float = 0.0
    variance: float = FIRST_SD**2
    _up: _OneSided = field(default_factory=_OneSided)
    _down: _OneSided = field(default_factory=_OneSided)

    def step(self, deviations: float, level: float, weight: float, alarm: float = ALARM) -> bool:
        """Take in a difference in standard deviations; return True if the factor has stepped, and follow it.

        Args:
            deviations: the difference from what was foreseen.
            level: what the factor would be by this report alone.
            weight: inverse of the variance of `level`.
            alarm: the sum that shows a step.
        """
        if -ALLOWED <= deviations <= ALLOWED and self._up.total == self._down.total == 0.0:
            return False  # as nearly always
        self._up.update(deviations, level, weight)
        self._down.update(-deviations, level, weight)
        since = max(self._up, self._down, key=lambda side: side.total)
        if since.total <= alarm:
            return False
        self.log, self.variance = since.weighted / since.weight, 1 / since.weight
        self.start_anew()
        return True

    def start_anew(self) -> None:
        """Forget the sums: what they have gathered is explained."""
        self._up, self._down = _OneSided(), _OneSided()


@dataclass(slots=True)
class _Noise:
    """The variance of the noise of one application's requests."""

    variance: float = FIRST_SD**2
    _reports: int = 0
    _before: tuple[str, float, int] | None = None

    def update(self, unit: str, level: float, requests: int) -> None:
        before, self._before = self._before, (unit, level, requests)
        if before is None or before[0] != unit:
            return
        self._reports += 1
        # The difference of means of k and l requests has a variance of (1/k + 1/l) times that of one.
        seen = (level - before[1]) ** 2 / (1 / requests + 1 / before[2])
        # The first guess counts as much as ten reports. Clipping at CLIP² takes 0.5 % off a normal variance.
        gain = max(1 / (self._reports + 10), 1 / NOISE_MEMORY)
        self.variance += gain * (min(seen, CLIP**2 * self.variance) - self.variance)

    def of(self, requests: int) -> float:
        """Return the variance of a report on so many requests."""
        return self.variance / requests + FLOOR_SD**2


@dataclass(slots=True)
class _Unit:
    """What is known of a unit beside its factor: when it was last heard of, and how long it is remembered."""

    factor: _Factor = field(default_factory=_Factor)
    heard_s: float = 0.0
    patience_s: float = FORGIVEN_S
    forgiven: bool = False


class Slowdowns:
    """The factors of units and applications, brought up to date by reports.

    Args:
        units: names of the board's units.
    """

    def __init__(self, units: Iterable[str]) -> None:
        self._units = {name: _Unit() for name in units}
        self._networks: dict[str, _Factor] = {}
        self._noises: dict[str, _Noise] = {}
        self._runs_on: dict[str, str] = {}
        self._now_s = -math.inf

    def leave(self, app: str) -> None:
        """Forget an application."""
        for known in (self._networks, self._noises, self._runs_on):
            known.pop(app, None)

    def unit(self, name: str) -> float:
        """Return how many times as long requests take on a unit, whatever network they run."""
        return math.exp(self._units[name].factor.log)

    def network(self, app: str) -> float:
        """Return how many times as long an application's networks take, on whatever unit they run."""
        return math.exp(self._networks[app].log) if app in self._networks else 1.0

    def ratio(self, app: str) -> float:
        """Return how many times as long the application's requests take where they ran last."""
        return self.network(app) * (self.unit(self._runs_on[app]) if app in self._runs_on else 1.0)

    def deviation(self, app: str) -> float:
        """Return the standard deviation of the logarithm of `ratio`."""
        if app not in self._runs_on:
            return FIRST_SD
        return math.sqrt(self._networks[app].variance + self._units[self._runs_on[app]].factor.variance)

    def noise(self, app: str) -> float:
        """Return the standard deviation of the logarithm of a request's service time about what is foreseen."""
        return math.sqrt(self._noises[app].variance) if app in self._noises else FIRST_SD

    def observe(self, observations: Sequence[Observation], now_s: float) -> None:
        """Take in the reports of one epoch, at most one of each application.

        Args:
            observations: the reports.
            now_s: present time, board time.

        Raises:
            ValueError: if a ratio is not a finite number above 0.
        """
        passed_s = max(0.0, now_s - self._now_s) if self._now_s > -math.inf else 0.0
        self._now_s = now_s
        by_unit: dict[str, list[Observation]] = {}
        for one in observations:
            if not 0 < one.ratio < math.inf:
                raise ValueError(f"ratio of {one.app!r} is {one.ratio!r}; it must be a finite number above 0.")
            self._runs_on[one.app] = one.unit
            if one.app not in self._networks:
                self._networks[one.app], self._noises[one.app] = _Factor(variance=NETWORK_SD**2), _Noise()
            by_unit.setdefault(one.unit, []).append(one)
        drift, most = NETWORK_DRIFT * passed_s, NETWORK_SD**2
        for network in self._networks.values():
            network.variance = min(network.variance + drift, most)
        for name, unit in self._units.items():
            unit.factor.variance = min(unit.factor.variance + UNIT_DRIFT * passed_s, FIRST_SD**2)
            if name in by_unit:
                self._observe_unit(name, by_unit[name])
                unit.heard_s = now_s
            elif now_s - unit.heard_s > unit.patience_s and unit.factor.log != 0.0:
                unit.factor, unit.forgiven = _Factor(), True

    def _observe_unit(self, name: str, here: Sequence[Observation]) -> None:
        """Take in the reports of the applications of one unit."""
        unit, factor = self._units[name], self._units[name].factor
        reports: list[tuple[float, float, _Factor]] = []
        weight = weighted = 0.0
        for one in here:
            level = min(max(math.log(one.ratio), -MOST), MOST)
            noise, network = self._noises[one.app], self._networks[one.app]
            noise_variance = noise.of(one.requests)
            noise.update(name, level, one.requests)
            reports.append((level, noise_variance, network))
            # What it says of the unit's factor, by the inverse of the variance of that.
            own_weight = 1 / (noise_variance + network.variance)
            weight += own_weight
            weighted += own_weight * (level - network.log)
        mean, before = weighted / weight, factor.log
        if factor.step((mean - before) / math.sqrt(factor.variance + 1 / weight), mean, weight):
            self.regret(name)
            unit.forgiven = False
            for app in self.on(name):
                self._networks[app].start_anew()
            self._settle(name)
            return
        stepped = [self._correct(factor, before, *one) for one in reports]
        if any(stepped):
            factor.start_anew()
            self._settle(name)

    @staticmethod
    def _correct(factor: _Factor, foreseen: float, level: float, noise_variance: float, network: _Factor) -> bool:
        """Correct the factors of a unit and an application by a report; return True if that of the latter has stepped.

        Args:
            factor: the unit's factor.
            foreseen: its logarithm before this epoch's reports.
            level: the logarithm of the ratio that was reported.
            noise_variance: the variance of the report's noise.
            network: the application's factor.
        """
        variance = factor.variance + network.variance + noise_variance
        deviation = math.sqrt(variance)
        weight = 1 / (noise_variance + factor.variance)
        alone = ALARM + CLIP - ALLOWED
        if network.step((level - foreseen - network.log) / deviation, level - factor.log, weight, alone):
            return True
        difference = level - factor.log - network.log
        if abs(difference) <= CLIP * deviation:
            for part in (factor, network):
                gain = part.variance / variance
                part.log += gain * difference
                part.variance *= 1 - gain
        return False

    def regret(self, name: str) -> None:
        """Take in that what is estimated of a unit is certain: if it is slow after it was forgiven, that was wrong."""
        unit = self._units[name]
        if unit.forgiven and unit.factor.log > 0:
            unit.forgiven, unit.patience_s = False, min(2 * unit.patience_s, MOST_FORGIVEN_S)

    @property
    def runs_on(self) -> Mapping[str, str]:
        """By application, the unit on which it ran last."""
        return self._runs_on

    def on(self, unit: str) -> list[str]:
        """Return the applications that ran on a unit last."""
        return [app for app, where in self._runs_on.items() if where == unit]

    def _settle(self, name: str) -> None:
        """Lay what a unit and its applications have in common where most are as profiled."""
        apps, factor = self.on(name), self._units[name].factor
        # |U + c| + sum of |N_a - c| is least at the median of -U and all N_a.
        shift = _nearest_median([-factor.log, *(self._networks[app].log for app in apps)])
        factor.log += shift
        for app in apps:
            self._networks[app].log -= shift


def _nearest_median(values: Sequence[float]) -> float:
    """Return the median that is nearest to 0: between the middle two of an even number any is one."""
    low = median_low(values)
    high = -median_low([-value for value in values])
    return min(max(0.0, low), high)


class Believed:
    """The factors that decisions rest on: they follow the estimates once these have moved far, and for certain.

    A unit of which 1.0 was believed and 1.3 is estimated is believed to be at 1.3, if 0.3 is `CERTAIN` standard
    deviations. Until then nothing that a decision rests on has changed.

    Args:
        units: names of the board's units.
    """

    def __init__(self, units: Iterable[str]) -> None:
        self.units: Mapping[str, float] = dict.fromkeys(units, 1.0)
        self.networks: dict[str, float] = {}

    def leave(self, app: str) -> None:
        """Forget an application."""
        self.networks.pop(app, None)

    def network(self, app: str) -> float:
        """Return the factor of an application's networks."""
        return self.networks.get(app, 1.0)

    def follow(self, estimates: Slowdowns) -> list[str]:
        """Take over the factors of each unit on which they have moved far enough for one application there.

        Returns:
            Names of those units.
        """
        factors = {unit: estimates.unit(unit) for unit in self.units}
        stray = {unit for app, unit in estimates.runs_on.items() if self._strays(app, unit, factors[unit], estimates)}
        used = set(estimates.runs_on.values())
        moved = {}
        for unit, factor in self.units.items():
            if unit in stray:
                # What has hardly moved stays: it would be no news to anybody, and is within what counts together.
                for app in estimates.on(unit):
                    if abs(estimates.network(app) / self.network(app) - 1) > RATIO_CHANGE / 2:
                        self.networks[app] = estimates.network(app)
                moved[unit] = factors[unit]
                estimates.regret(unit)
            elif unit not in used and abs(factors[unit] / factor - 1) > RATIO_CHANGE:
                moved[unit] = factors[unit]
        if moved:
            self.units = {**self.units, **moved}
        return list(moved)

    def _strays(self, app: str, unit: str, factor: float, estimates: Slowdowns) -> bool:
        """Return True if an application's ratio on a unit of that estimated factor is another one than is believed."""
        ratio = estimates.network(app) * factor / (self.units[unit] * self.network(app))
        return abs(ratio - 1) > RATIO_CHANGE and abs(math.log(ratio)) > CERTAIN * estimates.deviation(app)
