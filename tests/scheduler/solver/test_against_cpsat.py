"""CP-SAT agrees with every choice tried, and the solver's answers with CP-SAT's, for up to twelve demands."""

import dataclasses

import numpy as np
import pytest

from helpers.oracle_cpsat import CpSat
from helpers.oracle_solve import brute_force, draw
from helpers.solver_answers import OBJECTIVES, draw_any, draw_by_cpu, levels, outcome
from scheduler.problem import Problem
from scheduler.solver import EXACT_DEMANDS, solve

SHARING = ("exclusive", "unit", "cpu")


def drawn(seed: int, sharing: str) -> Problem:
    """Return a problem of seven to twelve demands, each the lighter the more there are."""
    rng = np.random.default_rng(seed)
    demands = int(rng.integers(7, EXACT_DEMANDS + 1))
    return draw(
        rng,
        demands=demands,
        cpus=(2, 1),
        gpu=bool(seed % 2),
        clocks=2,
        subnets=2,
        pressure=float(rng.choice([1.0, 2.0, 4.0])) * 4.0 / demands,
        objective=OBJECTIVES[seed % 3],  # type: ignore[arg-type]
        cap=float(rng.uniform(0.1, 0.5)) if rng.integers(2) else None,
        sharing=sharing,  # type: ignore[arg-type]
        wait_shares=True,
    )


class TestTheOracle:
    @pytest.mark.parametrize("sharing", SHARING)
    def test_it_agrees_with_every_choice_tried(self, sharing: str) -> None:
        for seed in range(12):
            made = draw_by_cpu if sharing == "cpu" else draw_any
            problem = dataclasses.replace(made(seed, most=3, clocks=1, subnets=2), sharing=sharing)
            best = CpSat(problem).solve()
            assert best is not None
            assert levels(problem, best) == pytest.approx(levels(problem, brute_force(problem)), rel=1e-6, abs=1e-7)

    def test_an_answer_to_begin_with_changes_nothing(self) -> None:
        problem = drawn(1, "cpu")
        poor = solve(problem, budget=0)
        cold, begun = CpSat(problem).solve(), CpSat(problem).solve(hint=poor)
        assert cold is not None
        assert begun is not None
        assert levels(problem, begun) == pytest.approx(levels(problem, cold), rel=1e-6, abs=1e-7)


class TestManyDemands:
    @pytest.mark.parametrize("sharing", SHARING)
    @pytest.mark.parametrize("seed", range(4))
    def test_nothing_better_exists(self, seed: int, sharing: str) -> None:
        problem = drawn(seed, sharing)
        answer = solve(problem)
        best = CpSat(problem).solve(hint=answer)
        assert answer.optimal
        assert best is not None
        assert levels(problem, outcome(problem, answer)) == pytest.approx(levels(problem, best), rel=1e-6, abs=1e-7)
