"""The scheduler's optimiser: one point for each demand and one clock for each unit, least violation first.

`evaluate` says what a choice costs; it is the one definition of effective latency, load, violation and power.
`solve` looks for the best choice: exactly, with proof, up to `EXACT_DEMANDS` demands, and by local search with
a proven bound above that. Both are pure functions. This module does not know where points come from, what a
board is, or what becomes of the answer.

**Objectives.** All are lexicographic. "energy": least violation, then least power. "accuracy": least violation,
then greatest sum of weight * accuracy, then least power. "fair": least *largest term*, then least violation,
then least power. The terms of a violation are one per demand (its weight times the sum of its relative excess
of latency and its relative lack of accuracy), one per unit (its overload), and one for the power cap.

**More room never hurts.** A looser target, a higher cap, one more core or clock never makes what is minimised
lexicographically worse, with one exception that lies in the meaning of `sharing=False`: a core more can make
possible an assignment without sharing, which is then taken even where it is worse.

**Ties.** Violation and accuracy are compared in ticks of about 1e-10 and power to 1e-9 of itself. Among choices
equal in that sense the one met first stays: the search is deterministic and takes units, demands, clocks and
points in the order given.
"""

from scheduler.objectives import OBJECTIVES
from scheduler.problem import Allocation, Problem
from scheduler.solver.evaluation import Evaluation, evaluate
from scheduler.solver.exact import EXACT_DEMANDS, solve_exactly
from scheduler.solver.local import solve_locally

__all__ = ["EXACT_DEMANDS", "Evaluation", "evaluate", "solve"]


def solve(problem: Problem) -> Allocation:
    """Choose a point for each demand and a clock for each unit.

    Up to `EXACT_DEMANDS` demands the answer is proven optimal, unless the search exceeds its fixed allowance of
    work (then, as with more demands, `optimal` is false and `bound` is still proven).

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
