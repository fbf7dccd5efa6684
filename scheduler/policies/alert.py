"""ALERT: each application on its own, by a slowdown learned from its latencies (Wan et al., USENIX ATC 2020)."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace

from scheduler.estimators import LatencyWindow, SlowdownEstimator
from scheduler.policies.protocol import gear_of, points_of
from scheduler.policies.solving import Joint
from scheduler.problem import OperatingPoint
from scheduler.views import AppView, Gear, Plan, Snapshot

SLOWDOWN_CHANGE = 0.05
"""Share by which the estimated slowdown must differ from the one last decided on to lead to a new decision."""


@dataclass(slots=True)
class _AlertApp:
    """The facts known about one application."""

    slowdown: SlowdownEstimator = field(default_factory=SlowdownEstimator)
    ratio: float = 1.0
    """The slowdown as last decided on."""
    predicted_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LatencyWindow.MEAN_OF))
    """Predicted service times of the latest requests."""
    situation: object = None
    """The inputs that `point` was chosen for."""
    point: OperatingPoint | None = None


class Alert:
    """Each application takes what is best for it, as if it had the board for itself.

    An application knows one factor about the others, ALERT's global slowdown: how many times as long as predicted its
    requests take (`SlowdownEstimator`). It multiplies the latency of each of its points by this factor. Then it chooses
    as `Joint` would for it alone, hysteresis included. A unit's clock is the highest that any application placed on it
    asks for; an unused unit stands at its lowest clock.

    Observed is the mean latency of the last 20 requests. Predicted is the mean, over the same requests, of the service
    time of the points in force when they finished. So waiting counts as slowdown; contention shows in no other way.
    With random arrivals an application's own queue counts too, though its points already allow for it: the error is
    towards smaller networks and higher clocks. Under a governor its effect on latencies is slowdown too.

    ALERT itself updates at each request, knows one application and takes the variance of the factor into account; here
    the points' slo quantile stands for that variance.
    """

    every_epoch = True

    def __init__(self) -> None:
        self._alone = Joint()
        self._apps: dict[str, _AlertApp] = {}
        self._clocks: dict[str, float] = {}
        self._epoch: int | None = None

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        self._apps = {view.app: self._apps.get(view.app) or _AlertApp() for view in snapshot.apps}
        if snapshot.epoch != self._epoch:  # an event within an epoch has it asked again, about the same requests
            self._epoch = snapshot.epoch
            for view in snapshot.apps:
                self._learn(view)
        gears: dict[str, Gear] = {}
        clocks = {unit.name: unit.mhz_allowed[0] for unit in snapshot.units}
        for view in snapshot.apps:
            point = self._choose(view, snapshot)
            gears[view.app] = gear_of(point)
            clocks[point.unit] = max(clocks[point.unit], point.mhz)
        self._clocks = clocks
        return Plan(gears=gears, clocks=clocks)

    def _learn(self, view: AppView) -> None:
        """Compare the latencies of the latest requests with the prediction for them."""
        here = [point for point in points_of(view.gear, view) if point.mhz == self._clocks.get(point.unit)]
        if here and view.n > 0 and view.mean_ms is not None:
            known = self._apps[view.app]
            known.predicted_ms.extend([here[0].busy_ms] * min(view.n, LatencyWindow.MEAN_OF))
            known.slowdown.update(view.mean_ms * len(known.predicted_ms) / math.fsum(known.predicted_ms))

    def _choose(self, view: AppView, snapshot: Snapshot) -> OperatingPoint:
        """Return the best point for the application alone; solve again only where something is new."""
        known = self._apps[view.app]
        if abs(known.slowdown.ratio - known.ratio) > SLOWDOWN_CHANGE * known.ratio:
            known.ratio = known.slowdown.ratio
        # Dividing the target by the slowdown has the effect of multiplying all latencies by it.
        target_ms = view.target_ms / known.ratio
        limits = tuple((unit.mhz_allowed, unit.cores_online) for unit in snapshot.units)
        situation = (view.points, target_ms, view.min_accuracy, view.gear, limits, snapshot.power_cap_w)
        if known.point is None or known.situation != situation:
            alone = replace(snapshot, apps=(replace(view, target_ms=target_ms),))
            known.point = self._alone.choose(alone).points[view.app]
            known.situation = situation
        return known.point
