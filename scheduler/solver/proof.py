"""Proofs by prices: the answer of least cost, and the best of all that cost no more than is allowed.

A cost adds up over units (`costs.Aim`). Three steps lead to the proof: prices that bound it from below (`sets`),
exact costs for the sets that the gap between bound and answer leaves, and what is left joined (`joining`).

This module does not know objectives, nor why a cost is asked for.
"""

import numpy as np

from scheduler.solver import filling, sets
from scheduler.solver.alone import Alone, alone_of
from scheduler.solver.answers import Answer, answer_of
from scheduler.solver.costs import ALLOWED, SPENT, Aim, Leaves
from scheduler.solver.grid import Grid, Ints, within
from scheduler.solver.joining import Allowance, Columns, allowed, join, list_choices, settle
from scheduler.solver.keys import Key
from scheduler.solver.one_unit import serve

SERVING = 200_000
"""Nodes that are always left for the best choice of all units, once it is known which demands each one serves."""
LISTED = 60_000
"""Choices at which a list gives up its proof."""


class Proof:
    """Answers for a few demands, with proof.

    Attributes:
        grid: the points.
        work: nodes spent and allowed.
        proven: False once a list has become too long, or a unit's best choice was not found.
    """

    def __init__(self, grid: Grid, work: Ints) -> None:
        self.grid = grid
        self.work = work
        self.proven = True
        self._grids: dict[float, Grid] = {}

    def within(self, limit: float) -> Grid:
        """Return the grid of the points that keep a limit on every term; each one is made once."""
        if limit not in self._grids:
            self._grids[limit] = within(self.grid, limit)
        return self._grids[limit]

    def solve(self, aim: Aim, start: Answer, limit: float) -> Answer:
        """Return the answer of least cost, the cap left out."""
        grid = self.within(limit)
        cost = _cost(aim, start)
        if _bound_to_one_unit(grid):
            whole = self.served(grid, aim, alone_of(grid, aim, True), start.masks, start)
            return whole if _cost(aim, whole) < cost else start
        table = self.table(grid, aim)
        masks = start.masks
        found = sets.improve_sets(grid, aim, masks, table, self.work)
        if not found < cost:
            masks, found = start.masks, cost
        margin = 1e-9 * abs(start.power_w) * aim.power + 2e-15 * abs(cost)
        self._price(grid, aim, table, masks)
        best = sets.adjust(grid, aim, masks, found, margin, sets.FINER, True, table, self.work)
        if table.least[-1] < best - margin:
            best = self._close(grid, aim, table, masks, best, margin)
        if not best < cost:
            return start
        whole = self.served(grid, aim, table.alone, masks, start)
        return whole if _cost(aim, whole) < cost else start

    def _close(self, grid: Grid, aim: Aim, table: sets.Table, masks: Ints, best: float, margin: float) -> float:
        """Close the gap between bound and answer: exact costs, prices anew, and all that is left joined."""
        # First only the sets that the prices choose become exact; that is often enough.
        best = sets.adjust(grid, aim, masks, best, margin, sets.EXACT, True, table, self.work)
        if table.least[-1] >= best - margin:
            return best
        for _ in range(2):
            sets.drop(table, table.least[:-1], table.least[-1], best - margin)
            if not settle(grid, aim, best, margin, table, self.work):
                return best
            best = sets.adjust(grid, aim, masks, best, margin, sets.EXACT, True, table, self.work)
            if table.least[-1] >= best - margin:
                return best
        sets.drop(table, table.least[:-1], table.least[-1], best - margin)
        if not settle(grid, aim, best, margin, table, self.work):
            return best
        units, found = np.nonzero(table.low < np.inf)
        cost = table.low[units, found]
        reduced = cost - table.sums[found]
        order = np.lexsort((reduced, units))
        columns = Columns(
            first=np.searchsorted(units, np.arange(len(masks) + 1)),
            mask=found[order],
            reduced=reduced[order],
            totals=np.column_stack((cost[order], np.zeros((len(order), 2)))),
        )
        key = (0.0, 0.0, best, 0.0, 0.0)
        picks = np.empty(len(masks), dtype=np.int64)
        allowance = Allowance(1.0, 0.0, 0.0, -margin)
        key = join(columns, table.price.sum(), len(table.price), allowance, np.inf, np.inf, key, picks, self.work)
        if picks[0] >= 0:
            masks[:] = columns.mask[picks]
        return key[2]

    def table(self, grid: Grid, aim: Aim) -> sets.Table:
        """Return a table of coarse bounds."""
        units, demands = len(grid.unit), len(grid.wait)
        low = np.empty((units, 1 << demands))
        alone = alone_of(grid, aim, True)
        filling.fill(grid, aim, alone, low)
        stage = np.zeros(low.shape, dtype=np.int64)
        stage[:, 0] = sets.EXACT
        self.work[SPENT] += low.size // 8
        return sets.Table(
            alone=alone,
            low=low,
            good=np.full(low.shape, np.nan),
            stage=stage,
            price=np.zeros(demands),
            sums=np.zeros(low.shape[1]),
            least=np.append(np.zeros(units), -np.inf),
        )

    def _price(self, grid: Grid, aim: Aim, table: sets.Table, masks: Ints) -> None:
        """Start each demand's price at what its unit would save without it, but not below what it costs at least."""
        least = table.alone.cost.min(axis=0)
        for u, mask in enumerate(masks.tolist()):
            whole = sets.good_cost(grid, aim, u, mask, np.inf, table, self.work)
            for i in sets.members_of(mask):
                without = sets.good_cost(grid, aim, u, mask & ~(1 << int(i)), np.inf, table, self.work)
                table.price[i] = max(least[i], whole - without) if whole < np.inf else least[i]

    def served(self, grid: Grid, aim: Aim, alone: Alone, masks: Ints, start: Answer) -> Answer:
        """Return the answer in which each unit serves its set in the best way; `start` where that is not found.

        It has the work that is left, and at least an allowance of its own: what a search has found before it was cut
        short is not lost.
        """
        clock, point = grid.first[:-1].copy(), np.zeros(len(grid.wait), dtype=np.int64)
        cpus = np.zeros_like(point)
        nothing = Leaves(np.empty((0, 4)), np.empty((0, 1), dtype=np.int64), np.zeros(2, dtype=np.int64))
        left = int(self.work[ALLOWED] - self.work[SPENT])
        spare = np.array([0, max(SERVING, left)], dtype=np.int64)
        for u, mask in enumerate(masks.tolist()):
            if mask:
                members = sets.members_of(mask)
                picks = np.empty(2 * len(members) + 1, dtype=np.int64)
                serve(grid, aim, alone, u, members, np.inf, picks, nothing, spare)
                if picks[0] < 0:
                    self.proven = False
                    return start
                clock[u], point[members], cpus[members] = picks[0], *picks[1:].reshape(2, -1)
        self.work[SPENT] += spare[SPENT]
        self.proven &= bool(spare[SPENT] <= spare[ALLOWED])
        return answer_of(grid, units_of(masks, len(point)), clock, point, cpus)

    def cheaper(self, aim: Aim, start: Answer, limit: float, most: float) -> Answer | None:
        """Return an answer that costs less than `most`, the cap left out; None if there is none."""
        grid = within(self.grid, limit)
        table = self.table(grid, aim)
        masks = start.masks
        self._price(grid, aim, table, masks)
        found = sets.improve_sets(grid, aim, masks, table, self.work)
        best = min(found, most)
        if found >= most:
            best = sets.adjust(grid, aim, masks, most, 0.0, sets.FINER, True, table, self.work)
            if best >= most and table.least[-1] < most:
                best = self._close(grid, aim, table, masks, most, 0.0)
        return self.served(grid, aim, table.alone, masks, start) if best < most else None

    def good(self, aim: Aim, start: Answer, limit: float) -> Answer:
        """Return a good answer for an aim, not proven."""
        grid = self.within(limit)
        table = self.table(grid, aim)
        masks = start.masks
        sets.improve_sets(grid, aim, masks, table, self.work)
        return self.served(grid, aim, table.alone, masks, start)

    def listed(self, aim: Aim, best: Answer, key: Key, limit: float, cap_w: float, allowance: Allowance) -> Answer:
        """Return the best answer of all that the allowance leaves.

        Args:
            aim: the cost.
            best: the best answer known.
            key: what it comes to (`keys.Key`).
            limit: the most ticks that a term may have.
            cap_w: the power cap; infinite for none.
            allowance: what an answer as good as that can cost.
        """
        grid = self.within(limit)
        table = self.table(grid, aim)
        masks = best.masks
        cut = allowed(allowance, key)
        cut += 1e-11 * (abs(cut) + abs(allowance.fixed)) + (1.0 if aim.power != 1.0 else 1e-9)
        loosened = allowance._replace(fixed=allowance.fixed + cut - allowed(allowance, key))
        self._price(grid, aim, table, masks)
        sets.adjust(grid, aim, masks, cut, 0.0, sets.FINER, False, table, self.work)
        if table.least[-1] > cut:
            return best
        leaves = Leaves(
            np.empty((LISTED, 4)),
            np.empty((LISTED, 2 * len(best.rows) + 1), dtype=np.int64),
            np.zeros(2, dtype=np.int64),
        )
        where = np.empty((LISTED, 2), dtype=np.int64)
        complete = list_choices(grid, aim, cut, table, leaves, where, self.work)
        count = int(leaves.filled[0])
        units, found = where[:count, 0], where[:count, 1]
        reduced = leaves.totals[:count, 0] - table.sums[found]
        order = np.lexsort((reduced, units))
        columns = Columns(
            first=np.searchsorted(units, np.arange(len(masks) + 1)),
            mask=found[order],
            reduced=reduced[order],
            totals=leaves.totals[:count][order, 1:],
        )
        picks = np.empty(len(masks), dtype=np.int64)
        price_sum = table.price.sum()
        join(columns, price_sum, len(best.rows), loosened, cap_w, limit, key, picks, self.work)
        self.proven &= complete
        if picks[0] < 0:
            return best
        chosen = leaves.picks[order[picks]]
        clock = np.where(chosen[:, 0] < 0, grid.first[:-1], chosen[:, 0])
        point, cpus = np.zeros((2, len(best.rows)), dtype=np.int64)
        for u, mask in enumerate(columns.mask[picks].tolist()):
            members = sets.members_of(mask)
            point[members], cpus[members] = chosen[u, 1 : 2 * len(members) + 1].reshape(2, -1)
        return answer_of(grid, units_of(columns.mask[picks], len(point)), clock, point, cpus)


def _bound_to_one_unit(grid: Grid) -> bool:
    """Return True if each demand has points on one unit alone, as one that keeps its gear."""
    here = np.logical_or.reduceat(grid.spans[:, :, 0] < grid.spans[:, :, 1], grid.first[:-1], axis=0)
    return bool((here.sum(axis=0) == 1).all())


def units_of(masks: Ints, demands: int) -> Ints:
    """Return by demand the unit that serves it."""
    return np.array([int(np.flatnonzero(masks >> i & 1)[0]) for i in range(demands)], dtype=np.int64)


def _cost(aim: Aim, whole: Answer) -> float:
    return aim.violation * whole.violation - aim.gain * whole.gain + aim.power * whole.power_w
