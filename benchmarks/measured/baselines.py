"""Policies that know measured latencies and choose by a rule of their own, without looking at energy."""

from __future__ import annotations

from benchmarks.measured.points import Point, Table
from benchmarks.measured.requests import Request

_HEADROOM = 1.25
"""Factor by which schedutil's clock exceeds the load (kernel, `map_util_perf`)."""


def largest(table: Table, request: Request) -> Point:
    """Return the most accurate network that is in time at the top clock; the quickest if none is."""
    points = table.at_top(request.ladder)
    in_time = [point for point in points if point.run_ms <= request.target_ms]
    return max(in_time, key=lambda point: (point.accuracy, -point.run_ms)) if in_time else points[0]


def floor(table: Table, request: Request) -> Point:
    """Return the quickest network that meets the floor, at the top clock; the most accurate if none does."""
    points = table.at_top(request.ladder)
    accurate = [point for point in points if point.accuracy >= request.min_accuracy]
    return accurate[0] if accurate else max(points, key=lambda point: point.accuracy)


def floor_schedutil(table: Table, request: Request) -> Point:
    """Return the floor's network at schedutil's clock: the lowest of at least 1.25 times its load at the top clock."""
    top = floor(table, request)
    want_mhz = _HEADROOM * top.mhz * top.run_ms / request.period_ms
    return min((p for p in _at_each_clock(table, request, top) if p.mhz >= min(want_mhz, top.mhz)), key=_clock)


def two_stage(table: Table, request: Request) -> Point:
    """Return the floor's network at the lowest clock that meets the target, by measured latencies."""
    top = floor(table, request)
    points = _at_each_clock(table, request, top)
    in_time = [p for p in points if not request.shortfalls(p)[0]]
    return min(in_time, key=_clock) if in_time else top


def _at_each_clock(table: Table, request: Request, top: Point) -> list[Point]:
    return [p for p in table.ladders[request.ladder] if (p.network, p.unit) == (top.network, top.unit)]


def _clock(point: Point) -> float:
    return point.mhz
