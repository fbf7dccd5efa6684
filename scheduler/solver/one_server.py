"""A set of demands on a unit that is one server: where its cores don't suffice for all, each waits for all others.

The bound (`relaxed`) lets every member take the point that is best for it while all others take their shortest; so it
never falls when a member joins. This module does not know which demands should be on the unit.
"""

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.alone import Alone, paid
from scheduler.solver.costs import (
    ALLOWED,
    BEYOND,
    ROUNDS,
    SPENT,
    Aim,
    Leaves,
    cheapest,
    own_cost,
    penalty,
    plus,
    remember,
)
from scheduler.solver.grid import (
    BUSY,
    CORES,
    GAIN,
    LOAD,
    POWER,
    SLOTS,
    STRICT,
    Grid,
    Ints,
    overload_ticks,
    term,
)


@compiled
def relaxed(grid: Grid, aim: Aim, alone: Alone, unit: int, clock: int, members: Ints) -> float:
    """Return a lower bound on the cost of a set at a clock."""
    busy, cores, load = 0.0, 0.0, 0.0
    for i in members:
        busy += grid.least[clock, i, BUSY]
        cores += grid.least[clock, i, CORES]
        load += grid.least[clock, i, LOAD]
    if not busy < np.inf:
        return np.inf
    over = overload_ticks(load)
    crowded = cores > grid.unit[unit, SLOTS]
    if over > grid.limit or (crowded and grid.unit[unit, STRICT] > 0.0):
        return np.inf
    fixed = plus(aim.power * grid.static_w[clock], aim.violation * over, aim.worst)
    total = fixed
    for i in members:
        cost = alone.cost[clock, i]
        if crowded:
            cost = cheapest(grid, aim, clock, i, busy - grid.least[clock, i, BUSY])[0]
        total = plus(total, cost, aim.worst)
    if grid.unit[unit, SLOTS] > 1.0:
        return total
    shared = paid(alone, clock, members)  # one core is a server by itself
    return max(total, shared / len(members) if aim.worst else fixed + shared)


@compiled
def begin(grid: Grid, aim: Aim, unit: int, clock: int, members: Ints, points: Ints) -> None:
    """Give each member the point that is best for it while all others take their shortest."""
    busy, cores = 0.0, 0.0
    for i in members:
        busy += grid.least[clock, i, BUSY]
        cores += grid.least[clock, i, CORES]
    crowded = cores > grid.unit[unit, SLOTS]
    for j in range(len(members)):
        wait_ms = busy - grid.least[clock, members[j], BUSY] if crowded else 0.0
        points[j] = cheapest(grid, aim, clock, members[j], wait_ms)[1]


@compiled
def total_with(grid: Grid, aim: Aim, unit: int, clock: int, members: Ints, points: Ints, at: int, other: int) -> float:
    """Return the cost of a set with its points, the member at a place with another one; a limit broken adds to it.

    Nobody has another point where the place is beyond the last member's.
    """
    busy, cores, load = 0.0, 0.0, 0.0
    for j in range(len(members)):
        p = other if j == at else points[j]
        busy += grid.points[p, BUSY]
        cores += grid.points[p, CORES]
        load += grid.points[p, LOAD]
    crowded = cores > grid.unit[unit, SLOTS]
    over = overload_ticks(load)
    beyond = penalty(grid, over)
    if crowded and grid.unit[unit, STRICT] > 0.0:
        beyond += BEYOND * BEYOND * (cores - grid.unit[unit, SLOTS])
    total = plus(aim.power * grid.static_w[clock], aim.violation * over, aim.worst)
    for j in range(len(members)):
        p = other if j == at else points[j]
        ticks = term(grid, members[j], p, busy - grid.points[p, BUSY] if crowded else 0.0)
        beyond += penalty(grid, ticks)
        total = plus(total, aim.violation * ticks + own_cost(grid, aim, p), aim.worst)
    return total + beyond


@compiled
def descend(grid: Grid, aim: Aim, unit: int, clock: int, members: Ints, points: Ints, work: Ints) -> float:
    """As `one_unit.descend`."""
    begin(grid, aim, unit, clock, members, points)
    best = total_with(grid, aim, unit, clock, members, points, len(members), points[0])
    for _ in range(ROUNDS):
        moved = False
        for j in range(len(members)):
            before = points[j]
            for p in range(grid.spans[clock, members[j], 0], grid.spans[clock, members[j], 1]):
                if p != before:
                    cost = total_with(grid, aim, unit, clock, members, points, j, p)
                    if cost < best:
                        best, points[j], moved = cost, p, True
            work[SPENT] += len(members)
        if not moved:
            break
    return best if best < BEYOND else np.inf


@compiled
def at_clock(
    grid: Grid, aim: Aim, unit: int, clock: int, members: Ints, cut: float, points: Ints, leaves: Leaves, work: Ints
) -> float:
    """Find the best choice below a cost, at one clock, depth first; or list all that cost no more.

    Args:
        grid: the grid.
        aim: what is lessened.
        unit: the unit.
        clock: the clock.
        members: the set; every member has a point at the clock.
        cut: the cost.
        points: is given the points of the best choice.
        leaves: is given the choices that cost at most `cut`; without room (0 rows) only the best is looked for.
        work: nodes spent and allowed; where they run out the result is not complete.

    Returns:
        The cost of the best choice; `cut` where there is none below it, and where choices are listed.
    """
    size = len(members)
    listing = len(leaves.totals) > 0
    # What the members from j on have at least: their services, cores and load together, and cost on cores of their own.
    rest = np.zeros((4, size + 1))
    for j in range(size - 1, -1, -1):
        i = members[j]
        for field in range(3):
            rest[field, j] = rest[field, j + 1] + grid.least[clock, i, field]
        rest[3, j] = plus(rest[3, j + 1], cheapest(grid, aim, clock, i, 0.0)[0], aim.worst)
    base = aim.power * grid.static_w[clock]
    # What the members before j have with the points chosen: services, cores, load, watts, ticks of accuracy.
    sums = np.zeros((5, size + 1))
    chosen = np.empty(size, dtype=np.int64)
    following = np.empty(size, dtype=np.int64)
    following[0] = grid.spans[clock, members[0], 0]
    j = 0
    while j >= 0:
        p = following[j]
        if p >= grid.spans[clock, members[j], 1]:
            j -= 1
            continue
        following[j] += 1
        work[SPENT] += 1
        if work[SPENT] > work[ALLOWED]:
            return cut
        chosen[j] = p
        sums[0, j + 1] = sums[0, j] + grid.points[p, BUSY]
        sums[1, j + 1] = sums[1, j] + grid.points[p, CORES]
        sums[2, j + 1] = sums[2, j] + grid.points[p, LOAD]
        sums[3, j + 1] = sums[3, j] + grid.points[p, POWER]
        sums[4, j + 1] = sums[4, j] + grid.points[p, GAIN]
        busy = sums[0, j + 1] + rest[0, j + 1]
        crowded = sums[1, j + 1] + rest[1, j + 1] > grid.unit[unit, SLOTS]
        over = overload_ticks(sums[2, j + 1] + rest[2, j + 1])
        if over > grid.limit or (crowded and grid.unit[unit, STRICT] > 0.0):
            continue
        ticks = over
        fits = True
        for q in range(j + 1):
            one = term(grid, members[q], chosen[q], busy - grid.points[chosen[q], BUSY] if crowded else 0.0)
            fits = fits and one <= grid.limit
            ticks = plus(ticks, one, aim.worst)
        if not fits:
            continue
        cost = aim.violation * ticks + (base + aim.power * sums[3, j + 1] - aim.gain * sums[4, j + 1])
        bound = plus(cost, rest[3, j + 1], aim.worst)
        if bound > cut or (bound == cut and not listing):
            continue
        if crowded and j + 1 < size:
            bound = cost
            for q in range(j + 1, size):
                wait_ms = busy - grid.least[clock, members[q], BUSY]
                bound = plus(bound, cheapest(grid, aim, clock, members[q], wait_ms)[0], aim.worst)
            work[SPENT] += size - j - 1
            if bound > cut or (bound == cut and not listing):
                continue
        if j + 1 < size:
            j += 1
            following[j] = grid.spans[clock, members[j], 0]
        elif listing:
            totals = (cost, ticks, sums[4, size], sums[3, size] + grid.static_w[clock])
            if not remember(clock, chosen, np.zeros_like(chosen), totals, leaves):
                work[SPENT] = work[ALLOWED] + 1
                return cut
        else:
            cut = cost
            points[:] = chosen
    return cut
