"""Policies that plan as a test tells them."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.views import Gear, Plan, Snapshot


class Scripted:
    """A policy that plans as it is told: gears by application, clocks by unit (the lowest if not given)."""

    def __init__(self, gears: Mapping[str, Gear], clocks: Mapping[str, float | str] | None = None) -> None:
        self.gears = dict(gears)
        self.clocks = dict(clocks or {})
        self.snapshots: list[Snapshot] = []

    def decide(self, snapshot: Snapshot) -> Plan:
        self.snapshots.append(snapshot)
        return Plan(
            gears={view.app: self.gears[view.app] for view in snapshot.apps},
            clocks={unit.name: self.clocks.get(unit.name, unit.mhz_allowed[0]) for unit in snapshot.units},
        )


class Watchful(Scripted):
    """A scripted policy that is asked every epoch."""

    every_epoch = True
