"""A policy of one's own: for each application the point of least energy that will do, at clocks that the kernel sets.

`gearshift run examples/one_app.py --backend sim --policy examples/own_policy.py:Thrifty`
"""

from scheduler.views import Gear, Plan, Snapshot


class Thrifty:
    """Looks at each application on its own: its floor, its target, and what an inference takes."""

    def decide(self, snapshot: Snapshot) -> Plan:
        """A gear for every application, a clock or a governor for every unit."""
        gears = {}
        for app in snapshot.apps:
            good = [p for p in app.points if p.latency_ms <= app.target_ms and p.accuracy >= app.min_accuracy]
            least = min(good or app.points, key=lambda point: point.energy_mj)
            gears[app.app] = Gear(subnet=least.subnet, unit=least.unit, cores=least.cores)
        return Plan(gears=gears, clocks={unit.name: "schedutil" for unit in snapshot.units})
