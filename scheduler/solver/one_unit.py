"""What it costs that one unit serves a set of demands: a bound, a good choice, and the best choice.

How members wait for each other is the unit's kind: CPU by CPU (`by_cpu`, `seating`), or as one server (`one_server`).
This module does not know which demands should be on the unit.
"""

from typing import NamedTuple

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver import by_cpu, one_server, seating
from scheduler.solver.alone import Alone
from scheduler.solver.costs import ALLOWED, SPENT, Aim, Leaves, plus, write
from scheduler.solver.grid import BY_CPU, Bools, Floats, Grid, Ints

IN_VAIN = 3
"""Clocks without a better choice after which none is looked for."""

_relaxed, _relaxed_by_cpu = one_server.relaxed, by_cpu.relaxed
_descend, _descend_by_cpu = one_server.descend, by_cpu.descend
_at_clock, _at_clock_by_cpu = one_server.at_clock, seating.at_clock


class Clocks(NamedTuple):
    """The clocks of a unit as a set sees them; arrays that a search changes in place.

    Attributes:
        bounds: (clocks,): lower bounds on what the set costs there; infinite for a clock that is done with.
        firm: (clocks,): True for a bound of `relaxed`, False for one of the members alone.
    """

    bounds: Floats
    firm: Bools


@compiled
def clocks_of(grid: Grid, aim: Aim, alone: Alone, unit: int, members: Ints) -> Clocks:
    """Return the clocks of a unit with the bounds of the members alone."""
    first, count = grid.first[unit], grid.first[unit + 1] - grid.first[unit]
    bounds = np.empty(count)
    for k in range(count):
        bounds[k] = aim.power * grid.static_w[first + k]
        for i in members:
            bounds[k] = plus(bounds[k], alone.cost[first + k, i], aim.worst)
    return Clocks(bounds, np.zeros(count, dtype=np.bool_))


@compiled
def most_promising(
    grid: Grid, aim: Aim, alone: Alone, unit: int, members: Ints, cut: float, clocks: Clocks, work: Ints
) -> int:
    """Return the clock with the least bound, counted from the unit's first; up to `cut` its bound is firm."""
    while True:
        k = np.argmin(clocks.bounds)
        if clocks.firm[k] or clocks.bounds[k] > cut:
            return int(k)
        if grid.unit[unit, BY_CPU] > 0.0:
            clocks.bounds[k] = _relaxed_by_cpu(grid, aim, alone, unit, grid.first[unit] + k, members)
        else:
            clocks.bounds[k] = _relaxed(grid, aim, alone, unit, grid.first[unit] + k, members)
        clocks.firm[k] = True
        work[SPENT] += 3 * len(members) if grid.unit[unit, BY_CPU] > 0.0 else len(members)


@compiled
def descend(grid: Grid, aim: Aim, unit: int, clock: int, members: Ints, points: Ints, cpus: Ints, work: Ints) -> float:
    """Let each member choose as the others are, again and again until nothing changes, and return the cost.

    It needs a clock with a finite bound, and fills in `points` and `cpus`; CPUs are 0 where the unit is one server. The
    result is infinite where the limit is still broken.
    """
    if grid.unit[unit, BY_CPU] > 0.0:
        return _descend_by_cpu(grid, aim, unit, clock, members, points, cpus, work)
    cpus[:] = 0
    return _descend(grid, aim, unit, clock, members, points, work)


@compiled
def good_choice(
    grid: Grid,
    aim: Aim,
    alone: Alone,
    unit: int,
    members: Ints,
    cut: float,
    clocks: Clocks,
    points: Ints,
    cpus: Ints,
    work: Ints,
) -> tuple[float, int]:
    """Return the cost of a good choice of clock, points and CPUs for a set below a cost, and the clock.

    Clocks are looked at by rising bound. Bounds are wide of the costs where waiting goes CPU by CPU: a few clocks in
    vain are enough there.

    Args:
        grid: the grid.
        aim: what is lessened.
        alone: what each demand costs by itself.
        unit: the unit.
        members: the set, not empty.
        cut: the cost.
        clocks: what `clocks_of` returns; those that were looked at are done with.
        points: is given the points of the choice.
        cpus: is given its CPUs.
        work: nodes spent and allowed.

    Returns:
        `cut` and -1 where none is found.
    """
    size = len(members)
    tried = np.empty((2, size), dtype=np.int64)
    best, at, stale = cut, -1, 0
    while True:
        k = most_promising(grid, aim, alone, unit, members, best, clocks, work)
        if clocks.bounds[k] >= best or (stale >= IN_VAIN and grid.unit[unit, BY_CPU] > 0.0):
            return best, at
        clocks.bounds[k] = np.inf
        cost = descend(grid, aim, unit, grid.first[unit] + k, members, tried[0], tried[1], work)
        stale = 0 if cost < best else stale + (at >= 0)
        if cost < best:
            best, at = cost, grid.first[unit] + k
            points[:], cpus[:] = tried[0], tried[1]


@compiled
def serve(
    grid: Grid, aim: Aim, alone: Alone, unit: int, members: Ints, cut: float, picks: Ints, leaves: Leaves, work: Ints
) -> tuple[float, float]:
    """Find the best choice of clock, points and CPUs for a set below a cost; or list all that cost no more.

    Args:
        grid: the grid.
        aim: what is lessened.
        alone: what each demand costs by itself.
        unit: the unit.
        members: the set, not empty.
        cut: the cost.
        picks: is given the choice as in `Leaves.picks`; the clock is -1 where nothing costs less than `cut`.
        leaves: as in `one_server.at_clock`.
        work: as in `one_server.at_clock`.

    Returns:
        A lower bound on the cost, and the cost of the choice; `cut` where there is none. The bound is the cost, or the
        `cut`, where the work sufficed.
    """
    size = len(members)
    listing = len(leaves.totals) > 0
    points, cpus = np.empty(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    clocks = clocks_of(grid, aim, alone, unit, members)
    picks[0] = -1
    best = cut
    while True:
        k = most_promising(grid, aim, alone, unit, members, best, clocks, work)
        bound, clock = clocks.bounds[k], grid.first[unit] + k
        if bound > best or (bound == best and not listing):
            return best, best
        clocks.bounds[k] = np.inf
        if not listing and picks[0] < 0:  # once an answer is known the search is quicker than the descent
            cost = descend(grid, aim, unit, clock, members, points, cpus, work)
            if cost < best:
                best = cost
                write(clock, points, cpus, picks)
            if bound >= best:
                continue
        if grid.unit[unit, BY_CPU] > 0.0:
            cost = _at_clock_by_cpu(grid, aim, unit, clock, members, best, points, cpus, leaves, work)
        else:
            cpus[:] = 0
            cost = _at_clock(grid, aim, unit, clock, members, best, points, leaves, work)
        if work[SPENT] > work[ALLOWED]:
            return min(bound, best), best
        if cost < best:
            best = cost
            write(clock, points, cpus, picks)
