"""Coarse bounds for all sets at once, on every unit: a few sums for each set and clock.

At a clock, a demand costs at least what it costs alone. Where the cores of a set don't fit side by side its members
wait for each other, by the rule of the unit (`one_server`, `by_cpu`).
"""

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.by_cpu import TIGHT, costs_of, root_of
from scheduler.solver.costs import Aim, cheapest, own_cost, plus
from scheduler.solver.grid import (
    BUSY,
    BY_CPU,
    CORES,
    DENSITY,
    LATE,
    LOAD,
    SHORT,
    SLOTS,
    STRICT,
    UNUSED,
    Floats,
    Grid,
    overload_ticks,
    room_ms,
)


@compiled
def fill(grid: Grid, aim: Aim, low: Floats, alone: Floats) -> None:
    """Fill a table with coarse bounds.

    Args:
        grid: the grid.
        aim: what is lessened.
        low: (units, sets): filled in.
        alone: (clocks, demands): filled in with the cost of each demand alone.
    """
    low[:] = np.inf
    sums = np.empty((7, low.shape[1]))
    for u in range(len(low)):
        low[u, 0] = aim.power * grid.unit[u, UNUSED]
        for c in range(grid.first[u], grid.first[u + 1]):
            for i in range(alone.shape[1]):
                alone[c, i] = cheapest(grid, aim, c, i, 0.0)[0]
            if grid.unit[u, BY_CPU] > 0.0:
                fill_by_cpu(grid, aim, u, c, alone[c], low[u], sums)
            else:
                fill_one_server(grid, aim, u, c, alone[c], low[u], sums)


@compiled
def fill_one_server(grid: Grid, aim: Aim, unit: int, clock: int, alone: Floats, low: Floats, sums: Floats) -> None:
    """Lower bounds on one server at a clock.

    Where cores don't suffice, a demand also costs at least what the quickest, most accurate and cheapest of its points
    come to, all at once, when all others take their shortest; and it can only keep the limit if all services together
    leave it time.
    """
    demands, c = len(alone), clock
    slots, strict = grid.unit[unit, SLOTS], grid.unit[unit, STRICT] > 0.0
    room = np.full(demands, -np.inf)
    base, slope = np.full(demands, np.inf), np.zeros(demands)
    for i in range(demands):
        short, late = np.inf, np.inf
        for p in range(grid.spans[c, i, 0], grid.spans[c, i, 1]):
            point = grid.points[p]
            room[i] = max(room[i], room_ms(point, grid.wait[i], grid.limit) + point[BUSY])
            base[i] = min(base[i], own_cost(grid, aim, p))
            short, late = min(short, point[SHORT]), min(late, point[LATE])
        if aim.worst:
            base[i] = 0.0
        base[i] += aim.violation * (late - 0.5 + short)
        slope[i] = aim.violation * grid.wait[i]
    sums[0, 0] = sums[1, 0] = sums[2, 0] = sums[3, 0] = 0.0
    sums[4, 0] = np.inf
    static = aim.power * grid.static_w[c]
    for mask in range(1, len(low)):
        i = 0
        while not mask >> i & 1:
            i += 1
        rest = mask & (mask - 1)
        busy = sums[0, mask] = sums[0, rest] + grid.least[c, i, BUSY]
        cores = sums[1, mask] = sums[1, rest] + grid.least[c, i, CORES]
        load = sums[2, mask] = sums[2, rest] + grid.least[c, i, LOAD]
        cost = sums[3, mask] = plus(sums[3, rest], alone[i], aim.worst)
        spare = sums[4, mask] = min(sums[4, rest], room[i])
        if cost == np.inf:
            continue
        over = overload_ticks(load)
        if over > grid.limit:
            continue
        if cores > slots:
            if strict or busy > spare:
                continue
            if grid.limit > 0.0:
                cost, left = 0.0, mask
                while left:
                    i = 0
                    while not left >> i & 1:
                        i += 1
                    left &= left - 1
                    late = base[i] + slope[i] * (busy - grid.least[c, i, BUSY])
                    cost = plus(cost, max(alone[i], late), aim.worst)
        cost = plus(cost, plus(static, aim.violation * over, aim.worst), aim.worst)
        if cost < low[mask]:
            low[mask] = cost


@compiled
def fill_by_cpu(grid: Grid, aim: Aim, unit: int, clock: int, alone: Floats, low: Floats, sums: Floats) -> None:
    """Lower bounds CPU by CPU at a clock: those of `by_cpu.relaxed`, with the least that waiting costs anybody."""
    demands, c = len(alone), clock
    slots = int(grid.unit[unit, SLOTS])
    shortest, second = np.inf, np.inf
    for i in range(demands):
        busy = grid.least[c, i, BUSY]
        shortest, second = min(shortest, busy), min(second, max(shortest, busy))
    base, root, extra = np.empty(demands), np.empty(demands), np.empty(demands)
    for i in range(demands):
        met_ms = second if grid.least[c, i, BUSY] == shortest else shortest
        costs = costs_of(grid, aim, c, i, met_ms, 0.0)
        base[i], root[i] = costs.base, root_of(grid, aim, c, i)
        extra[i] = costs.sharing
        if not aim.worst and alone[i] < np.inf:
            extra[i] -= alone[i]
    sums[0, 0] = sums[1, 0] = sums[2, 0] = sums[3, 0] = sums[4, 0] = sums[5, 0] = 0.0
    sums[6, 0] = np.inf
    static = aim.power * grid.static_w[c]
    for mask in range(1, len(low)):
        i = 0
        while not mask >> i & 1:
            i += 1
        rest = mask & (mask - 1)
        density = sums[0, mask] = sums[0, rest] + grid.least[c, i, DENSITY]
        cores = sums[1, mask] = sums[1, rest] + grid.least[c, i, CORES]
        load = sums[2, mask] = sums[2, rest] + grid.least[c, i, LOAD]
        cost = sums[3, mask] = plus(sums[3, rest], alone[i], aim.worst)
        fixed = sums[4, mask] = sums[4, rest] + base[i]
        roots = sums[5, mask] = sums[5, rest] + root[i]
        waiting = sums[6, mask] = min(sums[6, rest], extra[i])
        if cost == np.inf:
            continue
        over = overload_ticks(load)
        if over > grid.limit:
            continue
        if cores > slots:
            if density > slots * TIGHT:
                continue
            size = 0
            left = mask
            while left:
                left &= left - 1
                size += 1
            if aim.worst:
                cost = max(cost, waiting, (fixed + roots * roots / slots) / size)
            else:
                cost = max(cost + max(size - slots + 1, 2) * waiting, fixed + roots * roots / slots)
        cost = plus(cost, plus(static, aim.violation * over, aim.worst), aim.worst)
        if cost < low[mask]:
            low[mask] = cost
