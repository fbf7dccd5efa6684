"""Good answers for any number of demands: the moves of a local search.

A greedy placement is improved until nothing helps: by moves of one demand, by exchanges of two, by a unit's clock, and
by moves of one demand after which both units have the clocks that are then best (`shift`). This module proves nothing.
"""

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.alone import Alone, alone_of
from scheduler.solver.costs import ALLOWED, SPENT, Aim
from scheduler.solver.grid import UNUSED, Floats, Grid, Ints
from scheduler.solver.keys import Key, add, key_of, less
from scheduler.solver.local import (
    Extra,
    State,
    best_at,
    cost_of,
    figures_at,
    figures_of,
    gathered,
    insert,
    key_now,
    others,
    place,
    refresh,
    remove,
)
from scheduler.solver.one_unit import clocks_of, descend, good_choice, most_promising

PASSES = 12
"""Most rounds of moves; most problems settle in three or four."""
SHIFTING = 250_000
"""Nodes after which one search begins no more shifts: some 30 ms of one core of machine C. Nine problems of sixteen
applications took 40 to 460 thousand nodes in all (2026-12-03)."""


@compiled
def reclock(grid: Grid, aim: Aim, alone: Alone, state: State, unit: int, cap_w: float, fair: bool, work: Ints) -> None:
    """Give a unit the best clock, with points chosen anew there, if that is better.

    Clocks are looked at by rising bound, until that exceeds the cost of what is known. Where a cap or the largest term
    counts, a choice that costs more can be better, and all clocks are looked at.
    """
    size = state.size[unit]
    members = state.members[unit, :size]
    if not size:
        return
    rest = others(state.figures, unit, unit)
    best = key_now(state, cap_w, fair)
    adds_up = cap_w == np.inf and not fair and state.figures[unit, 0] == 0.0
    cut = cost_of(aim, state.figures[unit]) if adds_up else np.inf
    kept = np.stack((state.point, state.cpus))
    points, cpus = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    clocks = clocks_of(grid, aim, alone, unit, members)
    while True:
        k = most_promising(grid, aim, alone, unit, members, cut, clocks, work)
        if clocks.bounds[k] >= cut:
            break
        clocks.bounds[k] = np.inf
        clock = grid.first[unit] + k
        cost = descend(grid, aim, unit, clock, members, points, cpus, work)
        for j in range(size):
            state.point[members[j]], state.cpus[members[j]] = points[j], cpus[j]
        key = key_of(add(rest, figures_at(grid, state, unit, clock)), cap_w, fair)
        if less(key, best):
            best, state.clock[unit] = key, clock
            kept[0], kept[1] = state.point, state.cpus
            if adds_up:
                cut = min(cut, cost)
    state.point[:], state.cpus[:] = kept[0], kept[1]
    refresh(grid, state, unit)


@compiled
def exchange(grid: Grid, state: State, one: int, other: int, cap_w: float, fair: bool, work: Ints) -> bool:
    """Exchange two demands between their units, with the points best there, if that is better."""
    u, v = state.unit[one], state.unit[other]
    mine, theirs = state.members[u, : state.size[u]], state.members[v, : state.size[v]]
    rest = others(state.figures, u, v)
    now = key_now(state, cap_w, fair)
    cu, cv = state.clock[u], state.clock[v]
    # The best point for `one` there first, with `other` gone; then for `other` here.
    gathered(grid, v, theirs, state.point, state.cpus, other, state.crowd)
    anything = (np.inf, np.inf, np.inf, np.inf, np.inf)
    there = best_at(grid, state, v, cv, other, one, rest, anything, cap_w, fair)[1]
    if there.demand < 0:
        return False
    rest = add(rest, figures_of(grid, v, cv, theirs, state.point, state.cpus, state.crowd, other, there))
    gathered(grid, u, mine, state.point, state.cpus, one, state.crowd)
    here = best_at(grid, state, u, cu, one, other, rest, now, cap_w, fair)[1]
    work[SPENT] += len(mine) + len(theirs)
    if here.demand < 0:
        return False
    remove(grid, state, one)
    remove(grid, state, other)
    insert(grid, state, v, there)
    insert(grid, state, u, here)
    return True


@compiled
def shift(
    grid: Grid, aim: Aim, alone: Alone, state: State, demand: int, to: int, cap_w: float, fair: bool, work: Ints
) -> bool:
    """Move a demand to another unit, both units at the best clocks and with points chosen anew, if that is better.

    An application whose move pays only once the unit that it leaves goes down in clock, or the one that it joins goes
    up, is moved by this alone.
    """
    u = state.unit[demand]
    before = key_now(state, cap_w, fair)
    left = np.empty(state.size[u] - 1, dtype=np.int64)
    count = 0
    for i in state.members[u, : state.size[u]]:
        if i != demand:
            left[count] = i
            count += 1
    joined = np.append(state.members[to, : state.size[to]], demand)
    now = cost_of(aim, state.figures[u]) + cost_of(aim, state.figures[to])
    if state.figures[u, 0] + state.figures[to, 0] > 0.0:
        now = np.inf
    here, here_clock = float(aim.power * grid.unit[u, UNUSED]), state.clock[u]
    here_clocks = clocks_of(grid, aim, alone, u, left)
    least = here_clocks.bounds.min() if count else here
    there_points, there_cpus = np.empty((2, len(joined)), dtype=np.int64)
    there, there_clock = good_choice(
        grid,
        aim,
        alone,
        to,
        joined,
        now - least,
        clocks_of(grid, aim, alone, to, joined),
        there_points,
        there_cpus,
        work,
    )
    if there_clock < 0:
        return False
    here_points, here_cpus = np.empty((2, count), dtype=np.int64)
    if count:
        here, here_clock = good_choice(
            grid, aim, alone, u, left, now - there, here_clocks, here_points, here_cpus, work
        )
        if here_clock < 0:
            return False
    if here + there >= now - 1e-12 * abs(now):
        return False
    kept = np.stack((state.point, state.cpus))
    clock_here, clock_there = state.clock[u], state.clock[to]
    remove(grid, state, demand)
    for j in range(count):
        state.point[left[j]], state.cpus[left[j]] = here_points[j], here_cpus[j]
    for j in range(len(joined)):
        state.point[joined[j]], state.cpus[joined[j]] = there_points[j], there_cpus[j]
    state.clock[u], state.clock[to] = here_clock, there_clock
    insert(grid, state, to, Extra(demand, state.point[demand], state.cpus[demand]))
    refresh(grid, state, u)
    if less(key_now(state, cap_w, fair), before):
        return True
    remove(grid, state, demand)
    state.point[:], state.cpus[:] = kept[0], kept[1]
    state.clock[u], state.clock[to] = clock_here, clock_there
    insert(grid, state, u, Extra(demand, state.point[demand], state.cpus[demand]))
    refresh(grid, state, to)
    return False


@compiled
def shift_all(
    grid: Grid,
    aim: Aim,
    alone: Alone,
    state: State,
    cap_w: float,
    fair: bool,
    failed: Floats,
    until: int,
    work: Ints,
) -> None:
    """Shift demands while that is better. One that has failed is tried again once one of the two units has changed.

    Args:
        grid: the grid.
        aim: what is lessened within a unit.
        alone: what each demand costs by itself.
        state: the state.
        cap_w: the power cap.
        fair: True if the largest term counts.
        failed: (demands, units, 2): what both units cost when a shift failed last.
        until: nodes up to which it goes on.
        work: nodes spent and allowed.
    """
    again = True
    while again:
        again = False
        for demand in range(len(state.unit)):
            for to in range(len(state.size)):
                u = state.unit[demand]
                if u == to or work[SPENT] >= until:
                    continue
                here, there = cost_of(aim, state.figures[u]), cost_of(aim, state.figures[to])
                if failed[demand, to, 0] == here and failed[demand, to, 1] == there:
                    continue
                if shift(grid, aim, alone, state, demand, to, cap_w, fair, work):
                    again = True
                else:
                    failed[demand, to, 0], failed[demand, to, 1] = here, there


@compiled
def improve(grid: Grid, aim: Aim, state: State, order: Ints, cap_w: float, fair: bool, shifts: bool, work: Ints) -> Key:
    """Improve a state until nothing does, for `PASSES` rounds, or until the work is spent; return its key.

    It is infinite if a demand could not be placed beside those that were placed before it. Shifts are left out where a
    proof follows, which tries as much by itself.
    """
    demands = len(state.unit)
    failed = np.full((demands, len(state.size), 2), np.nan)
    until = min(work[SPENT] + SHIFTING, work[ALLOWED])
    alone = alone_of(grid, aim, False)
    for i in order:
        if state.unit[i] < 0 and not place(grid, state, i, cap_w, fair, work):
            return np.inf, np.inf, np.inf, np.inf, np.inf
    for _ in range(PASSES):
        before = key_now(state, cap_w, fair)
        for i in order:
            if work[SPENT] < work[ALLOWED]:
                remove(grid, state, i)
                place(grid, state, i, cap_w, fair, work)
        for u in range(len(state.size)):
            if work[SPENT] < work[ALLOWED]:
                reclock(grid, aim, alone, state, u, cap_w, fair, work)
        if less(key_now(state, cap_w, fair), before):
            continue
        for one in range(demands):
            for other in range(one + 1, demands):
                if state.unit[one] != state.unit[other] and work[SPENT] < work[ALLOWED]:
                    exchange(grid, state, one, other, cap_w, fair, work)
        if less(key_now(state, cap_w, fair), before):
            continue
        if shifts:
            shift_all(grid, aim, alone, state, cap_w, fair, failed, until, work)
        if not less(key_now(state, cap_w, fair), before):
            break
    return key_now(state, cap_w, fair)
