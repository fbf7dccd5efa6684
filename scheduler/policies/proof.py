"""Says how far from the best an answer of the solver can be at most, where it is not proven to be the best."""

from __future__ import annotations

from scheduler.objectives import OBJECTIVES, Quantity
from scheduler.problem import Allocation, Problem

_PROVEN = 1e-7
"""Violation to which an answer is proven (`Allocation.optimal`)."""


def within_of(answer: Allocation, problem: Problem) -> float | None:
    """Return the share by which a better answer could be better at most; 0 where it is proven, None where nobody knows.

    It is of the first quantity that is not proven: of the violation, else of what the objective seeks next. A power of
    1 W whose bound is 0.98 W is within 0.02, a violation of 0.5 with a bound of 0.4 within 0.2.

    Args:
        answer: the answer.
        problem: the problem that it answers.
    """
    if answer.optimal:
        return 0.0
    # A bound on power is one at this violation, so it says nothing where a smaller violation may be possible.
    least = getattr(answer, "violation_bound", 0.0 if answer.violation <= _PROVEN else None)
    if least is None:
        return None
    if answer.violation > least + _PROVEN:
        return float(1 - max(0.0, least) / answer.violation)
    if OBJECTIVES[problem.objective].goals[0] is Quantity.ACCURACY:
        reached = sum(demand.weight * answer.choice[demand.app].accuracy for demand in problem.demands)
        return max(0.0, 1 - reached / answer.bound) if answer.bound > 0 else None
    return max(0.0, 1 - answer.bound / answer.power_w) if answer.power_w > 0 else None
