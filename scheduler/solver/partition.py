"""Exact search over the ways to spread demands over units, for costs that add up over units.

Units are combined by dynamic programming over subsets of the demands: the least cost of a subset on the first k units
is the least, over all its parts, of one part on the first k - 1 units and the other on unit k. What a subset costs on
a unit starts as a cheap lower bound, and is worked out (by `cells`) only where the best combination so far rests on it.
When the best combination rests on exact costs alone, it is the optimum.

A subset is a whole number whose bit i says that demand i is in it: 5 is demands 0 and 2. This module does not know the
power cap, which does not add up (`scheduler.solver.exact` does).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from scheduler.solver import lexi
from scheduler.solver.cells import Aim, Bar, Cell, Part
from scheduler.solver.tables import Floats, Ints, UnitTable, overload_ticks

CLOSE = 1e-9
"""Relative difference below which two values of an aim's last level count as equal."""
CACHED = 1 << 14
"""Number of values that are worked on at a time, so that they stay in a core's cache."""
SUBSETS = 1024
"""Subsets worked out at which a search that has an answer gives up its proof: all of 8 demands on 4 units."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Spread:
    """A clock for each unit and a point for each demand, with their totals.

    Attributes:
        clocks: by unit, an index into its clocks.
        rows: by demand, an index into its points.
        violation: ticks, without the power cap's term.
        gain: ticks of weight * accuracy.
        power_w: power of all units.
    """

    clocks: tuple[int, ...]
    rows: tuple[int, ...]
    violation: float
    gain: float
    power_w: float


def join(parts: list[tuple[int, Part]], count: int, fold: np.ufunc = np.add) -> Spread:
    """Put the parts of all units together to a spread.

    Args:
        parts: by unit, the subset of the demands that it serves and its part.
        count: the number of demands.
        fold: how violations combine: `np.add`, or `np.maximum` for the largest term.
    """
    rows = [0] * count
    for subset, part in parts:
        for member, row in zip(members_of(subset), part.rows, strict=True):
            rows[member] = row
    return Spread(
        clocks=tuple(part.clock for _, part in parts),
        rows=tuple(rows),
        violation=float(fold.reduce([part.violation for _, part in parts])),
        gain=sum(part.gain for _, part in parts),
        power_w=sum(part.power_w for _, part in parts),
    )


@lru_cache(maxsize=16)
def subset_pairs(count: int) -> tuple[Ints, Ints, Ints, Ints]:
    """List all pairs (S, T) with T a subset of S, sorted by S; of n demands there are 3^n.

    Returns:
        T, S without T, and S of each pair; and by S the index of its first pair, one more at the end.
    """
    # Demand by demand: it is in neither, in S alone, or in both.
    whole, part = np.zeros(1, dtype=np.intp), np.zeros(1, dtype=np.intp)
    for bit in (1 << np.arange(count)).tolist():
        whole = np.concatenate([whole, whole | bit, whole | bit])
        part = np.concatenate([part, part, part | bit])
    order = np.lexsort((part, whole))
    whole, part = whole[order], part[order]
    starts = np.searchsorted(whole, np.arange((1 << count) + 1))
    return part, whole ^ part, whole, starts


@lru_cache(maxsize=16)
def subsets_having(count: int) -> Ints:
    """Return by demand the subsets that it is in, ascending."""
    subsets = np.arange(1 << count)
    return np.array([subsets[subsets >> i & 1 == 1] for i in range(count)])


def members_of(subset: int) -> Ints:
    """Return the demands in a subset, ascending: [0, 2] for 5."""
    return np.array([i for i in range(subset.bit_length()) if subset >> i & 1], dtype=np.intp)


class Partition:
    """The search for the cheapest spread of all demands over all units, for one aim.

    Attributes:
        proven: False once work was given up that a proof needs.
        bound: after `solve`, a proven lower bound on the cost, level by level.
    """

    def __init__(
        self, tables: list[UnitTable], count: int, aim: Aim, *, exclusive: bool, worst: bool, limit: float
    ) -> None:
        """Set up cheap lower bounds.

        Args:
            tables: by unit, its points.
            count: the number of demands.
            aim: the cost to minimise.
            exclusive: True if CPU cores must not be shared.
            worst: True takes the largest term of violation in place of their sum; `aim` then has one level.
            limit: the most ticks that a single term of violation may have.
        """
        self.tables = tables
        self.count = count
        self.aim = aim
        self.exclusive = exclusive
        self.worst = worst
        self.limit = limit
        self.fold = np.maximum if worst else np.add
        self.full = (1 << count) - 1
        only = _only_spread(tables)
        self.costs = [self._first_bounds(table) if only is None else self._idle_cost(table) for table in tables]
        """By unit and level, a lower bound on the cost of each subset, or its exact cost."""
        self.closed = [np.zeros(1 << count, dtype=np.bool_) for _ in tables]
        """By unit, the subsets whose cost is exact, proven too high to matter, or beyond the allowance of work."""
        self.found = [{0: idle(table)} for table in tables]
        """By unit and subset, the best choice met."""
        self.proven = True
        for closed in self.closed:
            closed[0] = True
        # Where there is only one spread, no bounds are needed to find it.
        for unit, subset in enumerate(only or ()):
            if subset:
                self._close(unit, subset, (np.inf,) * len(aim.levels), self.costs[unit])

    def cell(self, unit: int, subset: int) -> Cell:
        """Return the search inside one unit with a subset of the demands."""
        return Cell(self.tables[unit], members_of(subset), exclusive=self.exclusive, worst=self.worst, limit=self.limit)

    def solve(self) -> Spread | None:
        """Find the spread of least cost; None if there is none.

        It sets `bound` and `proven`: True if the spread attains the bound.
        """
        # Combine the costs known, mostly lower bounds. Work out what the best combination rests on, which can only
        # raise its cost, and combine anew, until the best combination is exact or no better than the best spread found.
        best: Spread | None = None
        cost = cutoff = (np.inf,) * len(self.aim.levels)
        worked = 0
        while True:
            chain = self.chain(range(len(self.tables)))
            total, subsets = self._least(chain)
            if not total < cutoff:
                break
            opened = [u for u, subset in enumerate(subsets) if not self.closed[u][subset]]
            if opened:
                rests = self.rests(chain)
                for unit in opened:
                    self._close(unit, subsets[unit], cutoff, rests[unit])
            # The parts of this combination make a spread, perhaps a better one than the best so far.
            if all(subset in found for subset, found in zip(subsets, self.found, strict=True)):
                parts = [(s, found[s]) for s, found in zip(subsets, self.found, strict=True)]
                spread = join(parts, self.count, self.fold)
                value = self.cost(spread)
                if value < cutoff:
                    best, cost = spread, value
                    cutoff = (*value[:-1], value[-1] - CLOSE * abs(value[-1]))
            if not opened:
                break
            worked += len(opened)
            if best is not None and worked > SUBSETS:
                self.proven = False
                break
        self.bound = min(total, cost)
        return best

    def cost(self, whole: Spread | Part) -> tuple[float, ...]:
        """Return the cost of a spread, or of a part of one, level by level."""
        triple = (np.array(whole.violation), np.array(whole.gain), np.array(whole.power_w))
        return tuple(float(level) for level in self.aim.values(*triple))

    def _first_bounds(self, table: UnitTable) -> list[Floats]:
        """Return by level a lower bound on the cost of each subset on a unit.

        Each member takes its best point by itself. It waits for the fastest points of the others where sharing is
        certain, and for nothing where it is not.
        """
        busy_ms, cores, load = _subset_sums(table.least)
        shared = cores > table.frame.slots
        violation = overload_ticks(load)
        violation[violation > self.limit] = np.inf
        if self.exclusive and not table.frame.gpu:
            violation[shared] = np.inf
        levels = self.aim.values(
            violation, np.zeros_like(violation), np.broadcast_to(table.frame.static_w[:, None], violation.shape)
        )
        levels = [level.copy() for level in levels]
        # By demand, for the subsets that it is in, the wait for the others' fastest points: (demands, clocks, subsets).
        having = subsets_having(self.count)
        queue = np.swapaxes(np.where(shared, busy_ms, -np.inf).take(having, axis=1), 0, 1)
        with np.errstate(invalid="ignore"):
            wait = np.maximum(queue - table.least[:, 0, :, None], 0.0)
        # Points come before clocks and subsets: a reduction over a short last axis would be slow.
        latency, short, gain, power = (
            np.ascontiguousarray(np.swapaxes(values, 1, 2))[..., None]
            for values in (table.latency_ms, table.short, table.gain, table.power_w)
        )
        step = max(1, self.count * CACHED // (latency.size * having.shape[1] + 1))
        for start in range(0, self.count, step):
            some = slice(start, start + step)
            terms = table.frame.term(some, latency[some] + wait[some, None], short[some])
            fits = terms <= self.limit
            values = [np.where(fits, value, np.inf) for value in self.aim.values(terms, gain[some], power[some])]
            for level, least in zip(levels, lexi.least(values, axis=1), strict=True):
                for mine, more in zip(having[some], least, strict=True):
                    level[:, mine] = self.fold(level[:, mine], more)
        levels[0][~np.isfinite(violation)] = np.inf
        bounds = lexi.least(levels, axis=0)
        for bound, alone in zip(bounds, self._idle_cost(table), strict=True):
            bound[0] = alone[0]
        return bounds

    def _idle_cost(self, table: UnitTable) -> list[Floats]:
        """Return by level the cost of no demand at all; infinite for every other subset."""
        nobody = np.arange(self.full + 1) == 0
        return [np.where(nobody, value, np.inf) for value in self.cost(idle(table))]

    def merge(self, left: list[Floats], right: list[Floats]) -> list[Floats]:
        """Return by level the least cost of each subset when it is divided between two groups of units."""
        part, rest, whole, starts = subset_pairs(self.count)
        sums = [self.fold(a[part], b[rest]) for a, b in zip(left, right, strict=True)]
        return lexi.least_by_segment(sums, starts[:-1], whole)

    def chain(self, units: Iterable[int]) -> list[list[Floats]]:
        """Return the merges of the first, the first two, ... of the units given."""
        merged: list[list[Floats]] = []
        for unit in units:
            merged.append(self.merge(merged[-1], self.costs[unit]) if merged else self.costs[unit])
        return merged

    def rests(self, chain: list[list[Floats]]) -> list[list[Floats]]:
        """Return by unit and level, for each subset, the least cost of all other demands on all other units."""
        last = len(self.tables) - 1
        if last == 0:
            return [[np.where(np.arange(self.full + 1) == self.full, 0.0, np.inf) for _ in self.aim.levels]]
        back = self.chain(range(last, 0, -1))[::-1]  # back[u]: units u + 1 and on
        others = [back[0], *(self.merge(chain[u - 1], back[u]) for u in range(1, last)), chain[last - 1]]
        # Read backwards, an array over subsets is one over their complements.
        return [[level[::-1] for level in other] for other in others]

    def _least(self, chain: list[list[Floats]]) -> tuple[tuple[float, ...], list[int]]:
        """Return the least cost of all, and by unit the subset that leads to it."""
        parts = [0] * len(self.tables)
        part, rest, _, starts = subset_pairs(self.count)
        whole = self.full
        total = tuple(float(level[whole]) for level in chain[-1])
        # Back from the last unit: which part of what is left was it best to put there?
        for unit in range(len(self.tables) - 1, 0, -1):
            here = slice(starts[whole], starts[whole + 1])
            sums = [
                self.fold(a[part[here]], b[rest[here]]) for a, b in zip(chain[unit - 1], self.costs[unit], strict=True)
            ]
            best = lexi.first(sums)
            parts[unit] = int(rest[here][best])
            whole = int(part[here][best])
        parts[0] = whole
        return total, parts

    def _close(self, unit: int, subset: int, cutoff: tuple[float, ...], rest: list[Floats]) -> None:
        """Work out the cost of a subset on a unit, as far as it can matter.

        Args:
            unit: index of the unit.
            subset: the demands on it.
            cutoff: the cost, level by level, that a whole spread must stay below.
            rest: by level and subset, the least cost of all other demands on the other units.
        """
        self.closed[unit][subset] = True
        # What is left of the cutoff once all others have cost their least. A largest term leaves all of it.
        bar = tuple(
            c if self.worst or not np.isfinite(c) else c - float(r[subset]) for c, r in zip(cutoff, rest, strict=True)
        )
        cell = self.cell(unit, subset)
        states, complete = cell.search([Bar(aim=self.aim, cutoff=bar)], only_best=True)
        self.proven &= complete
        value = bar
        if len(states):
            best = lexi.first(cell.values(states, cell.count, self.aim))
            self.found[unit][subset] = part = cell.part(states, best)
            value = self.cost(part)
        if complete:
            for level, v in zip(self.costs[unit], value, strict=True):
                level[subset] = v


def _only_spread(tables: list[UnitTable]) -> list[int] | None:
    """Return by unit the subset that it must serve if every demand has points on one unit alone; else None."""
    able = np.array([table.valid.any(axis=(1, 2)) for table in tables])
    if not np.all(able.sum(axis=0) == 1):
        return None
    subsets: list[int] = (able @ (1 << np.arange(able.shape[1]))).tolist()
    return subsets


def idle(table: UnitTable) -> Part:
    """Return the part of an unused unit, which is off or stands at its lowest clock."""
    return Part(clock=0, rows=(), violation=0.0, gain=0.0, power_w=table.frame.unused_w)


def _subset_sums(values: Floats) -> Floats:
    """Return sums of values (demands, ...) over every subset of the demands: (..., subsets)."""
    result = np.zeros((*values.shape[1:], 1 << len(values)))
    # The subsets with demand i as their highest are those below bit i, with demand i added.
    for i, value in enumerate(values):
        np.add(result[..., : 1 << i], value[..., None], out=result[..., 1 << i : 2 << i])
    return result
