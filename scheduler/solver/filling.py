"""Coarse bounds for all sets at once, on every unit: a few sums for each set and clock.

At a clock, a demand costs at least what it costs alone. Where the cores of a set don't fit side by side its members
wait for each other, by the rule of the unit (`one_server`, `by_cpu`).
"""

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.alone import PRICES, Alone
from scheduler.solver.by_cpu import TIGHT, sharing_cost
from scheduler.solver.costs import Aim, own_cost, plus
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
def fill(grid: Grid, aim: Aim, alone: Alone, low: Floats) -> None:
    """Fill a table with coarse bounds.

    Args:
        grid: the grid.
        aim: what is lessened.
        alone: what each demand costs by itself.
        low: (units, sets): filled in.
    """
    low[:] = np.inf
    sums = np.empty((PRICES + 6, low.shape[1]))
    for u in range(len(low)):
        low[u, 0] = aim.power * grid.unit[u, UNUSED]
        for c in range(grid.first[u], grid.first[u + 1]):
            if grid.unit[u, BY_CPU] > 0.0:
                fill_by_cpu(grid, aim, alone, u, c, low[u], sums)
            else:
                fill_one_server(grid, aim, u, c, alone.cost[c], low[u], sums)


@compiled
def add_up(each: Floats, worst: bool, sums: Floats) -> None:
    """Fill in what every set of demands comes to.

    Args:
        each: (fields, demands): what each demand has. The last field but one is a cost.
        worst: True if the cost of a set is the largest, not the sum.
        sums: (fields, sets): filled in with sums; the last field with the least.
    """
    costs, least = sums[len(each) - 2], sums[len(each) - 1]
    sums[:, 0] = 0.0
    least[0] = np.inf
    for i in range(each.shape[1]):
        width = 1 << i
        for field in range(len(each) - 2):
            for rest in range(width):
                sums[field, width + rest] = sums[field, rest] + each[field, i]
        for rest in range(width):
            costs[width + rest] = plus(costs[rest], each[len(each) - 2, i], worst)
            least[width + rest] = min(least[rest], each[len(each) - 1, i])


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
    each = np.empty((5, demands))
    for i in range(demands):
        least = grid.least[c, i]
        each[0, i], each[1, i], each[2, i] = least[BUSY], least[CORES], least[LOAD]
        each[3, i], each[4, i] = alone[i], room[i]
    add_up(each, aim.worst, sums)
    static = aim.power * grid.static_w[c]
    for mask in range(1, len(low)):
        busy, cores, load, cost, spare = sums[0, mask], sums[1, mask], sums[2, mask], sums[3, mask], sums[4, mask]
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
def fill_by_cpu(grid: Grid, aim: Aim, alone: Alone, unit: int, clock: int, low: Floats, sums: Floats) -> None:
    """Lower bounds CPU by CPU at a clock: those of `by_cpu.relaxed`, with the least that waiting costs anybody."""
    demands, c = len(grid.wait), clock
    slots = int(grid.unit[unit, SLOTS])
    shortest, second = np.inf, np.inf
    for i in range(demands):
        busy = grid.least[c, i, BUSY]
        shortest, second = min(shortest, busy), min(second, max(shortest, busy))
    each = np.empty((PRICES + 6, demands))
    for i in range(demands):
        least = grid.least[c, i]
        met_ms = second if least[BUSY] == shortest else shortest
        each[0, i], each[1, i], each[2, i] = least[DENSITY], least[CORES], least[LOAD]
        each[3, i] = 1.0
        for m in range(PRICES):
            each[4 + m, i] = alone.paying[c, i, m]
        each[PRICES + 4, i] = alone.cost[c, i]
        each[PRICES + 5, i] = sharing_cost(grid, aim, alone, c, i, met_ms)
    add_up(each, aim.worst, sums)
    static = aim.power * grid.static_w[c]
    for mask in range(1, len(low)):
        density, cores, load, cost = sums[0, mask], sums[1, mask], sums[2, mask], sums[PRICES + 4, mask]
        if cost == np.inf:
            continue
        over = overload_ticks(load)
        if over > grid.limit:
            continue
        if cores > slots:
            if density > slots * TIGHT:
                continue
            waiting = sums[PRICES + 5, mask]
            cost = max(cost, waiting) if aim.worst else cost + max(sums[3, mask] - slots + 1.0, 2.0) * waiting
        for m in range(PRICES):
            paid = sums[4 + m, mask] - alone.refund[c, m]
            cost = max(cost, paid / sums[3, mask] if aim.worst else paid)
        cost = plus(cost, plus(static, aim.violation * over, aim.worst), aim.worst)
        if cost < low[mask]:
            low[mask] = cost
