"""Which search a problem gets: all of them begin locally, those of few demands end with a proof."""

import numpy as np

from scheduler.problem import Allocation, Problem
from scheduler.solver.answers import Answer, solve_locally
from scheduler.solver.bounds import bounds_of
from scheduler.solver.exact import solve_exactly
from scheduler.solver.grid import grid_of, within

__all__ = ["bounds_of", "find"]


def find(problem: Problem, exact: int, budget: int, start: Allocation | None, deep: bool) -> tuple[Answer, bool]:
    """Return an answer, and True if it is proven to be the best.

    Args:
        problem: the problem.
        exact: most demands for which a proof is looked for.
        budget: nodes that may be looked at.
        start: an answer to begin with; None for none.
        deep: True to try all moves where no proof follows.
    """
    work = np.array([0, budget], dtype=np.int64)
    if not problem.demands:
        nothing = (0,) * len(problem.units)
        return Answer(nothing, (), (), (), 0.0, 0.0, 0.0, 0.0, 0.0), True
    # Where sharing is to be avoided, an assignment without sharing is looked for first.
    strict = problem.sharing == "exclusive"
    grid = within(grid_of(problem, strict=strict), np.inf)
    proves = len(problem.demands) <= exact
    answer = solve_locally(problem, grid, work, start, afresh=not proves, shifts=deep and not proves)
    if not proves:
        return answer, False
    best, proven = solve_exactly(problem, grid, answer, work)
    if best is None:
        grid = within(grid_of(problem), np.inf)
        best, unshared = solve_exactly(problem, grid, solve_locally(problem, grid, work, start, shifts=False), work)
        proven &= unshared
    assert best is not None  # where cores may be shared there is an answer
    return best, proven
