"""What it costs that one unit serves a set of demands: a bound, a good choice, and the best choice.

A set of demands is a list of their indices. On a unit it has one clock and a point for each member. Its cost is
`aim.violation` * ticks of violation - `aim.gain` * ticks of accuracy + `aim.power` * watts, or where `aim.worst` is set
the largest term in ticks. No term may exceed the grid's limit; what can't keep it costs infinity.

The bound (`relaxed`) lets every member take the point that is best for it while all others take their shortest; so it
never falls when a member joins. This module does not know which demands should be on the unit.
"""

from typing import NamedTuple

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.grid import (
    BUSY,
    CORES,
    GAIN,
    LOAD,
    POWER,
    SLOTS,
    STRICT,
    Floats,
    Grid,
    Ints,
    overload_ticks,
    term,
)

ROUNDS = 6
"""Most rounds in which each member chooses its point anew; nearly all settle in three."""
BEYOND = 1e15
"""Cost of a tick beyond the limit, where a search starts outside it: more than anything else can cost."""
SPENT, ALLOWED = 0, 1
"""The entries of `work`: the nodes that were looked at so far, and how many may be."""


class Aim(NamedTuple):
    """What is lessened.

    Attributes:
        violation: cost of a tick of violation.
        gain: what a tick of weight * accuracy saves.
        power: cost of a watt.
        worst: True if the largest term counts in place of all this.
    """

    violation: float
    gain: float
    power: float
    worst: bool


class Leaves(NamedTuple):
    """Choices that a search lists, none of which another one of the same set betters.

    Attributes:
        totals: (most, 4): by choice its cost, ticks of violation, ticks of weight * accuracy, watts.
        picks: (most, demands + 1): its clock, and the points of the members.
        filled: (2,): how many there are, and where those of the present set begin.
    """

    totals: Floats
    picks: Ints
    filled: Ints


@compiled
def plus(one: float, other: float, worst: bool) -> float:
    """Return what two costs come to together."""
    return max(one, other) if worst else one + other


@compiled
def own_cost(grid: Grid, aim: Aim, point: int) -> float:
    """Return what a point costs, its demand's term left out."""
    return float(aim.power * grid.points[point, POWER] - aim.gain * grid.points[point, GAIN])


@compiled
def cheapest(grid: Grid, aim: Aim, clock: int, demand: int, wait_ms: float) -> tuple[float, int]:
    """Return the least cost of a demand that waits that long, and its point; infinity and -1 where it has none."""
    best, at = np.inf, -1
    for p in range(grid.spans[clock, demand, 0], grid.spans[clock, demand, 1]):
        ticks = term(grid, demand, p, wait_ms)
        if ticks <= grid.limit:
            cost = aim.violation * ticks + own_cost(grid, aim, p)
            if cost < best:
                best, at = cost, p
    return best, at


@compiled
def relaxed(grid: Grid, aim: Aim, unit: int, clock: int, members: Ints, points: Ints) -> float:
    """Return a lower bound on the cost of a set at a clock, and fill in the points that it rests on."""
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
    total = plus(aim.power * grid.static_w[clock], aim.violation * over, aim.worst)
    for j in range(len(members)):
        i = members[j]
        cost, points[j] = cheapest(grid, aim, clock, i, busy - grid.least[clock, i, BUSY] if crowded else 0.0)
        if cost == np.inf:
            return np.inf
        total = plus(total, cost, aim.worst)
    return total


@compiled
def penalty(grid: Grid, ticks: float) -> float:
    """Return the cost of what a term has beyond the limit."""
    return BEYOND * (ticks - grid.limit) if ticks > grid.limit else 0.0


@compiled
def total_with(grid: Grid, aim: Aim, unit: int, clock: int, members: Ints, points: Ints, at: int, other: int) -> float:
    """Return the cost of a set with its points, the member at a place with another one; a limit broken adds to it."""
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
    """Let each member choose its point anew, as the others are, until none does; change `points` and return the cost.

    The result is infinite where the limit is still broken.
    """
    best = total_with(grid, aim, unit, clock, members, points, 0, points[0])
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
def remember(grid: Grid, clock: int, points: Ints, totals: tuple[float, float, float, float], leaves: Leaves) -> bool:
    """Add a choice to the list unless another one of its set betters it; return False where there is no room."""
    cost, violation, gain, power_w = totals
    stay, count = leaves.filled[1], leaves.filled[0]
    for at in range(leaves.filled[1], count):
        old = leaves.totals[at]
        if old[1] <= violation and old[2] >= gain and old[3] <= power_w:
            return True
    for at in range(leaves.filled[1], count):
        old = leaves.totals[at]
        if not (violation <= old[1] and gain >= old[2] and power_w <= old[3]):
            leaves.totals[stay], leaves.picks[stay] = leaves.totals[at], leaves.picks[at]
            stay += 1
    if stay >= len(leaves.totals):
        return False
    leaves.totals[stay, 0], leaves.totals[stay, 1] = cost, violation
    leaves.totals[stay, 2], leaves.totals[stay, 3] = gain, power_w
    leaves.picks[stay, 0] = clock
    leaves.picks[stay, 1 : len(points) + 1] = points
    leaves.filled[0] = stay + 1
    return True


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
            if not remember(grid, clock, chosen, totals, leaves):
                work[SPENT] = work[ALLOWED] + 1
                return cut
        else:
            cut = cost
            points[:] = chosen
    return cut


@compiled
def rising(values: Floats) -> Ints:
    """Return the indices that sort a few values; of equals the first comes first."""
    order = np.empty(len(values), dtype=np.int64)
    for k in range(len(values)):
        at = k
        while at > 0 and values[order[at - 1]] > values[k]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = k
    return order


@compiled
def serve(
    grid: Grid, aim: Aim, unit: int, members: Ints, cut: float, picks: Ints, leaves: Leaves, work: Ints
) -> tuple[float, float]:
    """Find the best choice of clock and points for a set below a cost; or list all that cost no more.

    Args:
        grid: the grid.
        aim: what is lessened.
        unit: the unit.
        members: the set, not empty.
        cut: the cost.
        picks: is given the clock, and the points of the members; the clock is -1 where nothing costs less than `cut`.
        leaves: as in `at_clock`.
        work: as in `at_clock`.

    Returns:
        A lower bound on the cost, and the cost of the choice; `cut` where there is none. The bound is the cost, or the
        `cut`, where the work sufficed.
    """
    size = len(members)
    listing = len(leaves.totals) > 0
    first, count = grid.first[unit], grid.first[unit + 1] - grid.first[unit]
    bounds = np.empty(count)
    starts = np.empty((count, size), dtype=np.int64)
    for c in range(count):
        bounds[c] = relaxed(grid, aim, unit, first + c, members, starts[c])
    order = rising(bounds)
    work[SPENT] += count
    picks[0] = -1
    best = cut
    for c in order:
        if bounds[c] > best or (bounds[c] == best and not listing):
            break
        clock = first + c
        points = starts[c]
        if not listing and picks[0] < 0:  # once an answer is known the search is quicker than the descent
            cost = descend(grid, aim, unit, clock, members, points, work)
            if cost < best:
                best = cost
                picks[0] = clock
                picks[1 : size + 1] = points
            if bounds[c] >= best:
                continue
        cost = at_clock(grid, aim, unit, clock, members, best, points, leaves, work)
        if work[SPENT] > work[ALLOWED]:
            return min(bounds[c], best), best
        if cost < best:
            best = cost
            picks[0] = clock
            picks[1 : size + 1] = points
    return best, best
