"""The policy that plays the plans that hindsight made before the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scheduler.policies import Scripted, gear_of
from scheduler.views import AppView, Gear, Plan, Snapshot


class Script(Scripted):
    """A script in which a gear waits for its cores.

    Of several events at one moment the manager is told one after another, and it asks for a plan each time. The first
    time, cores may be offline that come back at the same moment. Until then an application keeps the gear that it has.
    """

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        plan = super().decide(snapshot)
        online = {unit.name: unit.cores_online for unit in snapshot.units}
        gears = {view.app: _possible(plan.gears[view.app], view, online) for view in snapshot.apps}
        # A rule is for the gear that it was made for, and for a unit on which everybody has one.
        kept = {app: pace for app, pace in plan.paces.items() if app in gears and gears[app] == plan.gears[app]}
        paced = {unit.name for unit in snapshot.units if unit.paced}
        paced -= {gear.unit for app, gear in gears.items() if app not in kept}
        paces = {app: pace for app, pace in kept.items() if gears[app].unit in paced}
        return replace(plan, gears=gears, paces=paces)


def _possible(gear: Gear, view: AppView, online: Mapping[str, int]) -> Gear:
    """Return the gear if its cores are online, else the gear in force, or any possible one at the start."""
    if gear.cores <= online.get(gear.unit, 0):
        return gear
    return view.gear or gear_of(view.points[0])
