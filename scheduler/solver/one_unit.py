"""What it costs that one unit serves a set of demands: a bound, a good choice, and the best choice.

How members wait for each other is the unit's kind: CPU by CPU (`by_cpu`, `seating`), or as one server (`one_server`).
This module does not know which demands should be on the unit.
"""

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver import by_cpu, one_server, seating
from scheduler.solver.costs import ALLOWED, SPENT, Aim, Leaves, rising, write
from scheduler.solver.grid import BY_CPU, Grid, Ints

_relaxed, _relaxed_by_cpu = one_server.relaxed, by_cpu.relaxed
_descend, _descend_by_cpu = one_server.descend, by_cpu.descend
_at_clock, _at_clock_by_cpu = one_server.at_clock, seating.at_clock


@compiled
def relaxed(grid: Grid, aim: Aim, unit: int, clock: int, members: Ints, points: Ints) -> float:
    """Return a lower bound on the cost of a set at a clock, and fill in the points that it rests on."""
    if grid.unit[unit, BY_CPU] > 0.0:
        return _relaxed_by_cpu(grid, aim, unit, clock, members, points)
    return _relaxed(grid, aim, unit, clock, members, points)


@compiled
def effort(grid: Grid, unit: int, size: int) -> int:
    """Return the nodes that `relaxed` counts as for a set of that size."""
    return 3 * size if grid.unit[unit, BY_CPU] > 0.0 else 1


@compiled
def descend(grid: Grid, aim: Aim, unit: int, clock: int, members: Ints, points: Ints, cpus: Ints, work: Ints) -> float:
    """Let each member choose anew, as the others are, until none does; change `points` and `cpus`, return the cost.

    CPUs are 0 where the unit is one server. The result is infinite where the limit is still broken.
    """
    if grid.unit[unit, BY_CPU] > 0.0:
        return _descend_by_cpu(grid, aim, unit, clock, members, points, cpus, work)
    cpus[:] = 0
    return _descend(grid, aim, unit, clock, members, points, work)


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
    """Find the best choice below a cost, at one clock, depth first; or list all that cost no more.

    Args:
        grid: the grid.
        aim: what is lessened.
        unit: the unit.
        clock: the clock.
        members: the set; every member has a point at the clock.
        cut: the cost.
        points: is given the points of the best choice.
        cpus: is given its CPUs.
        leaves: is given the choices that cost at most `cut`; without room (0 rows) only the best is looked for.
        work: nodes spent and allowed; where they run out the result is not complete.

    Returns:
        The cost of the best choice; `cut` where there is none below it, and where choices are listed.
    """
    if grid.unit[unit, BY_CPU] > 0.0:
        return _at_clock_by_cpu(grid, aim, unit, clock, members, cut, points, cpus, leaves, work)
    return _at_clock(grid, aim, unit, clock, members, cut, points, leaves, work)


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
        picks: is given the choice as in `Leaves.picks`; the clock is -1 where nothing costs less than `cut`.
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
    cpus = np.zeros(size, dtype=np.int64)
    for c in range(count):
        bounds[c] = relaxed(grid, aim, unit, first + c, members, starts[c])
    order = rising(bounds)
    work[SPENT] += count * effort(grid, unit, size)
    picks[0] = -1
    best = cut
    for c in order:
        if bounds[c] > best or (bounds[c] == best and not listing):
            break
        clock = first + c
        points = starts[c]
        if not listing and picks[0] < 0:  # once an answer is known the search is quicker than the descent
            cost = descend(grid, aim, unit, clock, members, points, cpus, work)
            if cost < best:
                best = cost
                write(clock, points, cpus, picks)
            if bounds[c] >= best:
                continue
        cost = at_clock(grid, aim, unit, clock, members, best, points, cpus, leaves, work)
        if work[SPENT] > work[ALLOWED]:
            return min(bounds[c], best), best
        if cost < best:
            best = cost
            write(clock, points, cpus, picks)
    return best, best
