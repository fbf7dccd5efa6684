"""A set of demands on a unit where waiting goes CPU by CPU: each waits for those with which it has a CPU in common.

Where the cores of all suffice nobody waits. Else two bounds hold (`relaxed`):

- Few can be alone. Whoever shares no CPU leaves at least one CPU to the others, so that at most as many are alone as
  have the fewest cores, together at most the unit's less one. All others wait at least for the shortest service there.
- Together they take time, which they pay for (`alone`). In the same way no choice keeps the limit where the sum of
  `DENSITY` exceeds the number of CPUs.
"""

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.alone import Alone, paid
from scheduler.solver.costs import (
    BEYOND,
    ROUNDS,
    SPENT,
    Aim,
    cheapest,
    own_cost,
    penalty,
    plus,
    rising,
)
from scheduler.solver.cpus import SEATS, Crowd, gather, least_loaded, most_loaded, moves_of, new_crowd
from scheduler.solver.grid import (
    BUSY,
    CORE_MS,
    CORES,
    DENSITY,
    LOAD,
    OWN_LOAD,
    SLOTS,
    Grid,
    Ints,
    overload_ticks,
    term,
)

TIGHT = 1.0 + 1e-9
"""Times the CPUs: densities above that can't keep the limit."""


@compiled
def relaxed(grid: Grid, aim: Aim, alone: Alone, unit: int, clock: int, members: Ints) -> float:
    """Return a lower bound on the cost of a set at a clock."""
    size, slots = len(members), int(grid.unit[unit, SLOTS])
    cores, load, density = 0.0, 0.0, 0.0
    shortest, second = np.inf, np.inf
    for i in members:
        least = grid.least[clock, i]
        cores += least[CORES]
        load += least[LOAD]
        density += least[DENSITY]
        shortest, second = min(shortest, least[BUSY]), min(second, max(shortest, least[BUSY]))
    if not cores < np.inf:
        return np.inf
    over = overload_ticks(load)
    crowded = cores > slots
    if over > grid.limit or (crowded and density > slots * TIGHT):
        return np.inf
    fixed = plus(aim.power * grid.static_w[clock], aim.violation * over, aim.worst)
    total = fixed
    for i in members:
        total = plus(total, alone.cost[clock, i], aim.worst)
    if total == np.inf:
        return total
    shared = paid(alone, clock, members)
    shared = max(fixed, shared / size) if aim.worst else fixed + shared
    if not crowded:
        return max(total, shared)
    extra = np.empty(size)
    for j in range(size):
        met_ms = second if grid.least[clock, members[j], BUSY] == shortest else shortest
        extra[j] = sharing_cost(grid, aim, alone, clock, members[j], met_ms)
    order = rising(extra)
    for at in range(size - most_alone(grid, clock, members, slots)):
        total = plus(total, extra[order[at]], aim.worst)
    return max(total, shared)


@compiled
def sharing_cost(grid: Grid, aim: Aim, alone: Alone, clock: int, demand: int, met_ms: float) -> float:
    """Return what it costs a demand to wait for the shortest service that it can meet, beyond what it costs alone.

    Where the largest term counts it is the cost itself.
    """
    cost = cheapest(grid, aim, clock, demand, met_ms)[0]
    return float(cost if aim.worst or cost == np.inf else cost - alone.cost[clock, demand])


@compiled
def most_alone(grid: Grid, clock: int, members: Ints, slots: int) -> int:
    """Return how many members can share no CPU where not all can."""
    cores = np.empty(len(members))
    for j in range(len(members)):
        cores[j] = grid.least[clock, members[j], CORES]
    left, count = slots - 1.0, 0
    for at in rising(cores):
        left -= cores[at]
        if left < 0.0:
            break
        count += 1
    return min(count, len(members) - 2)


@compiled
def cost_with(
    grid: Grid,
    aim: Aim,
    unit: int,
    clock: int,
    members: Ints,
    points: Ints,
    cpus: Ints,
    crowd: Crowd,
    at: int,
    other: int,
    seat: int,
) -> float:
    """Return the cost of a set, the member at a place with another point and CPUs; a limit broken adds to it.

    Args:
        grid: the grid.
        aim: what is lessened.
        unit: the unit.
        clock: the clock.
        members: the set.
        points: its points.
        cpus: its CPUs.
        crowd: all members but that one.
        at: the place.
        other: the point there.
        seat: the CPUs there.
    """
    busy = grid.points[other, BUSY]
    over = overload_ticks(most_loaded(crowd, int(grid.unit[unit, SLOTS]), seat, grid.points[other, OWN_LOAD]))
    beyond = penalty(grid, over)
    total = plus(aim.power * grid.static_w[clock], aim.violation * over, aim.worst)
    mine = 0.0
    for j in range(len(members)):
        if j != at:
            wait_ms = crowd.waits[j]
            if cpus[j] & seat:
                wait_ms += busy
                mine += grid.points[points[j], BUSY]
            ticks = term(grid, members[j], points[j], wait_ms)
            beyond += penalty(grid, ticks)
            total = plus(total, aim.violation * ticks + own_cost(grid, aim, points[j]), aim.worst)
    ticks = term(grid, members[at], other, mine)
    beyond += penalty(grid, ticks)
    total = plus(total, aim.violation * ticks + own_cost(grid, aim, other), aim.worst)
    return total + beyond


@compiled
def cost_without(grid: Grid, aim: Aim, clock: int, members: Ints, points: Ints, crowd: Crowd, at: int) -> float:
    """Return what a set costs at least, whatever the member at a place has; the crowd is all others."""
    total = aim.power * grid.static_w[clock]
    for j in range(len(members)):
        if j != at:
            ticks = term(grid, members[j], points[j], crowd.waits[j])
            total = plus(total, aim.violation * ticks + own_cost(grid, aim, points[j]), aim.worst)
    return float(total)


@compiled
def services_met(grid: Grid, points: Ints, cpus: Ints, at: int, seat: int) -> float:
    """Return the services that the member at a place waits for with these CPUs."""
    met_ms = 0.0
    for q in range(len(points)):
        if q != at and cpus[q] & seat:
            met_ms += grid.points[points[q], BUSY]
    return met_ms


@compiled
def begin(grid: Grid, aim: Aim, clock: int, members: Ints, slots: int, points: Ints) -> None:
    """Give each member the point that is best for it where it waits for a likely time."""
    cores, core_ms = 0.0, 0.0
    for i in members:
        cores += grid.least[clock, i, CORES]
        core_ms += grid.least[clock, i, CORE_MS]
    for j in range(len(members)):
        likely_ms = core_ms / slots - grid.least[clock, members[j], BUSY] if cores > slots else 0.0
        points[j] = cheapest(grid, aim, clock, members[j], likely_ms)[1]
        if points[j] < 0:
            points[j] = cheapest(grid, aim, clock, members[j], 0.0)[1]


@compiled
def spread(grid: Grid, slots: int, points: Ints, cpus: Ints) -> None:
    """Give each member the CPUs that are taken for the least time so far, those that take most time first."""
    size = len(points)
    weight = np.empty(size)
    for j in range(size):
        weight[j] = -grid.points[points[j], BUSY] * grid.points[points[j], CORES]
    busy = np.zeros(slots)
    for j in rising(weight):
        cpus[j] = least_loaded(busy, slots, int(grid.points[points[j], CORES]))
        for c in range(slots):
            if cpus[j] >> c & 1:
                busy[c] += grid.points[points[j], BUSY]


@compiled
def descend(grid: Grid, aim: Aim, unit: int, clock: int, members: Ints, points: Ints, cpus: Ints, work: Ints) -> float:
    """As `one_unit.descend`."""
    size, slots = len(members), int(grid.unit[unit, SLOTS])
    begin(grid, aim, clock, members, slots, points)
    crowd = new_crowd(size)
    places, meets = np.arange(size), np.empty(SEATS + 1)
    spread(grid, slots, points, cpus)
    gather(grid, slots, places, points, cpus, places[0], crowd)
    best = cost_with(grid, aim, unit, clock, members, points, cpus, crowd, places[0], points[0], cpus[0])
    for _ in range(ROUNDS):
        moved = False
        for j in range(size):
            gather(grid, slots, places, points, cpus, j, crowd)
            rest = cost_without(grid, aim, clock, members, points, crowd, j)
            cores, count = 0, 0
            for p in range(grid.spans[clock, members[j], 0], grid.spans[clock, members[j], 1]):
                if int(grid.points[p, CORES]) != cores:
                    cores = int(grid.points[p, CORES])
                    count = moves_of(crowd, slots, cores)
                    for at in range(count):
                        meets[at] = services_met(grid, points, cpus, j, crowd.seats[at])
                own = own_cost(grid, aim, p)
                for at in range(count):
                    seat = crowd.seats[at]
                    least = plus(rest, aim.violation * term(grid, members[j], p, meets[at]) + own, aim.worst)
                    if least >= best or (p == points[j] and seat == cpus[j]):
                        continue
                    cost = cost_with(grid, aim, unit, clock, members, points, cpus, crowd, j, p, seat)
                    if cost < best:
                        best, points[j], cpus[j], moved = cost, p, seat, True
            work[SPENT] += 4 * size
        if not moved:
            break
    return best if best < BEYOND else np.inf
