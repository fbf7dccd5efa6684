"""Snapshots of a small board for tests of policies: two units of two cores each, the second half as fast."""

from __future__ import annotations

from dataclasses import replace

from scheduler.policies import problem_of
from scheduler.problem import OperatingPoint, Problem
from scheduler.views import AppView, Gear, Snapshot, UnitView

BIG = UnitView(
    name="big",
    kind="cpu",
    cpus_online=(0, 1),
    mhz_now=2000.0,
    mhz_allowed=(1000.0, 2000.0),
    busy=0.0,
    temp_c=None,
    static_w=(0.1, 0.3),
    dynamic_w=(0.4, 2.0),
    capacity=1.0,
)
LITTLE = replace(
    BIG,
    name="little",
    cpus_online=(2, 3),
    mhz_allowed=(500.0, 1000.0),
    static_w=(0.02, 0.05),
    dynamic_w=(0.05, 0.2),
    capacity=0.5,
)
# By sub-network: work in ms on one core of `big` at its top clock, and accuracy.
LADDER = {"small": (10.0, 0.6), "medium": (20.0, 0.75), "large": (40.0, 0.9)}


def make_points(rate_hz: float = 5.0) -> tuple[OperatingPoint, ...]:
    points = []
    for subnet, (work_ms, accuracy) in LADDER.items():
        for unit in (BIG, LITTLE):
            for cores in (1, 2):
                for mhz, dynamic_w in zip(unit.mhz_allowed, unit.dynamic_w, strict=True):
                    service_ms = work_ms / unit.capacity / cores**0.8 * unit.mhz_allowed[-1] / mhz
                    point = OperatingPoint(
                        subnet=subnet,
                        unit=unit.name,
                        cores=cores,
                        mhz=mhz,
                        latency_ms=service_ms,
                        energy_mj=dynamic_w * cores * service_ms,
                        accuracy=accuracy,
                        service_ms=service_ms,
                    )
                    points.append(point)
    fitting = tuple(point for point in points if rate_hz * point.busy_ms <= 900)
    return fitting or tuple(points)


def make_view(app: str = "a", **changes: object) -> AppView:
    view = AppView(
        app=app,
        target_ms=100.0,
        min_accuracy=0.0,
        weight=1.0,
        slo=0.95,
        rate_hz=5.0,
        queue_len=0,
        gear=None,
        n=0,
        on_time=None,
        p95_ms=None,
        mean_ms=None,
        service_ratio=1.0,
        own_ratio=1.0,
        wait_ratio=1.0,
        points=(),
    )
    view = replace(view, **changes)
    return replace(view, points=view.points or make_points(view.rate_hz))


def make_snapshot(*apps: AppView, **changes: object) -> Snapshot:
    snapshot = Snapshot(
        epoch=1,
        now_s=0.0,
        apps=apps,
        units=(BIG, LITTLE),
        power_w=None,
        power_cap_w=None,
        objective="energy",
        events=(),
    )
    return replace(snapshot, **changes)


def gear(subnet: str, unit: str, cores: int = 1) -> Gear:
    return Gear(subnet=subnet, unit=unit, cores=cores)


def posed(snapshot: Snapshot, share: float = 0.5) -> Problem:
    """Return the problem of a snapshot in which everybody waits for that part of others' services."""
    return problem_of(snapshot, dict.fromkeys((view.app for view in snapshot.apps), share))
