"""The latest of a run that goes on, as its log tells it: gears, queues, clocks, powers, losses. Does no I/O."""

from __future__ import annotations

from collections import Counter
from typing import Any

Entry = dict[str, Any]


class BoardView:
    """The latest of a run. One thread notes entries, any may read.

    Attributes:
        epoch: the latest entry of kind `epoch`; None before the first.
        epochs: how many epochs there were.
        decisions: how many plans were asked for.
        losses: by application, how many of its workers were lost.
        switches: by application, how often its gear changed.
        gears: by application, its gear (sub-network, unit, cores); those without one are left out.
    """

    def __init__(self) -> None:
        self.epoch: Entry | None = None
        self.epochs = 0
        self.decisions = 0
        self.losses: Counter[str] = Counter()
        self.switches: Counter[str] = Counter()
        self.gears: dict[str, tuple[str, str, int]] = {}
        self._geared: set[str] = set()

    def note(self, entry: Entry) -> None:
        """Take in an entry of the log."""
        match entry["kind"]:
            case "epoch":
                self.epoch = entry
                self.epochs += 1
                self.decisions += bool(entry["decided"])
            case "lost":
                self.losses[entry["app"]] += 1
                self.gears = {app: gear for app, gear in self.gears.items() if app != entry["app"]}
            case "gear":
                self._gear(entry["app"], entry["to"])

    def _gear(self, app: str, gear: list[Any] | None) -> None:
        if gear is None:
            self.gears = {one: had for one, had in self.gears.items() if one != app}
            return
        self.switches[app] += app in self._geared
        self._geared.add(app)
        subnet, unit, cores = gear
        self.gears = {**self.gears, app: (subnet, unit, cores)}
