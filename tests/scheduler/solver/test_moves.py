"""The local search: what it finds without a proof, and what its moves are for."""

import numpy as np

from helpers.solver_answers import draw_by_cpu
from scheduler.problem import Problem
from scheduler.solver.answers import Answer, solve_locally
from scheduler.solver.grid import grid_of, within


def searched(problem: Problem, *, shifts: bool) -> Answer:
    """Return what the local search finds, with or without moves after which both units change their clocks."""
    grid = within(grid_of(problem), np.inf)
    return solve_locally(problem, grid, np.array([0, 10**7]), None, shifts=shifts)


def test_moves_after_which_both_units_change_their_clocks_find_more() -> None:
    better = 0
    for seed in range(30):
        problem = draw_by_cpu(5000 + seed, most=9, clocks=6, subnets=3, units=3)
        plain, shifted = searched(problem, shifts=False), searched(problem, shifts=True)
        if problem.power_cap_w is None and problem.objective == "energy":
            one, other = (plain.violation, plain.power_w), (shifted.violation, shifted.power_w)
            assert other <= (one[0], one[1] * (1 + 1e-9))
            better += other[0] < one[0] or (other[0] == one[0] and other[1] < 0.99 * one[1])
    assert better
