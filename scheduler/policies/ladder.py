"""Dynamic-OFA's demonstration rule: one rung down the ladder when too slow, one rung up when too inaccurate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.estimators import LatencyWindow
from scheduler.policies.placing import Placement, place
from scheduler.policies.protocol import ladder_of, top_points
from scheduler.views import AppView, Plan, Snapshot


class Ladder:
    """The rule of Dynamic-OFA's demonstration (arXiv 2105.03596), for each application on its own.

    It begins on the second largest rung (level 4 of 0 to 5 there). If the mean of the last 20 latencies is above the
    target, it goes one rung down; else, if the rung's accuracy is below the floor, one rung up. It does not go up for
    having time to spare, and never sets a clock: clocks are the highest allowed.

    The source does not say what happens to latencies from before a step. Here they do not count: the next step down
    waits until 20 requests have finished on the new rung. Dropped requests count as finished, though they have no
    latency, so after drops the mean still holds a few older latencies.

    A ladder may lose rungs, to a floor that rises or to load that they cannot bear, and regain them. An application
    whose own rung is lost goes to the rung that is nearest in accuracy.

    Args:
        placing: chooses units and cores.
    """

    every_epoch = True

    def __init__(self, placing: Placement = place) -> None:
        self._placing = placing
        self._apps: dict[str, _LadderApp] = {}
        self._epoch: int | None = None

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        self._apps = {view.app: self._apps.get(view.app) or _first(view, snapshot) for view in snapshot.apps}
        for view in snapshot.apps:
            if snapshot.epoch != self._epoch:  # an event within an epoch has it asked again, about the same requests
                self._apps[view.app].count(view)
            self._apps[view.app].step(view, snapshot)
        self._epoch = snapshot.epoch
        return self._placing(snapshot, {app: known.subnet for app, known in self._apps.items()})


@dataclass(slots=True)
class _LadderApp:
    """One application's rung."""

    subnet: str
    accuracy: float
    arrived: bool = False
    """True once it runs there."""
    finished: int = 0
    """Requests finished since then, those of that epoch left out."""

    def count(self, view: AppView) -> None:
        """Count the requests that have finished in an epoch."""
        arrived = view.gear is not None and view.gear.subnet == self.subnet
        self.finished += view.n if arrived and self.arrived else 0
        self.arrived = arrived

    def step(self, view: AppView, snapshot: Snapshot) -> None:
        """Go one rung up or down, or stay."""
        accuracy = _accuracy(view, snapshot)
        rungs = list(accuracy)
        if self.subnet not in rungs:
            self._go(min(rungs, key=lambda rung: abs(accuracy[rung] - self.accuracy)), accuracy)
        level = rungs.index(self.subnet)
        fresh = self.finished >= LatencyWindow.MEAN_OF
        if fresh and view.mean_ms is not None and view.mean_ms > view.target_ms:
            level = max(level - 1, 0)
        elif self.accuracy < view.min_accuracy:
            level = min(level + 1, len(rungs) - 1)
        if rungs[level] != self.subnet:
            self._go(rungs[level], accuracy)

    def _go(self, subnet: str, accuracy: Mapping[str, float]) -> None:
        self.subnet, self.accuracy = subnet, accuracy[subnet]
        self.arrived, self.finished = False, 0


def _first(view: AppView, snapshot: Snapshot) -> _LadderApp:
    """Return an application on the second largest rung, or on the only one."""
    accuracy = _accuracy(view, snapshot)
    subnet = list(accuracy)[max(len(accuracy) - 2, 0)]
    return _LadderApp(subnet=subnet, accuracy=accuracy[subnet])


def _accuracy(view: AppView, snapshot: Snapshot) -> dict[str, float]:
    """Return the accuracies by rung, the smallest rung first."""
    points = top_points(view, snapshot)
    accuracy = {point.subnet: point.accuracy for point in points}
    return {rung: accuracy[rung] for rung in ladder_of(points)}
