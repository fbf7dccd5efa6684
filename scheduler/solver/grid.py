"""A problem laid out as arrays for the searches: all points, by unit, clock and demand.

Violation and accuracy are kept in whole ticks of about 1e-10 (floats that hold integers). So sums are exact, and equal
violations compare equal in whatever order they were added. Rounding keeps the order: a term that grows never rounds to
fewer ticks. This module does not search.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scheduler.compiled import compiled
from scheduler.objectives import OBJECTIVES
from scheduler.problem import FULL_LOAD, Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TICKS = 7_207_200_000.0
"""Ticks in one unit of violation, or of weight * accuracy: 720720 * 10^4.

Decimals of four places and fractions of small denominators are whole numbers of ticks, so that different sums
that are equal on paper are equal here as well, and the next level decides between them.
"""
NO_CHOICE = "problem: no choice of one clock per unit leaves every demand an operating point."
"""The message about a problem without an answer."""


class Grid(NamedTuple):
    """All units and points. The clocks of all units are counted through; a unit's are `first[u]` to `first[u + 1]`.

    Attributes:
        first: (units + 1,): each unit's first clock.
        unit: (units, 4): the cores that requests can hold at once, 1 for a GPU; 1 where cores must not be shared, else
            0; 1 where waiting goes CPU by CPU (`cpus`), 0 where the unit is one server (`one_server`), as with one core
            it is in any case; the power of the unit while nobody uses it.
        static_w: (clocks,): power of the unit without load.
        wait: (demands,): ticks of violation per ms of waiting for others, above the target.
        limit: the most ticks that a single term may have; infinite for no limit.
        spans: (clocks, demands, 2): the first of the demand's points there, and one beyond the last.
        least: (clocks, demands, 5): the least service time, cores, mean load, cores * service time, and cores * service
            time over the most service time, its own included, that the limit leaves on each of its CPUs; infinite
            without points.
        points: (points, 9): service time; cores that a request holds, 1 on a GPU; the part that the point adds to the
            mean load of the unit's cores; the unit's load with nobody else there; ticks by which the latency on cores
            of its own exceeds the target, negative below it; weight times the relative lack of accuracy, in ticks;
            weight times accuracy in ticks, 0 where accuracy above the floor does not count; rate * energy, which is
            power above static power; index into the demand's points.
    """

    first: Ints
    unit: Floats
    static_w: Floats
    wait: Floats
    limit: float
    spans: Ints
    least: Floats
    points: Floats


BUSY, CORES, LOAD, OWN_LOAD, LATE, SHORT, GAIN, POWER, ROW = range(9)
"""The last axis of `Grid.points`; the first three are that of `Grid.least` too."""
CORE_MS, DENSITY = 3, 4
"""What `Grid.least` has besides."""
SLOTS, STRICT, BY_CPU, UNUSED = range(4)
"""The last axis of `Grid.unit`."""


def grid_of(problem: Problem, *, strict: bool = False) -> Grid:
    """Return a problem of at least one demand as arrays, with every point.

    Args:
        problem: the problem.
        strict: True bars CPU cores from being shared.
    """
    demands, units = problem.demands, problem.units
    names = {unit.name: index for index, unit in enumerate(units)}
    tables = [demand.table for demand in demands]
    figures = np.array([(d.rate_hz, d.target_ms, d.min_accuracy, d.weight, d.wait_share) for d in demands])
    slots = np.array([one.slots for one in units], dtype=np.float64)
    barred = np.array([strict and one.kind == "cpu" for one in units])
    by_cpu = (slots > 1.0) & (problem.sharing == "cpu")
    unit = np.column_stack((slots, barred, by_cpu, [one.unused_w for one in units]))
    first = np.cumsum([0, *(len(one.mhz) for one in units)])
    points, spans = laid_out(
        np.concatenate([table.columns for table in tables], axis=1),
        np.concatenate([np.array([names.get(name, -1) for name in table.units])[table.unit] for table in tables]),
        np.cumsum([0, *(len(table.unit) for table in tables)]),
        figures,
        unit,
        first,
        np.concatenate([np.array(one.mhz, dtype=np.float64) for one in units]),
        OBJECTIVES[problem.objective].seeks_accuracy,
    )
    _, target_ms, _, weight, wait_share = figures.T
    return Grid(
        first=first,
        unit=unit,
        static_w=np.concatenate([np.array(one.static_w, dtype=np.float64) for one in units]),
        wait=TICKS * weight * wait_share / target_ms,
        limit=np.inf,
        spans=spans,
        least=np.empty((int(first[-1]), len(demands), 5)),
        points=points,
    )


@compiled
def laid_out(
    columns: Floats, on: Ints, begins: Ints, figures: Floats, unit: Floats, first: Ints, mhz: Floats, seeks: bool
) -> tuple[Floats, Ints]:
    """Return all points by clock and demand, in their order, as `Grid.points` and `Grid.spans`.

    Args:
        columns: (6, points): the points of all demands one after another, as in `PointTable`.
        on: (points,): the index of the unit.
        begins: (demands + 1,): where each demand's points begin.
        figures: (demands, 5): rate, target, accuracy floor, weight and part of the waiting that counts.
        unit: as in `Grid`.
        first: as in `Grid`.
        mhz: (clocks,): the clocks of all units.
        seeks: True if accuracy above the floor counts.
    """
    demands = len(figures)
    clock = np.empty(len(on), dtype=np.int64)
    spans = np.zeros((len(mhz), demands, 2), dtype=np.int64)
    for i in range(demands):
        for p in range(begins[i], begins[i + 1]):
            u = on[p]
            clock[p] = first[u] + np.searchsorted(mhz[first[u] : first[u + 1]], columns[1, p])
            spans[clock[p], i, 1] += 1
    place = 0
    for c in range(len(mhz)):
        for i in range(demands):
            count = spans[c, i, 1]
            spans[c, i, 0] = spans[c, i, 1] = place
            place += count
    points = np.empty((len(on), ROW + 1))
    for i in range(demands):
        rate_hz, target_ms, floor = figures[i, 0], figures[i, 1], figures[i, 2]
        scale = TICKS * figures[i, 3]
        for p in range(begins[i], begins[i + 1]):
            latency_ms, busy_ms, accuracy = columns[2, p], columns[3, p], columns[5, p]
            slots = unit[on[p], SLOTS]
            cores = min(columns[0, p], slots)  # on a GPU cores count as 1
            load = rate_hz * busy_ms / 1000.0
            lack = max(0.0, 1.0 - accuracy / floor) if floor > 0.0 else 0.0
            place = spans[clock[p], i, 1]
            spans[clock[p], i, 1] += 1
            point = points[place]
            point[BUSY], point[CORES], point[LOAD] = busy_ms, cores, load * cores / slots
            point[OWN_LOAD] = load if unit[on[p], BY_CPU] > 0.0 else load * cores / slots
            point[LATE] = scale * (latency_ms / target_ms - 1.0)
            point[SHORT] = np.rint(scale * lack)
            point[GAIN] = np.rint(scale * accuracy) if seeks else 0.0
            point[POWER] = rate_hz * columns[4, p] / 1000.0
            point[ROW] = p - begins[i]
    return points, spans


@compiled
def term(grid: Grid, demand: int, point: int, wait_ms: float) -> float:
    """Return a demand's term in ticks, where it waits that long."""
    late = grid.points[point, LATE] + wait_ms * grid.wait[demand]
    return float(np.rint(max(late, 0.0)) + grid.points[point, SHORT])


@compiled
def overload_ticks(load: float) -> float:
    """Return a unit's overload term in ticks at a load."""
    return float(np.rint(max(load / FULL_LOAD - 1.0, 0.0) * TICKS))


@compiled
def room_ms(point: Floats, wait: float, limit: float) -> float:
    """Return the longest wait that keeps a term within the limit, and a tick more; infinite where none breaks it."""
    return float((limit - point[LATE] - point[SHORT] + 1.0) / wait)


@compiled
def betters(points: Floats, one: int, other: int) -> bool:
    """Return True if a point equals or betters another one, of the same demand and clock, in every respect."""
    return bool(
        points[one, CORES] <= points[other, CORES]
        and points[one, LATE] <= points[other, LATE]
        and points[one, BUSY] <= points[other, BUSY]
        and points[one, POWER] <= points[other, POWER]
        and points[one, SHORT] <= points[other, SHORT]
        and points[one, GAIN] >= points[other, GAIN]
    )


@compiled
def useful(points: Floats, spans: Ints, wait: Floats, limit: float) -> tuple[Ints, Ints, Floats]:
    """Choose the points that can be part of an answer whose terms are all at most `limit`.

    A point is useless if its demand has more than `limit` ticks with it even alone, or if another point of the same
    demand and clock equals or betters it in every respect.

    Returns:
        The points kept, in their order; `spans` and `least` of a grid that holds only them.
    """
    clocks, demands = spans.shape[0], spans.shape[1]
    kept = np.empty(len(points), dtype=np.int64)
    new_spans = np.empty_like(spans)
    least = np.full((clocks, demands, 5), np.inf)
    count = 0
    for c in range(clocks):
        for i in range(demands):
            first = count
            for p in range(spans[c, i, 0], spans[c, i, 1]):
                ticks = np.rint(max(points[p, LATE], 0.0)) + points[p, SHORT]
                if ticks > limit or overload_ticks(points[p, OWN_LOAD]) > limit:
                    continue
                beaten = False
                for at in range(first, count):
                    if betters(points, kept[at], p):
                        beaten = True
                        break
                if beaten:
                    continue
                stay = first
                for at in range(first, count):
                    if not betters(points, p, kept[at]):
                        kept[stay] = kept[at]
                        stay += 1
                kept[stay] = p
                count = stay + 1
            new_spans[c, i, 0], new_spans[c, i, 1] = first, count
            for at in range(first, count):
                point = points[kept[at]]
                for field in range(3):
                    least[c, i, field] = min(least[c, i, field], point[field])
                core_ms = point[CORES] * point[BUSY]
                most_ms = room_ms(point, wait[i], limit) + point[BUSY]
                least[c, i, CORE_MS] = min(least[c, i, CORE_MS], core_ms)
                least[c, i, DENSITY] = min(least[c, i, DENSITY], core_ms / most_ms)
    return kept[:count], new_spans, least


def within(grid: Grid, limit: float) -> Grid:
    """Return the grid with the useful points only, and with that limit on every term."""
    kept, spans, least = useful(grid.points, grid.spans, grid.wait, limit)
    return grid._replace(limit=float(limit), spans=spans, least=least, points=grid.points[kept])
