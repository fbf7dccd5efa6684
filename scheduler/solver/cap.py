"""Exact search where a power cap couples the units.

The cap's term does not add up over units, so the search relaxes it (Lagrangian relaxation). For a factor f from 0 to
1, max(0, power / cap - 1) >= f * (power / cap - 1), and the right side adds up. The best factors give bounds that leave
few choices on each unit. Those are listed and joined, and the Pareto-optimal ones kept.

With a cap of 10 W and a power of 12 W, the cap's term is 0.2; factor 0.5 bounds it from below by 0.1.

This module does not know objectives beyond the two criteria that it is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scheduler.solver import lexi
from scheduler.solver.cells import Aim, Bar, Part
from scheduler.solver.partition import Partition, Spread, idle, join
from scheduler.solver.tables import TICKS, Floats, Ints

STEPS = 12
"""Most factors that are tried in the search for the best bound."""
PAIRS = 20_000_000
"""Pairs of partial choices at which a join gives up its proof."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cap:
    """A cap on power; its term is counted in ticks of violation."""

    watts: float

    @property
    def factor(self) -> float:
        """Ticks per watt above the cap."""
        return TICKS / self.watts

    def ticks(self, power_w: Floats) -> Floats:
        """Return the cap's term in ticks."""
        return np.rint(np.maximum(power_w / self.watts - 1.0, 0.0) * TICKS)

    def violation(self, spread: Spread) -> float:
        """Return the whole violation of a spread in ticks."""
        return spread.violation + float(self.ticks(np.array(spread.power_w)))


@dataclass(frozen=True, slots=True, eq=False)
class Relaxation:
    """A necessary condition on the choices of interest: a cost that adds up is at most a cutoff.

    Attributes:
        partition: solved for that cost.
        cutoff: the most that a choice of interest can cost.
    """

    partition: Partition
    cutoff: float

    @property
    def aim(self) -> Aim:
        """The cost alone: the first level of the partition's aim."""
        return Aim(levels=self.partition.aim.levels[:1])


def steepest(
    low: Spread,
    high: Spread,
    solve: Callable[[float], Spread | None],
    gain: Callable[[Spread], float],
    excess: Callable[[Spread], float],
) -> None:
    """Call `solve` with factors f that approach the sharpest bound: the greatest least value of gain + f * excess.

    Args:
        low: the spread of least gain, with an excess above 0.
        high: a spread with an excess of at most 0.
        solve: returns the spread of least gain + f * excess for a factor f.
        gain: what is lessened.
        excess: what should be at most 0.
    """
    # Every spread is a point (excess, gain), and `solve` finds the lowest point in the direction of a slope -f. The
    # bound is where the lower convex hull of all points crosses excess 0. So try the slope of the line through the two
    # points known on either side. If a point lies below that line, it replaces the one on its side; if none does, the
    # line is an edge of the hull and its factor is the best.
    for _ in range(STEPS):
        run = excess(low) - excess(high)
        if run <= 0.0 or excess(high) > 0.0 or gain(high) <= gain(low):
            return
        factor = (gain(high) - gain(low)) / run
        line = gain(low) + factor * excess(low)
        spread = solve(factor)
        if spread is None or gain(spread) + factor * excess(spread) >= line - 1e-9 * abs(line) - 1.0:
            return
        if excess(spread) > 0.0:
            low = spread
        else:
            high = spread


def candidates(relaxations: list[Relaxation]) -> tuple[list[Spread], bool]:
    """List all spreads that no relaxation excludes, without those that another one equals or betters in every total.

    The units are joined one after another. A partial spread serves a subset of the demands on the units so far; it is
    dropped when its cost, with the least that the rest costs on the units after, exceeds a cutoff (branch and bound).

    Args:
        relaxations: the conditions, at least one; all on the same problem.

    Returns:
        The spreads, and True if none was lost to the allowance of work.
    """
    first = relaxations[0].partition
    last = len(first.tables) - 1
    complete = True
    chains = [r.partition.chain(range(last + 1)) for r in relaxations]
    rests = [[rest[0] for rest in r.partition.rests(chain)] for r, chain in zip(relaxations, chains, strict=True)]
    # behind[u][r][S]: the least that S costs on the units after u.
    behind = [[np.where(np.arange(first.full + 1) == 0, 0.0, np.inf) for _ in relaxations]]
    backs = [r.partition.chain(range(last, 0, -1)) for r in relaxations]
    behind += [[back[i][0] for back in backs] for i in range(last)]
    behind.reverse()

    # Partial spreads, one per entry: the demands served, the totals, and by unit the choice taken in its bag.
    bags: list[Bag] = []
    subsets = np.zeros(1, dtype=np.intp)
    totals = np.zeros((1, 3))
    trails = np.zeros((1, 0), dtype=np.intp)
    for unit in range(last + 1):
        bag = Bag.of(relaxations, unit, [rest[unit] for rest in rests])
        complete &= bag.complete
        bags.append(bag)
        if len(subsets) * len(bag.subsets) > PAIRS:
            return [], False
        # Join each partial spread with each choice on this unit that serves none of the same demands.
        left, right = np.nonzero((subsets[:, None] & bag.subsets[None, :]) == 0)
        subsets, totals = subsets[left] | bag.subsets[right], totals[left] + bag.totals[right]
        trails = np.concatenate([trails[left], right[:, None]], axis=1)
        # Drop what a bound excludes, then what another one dominates with the same demands served.
        keep = np.ones(len(subsets), dtype=np.bool_)
        for r, rest in zip(relaxations, behind[unit], strict=True):
            cost = r.aim.values(totals[:, 0], totals[:, 1], totals[:, 2])[0]
            keep &= cost + rest[first.full ^ subsets] <= r.cutoff
        kept = np.flatnonzero(keep)
        kept = kept[_undominated(subsets[kept], totals[kept])]
        subsets, totals, trails = subsets[kept], totals[kept], trails[kept]
    spreads = [
        join([(int(bag.subsets[at]), bag.parts[at]) for bag, at in zip(bags, trail, strict=True)], first.count)
        for trail in trails
    ]
    return spreads, complete


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Bag:
    """The choices on one unit that may be part of a candidate.

    Attributes:
        subsets: by choice, the demands it serves, as bits.
        totals: (choices, 3): ticks of violation, ticks of weight * accuracy, watts.
        parts: by choice, its clock and points.
        complete: True if none was lost to the allowance of work.
    """

    subsets: Ints
    totals: Floats
    parts: list[Part]
    complete: bool

    @classmethod
    def of(cls, relaxations: list[Relaxation], unit: int, rests: list[Floats]) -> "Bag":
        """List the choices that no relaxation excludes.

        Args:
            relaxations: the conditions.
            unit: index of the unit.
            rests: by relaxation and subset, the least that all demands outside the subset cost on the other units.
        """
        first = relaxations[0].partition
        open_subset = np.ones(first.full + 1, dtype=np.bool_)
        for r, rest in zip(relaxations, rests, strict=True):
            open_subset &= r.partition.costs[unit][0] + rest <= r.cutoff
        subsets: list[int] = []
        parts: list[Part] = []
        complete = True
        for subset in np.flatnonzero(open_subset).tolist():
            if subset == 0:
                found = [idle(first.tables[unit])]
            else:
                # A cutoff passes what is below it, so the next larger number lets through what equals it.
                bars = [
                    Bar(aim=r.aim, cutoff=(float(np.nextafter(r.cutoff - rest[subset], np.inf)),))
                    for r, rest in zip(relaxations, rests, strict=True)
                ]
                cell = first.cell(unit, subset)
                states, whole = cell.search(bars, only_best=False)
                complete &= whole
                totals = np.column_stack([states.violation, *states.sums[-2:]])
                kept = _undominated(np.zeros(len(states), dtype=np.intp), totals)
                found = [cell.part(states, index) for index in kept.tolist()]
            subsets += [subset] * len(found)
            parts += found
        totals = np.array([(p.violation, p.gain, p.power_w) for p in parts]).reshape(-1, 3)
        return cls(subsets=np.array(subsets, dtype=np.intp), totals=totals, parts=parts, complete=complete)


def _undominated(group: Ints, totals: Floats) -> Ints:
    """Return the indices of the entries that no other entry of their group equals or betters in every total.

    Args:
        group: by entry, its group.
        totals: (entries, 3): ticks of violation, ticks of weight * accuracy, watts.
    """
    order = lexi.order([group.astype(np.float64), totals[:, 0], totals[:, 2], -totals[:, 1]])
    kept: list[int] = []
    front: list[tuple[float, float]] = []
    here = -1
    for index, which, gain, power_w in zip(
        order.tolist(), group[order].tolist(), totals[order, 1].tolist(), totals[order, 2].tolist(), strict=True
    ):
        if which != here:
            here, front = which, []
        # Violation ascends, so an earlier entry dominates where it has no less gain and no more power.
        if any(g >= gain and p <= power_w for g, p in front):
            continue
        front = [(g, p) for g, p in front if not (gain >= g and power_w <= p)] + [(gain, power_w)]
        kept.append(index)
    return np.array(kept, dtype=np.intp)
