"""Exact answers for a few demands: which searches an objective needs, with or without a power cap.

Everything but the power cap adds up over units, and `partition` finds the least of what adds up. Three ideas do the
rest:

- Limits instead of levels: no term of what is sought can exceed the whole violation of what is known, so points beyond
  such a limit are left out before a search.
- The least largest term is found first, as a limit for all later searches.
- A power cap couples the units; `cap` relaxes it into costs that add up, and lists what the bounds leave.

This module does not know how a search works inside.
"""

from collections.abc import Mapping

import numpy as np

from scheduler.objectives import OBJECTIVES, Quantity
from scheduler.problem import Problem, ProblemError
from scheduler.solver.cap import Cap, Relaxation, candidates, steepest
from scheduler.solver.cells import Aim
from scheduler.solver.evaluation import evaluate
from scheduler.solver.partition import Partition, Spread
from scheduler.solver.tables import NO_CHOICE, TICKS, Found, Layout, lay_out, loose_bound

EXACT_DEMANDS = 8
"""Most demands for which the search is exact; time and memory grow threefold with each demand more."""

FAIR_TICKS = 10.0
"""Ticks to which the least largest term is found under a power cap, where it is found by bisection."""

Level = tuple[float, float, float]
"""Factors on (violation, weight * accuracy, power), as in `cells.Aim`."""
VIOLATION: Level = (1.0, 0.0, 0.0)
ACCURACY: Level = (0.0, 1.0, 0.0)
POWER: Level = (0.0, 0.0, 1.0)
GOALS: Mapping[Quantity, Level] = {Quantity.ACCURACY: ACCURACY, Quantity.POWER: POWER}
"""By quantity that an objective may seek beyond the violation, its level."""


def solve_exactly(problem: Problem) -> Found:
    """Return the best answer to a problem of at most `EXACT_DEMANDS` demands.

    Raises:
        ProblemError: No choice of one clock per unit leaves every demand a point.
    """
    if not problem.demands:
        return Found(clocks=(0,) * len(problem.units), rows=(), proven=True, bound=np.nan)
    layout = lay_out(problem)
    # Where sharing is to be avoided, an assignment without sharing is looked for first.
    for exclusive in (False,) if problem.sharing else (True, False):
        search = ExactSearch(problem, layout, exclusive=exclusive)
        best = search.run()
        if best is not None:
            # A proven answer is its own bound.
            bound = np.nan if search.proven else loose_bound(layout, search.total(best))
            return Found(clocks=best.clocks, rows=best.rows, proven=search.proven, bound=bound)
    raise ProblemError(NO_CHOICE)


class ExactSearch:
    """One run of the exact search, with CPU cores shared or not."""

    def __init__(self, problem: Problem, layout: Layout, *, exclusive: bool) -> None:
        """Set up the search.

        Args:
            problem: the problem.
            layout: the problem as arrays.
            exclusive: True bars CPU cores from being shared.
        """
        self.problem = problem
        self.layout = layout
        self.exclusive = exclusive
        self.cap = None if problem.power_cap_w is None else Cap(watts=problem.power_cap_w)
        self.objective = OBJECTIVES[problem.objective]
        self.goals = tuple(GOALS[quantity] for quantity in self.objective.goals)
        self.proven = True

    def run(self) -> Spread | None:
        """Return the best spread; None where sharing is barred and cannot be avoided."""
        # Most problems can be met. Without the points that violate even alone they are small. An answer found among
        # the points that stay is the answer, unless it exceeds the cap.
        best = self._solve(*self.goals, limit=0.0)[1]
        if best is not None and self.total(best) == 0.0:
            return best
        # All is met but the cap. If the least power keeps the cap, all can be met, and only accuracy is left to raise.
        low = None
        if self.cap is not None and best is not None:
            low = best if self.goals == (POWER,) else self._solve(POWER, limit=0.0)[1]
            if low is not None and self.total(low) == 0.0:
                return self._most_accurate(self.cap, low, limit=0.0)
        # Something must be violated. For `fair` the least largest term comes first, as a limit on each term from here.
        fair = self.objective.largest_term_first
        start = self._least_worst() if fair else None
        if fair and start is None:
            return None
        limit = self._worst(start) if start is not None else np.inf
        if self.cap is None:
            return self._solve(VIOLATION, *self.goals, limit=limit)[1]
        return self._least_capped(self.cap, limit, start, low)

    def total(self, spread: Spread) -> float:
        """Return the whole violation in ticks, the cap's term included."""
        return spread.violation if self.cap is None else self.cap.violation(spread)

    def _solve(self, *levels: Level, limit: float = np.inf, worst: bool = False) -> tuple[Partition, Spread | None]:
        """Find the least cost of all spreads without a term above the limit, the cap left out.

        Args:
            levels: what to minimise, most important first.
            limit: the most ticks that a single term may have.
            worst: True minimises the largest term in place of the sum; `levels` is then the violation alone.

        Returns:
            The partition, with its bound, and the spread; None if no spread keeps the limit.
        """
        partition = Partition(
            self.layout.within(limit),
            len(self.problem.demands),
            Aim(levels=levels),
            exclusive=self.exclusive,
            worst=worst,
            limit=limit,
        )
        best = partition.solve()
        self.proven &= partition.proven
        return partition, best

    def _worst(self, spread: Spread) -> float:
        """Return the largest term in ticks, raised by what sums in another order may add."""
        problem = self.problem
        points = zip(problem.demands, spread.rows, strict=True)
        clocks = zip(problem.units, spread.clocks, strict=True)
        choice = {demand.app: demand.points[row] for demand, row in points}
        mhz = {unit.name: unit.mhz[clock] for unit, clock in clocks}
        return float(np.rint(evaluate(problem, choice, mhz).largest_term * TICKS)) + 2.0

    def _least_worst(self) -> Spread | None:
        """Return a spread of the least largest term, the cap's term included; None where there is no spread."""
        best = self._solve(VIOLATION, worst=True)[1]
        if best is None or self.cap is None:
            return best
        # Without the cap the least largest term is `low`. If the least power under that limit keeps the cap's term
        # below it too, the cap changes nothing. Else bisect: with a higher limit on the other terms the least power,
        # and with it the cap's term, falls; the answer lies where the two meet.
        low = best.violation + 2.0
        best = self._solve(POWER, limit=low)[1]
        if best is None or self._worst(best) <= low:
            return best
        best = self._solve(POWER)[1]
        while best is not None and (high := self._worst(best)) - low > FAIR_TICKS:
            middle = (low + high) / 2.0
            spread = self._solve(POWER, limit=middle)[1]
            if spread is not None and self._worst(spread) <= middle:
                best = spread
            else:
                low = middle
        return best

    def _least_capped(self, cap: Cap, limit: float, start: Spread | None, low: Spread | None) -> Spread | None:
        """Return the spread of least violation, then best in what else is sought, under a power cap.

        The violation is V + max(0, C), with V adding up over units and C the relative excess of power over the cap. For
        every factor f from 0 to 1 it is at least V + f * C, which adds up too (see `cap`). So each solved factor gives
        a lower bound, and the best factors leave few choices to list.

        Args:
            cap: the power cap.
            limit: the most ticks that a term may have.
            start: a spread known to keep the limit; None where the limit is infinite.
            low: the spread of least power with no violation but the cap's; None where there is none.
        """
        solved: dict[float, tuple[Partition, Spread | None]] = {}

        def solve(factor: float) -> Spread | None:
            levels = (VIOLATION,) if factor == 0.0 else ((1.0, 0.0, factor * cap.factor),)
            solved[factor] = self._solve(*levels, POWER, limit=limit)
            return solved[factor][1]

        def keeps_limit(spread: Spread) -> bool:
            return bool(cap.ticks(np.array(spread.power_w)) <= limit)

        # Factor 0 leaves the cap out. If that answer keeps the cap, the cap does not matter.
        low = low or solve(0.0)
        if low is None:
            return None
        by_accuracy = self.objective.seeks_accuracy
        if low.power_w <= cap.watts:
            return self._most_accurate(cap, low, limit=limit) if by_accuracy else low
        # No single term of what is sought is larger than the whole violation of what is known: a tighter limit.
        pool = [spread for spread in (low, start) if spread is not None and keeps_limit(spread)]
        limit = min(limit, *(cap.violation(spread) for spread in pool))
        # Factor 1 counts the excess in full. If that answer is at or above the cap, the relaxation is exact there.
        high = solve(1.0)
        assert high is not None  # what is in the pool keeps the new limit as well
        if high.power_w >= cap.watts and keeps_limit(high) and not by_accuracy:
            return high
        # The factors between give the sharpest bound; every spread met on the way is a candidate.
        steepest(low, high, solve, lambda s: s.violation, lambda s: s.power_w * cap.factor - TICKS)
        found = [spread for _, spread in solved.values()]
        pool += [spread for spread in found if spread is not None and keeps_limit(spread)]
        # List what the bounds leave below the best known violation, and take the best of all.
        least = min(cap.violation(spread) for spread in pool)
        relaxations = [Relaxation(self._solve(POWER, limit=limit)[0], cap.watts * (1.0 + limit / TICKS) + 1e-9)]
        for factor, (partition, _) in _sharpest(solved):
            relaxations.append(Relaxation(partition, _loosened(least + factor * TICKS)))
        spreads, complete = candidates(relaxations)
        self.proven &= complete
        pool += [spread for spread in spreads if keeps_limit(spread)]
        return min(pool, key=lambda s: (cap.violation(s), -s.gain, s.power_w))

    def _most_accurate(self, cap: Cap, start: Spread, *, limit: float) -> Spread:
        """Return the most accurate spread, of those the one of least power, that violates no more than another one.

        The bound on violation is relaxed with a Lagrange multiplier: accuracy - weight * (violation - most) adds up
        over units, and its greatest value for any weight bounds the accuracy that can be reached.

        Args:
            cap: the power cap.
            start: the spread that sets how much violation is allowed.
            limit: the most ticks that a term may have.
        """
        most = cap.violation(start)
        limit = min(limit, most)
        factor = 0.5 if most > 0.0 and start.power_w <= cap.watts else 1.0
        # Necessary conditions on what is sought, each of which adds up: on its power, on its violation without the cap,
        # and on both together.
        relaxations = [
            Relaxation(self._solve(POWER, limit=limit)[0], cap.watts * (1.0 + limit / TICKS) + 1e-9),
            Relaxation(self._solve(VIOLATION, limit=limit)[0], _loosened(most)),
            Relaxation(self._solve((1.0, 0.0, cap.factor), limit=limit)[0], _loosened(most + TICKS)),
        ]

        def keeps(spread: Spread) -> bool:
            return cap.violation(spread) <= most and bool(cap.ticks(np.array(spread.power_w)) <= limit)

        low = self._solve(ACCURACY, POWER, limit=limit)[1]
        if low is None or keeps(low):
            return low or start
        # The most accurate spread of all violates too much: weigh its excess until the bound is sharp.
        solved: dict[float, tuple[Partition, Spread | None]] = {}

        def solve(weight: float) -> Spread | None:
            solved[weight] = self._solve((weight, 1.0, weight * factor * cap.factor), limit=limit)
            return solved[weight][1]

        def excess(spread: Spread) -> float:
            return spread.violation + factor * (spread.power_w * cap.factor - TICKS) - most

        steepest(low, start, solve, lambda s: -s.gain, excess)
        pool = [start, *(spread for _, spread in solved.values() if spread is not None)]
        pool = [spread for spread in pool if keeps(spread)]
        gain = max(spread.gain for spread in pool)
        for weight, (partition, _) in list(solved.items())[-2:]:
            cutoff = -gain + weight * (most + factor * TICKS)
            relaxations.append(Relaxation(partition, _loosened(cutoff)))
        spreads, complete = candidates(relaxations)
        self.proven &= complete
        pool += [spread for spread in spreads if keeps(spread)]
        return min(pool, key=lambda s: (-s.gain, s.power_w))


def _loosened(ticks: float) -> float:
    """Return a cutoff raised by what rounding to ticks, and sums in another order, may add."""
    return ticks + 1.0 + 1e-11 * abs(ticks)


def _sharpest(
    solved: dict[float, tuple[Partition, Spread | None]],
) -> list[tuple[float, tuple[Partition, Spread | None]]]:
    """Return the factors 0 and 1, and of those solved between them the one with the best bound."""
    between = [factor for factor in solved if 0.0 < factor < 1.0]
    best = max(between, key=lambda f: solved[f][0].bound[0] - f * TICKS, default=1.0)
    return [(factor, solved[factor]) for factor in sorted({0.0, best, 1.0} & solved.keys())]
