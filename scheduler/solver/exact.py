"""Exact answers for a few demands: which searches an objective needs, with or without a power cap.

Everything but the power cap adds up over units, and prices (`sets`) prove what is least of that. Four ideas do the
rest:

- Limits instead of levels: no term of what is sought can exceed the whole violation of what is known, so points beyond
  such a limit are left out before a search. Where all can be met, nothing but power is left.
- The least largest term is found first, as a limit for all later searches.
- A level above another one is weighed so much more that giving up a tolerance of it can save nothing.
- A power cap couples the units. For every factor f from 0 to 1, max(0, power / cap - 1) >= f * (power / cap - 1), and
  the right side adds up. The best factors give bounds that leave few choices, which are listed and joined.

This module does not know how a search works inside.
"""

from collections.abc import Callable

import numpy as np

from scheduler.objectives import OBJECTIVES, Quantity
from scheduler.problem import Problem
from scheduler.solver.answers import Answer, heaviest_first
from scheduler.solver.costs import ALLOWED, SPENT, Aim
from scheduler.solver.grid import POWER, TICKS, Grid, Ints
from scheduler.solver.joining import Allowance, least_worst
from scheduler.solver.keys import Key, cap_ticks
from scheduler.solver.proof import Proof

TOLERANCE = 1e-7
"""Violation, relative where it is above 1, to which an answer is proven."""
RELATIVE = 1e-7
"""Accuracy and power, relative, to which an answer is proven."""
FAIR_TICKS = 10.0
"""Ticks to which the least largest term is found under a power cap, where it is found by bisection."""
FACTORS = 10
"""Most factors that are tried in the search for the best bound."""
WORST = Aim(1.0, 0.0, 0.0, True)
POWER_ONLY = Aim(0.0, 0.0, 1.0, False)


def solve_exactly(problem: Problem, grid: Grid, start: Answer, work: Ints) -> tuple[Answer | None, bool]:
    """Return the best answer to a problem of a few demands, and True if that is proven.

    Args:
        problem: the problem.
        grid: its points; where that bars cores from being shared, the answer is None if it can't be kept to.
        start: a good answer.
        work: nodes spent and allowed.
    """
    search = ExactSearch(problem, grid, work)
    begun = search.unshared(start)
    best = None if begun is None else search.run(begun)
    return best, search.proven


class ExactSearch:
    """One run of the exact search."""

    def __init__(self, problem: Problem, grid: Grid, work: Ints) -> None:
        """Set up the search.

        Args:
            problem: the problem.
            grid: its points.
            work: nodes spent and allowed.
        """
        self.grid = grid
        self.work = work
        self.cap_w = np.inf if problem.power_cap_w is None else problem.power_cap_w
        self.objective = OBJECTIVES[problem.objective]
        self.accurate = self.objective.goals[0] is Quantity.ACCURACY
        self._proof = Proof(grid, work)

    def unshared(self, start: Answer) -> Answer | None:
        """Return the answer if it shares no cores that it must not; else one that does not, or None."""
        if start.excess == 0.0:
            return start
        table = self._proof.table(self.grid, WORST)
        masks = np.zeros(len(start.clocks), dtype=np.int64)
        order = heaviest_first(self.grid)
        least = least_worst(self.grid, WORST, order, np.inf, table, masks, self.work)
        return self._proof.served(self.grid, WORST, table.alone, masks, start) if least < np.inf else None

    @property
    def proven(self) -> bool:
        """False once a part of the search has exceeded its allowance of work."""
        return self._proof.proven and bool(self.work[SPENT] <= self.work[ALLOWED])

    def run(self, start: Answer) -> Answer:
        """Return the best answer; `start` is a good one."""
        limit = self.total(start)
        if self.objective.largest_term_first:
            start = self._least_worst(start)
            limit = self._worst(start)
        if self.cap_w == np.inf:
            return self._uncapped(start, limit)
        best, factor = self._least_capped(start, limit)
        return self._most_accurate(best, limit, factor) if self.accurate else best

    def total(self, whole: Answer) -> float:
        """Return the whole violation in ticks, the cap's term included."""
        return whole.violation + self._over(whole)

    def key(self, whole: Answer) -> Key:
        """Return what is lessened, most important first; accuracy does not count where it is not sought."""
        gain = whole.gain if self.accurate else 0.0
        return 0.0, 0.0, self.total(whole), -gain, whole.power_w

    def _over(self, whole: Answer) -> float:
        return float(cap_ticks(whole.power_w, self.cap_w))

    def _worst(self, whole: Answer) -> float:
        return max(whole.worst, self._over(whole))

    def _listed(self, aim: Aim, best: Answer, limit: float, allowance: Allowance) -> Answer:
        return self._proof.listed(aim, best, self.key(best), limit, self.cap_w, allowance)

    def _better(self, one: Answer, other: Answer, limit: float) -> Answer:
        """Return the better of two answers; one whose cap term exceeds the limit does not count."""
        return one if self._over(one) <= limit and self.key(one) < self.key(other) else other

    def _weights(self, start: Answer, limit: float, gain: float) -> Aim:
        """Return weights with which violation comes before what else counts, by `gain` and watt.

        Giving up `TOLERANCE` of violation costs more than all the accuracy and power that there is.
        """
        if limit == 0.0:
            return Aim(0.0, gain, 1.0, False)
        points = self._proof.within(limit).points
        demands = len(self.grid.wait)
        most_w = float(self.grid.static_w.max() * len(self.grid.unit) + points[:, POWER].max() * demands)
        tolerance = TOLERANCE * max(TICKS, self.total(start))
        return Aim((most_w + gain * max(start.gain, TICKS)) / tolerance, gain, 1.0, False)

    # What adds up over units.

    def _uncapped(self, start: Answer, limit: float) -> Answer:
        """Return the best answer without a cap, no term above the limit."""
        if not self.accurate:
            return self._proof.solve(self._weights(start, limit, 0.0), start, limit)
        points = self._proof.within(limit).points
        most_w = float(self.grid.static_w.max() * len(self.grid.unit) + points[:, POWER].max() * len(start.rows))
        gain = most_w / (RELATIVE * max(start.gain, 1.0))
        if limit == 0.0:
            return self._proof.solve(self._weights(start, limit, gain), start, limit)
        # Three levels are more than a double holds: violation and accuracy first, then power among their equals.
        tolerance = TOLERANCE * max(TICKS, self.total(start))
        best = self._proof.solve(Aim(2.0 * max(start.gain, 1.0) / tolerance, 1.0, 0.0, False), start, limit)
        aim = Aim(1e3 * gain, gain, 1.0, False)
        return self._listed(aim, best, min(limit, self.total(best)), Allowance(aim.violation, gain, 1.0, 0.0))

    # The least largest term.

    def _least_worst(self, start: Answer) -> Answer:
        """Return an answer of the least largest term, the cap's included."""
        if self._worst(start) == 0.0:
            return start
        grid = self._proof.within(max(start.worst, self._worst(start)))
        table = self._proof.table(grid, WORST)
        masks = start.masks
        least = least_worst(grid, WORST, heaviest_first(self.grid), start.worst, table, masks, self.work)
        if least < start.worst:
            start = self._fairer(self._proof.served(grid, WORST, table.alone, masks, start), start)
        # Without the cap the least largest term is `least`. With a higher limit on the other terms the least power, and
        # with it the cap's term, falls: the answer lies where the two meet.
        low = least
        if self._worst(start) <= low:
            return start
        fairest = self._proof.served(grid, WORST, table.alone, masks, start)
        start = self._fairer(self._proof.solve(POWER_ONLY, fairest, low), start)
        while (high := self._worst(start)) - low > FAIR_TICKS:
            middle = (low + high) / 2.0
            found = self._cheapest_within(start, middle)
            if found is None:
                low = middle
            else:
                start = found
        return start

    def _fairer(self, one: Answer, other: Answer) -> Answer:
        return one if self._worst(one) < self._worst(other) else other

    def _cheapest_within(self, start: Answer, limit: float) -> Answer | None:
        """Return an answer without a term above the limit, the cap's included; None if there is none."""
        found = self._proof.cheaper(POWER_ONLY, start, limit, self.cap_w * (1.0 + limit / TICKS))
        return found if found is not None and self._worst(found) <= limit else None

    # The power cap couples the units.

    def _least_capped(self, start: Answer, limit: float) -> tuple[Answer, float]:
        """Return the answer of least violation, then power, under the cap; and the factor f that bounds it best.

        The violation is V + max(0, C), with V adding up over units and C the relative excess of power over the cap. For
        every factor f from 0 to 1 it is at least V + f * C, which adds up too.
        """
        # Factor 0 leaves the cap out. If that answer keeps the cap, the cap does not matter.
        low = self._proof.solve(self._weights(start, limit, 0.0), start, limit)
        if low.power_w <= self.cap_w:
            return low, 0.0
        best = self._better(low, start, limit)
        limit = min(limit, self.total(best))
        # Factor 1 counts the excess in full. If that answer is at or above the cap, the bound is exact there.
        weights = self._weights(best, limit, 0.0)
        ticks_per_w = TICKS / self.cap_w
        scale = max(weights.violation, 1.0)
        high = self._proof.solve(Aim(scale, 0.0, scale * ticks_per_w + 1.0, False), best, limit)
        best = self._better(high, best, limit)
        if high.power_w >= self.cap_w and self._over(high) <= limit:
            return best, 1.0
        limit = min(limit, self.total(best))

        def tried(factor: float) -> Answer:
            nonlocal best
            found = self._proof.good(Aim(1.0, 0.0, factor * ticks_per_w, False), best, limit)
            best = self._better(found, best, limit)
            return found

        factor = steepest(low, high, tried, lambda w: w.violation, lambda w: w.power_w * ticks_per_w - TICKS)
        aim = Aim(1.0, 0.0, factor * ticks_per_w, False)
        allowance = Allowance(1.0, 0.0, 0.0, factor * TICKS)
        accurate, self.accurate = self.accurate, False
        best = self._listed(aim, best, limit, allowance)
        self.accurate = accurate
        return best, factor

    def _most_accurate(self, start: Answer, limit: float, factor: float) -> Answer:
        """Return the most accurate answer, of those the one of least power, that violates no more than another one.

        Args:
            start: the answer that sets how much violation is allowed.
            limit: the most ticks that a term may have.
            factor: the factor that bounds the violation best.
        """
        most = self.total(start)
        limit = min(limit, most)
        ticks_per_w = TICKS / self.cap_w
        best = start
        if factor > 0.0:
            # Violation comes first; the factor keeps its bound near what can be reached.
            weight = 1e3
            aim = Aim(weight, 1.0, weight * factor * ticks_per_w, False)
            return self._listed(aim, best, limit, Allowance(weight, 1.0, 0.0, weight * factor * TICKS))
        # Without regard for the cap the least violation keeps it: of those that violate no more, the most accurate.
        low = self._uncapped(start, limit)
        if low.power_w <= self.cap_w:
            return low
        weight = 0.0 if limit == 0.0 else 1e3

        def tried(price: float) -> Answer:
            nonlocal best
            found = self._proof.good(Aim(weight, 1.0, price, False), best, limit)
            best = self._better(found, best, limit)
            return found

        price = steepest(low, start, tried, lambda w: weight * w.violation - w.gain, lambda w: w.power_w - self.cap_w)
        aim = Aim(weight, 1.0, price, False)
        return self._listed(aim, best, limit, Allowance(weight, 1.0, 0.0, price * self.cap_w))


def steepest(
    low: Answer,
    high: Answer,
    solve: Callable[[float], Answer],
    cost: Callable[[Answer], float],
    excess: Callable[[Answer], float],
) -> float:
    """Return the factor f near that with the sharpest bound: the greatest least value of cost + f * excess.

    Args:
        low: the answer of least cost, with an excess above 0.
        high: an answer with an excess of at most 0.
        solve: returns a good answer by cost + f * excess for a factor f.
        cost: what is lessened.
        excess: what should be at most 0.
    """
    # Every answer is a point (excess, cost), and `solve` finds the lowest point in the direction of a slope -f. The
    # bound is where the lower convex hull of all points crosses excess 0. So try the slope of the line through the two
    # points known on either side. If a point lies below that line, it replaces the one on its side; if none does, the
    # line is an edge of the hull and its factor is the best.
    factor = 0.0
    for _ in range(FACTORS):
        run = excess(low) - excess(high)
        if run <= 0.0 or excess(high) > 0.0 or cost(high) <= cost(low):
            break
        factor = (cost(high) - cost(low)) / run
        line = cost(low) + factor * excess(low)
        found = solve(factor)
        if cost(found) + factor * excess(found) >= line - 1e-9 * abs(line) - 1.0:
            break
        if excess(found) > 0.0:
            low = found
        else:
            high = found
    return factor
