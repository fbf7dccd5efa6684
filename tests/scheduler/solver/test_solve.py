"""The solver against oracles, and the properties that its callers rely on."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.oracle_solve import Milp, brute_force, draw
from scheduler.problem import Allocation, Demand, OperatingPoint, Problem, ProblemError, Unit
from scheduler.solver import EXACT_DEMANDS, Evaluation, cells, evaluate, partition, solve
from scheduler.solver.exact import solve_exactly
from scheduler.solver.local import solve_locally

OBJECTIVES = ("energy", "accuracy", "fair")


def point(**changes: object) -> OperatingPoint:
    plain = {
        "subnet": "s",
        "unit": "cpu",
        "cores": 1,
        "mhz": 1000.0,
        "latency_ms": 10.0,
        "energy_mj": 5.0,
        "accuracy": 0.8,
    }
    return OperatingPoint(**(plain | changes))  # type: ignore[arg-type]


def demand(app: str = "a", *points: OperatingPoint, **changes: object) -> Demand:
    plain = {"app": app, "rate_hz": 10.0, "target_ms": 20.0, "min_accuracy": 0.5, "weight": 1.0}
    return Demand(**(plain | changes), points=points or (point(),))  # type: ignore[arg-type]


def unit(**changes: object) -> Unit:
    plain = {"name": "cpu", "kind": "cpu", "cores": 2, "mhz": (500.0, 1000.0), "static_w": (0.1, 0.2)}
    return Unit(**(plain | changes))  # type: ignore[arg-type]


def outcome(problem: Problem, answer: Allocation) -> Evaluation:
    """Evaluate an answer, and check that the answer says the same of itself."""
    result = evaluate(problem, answer.choice, answer.mhz)
    assert answer.violation == result.violation
    assert answer.power_w == result.power_w
    assert answer.latency_ms == result.latency_ms
    for each in problem.demands:
        assert answer.choice[each.app] in each.points
    for each in problem.units:
        used = any(p.unit == each.name for p in answer.choice.values())
        assert answer.mhz[each.name] in each.mhz
        assert used or answer.mhz[each.name] == each.mhz[0]
    return result


def levels(problem: Problem, result: Evaluation) -> list[float]:
    """What the objective lessens, in order, not rounded."""
    return {
        "energy": [result.violation, result.power_w],
        "accuracy": [result.violation, -result.accuracy, result.power_w],
        "fair": [result.largest_term, result.violation, result.power_w],
    }[problem.objective]


def assert_equally_good(one: list[float], other: list[float], relative: float) -> None:
    for a, b in zip(one, other, strict=True):
        assert a == pytest.approx(b, rel=relative, abs=1e-7)


def draw_any(seed: int, *, most: int, clocks: int, subnets: int) -> Problem:
    rng = np.random.default_rng(seed)
    return draw(
        rng,
        demands=int(rng.integers(1, most + 1)),
        cpus=tuple(rng.integers(1, 4, rng.integers(1, 3)).tolist()),
        gpu=bool(rng.integers(2)),
        clocks=clocks,
        subnets=subnets,
        pressure=float(rng.choice([0.5, 1.0, 2.0, 4.0, 8.0])),
        objective=OBJECTIVES[seed % 3],  # type: ignore[arg-type]
        cap=float(rng.uniform(0.05, 0.6)) if rng.integers(2) else None,
        sharing=bool(rng.integers(3)),
        noise=float(rng.choice([0.0, 0.1, 0.6])),
        wait_shares=bool(rng.integers(2)),
    )


class TestAgainstOracles:
    @pytest.mark.parametrize("block", range(10))
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

    @pytest.mark.parametrize(("module", "figure"), [(cells, "AT_ONCE"), (partition, "CACHED")])
    def test_how_much_is_worked_on_at_once_changes_no_answer(
        self, module: object, figure: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        problems = [draw_any(seed, most=5, clocks=3, subnets=3) for seed in range(3000, 3020)]
        answers = [solve(problem) for problem in problems]
        monkeypatch.setattr(module, figure, 1)
        assert [solve(problem) for problem in problems] == answers

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
                assert answer.bound == (result.accuracy if objective == "accuracy" else result.power_w)


class TestMoreRoomNeverHurts:
    """Each change gives the solver more room; what it lessens must not get worse."""

    seeds = st.integers(0, 10**6)

    @staticmethod
    def check(before: Problem, after: Problem) -> None:
        assert before.sharing
        old = levels(before, outcome(before, solve(before)))
        new = levels(after, outcome(after, solve(after)))
        for a, b in zip(new, old, strict=True):
            assert a <= b + 1e-7 * max(1.0, abs(b))
            if a < b - 1e-7 * max(1.0, abs(b)):
                return

    @staticmethod
    def start(seed: int, **changes: object) -> Problem:
        problem = draw_any(seed, most=4, clocks=3, subnets=2)
        return dataclasses.replace(problem, sharing=True, **changes)  # type: ignore[arg-type]

    @given(seed=seeds, factor=st.floats(1.0, 3.0))
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_a_looser_target(self, seed: int, factor: float) -> None:
        problem = self.start(seed)
        first, *others = problem.demands
        looser = dataclasses.replace(first, target_ms=first.target_ms * factor)
        self.check(problem, dataclasses.replace(problem, demands=(looser, *others)))

    @given(seed=seeds, less=st.floats(0.0, 1.0))
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_a_lower_floor(self, seed: int, less: float) -> None:
        problem = self.start(seed)
        first, *others = problem.demands
        lower = dataclasses.replace(first, min_accuracy=first.min_accuracy * less)
        self.check(problem, dataclasses.replace(problem, demands=(lower, *others)))

    @given(seed=seeds, cap=st.floats(0.2, 5.0), factor=st.one_of(st.none(), st.floats(1.0, 2.0)))
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_a_higher_cap_or_none(self, seed: int, cap: float, factor: float | None) -> None:
        problem = self.start(seed, power_cap_w=cap)
        higher = None if factor is None else cap * factor
        self.check(problem, dataclasses.replace(problem, power_cap_w=higher))

    @given(seed=seeds)
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_one_more_core(self, seed: int) -> None:
        problem = self.start(seed)
        first, *others = problem.units
        wider = dataclasses.replace(first, cores=first.cores + 1)
        self.check(problem, dataclasses.replace(problem, units=(wider, *others)))

    @given(seed=seeds, which=st.integers(0, 2))
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_one_more_clock(self, seed: int, which: int) -> None:
        after = self.start(seed)
        first, *others = after.units
        lost = first.mhz[which]
        poorer = dataclasses.replace(
            first,
            mhz=tuple(m for m in first.mhz if m != lost),
            static_w=tuple(w for m, w in zip(first.mhz, first.static_w, strict=True) if m != lost),
        )
        demands = tuple(
            dataclasses.replace(d, points=tuple(p for p in d.points if (p.unit, p.mhz) != (first.name, lost)))
            for d in after.demands
        )
        self.check(dataclasses.replace(after, units=(poorer, *others), demands=demands), after)

    @given(seed=seeds)
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_sharing_allowed(self, seed: int) -> None:
        after = self.start(seed)
        barred = dataclasses.replace(after, sharing=False)
        old, new = outcome(barred, solve(barred)), outcome(after, solve(after))
        assert levels(after, new)[0] <= levels(barred, old)[0] + 1e-7


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
        barred = dataclasses.replace(free, sharing=False)
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
    def test_the_bound_holds_and_the_answer_is_fair_game(self) -> None:
        for seed in range(12):
            problem = draw_any(seed, most=4, clocks=3, subnets=2)
            exact, local = solve_exactly(problem), solve_locally(problem)
            best, good = (
                evaluate(
                    problem,
                    {d.app: d.points[row] for d, row in zip(problem.demands, found.rows, strict=True)},
                    {u.name: u.mhz[clock] for u, clock in zip(problem.units, found.clocks, strict=True)},
                )
                for found in (exact, local)
            )
            if problem.sharing:
                assert levels(problem, good)[0] >= levels(problem, best)[0] - 1e-7
            if good.violation <= best.violation + 1e-7:
                if problem.objective == "accuracy":
                    assert local.bound >= best.accuracy - 1e-9
                elif problem.objective == "energy":
                    assert local.bound <= best.power_w + 1e-9

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
            sharing=False,
        )
        assert outcome(problem, solve(problem)).shared == {"gpu"}

    def test_sparse_points_find_their_common_clock(self) -> None:
        points = [point(mhz=1000.0), point(mhz=500.0)]
        demands = [demand(f"a{i}", *points, target_ms=500.0) for i in range(EXACT_DEMANDS + 1)]
        demands.append(demand("picky", points[1], target_ms=500.0))
        answer = solve(Problem(units=(unit(),), demands=tuple(demands)))
        assert answer.mhz == {"cpu": 500.0}


class TestValidation:
    @pytest.mark.parametrize("field", ["latency_ms", "energy_mj", "mhz", "service_ms", "accuracy"])
    @pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
    def test_a_points_figures(self, field: str, value: float) -> None:
        with pytest.raises(ProblemError, match=f"operating point 's' on 'cpu': {field} is {value!r}"):
            point(**{field: value})

    @pytest.mark.parametrize("field", ["rate_hz", "target_ms", "min_accuracy", "weight"])
    @pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
    def test_a_demands_figures(self, field: str, value: float) -> None:
        with pytest.raises(ProblemError, match=f"demand 'a': {field} is {value!r}"):
            demand("a", **{field: value})

    def test_cores_are_whole(self) -> None:
        for cores in (0, -1, 1.5):
            with pytest.raises(ProblemError, match="cores"):
                point(cores=cores)
            with pytest.raises(ProblemError, match="cores"):
                unit(cores=cores)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"kind": "tpu"}, "kind is 'tpu'"),
            ({"mhz": ()}, "at least one clock"),
            ({"mhz": (1000.0, 500.0)}, "ascending"),
            ({"mhz": (500.0, 500.0)}, "ascending"),
            ({"mhz": (math.nan, 500.0)}, "mhz is nan"),
            ({"static_w": (0.1,)}, "one figure for each of the 2 clocks"),
            ({"static_w": (0.2, 0.1)}, "non-decreasing"),
            ({"static_w": (-0.1, 0.1)}, "static_w is -0.1"),
        ],
    )
    def test_a_units_tables(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(ProblemError, match=message):
            unit(**changes)

    @pytest.mark.parametrize(
        ("demands", "changes", "message"),
        [
            ((demand("a", point(unit="cpo")),), {}, "unit 'cpo' is unknown. Did you mean 'cpu'?"),
            ((demand("a", point(cores=3)),), {}, "at most the unit's 2"),
            ((demand("a", point(mhz=750.0)),), {}, "mhz of a point on 'cpu' is 750.0"),
            ((demand("a"), demand("a")), {}, "app 'a' occurs twice"),
            ((demand("a"),), {"units": (unit(), unit())}, "unit 'cpu' occurs twice"),
            ((demand("a"),), {"objective": "energi"}, "objective is 'energi'.*Did you mean 'energy'?"),
            ((demand("a"),), {"power_cap_w": 0.0}, "power_cap_w is 0.0"),
            ((demand("a"),), {"power_cap_w": math.nan}, "power_cap_w is nan"),
        ],
    )
    def test_a_problem(self, demands: tuple[Demand, ...], changes: dict[str, object], message: str) -> None:
        plain: dict[str, object] = {"units": (unit(),), "demands": demands}
        with pytest.raises(ProblemError, match=message.replace("?", r"\?")):
            Problem(**(plain | changes))  # type: ignore[arg-type]

    def test_no_points(self) -> None:
        with pytest.raises(ProblemError, match="points"):
            Demand(app="a", rate_hz=1.0, target_ms=1.0, min_accuracy=0.0, weight=1.0, points=())

    def test_a_choice_at_another_clock_than_its_unit(self) -> None:
        problem = Problem(units=(unit(),), demands=(demand("a"),))
        with pytest.raises(ProblemError, match=r"1000\.0 MHz"):
            evaluate(problem, {"a": point()}, {"cpu": 500.0})
        with pytest.raises(ProblemError, match="'a'"):
            evaluate(problem, {}, {"cpu": 500.0})

    def test_lists_will_do(self) -> None:
        one = unit(mhz=[500.0, 1000.0], static_w=[0.1, 0.2])
        asked = dataclasses.replace(demand("a"), points=[point()])
        problem = Problem(units=[one], demands=[asked])  # type: ignore[arg-type]
        assert solve(problem).optimal
        assert hash(problem) == hash(Problem(units=(unit(),), demands=(demand("a"),)))
