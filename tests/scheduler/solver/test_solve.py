"""The solver's answers mean what they say, for few demands and for many."""

import dataclasses
import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

from helpers.oracle_solve import draw
from helpers.small_problems import demand, point, unit
from helpers.solver_answers import OBJECTIVES, draw_any, draw_by_cpu, levels, outcome
from scheduler import solver
from scheduler.problem import Allocation, Problem, ProblemError
from scheduler.solver import EXACT_DEMANDS, Evaluation, solve, warm


def less(one: list[float], other: list[float]) -> bool:
    """Return True if one answer's levels are less than another's by more than what is proven."""
    for a, b in zip(one, other, strict=True):
        if abs(a - b) > 1e-6 * max(1.0, abs(b)):
            return a < b
    return False


def assert_bounds_hold(problem: Problem, answer: Allocation, best: Evaluation) -> None:
    """Check an answer's bounds against the best answer that there is."""
    slack = 1e-7 * max(1.0, best.violation)
    given = outcome(problem, answer)
    if problem.objective != "fair" or best.largest_term <= given.largest_term:
        assert answer.violation_bound <= best.violation + slack
    assert answer.violation_bound <= answer.violation
    if best.violation <= given.violation + slack and best.largest_term <= max(given.largest_term, given.violation):
        if problem.objective == "accuracy":
            assert answer.bound >= best.accuracy * (1 - 1e-6)
        elif problem.objective == "energy":
            assert answer.bound <= best.power_w * (1 + 1e-6)


def compiled_functions() -> list[Any]:
    """Return all functions of the solver that numba compiles."""
    modules = [importlib.import_module(f"scheduler.solver.{one.name}") for one in pkgutil.iter_modules(solver.__path__)]
    return [f for module in modules for f in vars(module).values() if isinstance(f, Dispatcher)]


class TestMeaning:
    def test_two_one_core_points_fit_a_unit_of_two(self) -> None:
        problem = Problem(units=(unit(),), demands=(demand("a"), demand("b")))
        result = outcome(problem, solve(problem))
        assert not result.shared
        assert result.latency_ms == {"a": 10.0, "b": 10.0}

    def test_beyond_the_cores_each_waits_for_the_services_of_the_others(self) -> None:
        demands = tuple(demand(app, point(service_ms=4.0)) for app in "abc")
        problem = Problem(units=(unit(),), demands=demands)
        result = outcome(problem, solve(problem))
        assert result.shared == {"cpu"}
        assert result.latency_ms == {"a": 18.0, "b": 18.0, "c": 18.0}
        assert result.rho["cpu"] == pytest.approx(3 * 10 * 4 / 1000 / 2)

    def test_a_gpu_is_shared_by_two_whatever_its_cores(self) -> None:
        gpu = unit(name="gpu", kind="gpu", cores=8)
        demands = tuple(demand(app, point(unit="gpu", cores=4, service_ms=4.0)) for app in "ab")
        problem = Problem(units=(gpu,), demands=demands)
        result = outcome(problem, solve(problem))
        assert result.latency_ms == {"a": 14.0, "b": 14.0}
        assert result.rho["gpu"] == pytest.approx(2 * 10 * 4 / 1000)

    def test_terms_of_the_violation(self) -> None:
        slow = point(latency_ms=30.0, service_ms=25.0, accuracy=0.4, energy_mj=10.0)
        demands = (demand("a", slow, rate_hz=40.0, weight=2.0),)
        problem = Problem(units=(unit(cores=1),), demands=demands, power_cap_w=0.5)
        result = outcome(problem, solve(problem))
        assert result.power_w == pytest.approx(0.2 + 40 * 10 / 1000)
        assert result.app_terms["a"] == pytest.approx(2.0 * (0.5 + 0.2))
        assert result.unit_terms["cpu"] == pytest.approx(1.0 / 0.9 - 1.0)
        assert result.cap_term == pytest.approx(0.6 / 0.5 - 1.0)
        assert result.violation == pytest.approx(1.4 + 1 / 9 + 0.2)

    def test_without_a_floor_accuracy_is_no_violation(self) -> None:
        problem = Problem(units=(unit(),), demands=(demand("a", point(accuracy=0.0), min_accuracy=0.0),))
        assert solve(problem).violation == 0.0

    def test_an_unused_unit_stands_at_its_lowest_clock(self) -> None:
        problem = Problem(units=(unit(), unit(name="other")), demands=(demand("a"),))
        answer = solve(problem)
        assert answer.mhz == {"cpu": 1000.0, "other": 500.0}
        assert answer.power_w == pytest.approx(0.2 + 0.1 + 10 * 5 / 1000)

    def test_barred_sharing_is_kept_to_where_it_can_be(self) -> None:
        points = (point(), point(unit="far", latency_ms=60.0))
        demands = tuple(demand(app, *points, target_ms=40.0) for app in "abc")
        units = (unit(), unit(name="far", cores=1))
        free = Problem(units=units, demands=demands)
        barred = dataclasses.replace(free, sharing="exclusive")
        assert solve(free).violation == 0.0
        result = outcome(barred, solve(barred))
        assert not result.shared
        assert result.violation == pytest.approx(0.5)
        crowded = dataclasses.replace(barred, units=(unit(cores=1), unit(name="far", cores=1)))
        assert outcome(crowded, solve(crowded)).shared

    def test_fair_prefers_two_small_excesses_to_a_large_one(self) -> None:
        first = (point(latency_ms=28.0), point(subnet="t", latency_ms=25.0, mhz=500.0))
        second = (point(latency_ms=20.0), point(subnet="t", latency_ms=24.0, mhz=500.0))
        problem = Problem(units=(unit(),), demands=(demand("a", *first), demand("b", *second)))
        assert solve(problem).violation == pytest.approx(0.4)
        fair = dataclasses.replace(problem, objective="fair")
        result = outcome(fair, solve(fair))
        assert (result.largest_term, result.violation) == pytest.approx((0.25, 0.45))

    def test_fair_finds_the_least_largest_term_to_the_tick_under_a_cap_that_does_not_bind(self) -> None:
        # At 500 MHz both are late by 0.1; at 1000 MHz only one is, by 6 ticks (8e-10) more, and at less power.
        slow = point(latency_ms=22.0, mhz=500.0, energy_mj=50.0)
        first, second = point(latency_ms=22.0 + 1.6e-8), point(latency_ms=20.0)
        demands = (demand("a", slow, first), demand("b", slow, second))
        problem = Problem(units=(unit(),), demands=demands, objective="fair", power_cap_w=100.0)
        assert solve(problem).mhz == {"cpu": 500.0}
        assert solve(dataclasses.replace(problem, objective="energy")).mhz == {"cpu": 1000.0}

    def test_accuracy_is_weighed_before_power(self) -> None:
        points = (point(), point(subnet="large", accuracy=0.9, energy_mj=50.0))
        problem = Problem(units=(unit(),), demands=(demand("a", *points),), objective="accuracy")
        answer = solve(problem)
        assert answer.choice["a"].subnet == "large"
        assert answer.bound == pytest.approx(0.9)
        capped = solve(dataclasses.replace(problem, power_cap_w=0.4))
        assert capped.choice["a"].subnet == "s"

    def test_nobody_asks(self) -> None:
        for objective, bound in (("energy", 0.1), ("accuracy", 0.0), ("fair", 0.1)):
            answer = solve(Problem(units=(unit(),), demands=(), objective=objective))  # type: ignore[arg-type]
            assert (answer.choice, answer.mhz, answer.power_w) == ({}, {"cpu": 500.0}, 0.1)
            assert (answer.violation, answer.optimal, answer.bound) == (0.0, True, bound)

    def test_the_same_problem_has_the_same_answer(self) -> None:
        for seed in range(5):
            assert solve(draw_any(seed, most=5, clocks=3, subnets=3)) == solve(
                draw_any(seed, most=5, clocks=3, subnets=3)
            )

    @pytest.mark.parametrize("apps", [2, EXACT_DEMANDS + 1])
    def test_points_at_different_clocks_only(self, apps: int) -> None:
        demands = [demand(f"a{i}", point(mhz=500.0 if i == 0 else 1000.0)) for i in range(apps)]
        with pytest.raises(ProblemError, match="no choice of one clock per unit"):
            solve(Problem(units=(unit(),), demands=tuple(demands)))


class TestManyDemands:
    @pytest.mark.parametrize("block", range(4))
    def test_without_a_proof_the_bounds_hold_and_no_answer_betters_the_proven_one(
        self, block: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        problems = [draw_any(seed, most=5, clocks=3, subnets=3) for seed in range(15 * block, 15 * block + 15)]
        proven = [solve(problem) for problem in problems]
        monkeypatch.setattr(solver, "EXACT_DEMANDS", 0)
        for problem, exact in zip(problems, proven, strict=True):
            local = solve(problem)
            best, good = outcome(problem, exact), outcome(problem, local)
            assert exact.optimal
            assert not local.optimal
            if problem.sharing == "unit":
                assert not less(levels(problem, good), levels(problem, best))
            assert_bounds_hold(problem, local, best)

    @pytest.mark.parametrize("block", range(4))
    def test_a_search_that_is_cut_short_says_so_and_its_bounds_hold(self, block: int) -> None:
        for seed in range(4000 + 10 * block, 4010 + 10 * block):
            problem = draw_any(seed, most=6, clocks=4, subnets=3)
            best = outcome(problem, solve(problem))
            for budget in (0, 300, 3_000, 30_000):
                cut = solve(problem, budget=budget)
                if problem.sharing == "unit":
                    assert not less(levels(problem, outcome(problem, cut)), levels(problem, best))
                if cut.optimal:
                    assert levels(problem, outcome(problem, cut)) == pytest.approx(levels(problem, best), rel=1e-6)
                assert_bounds_hold(problem, cut, best)

    @pytest.mark.parametrize("objective", OBJECTIVES)
    def test_light_load_is_met(self, objective: str) -> None:
        problem = draw(
            np.random.default_rng(3),
            demands=24,
            cpus=(2, 2),
            gpu=True,
            clocks=4,
            subnets=3,
            pressure=0.05,
            objective=objective,  # type: ignore[arg-type]
        )
        answer = solve(problem)
        result = outcome(problem, answer)
        assert result.violation == 0.0
        if objective == "accuracy":
            assert result.accuracy <= answer.bound + 1e-9
        else:
            assert answer.bound <= result.power_w + 1e-9
        assert answer == solve(problem)

    def test_barred_sharing_sends_the_many_to_the_gpu(self) -> None:
        problem = draw(
            np.random.default_rng(4),
            demands=14,
            cpus=(2, 2),
            gpu=True,
            clocks=2,
            subnets=2,
            pressure=0.1,
            sharing="exclusive",
        )
        assert outcome(problem, solve(problem)).shared == {"gpu"}

    def test_sparse_points_find_their_common_clock(self) -> None:
        points = [point(mhz=1000.0), point(mhz=500.0)]
        demands = [demand(f"a{i}", *points, target_ms=500.0) for i in range(EXACT_DEMANDS + 1)]
        demands.append(demand("picky", points[1], target_ms=500.0))
        answer = solve(Problem(units=(unit(),), demands=tuple(demands)))
        assert answer.mhz == {"cpu": 500.0}


class TestBeginning:
    def test_an_earlier_answer_changes_no_proof(self) -> None:
        for seed in range(20):
            problem, other = (draw_any(seed + k, most=6, clocks=3, subnets=3) for k in (0, 1000))
            cold = solve(problem)
            for start in (cold, solve(other)):
                again = solve(problem, start=start)
                assert again.optimal
                assert levels(problem, outcome(problem, again)) == pytest.approx(
                    levels(problem, outcome(problem, cold)), rel=1e-6, abs=1e-7
                )

    def test_many_begin_where_an_earlier_answer_ended(self) -> None:
        for seed in range(6):
            rng = np.random.default_rng(seed)
            problem = draw(rng, demands=20, cpus=(2, 2), gpu=True, clocks=4, subnets=3, pressure=0.3)
            full = solve(problem)
            hurried = solve(problem, budget=0, start=full)
            assert levels(problem, outcome(problem, hurried)) == pytest.approx(
                levels(problem, outcome(problem, full)), rel=1e-9
            )

    def test_nothing_is_compiled_after_warming_up(self) -> None:
        warm()
        functions = compiled_functions()
        before = {f.__name__: len(f.signatures) for f in functions}
        for seed in range(30):
            solve(draw_any(seed, most=5, clocks=3, subnets=3))
            solve(draw_by_cpu(seed, most=5, clocks=3, subnets=3))
        demands = tuple(demand(f"a{i}") for i in range(EXACT_DEMANDS + 2))
        solve(Problem(units=(unit(),), demands=demands, power_cap_w=0.1))
        assert {f.__name__: len(f.signatures) for f in functions} == before


@pytest.mark.parametrize("sharing", ["unit", "cpu", "exclusive"])
@pytest.mark.parametrize("count", [1, 3, EXACT_DEMANDS + 1])
@pytest.mark.parametrize("begun", [False, True])
def test_a_clock_that_suits_those_placed_first_leaves_the_last_one_a_point(
    count: int, sharing: Any, begun: bool
) -> None:
    low_or_high = (point(mhz=500.0, latency_ms=18.0, energy_mj=1.0), point(mhz=1000.0, latency_ms=9.0))
    # All but the last have least power at 500 MHz, at which the last has no point; so had the answer to begin with.
    demands = [demand(f"a{number}", *low_or_high, rate_hz=20.0 / count, target_ms=5000.0) for number in range(count)]
    last = demand("last", point(latency_ms=1.0), rate_hz=0.1, target_ms=5000.0)
    before = solve(Problem(units=(unit(),), demands=tuple(demands), sharing=sharing))
    assert before.mhz == {"cpu": 500.0}
    problem = Problem(units=(unit(),), demands=(*demands, last), sharing=sharing)
    answer = solve(problem, start=before if begun else None)
    assert answer.mhz == {"cpu": 1000.0}
    assert answer.choice["last"] in last.points
    assert answer.power_w == pytest.approx(0.2 + 20.0 * 5.0 / 1000.0 + 0.1 * 5.0 / 1000.0)
