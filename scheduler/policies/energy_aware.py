"""Placement as by Linux's energy-aware scheduling (EAS), on a board whose cores differ.

It knows utilisation and the energy model, as the kernel does. It does not know targets, networks or queues.
Source: `find_energy_efficient_cpu`, `task_util_est` and `cpu_overutilized` in `kernel/sched/fair.c`, `em_cpu_energy` in
`include/linux/energy_model.h`, Linux 5.x to 6.x.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping

from scheduler.governors.pelt import HALF_LIFE_US
from scheduler.policies.placing import place
from scheduler.policies.protocol import gear_of, top_points
from scheduler.problem import OperatingPoint
from scheduler.views import AppView, Plan, Snapshot, UnitView

HEADROOM = 1.25
"""A core's capacity over what it may be utilised (`fits_capacity`: 1280 / 1024). schedutil's clock has the same."""

SCALE = 1024
"""Capacity of the board's largest core (`SCHED_CAPACITY_SCALE`); capacities are whole numbers in the kernel."""


def place_by_energy(snapshot: Snapshot, subnets: Mapping[str, str]) -> Plan:
    """Place each application on the CPU unit where the estimated energy rises least, as the kernel does.

    This needs CPU units that differ in capacity and all have power figures; without them it is `place`. As in the
    kernel:

    - A thread's utilisation is what it has come to when it goes to sleep (`util_est`; see `estimated_utilisation`).
    - A unit's energy is its dynamic power at the clock that schedutil would pick for its busiest core, times how busy
      its cores would be at that clock.
    - A fifth of a core's capacity must stay free. If an application fits nowhere, a core will be over-utilised; then
      there is no energy-aware placing at all, and all are placed by `place`.
    - Within a unit the least utilised cores are taken.

    `place` decides how many cores an application gets and whether it runs on a GPU: the kernel decides neither. The
    kernel knows no latency targets, so a unit too slow for them is as good as any. Three things are simplified.
    Applications are placed one after another, in falling order of utilisation, at each decision and not at each
    wake-up. Requests are taken to come at equal intervals. Load of other programs takes capacity away, as in
    `operating_points`.

    Args:
        snapshot: the applications and units.
        subnets: by application, its sub-network.
    """
    spread = place(snapshot, subnets)
    units = {unit.name: unit for unit in snapshot.units if unit.kind == "cpu"}
    if not _asymmetric(units.values()):
        return spread
    largest = max(unit.capacity for unit in units.values())
    clusters = {}
    for unit in units.values():
        if unit.dynamic_w is None:
            return spread
        clusters[unit.name] = _Cluster(unit, unit.dynamic_w, unit.capacity / largest)

    options = {
        view.app: [
            point
            for point in top_points(view, snapshot)
            if point.unit in clusters and (point.subnet, point.cores) == (gear.subnet, gear.cores)
        ]
        for view in snapshot.apps
        if (gear := spread.gears[view.app]).unit in clusters
    }

    def utilisation(view: AppView) -> float:
        first = options[view.app][0]
        return clusters[first.unit].utilisation(view.rate_hz, first.busy_ms) * first.cores

    gears = dict(spread.gears)
    placed = [view for view in snapshot.apps if view.app in options]
    for view in sorted(placed, key=lambda view: (-utilisation(view), view.app)):
        fitting = [point for point in options[view.app] if clusters[point.unit].fits(view.rate_hz, point)]
        if not fitting:
            return spread

        def rise(point: OperatingPoint, view: AppView = view) -> tuple[float, bool]:
            moves = view.gear is None or view.gear.unit != point.unit
            return clusters[point.unit].rise_w(view.rate_hz, point), moves

        chosen = min(fitting, key=rise)
        clusters[chosen.unit].add(view.rate_hz, chosen)
        gears[view.app] = gear_of(chosen)
    return Plan(gears=gears, clocks=spread.clocks)


def _asymmetric(units: Iterable[UnitView]) -> bool:
    """Return True if the units differ in capacity, in the kernel's whole numbers."""
    capacities = [unit.capacity for unit in units]
    return len({round(SCALE * capacity / max(capacities)) for capacity in capacities}) > 1


def estimated_utilisation(rate_hz: float, work_ms: float) -> float:
    """Return a thread's estimated utilisation, as a share of the largest core.

    While the thread runs, its tracked load nears 1 as 1 - 2^(-t / h), h being the half-life; while it sleeps, the load
    falls as 2^(-t / h). Time is that of the largest core at its top clock. With a run of w in each period of T the load
    is (1 - 2^(-w / h)) / (1 - 2^(-T / h)) at the end of each run, which is more than the mean, w / T.

    Args:
        rate_hz: how often it runs, per second.
        work_ms: length of each run, on the largest core at its top clock.
    """
    half_life_ms = HALF_LIFE_US / 1000
    period_ms = 1000 / rate_hz if rate_hz > 0 else math.inf
    return (1 - math.exp2(-work_ms / half_life_ms)) / (1 - math.exp2(-period_ms / half_life_ms))


class _Cluster:
    """A unit's cores with their utilisation, each as a share of its capacity at the highest clock allowed.

    Args:
        unit: the unit.
        dynamic_w: dynamic power of one of its cores in watts, at each clock allowed.
        capacity: capacity of one of its cores, as a share of the board's largest core.
    """

    def __init__(self, unit: UnitView, dynamic_w: tuple[float, ...], capacity: float) -> None:
        self._mhz = unit.mhz_allowed
        self._dynamic_w = dynamic_w
        self._capacity = capacity
        self._shares = [0.0] * unit.cores_online

    def utilisation(self, rate_hz: float, busy_ms: float) -> float:
        """Return the utilisation of a thread that is busy here for `busy_ms` each time, of the largest core."""
        return estimated_utilisation(rate_hz, busy_ms * self._capacity)

    def fits(self, rate_hz: float, point: OperatingPoint) -> bool:
        """Return True if no core would be over-utilised."""
        return point.cores <= len(self._shares) and HEADROOM * max(self._with(rate_hz, point)) <= 1

    def rise_w(self, rate_hz: float, point: OperatingPoint) -> float:
        """Return the rise of the estimated energy per second, in watts."""
        return self._energy_w(self._with(rate_hz, point)) - self._energy_w(self._shares)

    def add(self, rate_hz: float, point: OperatingPoint) -> None:
        """Place an application here."""
        self._shares = self._with(rate_hz, point)

    def _with(self, rate_hz: float, point: OperatingPoint) -> list[float]:
        """Return the cores' shares once the least utilised of them have taken the application."""
        share = self.utilisation(rate_hz, point.busy_ms) / self._capacity
        least_first = sorted(self._shares)
        return [used + share for used in least_first[: point.cores]] + least_first[point.cores :]

    def _energy_w(self, shares: list[float]) -> float:
        """Return the kernel's estimate: a core utilised to a share of its top clock is busy for top / clock of that."""
        top_mhz = self._mhz[-1]
        wanted_mhz = min(HEADROOM * top_mhz * max(shares), top_mhz)
        clock = bisect_left(self._mhz, wanted_mhz)
        return self._dynamic_w[clock] * top_mhz / self._mhz[clock] * sum(shares)
