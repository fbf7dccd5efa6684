"""A set of demands on a unit where waiting goes CPU by CPU: each waits for those with which it has a CPU in common.

Where the cores of all suffice nobody waits. Else two bounds hold (`relaxed`):

- Few can be alone. Whoever shares no CPU leaves at least one CPU to the others, so that at most as many are alone as
  have the fewest cores, together at most the unit's less one. All others wait at least for the shortest service there.
- Together they take time. Let demand i cost at least base_i + slope_i * (time for which its CPUs are taken for one
  service of each user). On each CPU the sum of the slopes times the sum of the services is at least the square of the
  sum of g_i = sqrt(slope_i * cores_i * service_i) there (Cauchy), and the squares are least where all CPUs have equal
  sums. So K CPUs have a cost of at least the sum of all base_i and (sum of all g_i)^2 / K. In the same way no choice
  keeps the limit where the sum of `DENSITY` exceeds K.
"""

from typing import NamedTuple

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.costs import (
    BEYOND,
    ROUNDS,
    SPENT,
    Aim,
    own_cost,
    penalty,
    plus,
    rising,
)
from scheduler.solver.cpus import Crowd, gather, least_loaded, most_loaded, moves_of, new_crowd
from scheduler.solver.grid import (
    BUSY,
    CORE_MS,
    CORES,
    DENSITY,
    LATE,
    LOAD,
    OWN_LOAD,
    SHORT,
    SLOTS,
    Floats,
    Grid,
    Ints,
    overload_ticks,
    term,
)

TIGHT = 1.0 + 1e-9
"""Times the CPUs: densities above that can't keep the limit."""


class Costs(NamedTuple):
    """What a demand costs at a clock.

    Attributes:
        alone: where it waits for nobody.
        sharing: where it waits for the shortest service that it can meet.
        base: where it finds its CPUs never taken, not even by itself; see above.
        point: the point with which it costs least where it waits for a likely time; -1 for none.
    """

    alone: float
    sharing: float
    base: float
    point: int


@compiled
def costs_of(grid: Grid, aim: Aim, clock: int, demand: int, shortest_ms: float, likely_ms: float) -> Costs:
    """Return what a demand costs at a clock, with all points looked at once; infinite where it has none.

    Args:
        grid: the grid.
        aim: what is lessened.
        clock: the clock.
        demand: the demand.
        shortest_ms: the shortest service that it can meet.
        likely_ms: the likely wait.
    """
    alone, sharing, base, likely = np.inf, np.inf, np.inf, np.inf
    at, least = -1, -1
    scale = grid.wait[demand]
    for p in range(grid.spans[clock, demand, 0], grid.spans[clock, demand, 1]):
        point = grid.points[p]
        own = own_cost(grid, aim, p)
        late = point[LATE]
        ticks = late + point[SHORT] - 0.5 - scale * point[BUSY]
        base = min(base, aim.violation * ticks + (0.0 if aim.worst else own))
        ticks = np.rint(max(late, 0.0)) + point[SHORT]
        if ticks <= grid.limit and aim.violation * ticks + own < alone:
            alone, least = aim.violation * ticks + own, p
        ticks = np.rint(max(late + shortest_ms * scale, 0.0)) + point[SHORT]
        if ticks <= grid.limit:
            sharing = min(sharing, aim.violation * ticks + own)
        ticks = np.rint(max(late + likely_ms * scale, 0.0)) + point[SHORT]
        if ticks <= grid.limit and aim.violation * ticks + own < likely:
            likely, at = aim.violation * ticks + own, p
    return Costs(alone, sharing, base, at if at >= 0 else least)


@compiled
def root_of(grid: Grid, aim: Aim, clock: int, demand: int) -> float:
    """Return a demand's g; see above."""
    return float(np.sqrt(aim.violation * grid.wait[demand] * grid.least[clock, demand, CORE_MS]))


@compiled
def relaxed(grid: Grid, aim: Aim, unit: int, clock: int, members: Ints, points: Ints) -> float:
    """Return a lower bound on the cost of a set at a clock, and fill in points to begin with."""
    size, slots = len(members), int(grid.unit[unit, SLOTS])
    cores, load, density, core_ms = 0.0, 0.0, 0.0, 0.0
    shortest, second = np.inf, np.inf
    for i in members:
        least = grid.least[clock, i]
        cores += least[CORES]
        load += least[LOAD]
        density += least[DENSITY]
        core_ms += least[CORE_MS]
        shortest, second = min(shortest, least[BUSY]), min(second, max(shortest, least[BUSY]))
    if not cores < np.inf:
        return np.inf
    over = overload_ticks(load)
    crowded = cores > slots
    if over > grid.limit or (crowded and density > slots * TIGHT):
        return np.inf
    fixed = plus(aim.power * grid.static_w[clock], aim.violation * over, aim.worst)
    total = fixed
    alone, extra, base = np.empty(size), np.empty(size), np.empty(size)
    for j in range(size):
        busy = grid.least[clock, members[j], BUSY]
        met_ms = second if busy == shortest else shortest
        likely_ms = core_ms / slots - busy if crowded else 0.0
        costs = costs_of(grid, aim, clock, members[j], met_ms, likely_ms)
        if costs.alone == np.inf:
            return np.inf
        alone[j], base[j], points[j] = costs.alone, costs.base, costs.point
        extra[j] = costs.sharing if aim.worst else costs.sharing - costs.alone
        total = plus(total, alone[j], aim.worst)
    if not crowded:
        return total
    order = rising(extra)
    for at in range(size - most_alone(grid, clock, members, slots)):
        total = plus(total, extra[order[at]], aim.worst)
    if aim.violation > 0.0:
        total = max(total, fixed_and_shared(grid, aim, clock, members, alone, base, fixed, slots))
    return total


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
def fixed_and_shared(
    grid: Grid, aim: Aim, clock: int, members: Ints, alone: Floats, base: Floats, fixed: float, slots: int
) -> float:
    """Return the second bound of a set that can't be alone; members whose waiting it would undervalue count alone."""
    size = len(members)
    root = np.empty(size)
    counts = np.ones(size, dtype=np.bool_)
    sum_base, sum_root, number = 0.0, 0.0, size
    for j in range(size):
        root[j] = root_of(grid, aim, clock, members[j])
        sum_base += base[j]
        sum_root += root[j]
    better = True
    while better:
        better = False
        for j in range(size):
            rest = sum_root - root[j]
            worth = base[j] + (sum_root * sum_root - rest * rest) / slots
            if counts[j] and worth < (0.0 if aim.worst else alone[j]):
                counts[j], better = False, True
                sum_root, sum_base = rest, sum_base - base[j] + (0.0 if aim.worst else alone[j])
                number -= 1
    shared = sum_base + sum_root * sum_root / slots
    if aim.worst:
        return max(fixed, shared / max(number, 1))
    return fixed + shared


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
    """As `one_unit.descend`: the members' points are given, their CPUs are not."""
    size, slots = len(members), int(grid.unit[unit, SLOTS])
    crowd = new_crowd(size)
    places = np.arange(size)
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
                alone = aim.violation * term(grid, members[j], p, 0.0) + own_cost(grid, aim, p)
                if plus(rest, alone, aim.worst) >= best:
                    continue
                if int(grid.points[p, CORES]) != cores:
                    cores = int(grid.points[p, CORES])
                    count = moves_of(crowd, slots, cores)
                for at in range(count):
                    seat = crowd.seats[at]
                    if p == points[j] and seat == cpus[j]:
                        continue
                    cost = cost_with(grid, aim, unit, clock, members, points, cpus, crowd, j, p, seat)
                    if cost < best:
                        best, points[j], cpus[j], moved = cost, p, seat, True
            work[SPENT] += 4 * size
        if not moved:
            break
    return best if best < BEYOND else np.inf
