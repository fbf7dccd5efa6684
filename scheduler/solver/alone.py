"""What each demand costs by itself, and where it pays for its CPUs: bounds for sets are sums of these.

On K CPUs where each demand waits for those with which it has one in common, all together cost at least what they cost
alone. A second bound counts the waiting. At a point p, let demand i cost at least base_p + slope_i * (time for which
its CPUs are taken for one service of each user, its own included).

- On each CPU the sum of the slopes times the sum of the services is at least the square of the sum of
  g_p = sqrt(slope_i * cores_p * service_p) there (Cauchy), and the squares are least where all CPUs have equal sums. So
  all together cost at least the sum of base_p and G^2 / K, where G is the sum of all g_p.
- G^2 / K is at least price * G - refund, with a price of 2 * H / K and a refund of H^2 / K, for any H. So the least of
  base_p + price * g_p over each demand's points, summed up, less the refund, is a bound, for any prices and slopes.

Two demands with a slope of 1 W/ms and services of 10 ms on one core each share one CPU: 20 ms each, 40 W above base.
With H = 2 * sqrt(10) the price is 12.6, each pays 40 W, the refund is 40 W, and the bound is 40 W.
"""

from typing import NamedTuple

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.costs import Aim, cheapest, own_cost, rising
from scheduler.solver.grid import (
    BUSY,
    BY_CPU,
    CORES,
    LATE,
    SHORT,
    SLOTS,
    Floats,
    Grid,
    Ints,
    room_ms,
)

SLOPES, PRICES = 4, 8
"""How many slopes and prices a bound is reckoned with."""
ROUNDED = 1.0 + 1e-12
"""Times a refund, which may be far above the costs: sums of floats differ by less."""
FALLING = 1.5
"""By which factor a price is less than the one before."""


class Alone(NamedTuple):
    """What each demand costs by itself.

    Attributes:
        cost: (clocks, demands): where it waits for nobody; infinite without points.
        paying: (clocks, demands, `PRICES`): where it pays for its CPUs; see above.
        refund: (clocks, `PRICES`): what is given back to all of them together.
    """

    cost: Floats
    paying: Floats
    refund: Floats


@compiled
def alone_of(grid: Grid, aim: Aim, pays: bool) -> Alone:
    """Return what each demand costs by itself; where nobody pays it costs as much as alone, which is quickly known."""
    clocks, demands = grid.spans.shape[0], grid.spans.shape[1]
    cost, paying = np.empty((clocks, demands)), np.empty((clocks, demands, PRICES))
    refund, prices = np.zeros((clocks, PRICES)), np.empty(PRICES)
    slopes = np.empty((demands, SLOPES))
    for u in range(len(grid.unit)):
        for c in range(grid.first[u], grid.first[u + 1]):
            for i in range(demands):
                cost[c, i] = cheapest(grid, aim, c, i, 0.0)[0]
                paying[c, i] = cost[c, i]
            if not pays or (grid.unit[u, BY_CPU] == 0.0 and grid.unit[u, SLOTS] > 1.0):
                continue
            sum_root = 0.0
            for i in range(demands):
                mean = slopes_of(grid, aim, c, i, slopes[i])
                most = 0.0
                for p in range(grid.spans[c, i, 0], grid.spans[c, i, 1]):
                    most = max(most, grid.points[p, BUSY] * grid.points[p, CORES])
                sum_root += 2.0 * np.sqrt(mean * most)
            for m in range(PRICES):
                prices[m] = 2.0 * sum_root / grid.unit[u, SLOTS]
                refund[c, m] = ROUNDED * sum_root * sum_root / grid.unit[u, SLOTS]
                sum_root /= FALLING
            for i in range(demands):
                for k in range(SLOPES):
                    if slopes[i, k] > 0.0:
                        pay(grid, aim, c, i, slopes[i, k], prices, paying[c, i])
    return Alone(cost, paying, refund)


@compiled
def paid(alone: Alone, clock: int, members: Ints) -> float:
    """Return the least that a set costs that pays for its CPUs, power without load and overload left out."""
    most = -np.inf
    for m in range(PRICES):
        total = -alone.refund[clock, m]
        for i in members:
            total += alone.paying[clock, i, m]
        most = max(most, total)
    return most


@compiled
def pay(grid: Grid, aim: Aim, clock: int, demand: int, slope: float, prices: Floats, paying: Floats) -> None:
    """Raise what a demand costs that pays for its CPUs to what a slope proves."""
    least = np.full(PRICES, np.inf)
    for p in range(grid.spans[clock, demand, 0], grid.spans[clock, demand, 1]):
        slack_ms, slack_cost, most_ms, most_cost = corners_of(grid, aim, demand, p)
        base = min(slack_cost - slope * slack_ms, most_cost - slope * most_ms)
        root = np.sqrt(slope * grid.points[p, BUSY] * grid.points[p, CORES])
        for m in range(PRICES):
            least[m] = min(least[m], base + prices[m] * root)
    for m in range(PRICES):
        paying[m] = max(paying[m], least[m])


@compiled
def corners_of(grid: Grid, aim: Aim, demand: int, point: int) -> tuple[float, float, float, float]:
    """Return for how long a point's CPUs may be taken until it costs more than alone, and until the limit.

    The time is that of one service of each of their users, its own included. Each is followed by the cost there.
    """
    figures, wait = grid.points[point], grid.wait[demand]
    own = 0.0 if aim.worst else own_cost(grid, aim, point)
    most_ms = max(room_ms(figures, wait, grid.limit), 0.0)
    slack_ms = min(max(-figures[LATE] / wait, 0.0), most_ms)
    if most_ms == np.inf:
        most_ms = slack_ms
    short = figures[SHORT] - 0.5  # ticks are rounded
    slack_cost = aim.violation * (max(figures[LATE], 0.0) + short) + own
    most_cost = aim.violation * (max(figures[LATE] + wait * most_ms, 0.0) + short) + own
    return slack_ms + figures[BUSY], slack_cost, most_ms + figures[BUSY], most_cost


@compiled
def slopes_of(grid: Grid, aim: Aim, clock: int, demand: int, slopes: Floats) -> float:
    """Fill in how much a demand's cost rises by ms for which its CPUs are taken, the steepest first; 0 for no more.

    These are the slopes of the convex hull of its cost over that time. The mean of all is returned.
    """
    slopes[:] = 0.0
    first, end, wait = grid.spans[clock, demand, 0], grid.spans[clock, demand, 1], grid.wait[demand]
    if wait == 0.0:
        return 0.0
    size = 2 * (end - first)
    times, costs = np.empty(size), np.empty(size)
    for k in range(end - first):
        corners = corners_of(grid, aim, demand, first + k)
        times[2 * k], costs[2 * k], times[2 * k + 1], costs[2 * k + 1] = corners
    hull = np.empty(size, dtype=np.int64)
    count = 0
    for k in rising(costs):
        if count > 0 and times[k] <= times[hull[count - 1]]:
            continue
        if count > 0 and costs[k] <= costs[hull[count - 1]]:
            count -= 1
        while count > 1 and rise(times, costs, hull[count - 2], hull[count - 1]) >= rise(
            times, costs, hull[count - 1], k
        ):
            count -= 1
        hull[count] = k
        count += 1
    found, mean = 0, 0.0
    if count > 1:
        mean = rise(times, costs, hull[0], hull[count - 1])
    if grid.limit == np.inf:  # then it may wait beyond the last corner, too
        slopes[0] = mean = aim.violation * wait
        found = 1
        while count > 1 and rise(times, costs, hull[count - 2], hull[count - 1]) >= slopes[0]:
            count -= 1
    while count > 1 and found < len(slopes):
        slopes[found] = rise(times, costs, hull[count - 2], hull[count - 1])
        found, count = found + 1, count - 1
    return mean


@compiled
def rise(times: Floats, costs: Floats, one: int, other: int) -> float:
    """Return the slope of the line through two corners."""
    return float((costs[other] - costs[one]) / (times[other] - times[one]))
