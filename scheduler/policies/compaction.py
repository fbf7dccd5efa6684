"""Placement as by sched_ext's scheduler scx_lavd: few CPUs are filled up, and the rest sleep.

It knows utilisation, capacities and how often tasks run. It does not know targets, networks, queues or power.
Source: `scheds/rust/scx_lavd/src/` in github.com/sched-ext/scx at 7a58a3a: `build_topo_order` in `cpu_order.rs`,
`calc_nr_active_cpus` and `update_thr_perf_cri` in `bpf/power.bpf.c`, `pick_idle_cpu` in `bpf/idle.bpf.c`,
`calc_lat_cri` in `bpf/lat_cri.bpf.c`, `calc_asym_avg` in `bpf/util.bpf.c`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from scheduler.governors.common import PERIOD_US
from scheduler.governors.lavd import FALL, RISE
from scheduler.policies.placing import place
from scheduler.policies.protocol import gear_of, top_points
from scheduler.problem import OperatingPoint
from scheduler.views import AppView, Plan, Snapshot, UnitView

HEADROOM = 1.25
"""Capacity that is active over what is used (`LAVD_CC_REQ_CAPACITY_HEADROOM`)."""

MOST_BUSY = 0.5
"""Share of an active CPU's capacity that is to be used at most (`LAVD_CC_PER_CPU_UTIL`)."""

_FORGOTTEN_MS = 1000.0
"""Time after which an average has fallen to nothing: (7/8)^100 is 2e-6."""


def place_compactly(snapshot: Snapshot, subnets: Mapping[str, str]) -> Plan:
    """Place applications on the few CPUs that scx_lavd would keep active for them, in its mode for saving power.

    - CPUs are taken in rising order of capacity. The first of them are active, as many as serve 1.25 times what all
      applications use while none is busier than half; the others sleep (`active_cpus`).
    - Where both little and big CPUs are active, performance-critical applications run on big ones and the others on
      little ones (`critical_apps`). Else all run on what is active.
    - An application stays on its unit if that will do; else it goes where the active CPUs are used least.

    `place` decides how many cores an application gets and whether it runs on a GPU: the scheduler decides neither. It
    knows no latency targets. Three things are simplified. Applications are placed at each decision, not at each
    wake-up. Requests are taken to come at equal intervals. A unit has at least as many CPUs active as an application
    there has threads.

    Args:
        snapshot: the applications and units.
        subnets: by application, its sub-network.
    """
    spread = place(snapshot, subnets)
    units = {unit.name: unit for unit in snapshot.units if unit.kind == "cpu"}
    points = {
        view.app: {
            point.unit: point
            for point in top_points(view, snapshot)
            if point.unit in units and (point.subnet, point.cores) == (gear.subnet, gear.cores)
        }
        for view in snapshot.apps
        if (gear := spread.gears[view.app]).unit in units
    }
    if not points:
        return spread
    clusters = _clusters(units.values())
    placed = [view for view in snapshot.apps if view.app in points]
    uses = {view.app: _used(view, points[view.app], clusters) for view in placed}
    active = active_cpus(clusters, sum(uses.values()))
    critical = critical_apps(placed, uses, _share_of_big(clusters, active))

    used = dict.fromkeys(clusters, 0.0)
    gears = dict(spread.gears)
    for view in sorted(placed, key=lambda view: (-uses[view.app], view.app)):
        possible = points[view.app]
        awake = [unit for unit in possible if active[unit]] or list(possible)
        fitting = [unit for unit in awake if clusters[unit].big == (view.app in critical)] or awake

        def rank(unit: str, view: AppView = view) -> tuple[bool, float]:
            leaves = view.gear is None or view.gear.unit != unit
            return leaves, used[unit] / (clusters[unit].capacity * max(1, active[unit]))

        chosen = min(fitting, key=rank)
        used[chosen] += uses[view.app]
        active[chosen] = max(active[chosen], possible[chosen].cores)
        gears[view.app] = gear_of(possible[chosen])
    return replace(spread, gears=gears, awake_cpus={unit: count for unit, count in active.items() if count})


@dataclass(frozen=True, slots=True)
class Cluster:
    """The CPUs of one unit.

    Attributes:
        cpus: how many are online.
        capacity: capacity of one of them, as a share of the board's largest.
        big: True if that is at least the mean over all CPUs; else they are little.
    """

    cpus: int
    capacity: float
    big: bool


def _clusters(units: Collection[UnitView]) -> dict[str, Cluster]:
    """Return the clusters by unit, those of least capacity first."""
    largest = max(unit.capacity for unit in units)
    mean = sum(unit.capacity * unit.cores_online for unit in units) / sum(unit.cores_online for unit in units)
    return {
        unit.name: Cluster(unit.cores_online, unit.capacity / largest, unit.capacity >= mean)
        for unit in sorted(units, key=lambda unit: unit.capacity)
    }


def active_cpus(clusters: Mapping[str, Cluster], used: float) -> dict[str, int]:
    """Return how many CPUs of each cluster are active; all, if they are too few.

    Example: 0.25 of the largest CPU is used, so 0.31 has to be served. Little CPUs of capacity 0.5, half of it used,
    serve 0.25 each: two are active, and no big one.

    Args:
        clusters: by unit, those to be filled first first.
        used: the capacity that all tasks use, as a share of the board's largest CPU.
    """
    left = HEADROOM * used
    active = {}
    for unit, cluster in clusters.items():
        served = MOST_BUSY * cluster.capacity
        active[unit] = min(cluster.cpus, max(0, math.ceil(left / served - 1e-9)))
        left -= active[unit] * served
    return active


def _used(view: AppView, points: Mapping[str, OperatingPoint], clusters: Mapping[str, Cluster]) -> float:
    """Return the capacity that an application uses on all its cores, as a share of the board's largest CPU.

    It is measured where it runs, and on the CPUs that are filled first as long as it does not. The same work lasts
    longer on a little CPU and is less at a time, so an average that holds on to what it has seen is lower there.
    """
    here = (
        view.gear.unit if view.gear and view.gear.unit in points else next(unit for unit in clusters if unit in points)
    )
    return clusters[here].capacity * held_utilisation(view.rate_hz, points[here].busy_ms) * points[here].cores


def held_utilisation(rate_hz: float, run_ms: float) -> float:
    """Return the mean of a thread's utilisation as scx_lavd averages it: it rises fast and falls slowly.

    Every 10 ms the average goes 3/4 of the way up to the busy share of that time, or 1/8 of the way down to it. So it
    is more than the mean share, mostly: with ten runs of 30 ms a second it goes from 0.39 to 0.99 during a run and back
    until the next; its mean is 0.70.

    Args:
        rate_hz: how often it runs, per second.
        run_ms: length of each run.
    """
    period_ms = 1000 / rate_hz if rate_hz > 0 else math.inf
    if run_ms >= period_ms:
        return 1.0
    look_ms = PERIOD_US / 1000
    # Runs far apart are the same as runs this far apart, and nothing in between.
    span_ms = min(period_ms, run_ms + _FORGOTTEN_MS)

    def busy_until(now_ms: float) -> float:
        runs, since_ms = divmod(now_ms, span_ms)
        return runs * run_ms + min(since_ms, run_ms)

    looks = math.ceil(max(span_ms, _FORGOTTEN_MS) / look_ms)
    average = total = 0.0
    for look in range(2 * looks):  # first it settles
        share = (busy_until((look + 1) * look_ms) - busy_until(look * look_ms)) / look_ms
        average += (RISE if share > average else FALL) * (share - average)
        if look >= looks:
            total += average
    return total / looks * span_ms / period_ms


def _share_of_big(clusters: Mapping[str, Cluster], active: Mapping[str, int]) -> float:
    """Return the share of big CPUs in the capacity of all that are active."""
    capacity = {unit: cluster.capacity * active[unit] for unit, cluster in clusters.items()}
    total = sum(capacity.values())
    return sum(capacity[unit] for unit, cluster in clusters.items() if cluster.big) / total if total else 0.0


def critical_apps(views: Sequence[AppView], uses: Mapping[str, float], share_of_big: float) -> set[str]:
    """Return the applications that are performance-critical: those for the big CPUs.

    Criticality is log(wait frequency · wake frequency) + log(use). An application waits for each request and wakes its
    client after each, so both frequencies are its rate. The bound is where one half of the capacity is for what is
    below the mean criticality, and the other half for what is above: with half of the capacity little it is the mean,
    with all of it little the most, with none the least.

    Args:
        views: the applications.
        uses: by application, the capacity that it uses.
        share_of_big: share of big CPUs in the active capacity.
    """
    if share_of_big in (0.0, 1.0):
        return {view.app for view in views} if share_of_big else set()
    rates_hz = {view.app: view.rate_hz for view in views if view.rate_hz > 0 and uses[view.app] > 0}
    if not rates_hz:
        return set()
    critical = {app: 2 * math.log2(rate_hz + 1) + math.log2(uses[app]) for app, rate_hz in rates_hz.items()}
    mean = sum(rates_hz[app] * critical[app] for app in critical) / sum(rates_hz.values())
    little = 1 - share_of_big
    if little < 0.5:
        least = min(critical.values())
        bound = least + (mean - least) * little / 0.5
    else:
        bound = mean + (max(critical.values()) - mean) * (little - 0.5) / 0.5
    return {app for app, one in critical.items() if one > bound}
