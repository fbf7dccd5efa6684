"""A policy of your own: for each application the point of least energy that meets its targets, clocks by schedutil.

`gearshift run examples/one_app.py --backend sim --policy examples/own_policy.py:Thrifty`
"""

from gearshift import Gear, Plan, Snapshot


class Thrifty:
    """Decides for each application alone: by its floor, its target, and the energy of an inference."""

    def decide(self, snapshot: Snapshot) -> Plan:
        """Return a gear for every application, and a clock or a governor for every unit."""
        gears = {}
        for app in snapshot.apps:
            good = [p for p in app.points if p.latency_ms <= app.target_ms and p.accuracy >= app.min_accuracy]
            least = min(good or app.points, key=lambda point: point.energy_mj)
            gears[app.app] = Gear(subnet=least.subnet, unit=least.unit, cores=least.cores)
        return Plan(gears=gears, clocks={unit.name: "schedutil" for unit in snapshot.units})
