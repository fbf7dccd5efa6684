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
    # The points of all demands one after another: whose they are, which of its points, and on which unit.
    tables = [demand.table for demand in demands]
    sizes = [len(table.unit) for table in tables]
    owner = np.repeat(np.arange(len(demands)), sizes)
    row = np.concatenate([np.arange(size) for size in sizes])
    unit = np.concatenate([np.array([names[name] for name in table.units])[table.unit] for table in tables])
    cores, mhz, latency_ms, busy_ms, energy_mj, accuracy = np.concatenate([t.columns for t in tables], axis=1)
    gpu = np.array([one.kind == "gpu" for one in units])
    slots = np.array([one.slots for one in units], dtype=np.float64)
    cores = np.where(gpu[unit], 1.0, cores)
    weight = np.array([demand.weight for demand in demands])
    rate = np.array([demand.rate_hz for demand in demands])[owner]
    target_ms = np.array([demand.target_ms for demand in demands])
    wait_share = np.array([demand.wait_share for demand in demands])
    by_cpu = (slots > 1.0) & (problem.sharing == "cpu")
    load = rate * busy_ms / 1000.0
    mean_load = load * cores / slots[unit]
    floor = np.array([demand.min_accuracy for demand in demands])[owner]
    lack = np.where(floor > 0.0, np.maximum(0.0, 1.0 - accuracy / np.where(floor > 0.0, floor, 1.0)), 0.0)
    # Sort by clock and demand.
    first = np.cumsum([0, *(len(one.mhz) for one in units)])
    clock = np.zeros_like(owner)
    for index, one in enumerate(units):
        here = unit == index
        clock[here] = first[index] + np.searchsorted(one.mhz, mhz[here])
    group = clock * len(demands) + owner
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group, minlength=int(first[-1]) * len(demands))
    end = np.cumsum(counts)
    seeks_accuracy = OBJECTIVES[problem.objective].seeks_accuracy
    points = np.column_stack(
        (
            busy_ms,
            cores,
            mean_load,
            np.where(by_cpu[unit], load, mean_load),
            TICKS * weight[owner] * (latency_ms / target_ms[owner] - 1.0),
            np.rint(TICKS * weight[owner] * lack),
            np.rint(TICKS * weight[owner] * accuracy * seeks_accuracy),
            rate * energy_mj / 1000.0,
            row,
        )
    )
    unused_w = [one.unused_w for one in units]
    return Grid(
        first=first,
        unit=np.column_stack((slots, ~gpu if strict else np.zeros(len(units)), by_cpu, unused_w)),
        static_w=np.concatenate([np.array(one.static_w, dtype=np.float64) for one in units]),
        wait=TICKS * weight * wait_share / target_ms,
        limit=np.inf,
        spans=np.stack((end - counts, end), axis=-1).reshape(-1, len(demands), 2),
        least=np.empty((int(first[-1]), len(demands), 5)),
        points=points[order],
    )


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
