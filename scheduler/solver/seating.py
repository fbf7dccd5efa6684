"""The best choice for a set of demands at one clock, where waiting goes CPU by CPU: two searches, depth first.

The outer one gives each member cores and CPUs, the inner one points with these cores. With the CPUs of all known, who
waits for whom is known too, and each member waits at least for the shortest services, on as many cores, of those that
it shares a CPU with.
"""

from typing import NamedTuple

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.by_cpu import TIGHT
from scheduler.solver.costs import ALLOWED, SPENT, Aim, Leaves, own_cost, plus, remember, rising
from scheduler.solver.cpus import SEATS, seats_of
from scheduler.solver.grid import (
    BUSY,
    CORE_MS,
    CORES,
    DENSITY,
    GAIN,
    LOAD,
    OWN_LOAD,
    POWER,
    SLOTS,
    Floats,
    Grid,
    Ints,
    overload_ticks,
    room_ms,
    term,
)

KINDS = 3
"""The first axis of `Pattern.least`: the least service time, load of each CPU, and density."""


class Pattern(NamedTuple):
    """Members with their cores and CPUs; arrays that a search changes in place.

    Attributes:
        who: (members,): the demands, those first that take most time.
        order: (members,): by place here, the place in the set.
        least: (`KINDS`, members, CPUs + 1): by cores, what the member's points have at least; infinite without any.
        cores: (members,): the cores of each.
        seat: (members,): the CPUs of each.
    """

    who: Ints
    order: Ints
    least: Floats
    cores: Ints
    seat: Ints


@compiled
def pattern_of(grid: Grid, clock: int, members: Ints, slots: int) -> Pattern:
    """Return a pattern of a set at a clock in which nobody has cores yet."""
    size = len(members)
    weight = np.empty(size)
    for j in range(size):
        weight[j] = -grid.least[clock, members[j], CORE_MS]
    order = rising(weight)
    least = np.full((KINDS, size, slots + 1), np.inf)
    for j in range(size):
        i = members[order[j]]
        for p in range(grid.spans[clock, i, 0], grid.spans[clock, i, 1]):
            point = grid.points[p]
            k = int(point[CORES])
            density = point[BUSY] * point[CORES] / (room_ms(point, grid.wait[i], grid.limit) + point[BUSY])
            least[0, j, k] = min(least[0, j, k], point[BUSY])
            least[1, j, k] = min(least[1, j, k], point[OWN_LOAD])
            least[2, j, k] = min(least[2, j, k], density)
    zeros = np.zeros((2, size), dtype=np.int64)
    return Pattern(members[order], order, least, zeros[0], zeros[1])


@compiled
def cheapest_on(grid: Grid, aim: Aim, clock: int, demand: int, cores: int, wait_ms: float) -> float:
    """Return the least cost of a demand on that many cores that waits that long; infinite where it has none."""
    best = np.inf
    for p in range(grid.spans[clock, demand, 0], grid.spans[clock, demand, 1]):
        if grid.points[p, CORES] == cores:
            ticks = term(grid, demand, p, wait_ms)
            if ticks <= grid.limit:
                best = min(best, aim.violation * ticks + own_cost(grid, aim, p))
    return best


@compiled
def cheapest_over(grid: Grid, aim: Aim, clock: int, demand: int, floors: Floats, all_ms: float) -> float:
    """Return the least cost of a demand that waits at least as long as its cores must, and on all CPUs `all_ms`."""
    best = np.inf
    for p in range(grid.spans[clock, demand, 0], grid.spans[clock, demand, 1]):
        cores = int(grid.points[p, CORES])
        ticks = term(grid, demand, p, all_ms if cores == len(floors) else floors[cores - 1])
        if ticks <= grid.limit:
            best = min(best, aim.violation * ticks + own_cost(grid, aim, p))
    return best


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
    """As `one_server.at_clock`: the outer search, over cores and CPUs."""
    size, slots = len(members), int(grid.unit[unit, SLOTS])
    listing = len(leaves.totals) > 0
    pattern = pattern_of(grid, clock, members, slots)
    who, cores, seat = pattern.who, pattern.cores, pattern.seat
    # What the members from j on have at least: load, density; and by the cores of another demand the services of those
    # that can't but share a CPU with it.
    rest = np.zeros((2, size + 1))
    forced = np.zeros((size + 1, slots + 1))
    # What each member costs at least: those before j with the CPUs that they have, the others as well as they can.
    low = np.empty((size + 1, size))
    floors = np.zeros(slots)
    for j in range(size - 1, -1, -1):
        least = grid.least[clock, who[j]]
        low[0, j] = cheapest_over(grid, aim, clock, who[j], floors, 0.0)
        rest[0, j] = rest[0, j + 1] + least[LOAD]
        rest[1, j] = rest[1, j + 1] + least[DENSITY]
        for k in range(slots + 1):
            forced[j, k] = forced[j + 1, k] + (least[BUSY] if k + least[CORES] > slots else 0.0)
    # What the members before j have at least: load, density, services; their waits; by CPU the services, load, users.
    sums = np.zeros((3, size + 1))
    waits = np.zeros((size + 1, size))
    busy_on, load_on = np.zeros((size + 1, slots)), np.zeros((size + 1, slots))
    users = np.zeros((size + 1, slots), dtype=np.int64)
    at, count = np.full(size, -1, dtype=np.int64), np.zeros(size, dtype=np.int64)
    seats = np.empty((size, SEATS), dtype=np.int64)
    cores[0] = 0
    j = 0
    while j >= 0:
        at[j] += 1
        if at[j] >= count[j]:
            if cores[j] == slots:
                j -= 1
                continue
            cores[j] += 1
            at[j], count[j] = -1, 0
            if pattern.least[0, j, cores[j]] < np.inf:
                count[j] = seats_of(users[j], slots, cores[j], seats[j])
                if count[j] == SEATS:
                    work[SPENT] = work[ALLOWED]  # there may be more: no proof
            continue
        work[SPENT] += 1 + size // 2
        if work[SPENT] > work[ALLOWED]:
            return cut
        taken, k = seats[j, at[j]], cores[j]
        seat[j] = taken
        busy, load = pattern.least[0, j, k], pattern.least[1, j, k]
        sums[0, j + 1] = sums[0, j] + load * k / slots
        sums[1, j + 1] = sums[1, j] + pattern.least[2, j, k]
        sums[2, j + 1] = sums[2, j] + busy
        if sums[1, j + 1] + rest[1, j + 1] > slots * TIGHT:
            continue
        most = sums[0, j + 1] + rest[0, j + 1]
        for c in range(slots):
            here = taken >> c & 1
            busy_on[j + 1, c] = busy_on[j, c] + here * busy
            load_on[j + 1, c] = load_on[j, c] + here * load
            users[j + 1, c] = users[j, c] | here << j
            most = max(most, load_on[j + 1, c])
        over = overload_ticks(most)
        if over > grid.limit:
            continue
        bound = plus(aim.power * grid.static_w[clock], aim.violation * over, aim.worst)
        mine = 0.0
        for q in range(j):
            waits[j + 1, q] = waits[j, q]
            low[j + 1, q] = low[j, q]
            if seat[q] & taken:
                waits[j + 1, q] += busy
                mine += pattern.least[0, q, cores[q]]
            # Who must share a CPU with the members to come waits for them already: that changes, too.
            wait_ms = waits[j + 1, q] + forced[j + 1, cores[q]]
            if wait_ms > waits[j, q] + forced[j, cores[q]]:
                low[j + 1, q] = cheapest_on(grid, aim, clock, who[q], cores[q], wait_ms)
            bound = plus(bound, low[j + 1, q], aim.worst)
        waits[j + 1, j] = mine
        low[j + 1, j] = cheapest_on(grid, aim, clock, who[j], k, mine + forced[j + 1, k])
        bound = plus(bound, low[j + 1, j], aim.worst)
        for q in range(j + 1, size):
            low[j + 1, q] = low[j, q]
            bound = plus(bound, low[j, q], aim.worst)
        if bound > cut or (bound == cut and not listing):
            continue
        if j + 1 == size:
            cut = with_points(grid, aim, unit, clock, pattern, waits[size], low[size], cut, points, cpus, leaves, work)
            if work[SPENT] > work[ALLOWED]:
                return cut
            continue
        bound = plus(aim.power * grid.static_w[clock], aim.violation * over, aim.worst)
        for q in range(j + 1):
            bound = plus(bound, low[j + 1, q], aim.worst)
        floors[:] = np.sort(busy_on[j + 1])
        for q in range(j + 1, size):
            all_ms = sums[2, j + 1] + forced[j + 1, slots] - grid.least[clock, who[q], BUSY]
            low[j + 1, q] = max(low[j, q], cheapest_over(grid, aim, clock, who[q], floors, all_ms))
            bound = plus(bound, low[j + 1, q], aim.worst)
        if bound > cut or (bound == cut and not listing):
            continue
        j += 1
        cores[j], at[j], count[j] = 0, -1, 0
    return cut


@compiled
def with_points(
    grid: Grid,
    aim: Aim,
    unit: int,
    clock: int,
    pattern: Pattern,
    least_waits: Floats,
    least_costs: Floats,
    cut: float,
    points: Ints,
    cpus: Ints,
    leaves: Leaves,
    work: Ints,
) -> float:
    """Search the points for members with the cores and CPUs of a pattern.

    Args:
        grid: the grid.
        aim: what is lessened.
        unit: the unit.
        clock: the clock.
        pattern: the members with their cores and CPUs.
        least_waits: by member the shortest services of those that it shares a CPU with.
        least_costs: by member what it costs at least.
        cut: as in `one_server.at_clock`, and so are `points`, `cpus`, `leaves` and `work`.
        points: see above.
        cpus: see above.
        leaves: see above.
        work: see above.

    Returns:
        As `one_server.at_clock`.
    """
    size, slots = len(pattern.who), int(grid.unit[unit, SLOTS])
    who, cores, seat = pattern.who, pattern.cores, pattern.seat
    listing = len(leaves.totals) > 0
    # With the points before j and the least of the others: waits and costs of all, by CPU the load.
    waits, low = np.empty((size + 1, size)), np.empty((size + 1, size))
    waits[0], low[0] = least_waits, least_costs
    load_on = np.zeros((size + 1, slots))
    for q in range(size):
        for c in range(slots):
            load_on[0, c] += (seat[q] >> c & 1) * pattern.least[1, q, cores[q]]
    chosen, following = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    following[0] = grid.spans[clock, who[0], 0]
    j = 0
    while j >= 0:
        p, end = following[j], grid.spans[clock, who[j], 1]
        while p < end and grid.points[p, CORES] != cores[j]:
            p += 1
        if p >= end:
            j -= 1
            continue
        following[j] = p + 1
        work[SPENT] += 1 + size // 4
        if work[SPENT] > work[ALLOWED]:
            return cut
        chosen[j] = p
        more = grid.points[p, BUSY] - pattern.least[0, j, cores[j]]
        most = 0.0
        for c in range(slots):
            load_on[j + 1, c] = load_on[j, c]
            if seat[j] >> c & 1:
                load_on[j + 1, c] += grid.points[p, OWN_LOAD] - pattern.least[1, j, cores[j]]
            most = max(most, load_on[j + 1, c])
        over = overload_ticks(most)
        if over > grid.limit:
            continue
        bound = plus(aim.power * grid.static_w[clock], aim.violation * over, aim.worst)
        for q in range(size):
            waits[j + 1, q], low[j + 1, q] = waits[j, q], low[j, q]
            if q != j and more > 0.0 and seat[q] & seat[j]:
                waits[j + 1, q] += more
            if q <= j:
                ticks = term(grid, who[q], chosen[q], waits[j + 1, q])
                low[j + 1, q] = np.inf
                if ticks <= grid.limit:
                    low[j + 1, q] = aim.violation * ticks + own_cost(grid, aim, chosen[q])
            elif waits[j + 1, q] > waits[j, q]:
                low[j + 1, q] = cheapest_on(grid, aim, clock, who[q], cores[q], waits[j + 1, q])
            bound = plus(bound, low[j + 1, q], aim.worst)
        if bound > cut or (bound == cut and not listing):
            continue
        if j + 1 < size:
            j += 1
            following[j] = grid.spans[clock, who[j], 0]
            continue
        ticks, gain, power_w = over, 0.0, grid.static_w[clock]
        for q in range(size):
            ticks = plus(ticks, term(grid, who[q], chosen[q], waits[size, q]), aim.worst)
            gain += grid.points[chosen[q], GAIN]
            power_w += grid.points[chosen[q], POWER]
        cost = aim.violation * ticks - aim.gain * gain + aim.power * power_w
        if not listing and cost < cut:
            cut = cost
            for q in range(size):
                points[pattern.order[q]], cpus[pattern.order[q]] = chosen[q], seat[q]
        elif listing and cost <= cut:
            listed = np.empty((2, size), dtype=np.int64)
            for q in range(size):
                listed[0, pattern.order[q]], listed[1, pattern.order[q]] = chosen[q], seat[q]
            if not remember(clock, listed[0], listed[1], (cost, ticks, gain, power_w), leaves):
                work[SPENT] = work[ALLOWED] + 1
                return cut
    return cut
