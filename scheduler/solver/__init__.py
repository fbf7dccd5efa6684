"""The solver: it chooses one operating point for each demand and one clock for each unit.

`solve` looks for the best choice: exactly and with proof for up to `EXACT_DEMANDS` demands, by local search with a
proven bound for more. `evaluate` says what a choice comes to. Both are pure functions. They do not know where points
come from, what a board is, or what becomes of the answer.

**Example.** A camera asks for ten inferences a second within 50 ms. On unit `big` its only network takes 40 ms and
30 mJ at 1000 MHz, 25 ms and 45 mJ at 2000 MHz; the unit itself takes 0.2 W and 0.5 W at these clocks. Both points meet
the target, so both have a violation of 0, and power decides: 0.2 W + 10/s * 30 mJ = 0.5 W against 0.95 W. `solve`
chooses 1000 MHz. With a target of 30 ms the slow point is late by a third (40 / 30 - 1), its violation is 0.33, and
`solve` chooses 2000 MHz whatever that costs.

**Violation.** It is a sum of terms, all 0 where everything is met:

- one for each demand: its weight times the sum of its relative excess of latency and its relative lack of accuracy;
- one for each unit: the relative excess of its load over `FULL_LOAD` (0.9);
- one for the power cap: the relative excess of power.

**Objectives** (`scheduler.objectives`) compare lexicographically: a later quantity decides only among choices that are
equal in all before it. `energy`: least violation, then least power. `accuracy`: least violation, then greatest sum of
weight * accuracy, then least power. `fair`: least largest term, then least violation, then least power.

**More room never hurts.** A looser target, a higher cap, one more core or clock never makes the answer worse by its
objective. The one exception lies in the meaning of `sharing=False`: one more core can make an assignment without
sharing possible, which is then taken even where it is worse.

**Ties.** Violation and accuracy are compared in ticks of about 1e-10, and power to 1e-9 of itself. Among choices that
are equal in that sense the first one met stays. The search is deterministic: it takes units, demands, clocks and points
in the order given.

**Files**, in reading order: `evaluation` (the model), `tables` (a problem as arrays), `cells` (one unit), `partition`
(all units together), `cap` (a power cap couples the units), `exact` (which searches an objective needs), `local` (many
demands), `lexi` (comparisons).
"""

from scheduler.objectives import OBJECTIVES
from scheduler.problem import Allocation, Problem
from scheduler.solver.evaluation import Evaluation, evaluate
from scheduler.solver.exact import EXACT_DEMANDS, solve_exactly
from scheduler.solver.local import solve_locally

__all__ = ["EXACT_DEMANDS", "Evaluation", "evaluate", "solve"]


def solve(problem: Problem) -> Allocation:
    """Choose a point for each demand and a clock for each unit.

    For up to `EXACT_DEMANDS` demands the answer is proven optimal, unless the search exceeds its fixed allowance of
    work. Then, as with more demands, `optimal` is False and `bound` is still proven.

    Raises:
        ProblemError: No choice of one clock per unit leaves every demand a point (points are missing at some
            clocks). Any other well-formed problem has an answer.
    """
    found = (solve_exactly if len(problem.demands) <= EXACT_DEMANDS else solve_locally)(problem)
    choice = {d.app: d.points[row] for d, row in zip(problem.demands, found.rows, strict=True)}
    mhz = {u.name: u.mhz[clock] for u, clock in zip(problem.units, found.clocks, strict=True)}
    outcome = evaluate(problem, choice, mhz)
    return Allocation(
        choice=choice,
        mhz=mhz,
        latency_ms=outcome.latency_ms,
        power_w=outcome.power_w,
        violation=outcome.violation,
        optimal=found.proven,
        bound=outcome.of(OBJECTIVES[problem.objective].goals[0]) if found.proven else found.bound,
    )
