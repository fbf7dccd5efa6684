"""The solver's answers are as good as those of oracles: every choice tried, and the model in HiGHS."""

import dataclasses

import numpy as np
import pytest

from helpers.oracle_solve import Milp, brute_force, draw
from helpers.solver_answers import OBJECTIVES, draw_any, levels, outcome
from scheduler.solver import solve


def assert_equally_good(one: list[float], other: list[float], relative: float) -> None:
    for a, b in zip(one, other, strict=True):
        assert a == pytest.approx(b, rel=relative, abs=1e-7)


class TestAgainstOracles:
    @pytest.mark.parametrize("block", [*range(5), *(pytest.param(n, marks=pytest.mark.slow) for n in range(5, 10))])
    def test_every_choice_tried(self, block: int) -> None:
        for seed in range(25 * block, 25 * block + 25):
            problem = draw_any(seed, most=3, clocks=2, subnets=2)
            answer = solve(problem)
            assert answer.optimal
            found, best = outcome(problem, answer), brute_force(problem)
            assert_equally_good(levels(problem, found), levels(problem, best), 1e-6)

    @pytest.mark.parametrize("block", range(3))
    def test_every_choice_tried_where_each_demand_has_one_unit(self, block: int) -> None:
        for seed in range(2000 + 25 * block, 2025 + 25 * block):
            rng = np.random.default_rng(seed)
            drawn = draw_any(seed, most=3, clocks=2, subnets=2)
            only = [str(rng.choice([p.unit for p in each.points])) for each in drawn.demands]
            problem = dataclasses.replace(
                drawn,
                demands=tuple(
                    dataclasses.replace(each, points=tuple(p for p in each.points if p.unit == name))
                    for each, name in zip(drawn.demands, only, strict=True)
                ),
            )
            answer = solve(problem)
            assert answer.optimal
            found, best = outcome(problem, answer), brute_force(problem)
            assert_equally_good(levels(problem, found), levels(problem, best), 1e-6)

    @pytest.mark.parametrize("block", range(6))
    def test_highs(self, block: int) -> None:
        for seed in range(1000 + 8 * block, 1008 + 8 * block):
            problem = draw_any(seed, most=4, clocks=3, subnets=3)
            answer = solve(problem)
            reached = Milp(problem).solve()
            assert reached is not None
            assert answer.optimal
            # HiGHS keeps rows to about 1e-6 only.
            found = levels(problem, outcome(problem, answer))
            assert found == pytest.approx(reached, rel=1e-5, abs=2e-6)

    @pytest.mark.parametrize(("seed", "pressure", "cap"), [(13, 2.0, 0.3), (22, 2.0, 0.3), (23, 3.0, 0.3)])
    def test_highs_where_a_cap_and_targets_cannot_all_be_met(self, seed: int, pressure: float, cap: float) -> None:
        rng = np.random.default_rng(seed)
        problem = draw(
            rng, demands=3, cpus=(2, 1), clocks=3, subnets=3, pressure=pressure, objective="accuracy", cap=cap
        )
        answer = solve(problem)
        found = outcome(problem, answer)
        assert answer.optimal
        assert found.violation > 0.0
        assert levels(problem, found) == pytest.approx(Milp(problem).solve(), rel=1e-5, abs=2e-6)

    @pytest.mark.parametrize(
        ("seed", "demands", "pressure", "cap"),
        [(36, 3, 1.0, 0.45), (45, 4, 0.5, 0.2), (72, 2, 2.0, 0.3), (79, 2, 5.0, 0.45), (517, 3, 2.0, 0.45)],
    )
    def test_highs_where_the_most_accurate_answer_needs_more_than_the_cap(
        self, seed: int, demands: int, pressure: float, cap: float
    ) -> None:
        rng = np.random.default_rng(seed)
        problem = draw(
            rng, demands=demands, cpus=(2, 1), clocks=3, subnets=3, pressure=pressure, objective="accuracy", cap=cap
        )
        answer = solve(problem)
        assert answer.optimal
        assert levels(problem, outcome(problem, answer)) == pytest.approx(Milp(problem).solve(), rel=1e-5, abs=2e-6)

    def test_highs_on_a_board(self) -> None:
        for seed, pressure in ((0, 0.5), (1, 1.0)):
            rng = np.random.default_rng(seed)
            problem = draw(rng, demands=5, cpus=(2, 2, 2), gpu=True, clocks=2, subnets=3, pressure=pressure, noise=0.0)
            answer = solve(problem)
            assert answer.optimal
            reached = Milp(problem).solve()
            assert reached is not None
            assert levels(problem, outcome(problem, answer)) == pytest.approx(reached, rel=1e-5, abs=2e-6)

    def test_the_oracles_agree_with_each_other(self) -> None:
        for seed in range(12):
            problem = draw_any(seed, most=3, clocks=2, subnets=2)
            reached = Milp(problem).solve()
            assert reached is not None
            assert levels(problem, brute_force(problem)) == pytest.approx(reached, rel=1e-5, abs=2e-6)

    def test_full_tables_are_solved_with_proof(self) -> None:
        for objective in OBJECTIVES:
            for pressure, cap in ((0.5, None), (2.0, None), (8.0, None), (4.0, 0.15)):
                problem = draw(
                    np.random.default_rng(7),
                    demands=8,
                    cpus=(2, 2, 2),
                    gpu=True,
                    clocks=25,
                    gpu_clocks=15,
                    subnets=7,
                    pressure=pressure,
                    objective=objective,  # type: ignore[arg-type]
                    cap=cap,
                )
                answer = solve(problem)
                result = outcome(problem, answer)
                assert answer.optimal
                assert answer.violation_bound == result.violation
                assert answer.bound == (result.accuracy if objective == "accuracy" else result.power_w)
