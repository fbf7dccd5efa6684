"""Lists what is left on each unit, and joins it into whole answers: a depth-first search over units finds the best.

A column is one choice for one unit: the set that it serves, its reduced cost, and its totals. The search takes a column
for each unit, such that every demand is served once. It does not enter a branch whose reduced costs, with the least
that the other units have, exceed what the best answer known allows.
"""

from typing import NamedTuple

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.costs import ALLOWED, SPENT, Aim, Leaves, rising
from scheduler.solver.grid import UNUSED, Floats, Grid, Ints
from scheduler.solver.keys import Key, cap_ticks, less
from scheduler.solver.one_unit import serve
from scheduler.solver.sets import EXACT, Table, make_exact, members_of


class Columns(NamedTuple):
    """The columns of all units, one unit after another, each unit's by rising reduced cost.

    Attributes:
        first: (units + 1,): each unit's first column.
        mask: (columns,): the set.
        reduced: (columns,): its cost less the prices of its members.
        totals: (columns, 3): ticks of violation, ticks of weight * accuracy, watts.
    """

    first: Ints
    mask: Ints
    reduced: Floats
    totals: Floats


class Allowance(NamedTuple):
    """How much an answer as good as a known one can cost: a linear function of that one's key.

    Attributes:
        violation: cost by tick of violation, the cap's term included.
        gain: cost by tick of accuracy lost.
        power: cost by watt.
        fixed: cost in any case.
    """

    violation: float
    gain: float
    power: float
    fixed: float


def settle(grid: Grid, aim: Aim, best: float, margin: float, table: Table, work: Ints) -> bool:
    """Make every bound that is left exact; return True if all are."""
    for u in range(len(grid.unit)):
        low, cuts = table.low[u], best - margin - table.least[-1] + table.least[u] + table.sums
        low[low > cuts] = np.inf
        for mask in np.flatnonzero((low < np.inf) & (table.stage[u] < EXACT)).tolist():
            make_exact(grid, aim, u, mask, cuts[mask], table, work)
            if work[SPENT] > work[ALLOWED]:
                return False
    return True


def list_choices(grid: Grid, aim: Aim, best: float, table: Table, leaves: Leaves, where: Ints, work: Ints) -> bool:
    """List all choices of every set that can be part of an answer that costs at most `best`.

    Args:
        grid: the grid.
        aim: what is lessened.
        best: the cost.
        table: the table, with its prices and bound.
        leaves: is given the choices.
        where: (most, 2): is given by choice its unit and its set.
        work: nodes spent and allowed.

    Returns:
        True if the list is complete.
    """
    picks = np.empty(2 * len(table.price) + 1, dtype=np.int64)
    for u in range(len(grid.unit)):
        low, cuts = table.low[u], best - table.least[-1] + table.least[u] + table.sums
        for mask in np.flatnonzero(low <= cuts).tolist():
            at = leaves.filled[1] = leaves.filled[0]
            if mask == 0:
                leaves.totals[at] = low[0], 0.0, 0.0, grid.unit[u, UNUSED]
                leaves.picks[at, 0] = -1
                leaves.filled[0] += 1
            else:
                serve(grid, aim, table.alone, u, members_of(mask), cuts[mask], picks, leaves, work)
            where[at : leaves.filled[0]] = u, mask
            if work[SPENT] > work[ALLOWED] or leaves.filled[0] + 1 >= len(leaves.totals):
                return False
    return True


@compiled
def allowed(allowance: Allowance, key: Key) -> float:
    """Return the most that an answer as good as one with that key can cost."""
    return allowance.violation * key[2] + allowance.gain * key[3] + allowance.power * key[4] + allowance.fixed


@compiled
def join(
    columns: Columns,
    price_sum: float,
    demands: int,
    allowance: Allowance,
    cap_w: float,
    limit: float,
    best: Key,
    picks: Ints,
    work: Ints,
) -> Key:
    """Find the best answer that can be joined.

    Args:
        columns: the columns.
        price_sum: the sum of the prices.
        demands: how many demands there are.
        allowance: bars what costs more than an answer as good as the best known.
        cap_w: the power cap; infinite for none.
        limit: the most ticks that the cap's term may have.
        best: the key of the best answer known; its first two entries stay as they are.
        picks: (units,): is given the columns of a better answer; -1 at first where none is found.
        work: nodes spent and allowed; where they run out the result is not proven.

    Returns:
        The key of the best answer.
    """
    units = len(columns.first) - 1
    everyone = (1 << demands) - 1
    picks[:] = -1
    # The units with few columns come first, the last one's columns are found by their set.
    order = rising((columns.first[1:] - columns.first[:-1]).astype(np.float64))
    last = order[units - 1]
    heads = np.full(1 << demands, -1, dtype=np.int64)
    following = np.full(len(columns.mask), -1, dtype=np.int64)
    for k in range(columns.first[last + 1] - 1, columns.first[last] - 1, -1):
        following[k] = heads[columns.mask[k]]
        heads[columns.mask[k]] = k
    # rest[d]: the least reduced cost of the units from the d-th on.
    rest = np.zeros(units + 1)
    for d in range(units - 1, -1, -1):
        u = order[d]
        if columns.first[u] == columns.first[u + 1]:
            return best
        rest[d] = rest[d + 1] + columns.reduced[columns.first[u]]
    reduced = np.full(units + 1, price_sum)
    totals = np.zeros((units + 1, 3))
    used = np.zeros(units + 1, dtype=np.int64)
    at = np.zeros(units, dtype=np.int64)
    now = np.full(units, -1, dtype=np.int64)
    at[0] = columns.first[order[0]] if units > 1 else heads[everyone]
    cut = allowed(allowance, best)
    d = 0
    while d >= 0:
        u = order[d]
        k = at[d]
        if d == units - 1:
            ended = k < 0
        else:
            ended = k >= columns.first[u + 1] or reduced[d] + columns.reduced[k] + rest[d + 1] > cut
        if ended:
            d -= 1
            continue
        at[d] = following[k] if d == units - 1 else k + 1
        work[SPENT] += 1
        if work[SPENT] > work[ALLOWED]:
            return best
        if columns.mask[k] & used[d]:
            continue
        now[u] = k
        reduced[d + 1] = reduced[d] + columns.reduced[k]
        used[d + 1] = used[d] | columns.mask[k]
        for field in range(3):
            totals[d + 1, field] = totals[d, field] + columns.totals[k, field]
        if d + 1 < units:
            d += 1
            at[d] = columns.first[order[d]] if d < units - 1 else heads[everyone ^ used[d]]
            continue
        over = cap_ticks(totals[units, 2], cap_w)
        key = (best[0], best[1], totals[units, 0] + over, -totals[units, 1], totals[units, 2])
        if over <= limit and less(key, best):
            best = key
            cut = allowed(allowance, best)
            picks[:] = now
    return best


@compiled
def least_worst(grid: Grid, aim: Aim, order: Ints, best: float, table: Table, masks: Ints, work: Ints) -> float:
    """Find the partition whose largest term is least, demand by demand, depth first.

    Args:
        grid: the grid.
        aim: the largest term.
        order: the demands, those first that are hard to place.
        best: the largest term of the best answer known, in ticks.
        table: the table of largest terms.
        masks: by unit its set in that answer; a better one replaces it.
        work: nodes spent and allowed.

    Returns:
        The least largest term.
    """
    units, demands = len(masks), len(order)
    trail = np.full(demands + 1, -1, dtype=np.int64)
    tried = np.zeros(units, dtype=np.int64)
    d = 0
    while d >= 0:
        bit = 1 << order[d]
        if trail[d] >= 0:
            tried[trail[d]] &= ~bit
        trail[d] += 1
        u = trail[d]
        if u == units:
            trail[d] = -1
            d -= 1
            continue
        mask = tried[u] | bit
        if table.low[u, mask] < best and table.stage[u, mask] != EXACT:
            # A cost that is only known to be no better than the best stays so while the best falls.
            make_exact(grid, aim, u, mask, best, table, work)
        work[SPENT] += 1
        if work[SPENT] > work[ALLOWED]:
            return best
        if table.low[u, mask] >= best:
            continue
        tried[u] = mask
        if d + 1 < demands:
            d += 1
            continue
        worst = 0.0
        for v in range(units):
            if tried[v]:
                worst = max(worst, table.low[v, tried[v]])
        best = worst
        masks[:] = tried
    return best
