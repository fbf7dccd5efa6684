"""Proof for a few demands: which unit serves which set of demands, found by prices.

Sets are bit masks. A table holds for each unit and set a lower bound on what serving the set there costs (`one_unit`),
coarse at first and made finer only where that can matter.

A price on each demand turns the table into a bound on everything: the sum of the prices, and for each unit the least of
(cost of a set - prices of its members), is never more than the cost of any partition of the demands (Lagrangian
relaxation). Two units and two demands: with costs of 1 W for each demand alone, 3 W for both together and prices of
1.5 W, the bound is 3 + (1 - 1.5) + (1 - 1.5) = 2 W, which is the optimum. A set whose reduced cost lies more above its
unit's least than the gap between the bound and the best answer known can be in no better answer. What is left is joined
exactly (`join`).
"""

from typing import NamedTuple

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.alone import Alone
from scheduler.solver.costs import ALLOWED, SPENT, Aim, Leaves
from scheduler.solver.grid import UNUSED, Floats, Grid, Ints
from scheduler.solver.one_unit import clocks_of, good_choice, most_promising, serve

STEPS = 150
"""Most steps of the prices in one round."""
PATIENCE = 5
"""Steps without a better bound after which steps become shorter."""
COARSE, FINER, EXACT = 0, 1, 2
"""How good a bound in a table is: reckoned for all sets at once, by `relaxed`, or the cost itself."""


class Table(NamedTuple):
    """Lower bounds by unit and set, and what is known of them; arrays that the search changes in place.

    Attributes:
        alone: what each demand costs by itself.
        low: (units, sets): a lower bound; infinite where the set can be in no better answer.
        good: (units, sets): the cost of a choice that is known; NaN where none has been looked for.
        stage: (units, sets): how good the bound is.
        price: (demands,): the prices with the best bound.
        sums: (sets,): of each set, the prices of its members.
        least: (units + 1,): with these prices, each unit's least reduced cost; last, the bound.
    """

    alone: Alone
    low: Floats
    good: Floats
    stage: Ints
    price: Floats
    sums: Floats
    least: Floats


@compiled
def members_of(mask: int) -> Ints:
    """Return the demands of a set in rising order."""
    members = np.empty(64, dtype=np.int64)
    size = 0
    i = 0
    while mask >> i:
        if mask >> i & 1:
            members[size] = i
            size += 1
        i += 1
    return members[:size]


@compiled
def refine(grid: Grid, aim: Aim, unit: int, mask: int, cut: float, table: Table, work: Ints) -> None:
    """Raise the bound of one set to that of `relaxed`; one of at least `cut` becomes infinite."""
    members = members_of(mask)
    clocks = clocks_of(grid, aim, table.alone, unit, members)
    bound = clocks.bounds[most_promising(grid, aim, table.alone, unit, members, cut, clocks, work)]
    table.low[unit, mask] = max(table.low[unit, mask], bound) if bound < cut else np.inf
    table.stage[unit, mask] = FINER


@compiled
def make_exact(grid: Grid, aim: Aim, unit: int, mask: int, cut: float, table: Table, work: Ints) -> None:
    """Raise the bound of one set to its cost; one of at least `cut` becomes infinite."""
    members = members_of(mask)
    nothing = Leaves(np.empty((0, 4)), np.empty((0, 1), dtype=np.int64), np.zeros(2, dtype=np.int64))
    picks = np.empty(2 * len(members) + 1, dtype=np.int64)
    bound, cost = serve(grid, aim, table.alone, unit, members, cut, picks, nothing, work)
    table.low[unit, mask] = bound if bound < cut else np.inf
    table.stage[unit, mask] = EXACT
    if picks[0] >= 0:
        table.good[unit, mask] = cost


@compiled
def good_cost(grid: Grid, aim: Aim, unit: int, mask: int, cut: float, table: Table, work: Ints) -> float:
    """Return the cost of a good choice for a set, remembered in the table.

    It is infinite where none is found, and perhaps where none is below `cut`.
    """
    if mask == 0:
        return float(aim.power * grid.unit[unit, UNUSED])
    if np.isnan(table.good[unit, mask]):
        if table.low[unit, mask] >= cut:
            return np.inf
        members = members_of(mask)
        points, cpus = np.empty(len(members), dtype=np.int64), np.empty(len(members), dtype=np.int64)
        clocks = clocks_of(grid, aim, table.alone, unit, members)
        k = most_promising(grid, aim, table.alone, unit, members, cut, clocks, work)
        table.low[unit, mask] = max(table.low[unit, mask], clocks.bounds[k])
        if clocks.bounds[k] >= cut:
            return np.inf
        table.stage[unit, mask] = max(table.stage[unit, mask], FINER)
        best = good_choice(grid, aim, table.alone, unit, members, np.inf, clocks, points, cpus, work)[0]
        table.good[unit, mask] = best
    return float(table.good[unit, mask])


@compiled
def saving(grid: Grid, aim: Aim, u: int, mine: int, v: int, theirs: int, now: float, table: Table, work: Ints) -> float:
    """Return what it saves that two units serve these sets in place of ones that cost `now`; at most 0 for nothing."""
    there = good_cost(grid, aim, v, theirs, now - table.low[u, mine], table, work)
    if there == np.inf:
        return 0.0
    saved = now - there - good_cost(grid, aim, u, mine, now - there, table, work)
    return float(saved if saved > 1e-12 * abs(now) else 0.0)


@compiled
def improve_sets(grid: Grid, aim: Aim, masks: Ints, table: Table, work: Ints) -> float:
    """Move and exchange demands between units, each unit at its best clock, until nothing helps; return the cost."""
    demands, units = len(table.price), len(masks)
    costs = np.array([good_cost(grid, aim, u, masks[u], np.inf, table, work) for u in range(units)])
    better = True
    while better and work[SPENT] < work[ALLOWED]:
        better = False
        for i in range(demands):
            bit = 1 << i
            u = 0
            while not masks[u] & bit:
                u += 1
            most, to = 0.0, u
            for v in range(units):
                if v != u:
                    now = costs[u] + costs[v]
                    saved = saving(grid, aim, u, masks[u] & ~bit, v, masks[v] | bit, now, table, work)
                    if saved > most:
                        most, to = saved, v
            if to != u:
                masks[u] &= ~bit
                masks[to] |= bit
                costs[u] = good_cost(grid, aim, u, masks[u], np.inf, table, work)
                costs[to] = good_cost(grid, aim, to, masks[to], np.inf, table, work)
                better = True
        for i in range(demands):
            for k in range(i + 1, demands):
                u = v = 0
                while not masks[u] >> i & 1:
                    u += 1
                while not masks[v] >> k & 1:
                    v += 1
                if better or u == v:
                    continue
                pair = (1 << i) | (1 << k)
                now = costs[u] + costs[v]
                if saving(grid, aim, u, masks[u] ^ pair, v, masks[v] ^ pair, now, table, work) > 0.0:
                    masks[u] ^= pair
                    masks[v] ^= pair
                    costs[u] = good_cost(grid, aim, u, masks[u], np.inf, table, work)
                    costs[v] = good_cost(grid, aim, v, masks[v], np.inf, table, work)
                    better = True
    return float(costs.sum())


@compiled
def live_sets(table: Table, live: Ints, count: Ints) -> None:
    """List by unit the sets that can still be in a better answer, and count them."""
    for u in range(len(table.low)):
        low = table.low[u]
        found = 0
        for mask in range(len(low)):
            if low[mask] < np.inf:
                live[u, found] = mask
                found += 1
        count[u] = found


@compiled
def least_reduced(low: Floats, sums: Floats, live: Ints) -> tuple[float, int]:
    """Return the least reduced cost of a unit's sets, and the set."""
    best, at = np.inf, 0
    for mask in live:
        cost = low[mask] - sums[mask]
        if cost < best:
            best, at = cost, mask
    return best, at


@compiled
def reduce_costs(table: Table, live: Ints, count: Ints, price: Floats, chosen: Ints, least: Floats) -> float:
    """Reckon the bound at prices; fill in each unit's best set, its reduced cost, and `table.sums`."""
    sums = table.sums
    sums[0] = 0.0
    width = 1
    bound = 0.0
    for i in range(len(price)):
        bound += price[i]
        for mask in range(width):
            sums[width + mask] = sums[mask] + price[i]
        width *= 2
    for u in range(len(table.low)):
        least[u], chosen[u] = least_reduced(table.low[u], sums, live[u, : count[u]])
        bound += least[u]
    return bound


@compiled
def drop(table: Table, least: Floats, bound: float, cut: float) -> int:
    """Make infinite what can be in no answer that costs less than `cut`; return how many sets are left."""
    left = 0
    for u in range(len(table.low)):
        most = cut - bound + least[u]
        low = table.low[u]
        for mask in range(len(low)):
            if low[mask] - table.sums[mask] > most:
                low[mask] = np.inf
            elif low[mask] < np.inf:
                left += 1
    return left


@compiled
def repair(grid: Grid, aim: Aim, chosen: Ints, masks: Ints, best: float, table: Table, work: Ints) -> float:
    """Make a partition of overlapping sets, improve it, and keep it in `masks` if it costs less than `best`."""
    tried = np.zeros_like(masks)
    seen = 0
    for u in range(len(masks)):
        tried[u] = chosen[u] & ~seen
        seen |= chosen[u]
    for i in range(len(table.price)):
        if not seen >> i & 1:
            least, to = np.inf, 0
            for u in range(len(masks)):
                now = good_cost(grid, aim, u, tried[u], np.inf, table, work)
                cost = good_cost(grid, aim, u, tried[u] | (1 << i), now + least, table, work) - now
                if cost < least:
                    least, to = cost, u
            tried[to] |= 1 << i
    cost = improve_sets(grid, aim, tried, table, work)
    if cost < best:
        masks[:] = tried
        return cost
    return best


@compiled
def adjust(
    grid: Grid, aim: Aim, masks: Ints, best: float, margin: float, stage: int, repairs: bool, table: Table, work: Ints
) -> float:
    """Raise the bound by changing the prices, one step after another (subgradient ascent with momentum).

    A unit's best set gets a finer bound before it counts. On the way partitions are made of what the units would take.

    Args:
        grid: the grid.
        aim: what is lessened.
        masks: by unit its set in the best answer known; a better one replaces it.
        best: the cost of that answer, or for listing the highest cost that is of interest.
        margin: what costs no more than this less is as good.
        stage: how good the bound of a unit's best set must be.
        repairs: True if better answers are looked for.
        table: the table; its prices are where the ascent begins, and those with the best bound are left there.
        work: nodes spent and allowed.

    Returns:
        The cost of the best answer.
    """
    units, demands = table.low.shape[0], len(table.price)
    price, direction = table.price.copy(), np.zeros(demands)
    chosen, least = np.zeros(units, dtype=np.int64), np.zeros(units)
    live, count = np.empty(table.low.shape, dtype=np.int64), np.zeros(units, dtype=np.int64)
    live_sets(table, live, count)
    highest = -np.inf
    stalled, length = 0, 1.0
    for step in range(STEPS):
        bound = reduce_costs(table, live, count, price, chosen, least)
        work[SPENT] += table.low.shape[1] // 16 + count.sum() // 16
        for u in range(units):
            fresh = False
            while table.stage[u, chosen[u]] < stage and least[u] < np.inf and work[SPENT] <= work[ALLOWED]:
                mask = chosen[u]
                cut = table.sums[mask] + least[u] + (best - bound)
                known = table.least[u] + (best - table.least[units])  # with the prices that bound best
                for i in members_of(mask):
                    known += table.price[i]
                cut = min(cut, known)
                if table.stage[u, mask] == COARSE:
                    refine(grid, aim, u, mask, cut, table, work)
                else:
                    make_exact(grid, aim, u, mask, cut, table, work)
                fresh = True
                bound -= least[u]
                least[u], chosen[u] = least_reduced(table.low[u], table.sums, live[u, : count[u]])
                bound += least[u]
            if fresh and least[u] == np.inf:
                bound = np.inf
        if bound > highest:
            if bound > highest + 1e-3 * (best - highest):
                stalled = 0
            highest = bound
            table.price[:] = price
            table.least[:units] = least
            table.least[units] = bound
        else:
            stalled += 1
        if stalled >= PATIENCE:
            length, stalled = 0.6 * length, 0
            price[:] = table.price
            direction[:] = 0.0
            if length < 0.02:
                break
        if highest >= best - margin or work[SPENT] > work[ALLOWED]:
            break
        if repairs and step % 8 == 4:
            best = repair(grid, aim, chosen, masks, best, table, work)
        if step % 8 == 7:
            drop(table, least, bound, best - margin)
            live_sets(table, live, count)
        size = 0.0
        for i in range(demands):
            taken = 0
            for u in range(units):
                taken += chosen[u] >> i & 1
            direction[i] = 0.6 * direction[i] + (1 - taken)
            size += direction[i] * direction[i]
        if size == 0.0:
            break
        price += length * (best - bound) / size * direction
    reduce_costs(table, live, count, table.price, chosen, least)
    return best
