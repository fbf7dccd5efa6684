"""Good answers for any number of demands: local search.

A greedy placement is improved by moves of one demand, of one unit's clock, and by exchanges of two demands, until none
helps. What is compared is the objective itself, the power cap included. This module proves nothing.
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
    TICKS,
    UNUSED,
    Floats,
    Grid,
    Ints,
    overload_ticks,
    term,
)
from scheduler.solver.one_unit import ALLOWED, SPENT, Aim, descend, relaxed

PASSES = 12
"""Most rounds of moves; most problems settle in three or four."""

Key = tuple[float, float, float, float, float]
"""What is lessened, most important first: cores beyond a unit's own where they must not be shared, the largest term
where it counts, ticks of violation, negative ticks of weight * accuracy, watts."""


class State(NamedTuple):
    """A choice for every demand; arrays that the search changes in place.

    Attributes:
        unit: (demands,): by demand its unit, -1 where it has none yet.
        point: (demands,): by demand its point.
        clock: (units,): by unit its clock, counted through all units.
        size: (units,): by unit how many demands it has.
        members: (units, demands): by unit its demands; those up to `size` count.
        figures: (units, 5): by unit what `figures_of` returns.
    """

    unit: Ints
    point: Ints
    clock: Ints
    size: Ints
    members: Ints
    figures: Floats


@compiled
def figures_of(
    grid: Grid, unit: int, clock: int, members: Ints, point: Ints, without: int, extra: int, extra_point: int
) -> Key:
    """Return what a unit comes to with its members, less one of them, and with one demand more; -1 stands for nobody.

    Returns:
        Cores beyond the unit's, the largest term, violation, negative gain (all in ticks but the first), watts.
    """
    busy, cores, load, gain = 0.0, 0.0, 0.0, 0.0
    power_w = grid.static_w[clock]
    nobody = True
    for i in members:
        if i != without:
            p = point[i]
            nobody = False
            busy += grid.points[p, BUSY]
            cores += grid.points[p, CORES]
            load += grid.points[p, LOAD]
            gain += grid.points[p, GAIN]
            power_w += grid.points[p, POWER]
    if extra >= 0:
        p = extra_point
        nobody = False
        busy += grid.points[p, BUSY]
        cores += grid.points[p, CORES]
        load += grid.points[p, LOAD]
        gain += grid.points[p, GAIN]
        power_w += grid.points[p, POWER]
    if nobody:
        return 0.0, 0.0, 0.0, 0.0, grid.unit[unit, UNUSED]
    crowded = cores > grid.unit[unit, SLOTS]
    over = overload_ticks(load)
    worst, violation = over, over
    for i in members:
        if i != without:
            ticks = term(grid, i, point[i], busy - grid.points[point[i], BUSY] if crowded else 0.0)
            worst, violation = max(worst, ticks), violation + ticks
    if extra >= 0:
        ticks = term(grid, extra, extra_point, busy - grid.points[extra_point, BUSY] if crowded else 0.0)
        worst, violation = max(worst, ticks), violation + ticks
    excess = cores - grid.unit[unit, SLOTS] if crowded and grid.unit[unit, STRICT] > 0.0 else 0.0
    return excess, worst, violation, -gain, power_w


@compiled
def add(one: Key, other: Key) -> Key:
    """Return what two units come to together."""
    return (
        one[0] + other[0],
        max(one[1], other[1]),
        one[2] + other[2],
        one[3] + other[3],
        one[4] + other[4],
    )


@compiled
def others(figures: Floats, one: int, other: int) -> Key:
    """Return what all units but two come to together."""
    total = (0.0, 0.0, 0.0, 0.0, 0.0)
    for u in range(len(figures)):
        if u not in (one, other):
            row = figures[u]
            total = add(total, (row[0], row[1], row[2], row[3], row[4]))
    return total


@compiled
def cap_ticks(power_w: float, cap_w: float) -> float:
    """Return the cap's term in ticks; 0 where the cap is infinite."""
    return float(np.rint(max(power_w / cap_w - 1.0, 0.0) * TICKS))


@compiled
def key_of(total: Key, cap_w: float, fair: bool) -> Key:
    """Return what is lessened, from what all units come to."""
    over = cap_ticks(total[4], cap_w)
    return total[0], max(total[1], over) if fair else 0.0, total[2] + over, total[3], total[4]


@compiled
def less(one: Key, other: Key) -> bool:
    """Return True if a key is less than another one; power counts as equal to 1e-12 of itself."""
    if one[:4] != other[:4]:
        return one[:4] < other[:4]
    return one[4] < other[4] - 1e-12 * abs(other[4])


@compiled
def remove(grid: Grid, state: State, demand: int) -> None:
    """Take a demand from its unit."""
    u = state.unit[demand]
    left = 0
    for at in range(state.size[u]):
        if state.members[u, at] != demand:
            state.members[u, left] = state.members[u, at]
            left += 1
    state.size[u] = left
    state.unit[demand] = -1
    refresh(grid, state, u)


@compiled
def insert(grid: Grid, state: State, demand: int, unit: int, point: int) -> None:
    """Give a demand a unit and a point."""
    state.members[unit, state.size[unit]] = demand
    state.size[unit] += 1
    state.unit[demand], state.point[demand] = unit, point
    refresh(grid, state, unit)


@compiled
def refresh(grid: Grid, state: State, unit: int) -> None:
    """Bring a unit's figures up to date."""
    members = state.members[unit, : state.size[unit]]
    figures = figures_of(grid, unit, state.clock[unit], members, state.point, -1, -1, -1)
    for at in range(5):
        state.figures[unit, at] = figures[at]


@compiled
def place(grid: Grid, state: State, demand: int, cap_w: float, fair: bool, work: Ints) -> None:
    """Put a demand without a unit where the whole comes out best; a unit without demands may take any clock for it."""
    best = (np.inf, np.inf, np.inf, np.inf, np.inf)
    best_unit, best_clock, best_point = -1, -1, -1
    for u in range(len(state.size)):
        members = state.members[u, : state.size[u]]
        rest = others(state.figures, u, u)
        low, high = state.clock[u], state.clock[u] + 1
        if not state.size[u]:
            low, high = grid.first[u], grid.first[u + 1]
        for c in range(low, high):
            for p in range(grid.spans[c, demand, 0], grid.spans[c, demand, 1]):
                work[SPENT] += 1 + len(members) // 4
                key = key_of(add(rest, figures_of(grid, u, c, members, state.point, -1, demand, p)), cap_w, fair)
                if best_unit < 0 or less(key, best):
                    best, best_unit, best_clock, best_point = key, u, c, p
    state.clock[best_unit] = best_clock
    insert(grid, state, demand, best_unit, best_point)


@compiled
def key_now(state: State, cap_w: float, fair: bool) -> Key:
    """Return what is lessened, as it is."""
    return key_of(others(state.figures, -1, -1), cap_w, fair)


@compiled
def reclock(grid: Grid, aim: Aim, state: State, unit: int, cap_w: float, fair: bool, work: Ints) -> bool:
    """Give a unit the best clock, with points chosen anew there; return True if that is better than before."""
    size = state.size[unit]
    members = state.members[unit, :size]
    if not size:
        return False
    rest = others(state.figures, unit, unit)
    best = key_now(state, cap_w, fair)
    old = state.point.copy()
    kept = state.point.copy()
    points = np.empty(size, dtype=np.int64)
    found = -1
    for c in range(grid.first[unit], grid.first[unit + 1]):
        bound = relaxed(grid, aim, unit, c, members, points)
        work[SPENT] += size
        if bound == np.inf:
            continue
        descend(grid, aim, unit, c, members, points, work)
        for j in range(size):
            state.point[members[j]] = points[j]
        key = key_of(add(rest, figures_of(grid, unit, c, members, state.point, -1, -1, -1)), cap_w, fair)
        if less(key, best):
            best, found = key, c
            kept[:] = state.point
    state.point[:] = kept if found >= 0 else old
    if found >= 0:
        state.clock[unit] = found
        refresh(grid, state, unit)
    return found >= 0


@compiled
def exchange(grid: Grid, state: State, one: int, other: int, cap_w: float, fair: bool, work: Ints) -> bool:
    """Exchange two demands between their units, with the points best there, if that is better."""
    u, v = state.unit[one], state.unit[other]
    mine, theirs = state.members[u, : state.size[u]], state.members[v, : state.size[v]]
    rest = others(state.figures, u, v)
    now = key_now(state, cap_w, fair)
    best = now
    best_one, best_other = -1, -1
    there = -1
    cu, cv = state.clock[u], state.clock[v]
    # The best point for `one` there first, with `other` gone; then for `other` here.
    for p in range(grid.spans[cv, one, 0], grid.spans[cv, one, 1]):
        key = key_of(add(rest, figures_of(grid, v, cv, theirs, state.point, other, one, p)), cap_w, fair)
        if there < 0 or less(key, best):
            best, there = key, p
    if there < 0:
        return False
    rest = add(rest, figures_of(grid, v, cv, theirs, state.point, other, one, there))
    best = now
    for p in range(grid.spans[cu, other, 0], grid.spans[cu, other, 1]):
        key = key_of(add(rest, figures_of(grid, u, cu, mine, state.point, one, other, p)), cap_w, fair)
        if less(key, best):
            best, best_one, best_other = key, there, p
    work[SPENT] += len(mine) + len(theirs)
    if best_other < 0:
        return False
    remove(grid, state, one)
    remove(grid, state, other)
    insert(grid, state, one, v, best_one)
    insert(grid, state, other, u, best_other)
    return True


@compiled
def improve(grid: Grid, aim: Aim, state: State, order: Ints, cap_w: float, fair: bool, work: Ints) -> Key:
    """Improve a state until nothing does, for `PASSES` rounds, or until the work is spent; return its key."""
    demands = len(state.unit)
    for i in order:
        if state.unit[i] < 0:
            place(grid, state, i, cap_w, fair, work)
    for _ in range(PASSES):
        before = key_now(state, cap_w, fair)
        for i in order:
            if work[SPENT] < work[ALLOWED]:
                remove(grid, state, i)
                place(grid, state, i, cap_w, fair, work)
        for u in range(len(state.size)):
            if work[SPENT] < work[ALLOWED]:
                reclock(grid, aim, state, u, cap_w, fair, work)
        if less(key_now(state, cap_w, fair), before):
            continue
        for one in range(demands):
            for other in range(one + 1, demands):
                if state.unit[one] != state.unit[other] and work[SPENT] < work[ALLOWED]:
                    exchange(grid, state, one, other, cap_w, fair, work)
        if not less(key_now(state, cap_w, fair), before):
            break
    return key_now(state, cap_w, fair)
