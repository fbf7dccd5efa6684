"""Proven bounds for any number of demands, from prices.

As in `sets`: with a price on each demand, the sum of the prices and each unit's least reduced cost are a lower bound on
the cost of every answer. Here a unit's set is not looked for among all sets: at each clock every demand joins that
costs less than its price, as if it were alone there. That nobody can take more
than the unit has is kept by a price on load:
a unit of load r has an overload of at least r / 0.9 - 1, and none above what the limit on terms lets through.
"""

import numpy as np

from scheduler.compiled import compiled
from scheduler.objectives import OBJECTIVES, Quantity
from scheduler.problem import FULL_LOAD, Problem
from scheduler.solver.costs import Aim, rising
from scheduler.solver.evaluation import Evaluation
from scheduler.solver.grid import (
    GAIN,
    LATE,
    LOAD,
    POWER,
    SHORT,
    TICKS,
    UNUSED,
    Floats,
    Grid,
    Ints,
    grid_of,
    within,
)

STEPS = 120
"""Most steps of the prices."""
HALVINGS = 8
"""Halvings in the search for a unit's price on load."""


@compiled
def costs_alone(grid: Grid, aim: Aim) -> Floats:
    """Return what each point costs alone; infinity beyond the limit."""
    costs = np.full(len(grid.points), np.inf)
    for c in range(grid.spans.shape[0]):
        for i in range(grid.spans.shape[1]):
            for p in range(grid.spans[c, i, 0], grid.spans[c, i, 1]):
                point = grid.points[p]
                ticks = np.rint(max(point[LATE], 0.0)) + point[SHORT]
                if ticks <= grid.limit:
                    costs[p] = aim.violation * ticks + aim.power * point[POWER] - aim.gain * point[GAIN]
    return costs


@compiled
def hulls_of(grid: Grid, costs: Floats) -> tuple[Ints, Floats, Floats]:
    """Return by clock and demand the points that can be the least in cost + price * load, for a price of at least 0.

    They lie on the lower convex hull, from the point of least cost to that of least load.

    Args:
        grid: the grid.
        costs: by point its cost; one of infinite cost is left out.

    Returns:
        Their spans, as in `Grid.spans`; their loads; their costs.
    """
    spans, count = np.empty_like(grid.spans), 0
    loads, kept = np.empty(len(costs)), np.empty(len(costs))
    for c in range(grid.spans.shape[0]):
        for i in range(grid.spans.shape[1]):
            first = count
            begin = grid.spans[c, i, 0]
            for k in rising(costs[begin : grid.spans[c, i, 1]]):
                cost, load = costs[begin + k], grid.points[begin + k, LOAD]
                if cost == np.inf or (count > first and load >= loads[count - 1]):
                    continue
                # The one before goes where it is not below the line from the one before that to this one.
                while count - first > 1 and (
                    (kept[count - 1] - kept[count - 2]) * (loads[count - 2] - load)
                    >= (cost - kept[count - 2]) * (loads[count - 2] - loads[count - 1])
                ):
                    count -= 1
                kept[count], loads[count] = cost, load
                count += 1
            spans[c, i, 0], spans[c, i, 1] = first, count
    return spans, loads, kept


@compiled
def reduced_at(
    spans: Ints, loads: Floats, costs: Floats, clock: int, price: Floats, load_price: float, taken: Floats
) -> tuple[float, float]:
    """Return the reduced cost of all demands that join at a clock, and their load; mark them in `taken`."""
    total, load = 0.0, 0.0
    for i in range(len(price)):
        best, at = 0.0, -1
        for p in range(spans[clock, i, 0], spans[clock, i, 1]):
            cost = costs[p] + load_price * loads[p] - price[i]
            if cost < best:
                best, at = cost, p
        total += best
        taken[i] = 0.0
        if at >= 0:
            load += loads[at]
            taken[i] = 1.0
    return total, load


@compiled
def highest_bound(grid: Grid, aim: Aim, costs: Floats, aimed: float) -> float:
    """Return a lower bound on the cost of every answer within the limit, the cap left out.

    Args:
        grid: the grid.
        aim: what is lessened.
        costs: by point what it costs alone.
        aimed: the cost of a known answer; the bound comes no nearer than a tenth of a per mille.
    """
    units, demands = len(grid.unit), len(grid.wait)
    clocks = len(grid.static_w)
    spans, loads, costs = hulls_of(grid, costs)
    soft = aim.violation * TICKS / FULL_LOAD
    price = np.full(demands, np.inf)
    for c in range(clocks):
        for i in range(demands):
            if spans[c, i, 0] < spans[c, i, 1]:
                price[i] = min(price[i], costs[spans[c, i, 0]])
    # Each demand may cost its share of static power besides.
    price += max(0.0, aimed - price.sum()) / demands
    best_price, direction = price.copy(), np.zeros(demands)
    load_price, reduced = np.zeros(clocks), np.zeros(clocks)
    taken, chosen = np.zeros(demands), np.zeros((units, demands))
    highest, stalled, length = -np.inf, 0, 1.0
    for _ in range(STEPS):
        bound = price.sum()
        for c in range(clocks):
            share = load_price[c]
            fixed = aim.power * grid.static_w[c] - share * FULL_LOAD
            if share > soft:
                fixed -= (share - soft) * FULL_LOAD * grid.limit / TICKS
            reduced[c] = fixed + reduced_at(spans, loads, costs, c, price, share, taken)[0]
        for u in range(units):
            for _again in range(6):
                c = grid.first[u] + np.argmin(reduced[grid.first[u] : grid.first[u + 1]])
                # The price on load with the highest reduced cost, between 0 and one that nobody pays.
                low, high = 0.0, soft
                if grid.limit < np.inf:
                    for i in range(demands):
                        for p in range(spans[c, i, 0], spans[c, i, 1]):
                            if loads[p] > 0.0:
                                high = max(high, (price[i] - costs[p]) / loads[p])
                was = reduced[c]
                for at in range(HALVINGS + 1):
                    share = 0.0 if at == 0 else (low + high) / 2.0
                    fixed = aim.power * grid.static_w[c] - share * FULL_LOAD
                    room = FULL_LOAD
                    if share > soft:
                        fixed -= (share - soft) * FULL_LOAD * grid.limit / TICKS
                        room = FULL_LOAD * (1.0 + grid.limit / TICKS)
                    total, load = reduced_at(spans, loads, costs, c, price, share, taken)
                    if fixed + total > reduced[c]:
                        reduced[c], load_price[c] = fixed + total, share
                    if load > room:
                        low = share
                    elif at == 0:
                        break
                    else:
                        high = share
                if reduced[c] <= was + 1e-3 * abs(was):
                    break
            c = grid.first[u] + np.argmin(reduced[grid.first[u] : grid.first[u + 1]])
            idle = aim.power * grid.unit[u, UNUSED]
            if reduced[c] < idle:
                bound += reduced[c]
                reduced_at(spans, loads, costs, c, price, load_price[c], chosen[u])
            else:
                bound += idle
                chosen[u] = 0.0
        if bound > highest:
            if bound > highest + 1e-3 * (aimed - highest):
                stalled = 0
            highest = bound
            best_price[:] = price
        else:
            stalled += 1
        if stalled >= 4:
            length, stalled = 0.6 * length, 0
            price[:] = best_price
            direction[:] = 0.0
        if length < 0.01 or highest >= aimed - 1e-4 * abs(aimed):
            break
        direction *= 0.6
        for i in range(demands):
            direction[i] += 1.0 - chosen[:, i].sum()
        size = (direction * direction).sum()
        if size == 0.0:
            length *= 0.6
            continue
        price += length * (aimed - bound) / size * direction
    return float(highest)


def bounds_of(problem: Problem, known: Evaluation) -> tuple[float, float]:
    """Return proven bounds beside a known answer to a problem of at least one demand.

    Args:
        problem: the problem.
        known: what the answer comes to.

    Returns:
        A lower bound on violation, for an objective that lessens the largest term first of answers with no larger one;
        and at the answer's violation a lower bound on power in watts, or where accuracy counts an upper bound on the
        sum of weight * accuracy.
    """
    objective = OBJECTIVES[problem.objective]
    grid = within(grid_of(problem), np.inf)
    # Sums in another order, and their ticks, may differ by a little.
    violation = known.violation * TICKS + (2.0 + len(problem.demands) if known.violation > 0.0 else 0.0)
    limit = min(violation, known.largest_term * TICKS + 2.0) if objective.largest_term_first else violation
    limited = within(grid, limit)

    def bound(aim: Aim, aimed: float) -> float:
        return float(highest_bound(limited, aim, costs_alone(limited, aim), aimed))

    least = 0.0
    if violation > 0.0:
        least = bound(Aim(1.0, 0.0, 0.0, False), violation)
        if problem.power_cap_w is not None:
            with_cap = bound(Aim(1.0, 0.0, TICKS / problem.power_cap_w, False), violation + TICKS)
            least = max(least, with_cap - TICKS)
    if objective.goals[0] is Quantity.ACCURACY:
        goal = -bound(Aim(0.0, 1.0, 0.0, False), -known.accuracy * TICKS) / TICKS
    else:
        goal = bound(Aim(0.0, 0.0, 1.0, False), known.power_w)
    return max(0.0, min((least - violation) / TICKS + known.violation, known.violation)), goal
