"""What a choice on one unit costs: the parts that do not depend on who waits for whom.

A set of demands is a list of their indices. On a unit it has one clock and a point for each member. Its cost is
`aim.violation` * ticks of violation - `aim.gain` * ticks of accuracy + `aim.power` * watts, or where `aim.worst` is set
the largest term in ticks. No term may exceed the grid's limit; what can't keep it costs infinity.
"""

from typing import NamedTuple

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.grid import GAIN, POWER, Floats, Grid, Ints, term

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
        picks: (most, 2 * demands + 1): its clock, the points of the members, then their CPUs (`cpus`).
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
def penalty(grid: Grid, ticks: float) -> float:
    """Return the cost of what a term has beyond the limit."""
    return BEYOND * (ticks - grid.limit) if ticks > grid.limit else 0.0


@compiled
def write(clock: int, points: Ints, cpus: Ints, picks: Ints) -> None:
    """Write a choice down as in `Leaves.picks`."""
    size = len(points)
    picks[0] = clock
    picks[1 : size + 1] = points
    picks[size + 1 : 2 * size + 1] = cpus


@compiled
def remember(clock: int, points: Ints, cpus: Ints, totals: tuple[float, float, float, float], leaves: Leaves) -> bool:
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
    write(clock, points, cpus, leaves.picks[stay])
    leaves.filled[0] = stay + 1
    return True


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
