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

import numpy as np

from scheduler.compiled import compiled
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
    rising,
)
from scheduler.solver.cpus import SEATS, Crowd, gather, least_loaded, most_loaded, moves_of, new_crowd, seats_of
from scheduler.solver.grid import (
    BUSY,
    CORE_MS,
    CORES,
    DENSITY,
    GAIN,
    LATE,
    LOAD,
    OWN_LOAD,
    POWER,
    SHORT,
    SLOTS,
    Floats,
    Grid,
    Ints,
    overload_ticks,
    room_ms,
    term,
)

TIGHT = 1.0 + 1e-9
"""Times the CPUs: densities above that can't keep the limit."""


@compiled
def base_of(grid: Grid, aim: Aim, clock: int, demand: int) -> float:
    """Return the least cost of a demand that finds its CPUs never taken, not even by itself; see above."""
    best = np.inf
    for p in range(grid.spans[clock, demand, 0], grid.spans[clock, demand, 1]):
        point = grid.points[p]
        ticks = point[LATE] + point[SHORT] - 0.5 - grid.wait[demand] * point[BUSY]
        best = min(best, aim.violation * ticks + (0.0 if aim.worst else own_cost(grid, aim, p)))
    return best


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
        if least[BUSY] < shortest:
            shortest, second = least[BUSY], shortest
        else:
            second = min(second, least[BUSY])
    if not cores < np.inf:
        return np.inf
    over = overload_ticks(load)
    crowded = cores > slots
    if over > grid.limit or (crowded and density > slots * TIGHT):
        return np.inf
    fixed = plus(aim.power * grid.static_w[clock], aim.violation * over, aim.worst)
    total = fixed
    alone = np.empty(size)
    extra = np.empty(size)
    for j in range(size):
        i = members[j]
        alone[j], points[j] = cheapest(grid, aim, clock, i, 0.0)
        if alone[j] == np.inf:
            return np.inf
        total = plus(total, alone[j], aim.worst)
        if crowded:
            busy = grid.least[clock, i, BUSY]
            cost = cheapest(grid, aim, clock, i, second if busy == shortest else shortest)[0]
            extra[j] = cost if aim.worst else cost - alone[j]
            likely = cheapest(grid, aim, clock, i, core_ms / slots - busy)[1]
            if likely >= 0:
                points[j] = likely
    if not crowded:
        return total
    order = rising(extra)
    for at in range(size - most_alone(grid, clock, members, slots)):
        total = plus(total, extra[order[at]], aim.worst)
    if aim.violation > 0.0:
        total = max(total, fixed_and_shared(grid, aim, clock, members, alone, fixed, slots))
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
def fixed_and_shared(grid: Grid, aim: Aim, clock: int, members: Ints, alone: Floats, fixed: float, slots: int) -> float:
    """Return the second bound of a set that can't be alone; members whose waiting it would undervalue count alone."""
    size = len(members)
    base, root = np.empty(size), np.empty(size)
    counts = np.ones(size, dtype=np.bool_)
    sum_base, sum_root, number = 0.0, 0.0, size
    for j in range(size):
        base[j], root[j] = base_of(grid, aim, clock, members[j]), root_of(grid, aim, clock, members[j])
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
    gather(grid, slots, places, points, cpus, 0, crowd)
    best = cost_with(grid, aim, unit, clock, members, points, cpus, crowd, 0, points[0], cpus[0])
    for _ in range(ROUNDS):
        moved = False
        for j in range(size):
            gather(grid, slots, places, points, cpus, j, crowd)
            cores, count = 0, 0
            for p in range(grid.spans[clock, members[j], 0], grid.spans[clock, members[j], 1]):
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
            work[SPENT] += size
        if not moved:
            break
    return best if best < BEYOND else np.inf


@compiled
def at_clock(
    grid: Grid,
    aim: Aim,
    unit: int,
    clock: int,
    members: Ints,
    cut: float,
    points: Ints,
    cpus: Ints,
    leaves: Leaves,
    work: Ints,
) -> float:
    """As `one_unit.at_clock`: each member in turn takes CPUs and a point, those first that take most time."""
    size, slots = len(members), int(grid.unit[unit, SLOTS])
    listing = len(leaves.totals) > 0
    weight = np.empty(size)
    for j in range(size):
        weight[j] = -grid.least[clock, members[j], CORE_MS]
    order = rising(weight)
    who = members[order]
    # What the members from j on have at least: load, density, cost on cores of their own; and by the cores of another
    # demand the services of those that can't but share a CPU with it.
    rest = np.zeros((3, size + 1))
    forced = np.zeros((size + 1, slots + 1))
    low = np.zeros((size + 1, size))
    for j in range(size - 1, -1, -1):
        least = grid.least[clock, who[j]]
        low[0, j] = cheapest(grid, aim, clock, who[j], 0.0)[0]
        rest[0, j] = rest[0, j + 1] + least[LOAD]
        rest[1, j] = rest[1, j + 1] + least[DENSITY]
        rest[2, j] = plus(rest[2, j + 1], low[0, j], aim.worst)
        for cores in range(slots + 1):
            forced[j, cores] = forced[j + 1, cores] + (least[BUSY] if cores + least[CORES] > slots else 0.0)
    base = aim.power * grid.static_w[clock]
    # What the members before j have as they are: load, density, watts, ticks of accuracy; their waits; by CPU the
    # services, load and users.
    sums = np.zeros((4, size + 1))
    waits = np.zeros((size + 1, size))
    busy_on, load_on = np.zeros((size + 1, slots)), np.zeros((size + 1, slots))
    users = np.zeros((size + 1, slots), dtype=np.int64)
    chosen, seat = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    # Where each member's choice stands: the cores, of the CPUs for them the one at hand, and the next point.
    cores = np.zeros(size, dtype=np.int64)
    at, count = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    following = np.empty(size, dtype=np.int64)
    seats = np.empty((size, SEATS), dtype=np.int64)
    floors = np.empty(slots + 1)
    following[0] = grid.spans[clock, who[0], 1]
    j = 0
    while j >= 0:
        p, end = following[j], grid.spans[clock, who[j], 1]
        while p < end and grid.points[p, CORES] != cores[j]:
            p += 1
        if p >= end:
            at[j] += 1
            if at[j] >= count[j]:
                if cores[j] == slots:
                    j -= 1
                    continue
                cores[j] += 1
                at[j] = 0
                count[j] = seats_of(users[j], slots, cores[j], seats[j])
                if count[j] == SEATS:
                    work[SPENT] = work[ALLOWED]
            following[j] = grid.spans[clock, who[j], 0]
            continue
        following[j] = p + 1
        work[SPENT] += 1
        if work[SPENT] > work[ALLOWED]:
            return cut
        point = grid.points[p]
        taken = seats[j, at[j]]
        chosen[j], seat[j] = p, taken
        sums[0, j + 1] = sums[0, j] + point[LOAD]
        most_ms = room_ms(point, grid.wait[who[j]], grid.limit) + point[BUSY]
        sums[1, j + 1] = sums[1, j] + point[CORES] * point[BUSY] / most_ms
        if sums[1, j + 1] + rest[1, j + 1] > slots * TIGHT:
            continue
        sums[2, j + 1] = sums[2, j] + point[POWER]
        sums[3, j + 1] = sums[3, j] + point[GAIN]
        load = sums[0, j + 1] + rest[0, j + 1]
        for c in range(slots):
            here = taken >> c & 1
            busy_on[j + 1, c] = busy_on[j, c] + here * point[BUSY]
            load_on[j + 1, c] = load_on[j, c] + here * point[OWN_LOAD]
            users[j + 1, c] = users[j, c] | here << j
            load = max(load, load_on[j + 1, c])
        over = overload_ticks(load)
        if over > grid.limit:
            continue
        ticks = over
        fits = True
        mine = 0.0
        for q in range(j + 1):
            if q == j:
                waits[j + 1, j] = mine
            else:
                waits[j + 1, q] = waits[j, q]
                if seat[q] & taken:
                    waits[j + 1, q] += point[BUSY]
                    mine += grid.points[chosen[q], BUSY]
            wait_ms = waits[j + 1, q] + forced[j + 1, int(grid.points[chosen[q], CORES])]
            one = term(grid, who[q], chosen[q], wait_ms)
            fits = fits and one <= grid.limit
            ticks = plus(ticks, one, aim.worst)
        if not fits:
            continue
        cost = aim.violation * ticks + (base + aim.power * sums[2, j + 1] - aim.gain * sums[3, j + 1])
        bound = cost
        for q in range(j + 1, size):
            bound = plus(bound, low[j, q], aim.worst)
        if bound > cut or (bound == cut and not listing):
            continue
        if j + 1 < size:
            least_taken(busy_on[j + 1], floors)
            floors[slots] = 0.0
            for q in range(j + 1):
                floors[slots] += grid.points[chosen[q], BUSY]
            bound = cost
            for q in range(j + 1, size):
                floor = floors[slots]
                floors[slots] += forced[j + 1, slots] - grid.least[clock, who[q], BUSY]
                low[j + 1, q] = max(low[j, q], cheapest_over(grid, aim, clock, who[q], floors))
                floors[slots] = floor
                bound = plus(bound, low[j + 1, q], aim.worst)
            work[SPENT] += size - j - 1
            if bound > cut or (bound == cut and not listing):
                continue
            j += 1
            cores[j], at[j], count[j] = 0, 0, 0
            following[j] = grid.spans[clock, who[j], 1]
            continue
        whole_points, whole_cpus = (points, cpus) if not listing else (np.empty_like(points), np.empty_like(cpus))
        for q in range(size):
            whole_points[order[q]], whole_cpus[order[q]] = chosen[q], seat[q]
        if listing:
            totals = (cost, ticks, sums[3, size], sums[2, size] + grid.static_w[clock])
            if not remember(clock, whole_points, whole_cpus, totals, leaves):
                work[SPENT] = work[ALLOWED] + 1
                return cut
        else:
            cut = cost
    return cut


@compiled
def least_taken(busy: Floats, floors: Floats) -> None:
    """Fill in what any set of 1, 2, ... CPUs has at least: the services on the CPU of it that is taken most."""
    at = 1
    for c in rising(busy):
        floors[at] = busy[c]
        at += 1


@compiled
def cheapest_over(grid: Grid, aim: Aim, clock: int, demand: int, floors: Floats) -> float:
    """Return the least cost of a demand, where the wait is at least that of its cores."""
    best = np.inf
    for p in range(grid.spans[clock, demand, 0], grid.spans[clock, demand, 1]):
        ticks = term(grid, demand, p, floors[int(grid.points[p, CORES])])
        if ticks <= grid.limit:
            best = min(best, aim.violation * ticks + own_cost(grid, aim, p))
    return best
