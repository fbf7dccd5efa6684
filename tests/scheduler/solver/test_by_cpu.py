"""Where each application has CPUs of its unit it waits only for those on them, and answers are the best."""

import dataclasses

import numpy as np
import pytest

from helpers.oracle_solve import Milp, brute_force, draw
from helpers.small_problems import demand, point, unit
from helpers.solver_answers import draw_by_cpu, levels, outcome
from scheduler import solver
from scheduler.problem import MOST_CPUS, Problem, ProblemError
from scheduler.solver import EXACT_DEMANDS, evaluate, solve

MHZ = {"cpu": 1000.0}


def by_cpu(*demands: object, **changes: object) -> Problem:
    plain = {"units": (unit(),), "demands": demands, "sharing": "cpu"}
    return Problem(**(plain | changes))  # type: ignore[arg-type]


class TestMeaning:
    """`evaluate` on examples done by hand."""

    def test_one_waits_only_for_those_on_a_cpu_of_its_own(self) -> None:
        points = {"a": point(service_ms=4.0), "b": point(service_ms=3.0), "c": point(service_ms=2.0)}
        problem = by_cpu(*(demand(app, p) for app, p in points.items()))
        result = evaluate(problem, points, MHZ, {"a": (0,), "b": (1,), "c": (1,)})
        assert result.waits_ms == {"a": 0.0, "b": 2.0, "c": 3.0}
        assert result.latency_ms == {"a": 10.0, "b": 12.0, "c": 13.0}
        assert result.shared == {"cpu"}
        assert result.rho == {"cpu": pytest.approx(10 * (3.0 + 2.0) / 1000)}

    def test_of_two_cores_one_waits_once_for_each_other(self) -> None:
        points = {"a": point(cores=2, service_ms=4.0), "b": point(cores=2, service_ms=3.0), "c": point(service_ms=2.0)}
        problem = by_cpu(*(demand(app, p) for app, p in points.items()), units=(unit(cores=3),))
        result = evaluate(problem, points, MHZ, {"a": (0, 1), "b": (0, 1), "c": (2,)})
        assert result.waits_ms == {"a": 3.0, "b": 4.0, "c": 0.0}
        chained = evaluate(problem, points, MHZ, {"a": (0, 1), "b": (1, 2), "c": (2,)})
        assert chained.waits_ms == {"a": 3.0, "b": 6.0, "c": 3.0}

    def test_nobody_waits_where_the_cpus_differ_though_they_need_not(self) -> None:
        points = {app: point(service_ms=4.0) for app in "ab"}
        problem = by_cpu(*(demand(app, p) for app, p in points.items()))
        apart = evaluate(problem, points, MHZ, {"a": (0,), "b": (1,)})
        together = evaluate(problem, points, MHZ, {"a": (1,), "b": (1,)})
        assert (apart.waits_ms, apart.shared) == ({"a": 0.0, "b": 0.0}, frozenset())
        assert (together.waits_ms, together.shared) == ({"a": 4.0, "b": 4.0}, frozenset({"cpu"}))
        assert together.rho["cpu"] == pytest.approx(2 * apart.rho["cpu"])

    def test_a_gpu_is_one_cpu(self) -> None:
        points = {app: point(unit="gpu", cores=4, service_ms=4.0) for app in "ab"}
        demands = (demand(app, p) for app, p in points.items())
        problem = by_cpu(*demands, units=(unit(name="gpu", kind="gpu", cores=8),))
        result = evaluate(problem, points, {"gpu": 1000.0}, {"a": (0,), "b": (0,)})
        assert result.waits_ms == {"a": 4.0, "b": 4.0}
        assert solve(problem).cpus == {"a": (0,), "b": (0,)}

    def test_who_counts_no_waiting_is_late_by_nobody(self) -> None:
        demands = [demand(app, point(service_ms=9.0), wait_share=0.0, target_ms=10.0) for app in "abcde"]
        answer = solve(by_cpu(*demands))
        assert answer.latency_ms == dict.fromkeys("abcde", 10.0)
        assert answer.violation == 0.0

    @pytest.mark.parametrize(
        ("cpus", "message"),
        [
            (None, "cpus: they are missing"),
            ({}, "cpus: 'a' is in only one"),
            ({"a": ()}, "it needs 2 different ones of 'cpu', from 0 to 1"),
            ({"a": (0,)}, "cpus: those of 'a' are (0,)"),
            ({"a": (1, 1)}, "cpus: those of 'a' are (1, 1)"),
            ({"a": (0, 2)}, "cpus: those of 'a' are (0, 2)"),
        ],
    )
    def test_wrong_cpus_are_refused(self, cpus: dict[str, tuple[int, ...]] | None, message: str) -> None:
        problem = by_cpu(demand("a", point(cores=2)))
        with pytest.raises(ProblemError) as caught:
            evaluate(problem, {"a": point(cores=2)}, MHZ, cpus)
        assert message in str(caught.value)

    def test_cpus_do_not_count_where_the_unit_is_one_server(self) -> None:
        problem = Problem(units=(unit(),), demands=(demand("a"), demand("b")))
        choice = {"a": point(), "b": point()}
        assert evaluate(problem, choice, MHZ, {"a": (0,), "b": (0,)}) == evaluate(problem, choice, MHZ)
        assert solve(problem).cpus == {"a": (), "b": ()}

    def test_more_cpus_than_bits_are_refused_by_name(self) -> None:
        wide = unit(cores=MOST_CPUS + 1)
        assert Problem(units=(wide,), demands=(demand("a"),)).sharing == "unit"
        with pytest.raises(ProblemError, match=f"unit 'cpu': cores is {MOST_CPUS + 1}"):
            by_cpu(demand("a"), units=(wide,))


class TestAnswers:
    @pytest.mark.parametrize("block", range(4))
    def test_every_choice_of_points_and_cpus_tried(self, block: int) -> None:
        for seed in range(6 * block, 6 * block + 6):
            problem = draw_by_cpu(seed, most=3, clocks=1 + seed % 2, subnets=2, most_cores=3 - seed % 2)
            answer = solve(problem)
            assert answer.optimal
            found, best = outcome(problem, answer), brute_force(problem)
            assert levels(problem, found) == pytest.approx(levels(problem, best), rel=1e-6, abs=1e-7)

    @pytest.mark.parametrize("block", range(2))
    def test_every_choice_tried_on_one_crowded_unit(self, block: int) -> None:
        for seed in range(500 + 6 * block, 506 + 6 * block):
            rng = np.random.default_rng(seed)
            problem = draw(
                rng,
                demands=4,
                cpus=(2 + seed % 2,),
                clocks=1,
                subnets=2 - seed % 2,
                pressure=float(rng.choice([0.3, 1.0, 3.0])),
                objective=("energy", "accuracy", "fair")[seed % 3],  # type: ignore[arg-type]
                sharing="cpu",
                wait_shares=True,
            )
            answer = solve(problem)
            assert answer.optimal
            found, best = outcome(problem, answer), brute_force(problem)
            assert levels(problem, found) == pytest.approx(levels(problem, best), rel=1e-6, abs=1e-7)

    @pytest.mark.parametrize("block", range(4))
    def test_highs(self, block: int) -> None:
        for seed in range(1000 + 4 * block, 1004 + 4 * block):
            problem = draw_by_cpu(seed, most=5, clocks=2, subnets=2)
            answer = solve(problem)
            reached = Milp(problem).solve()
            assert reached is not None
            assert answer.optimal
            assert levels(problem, outcome(problem, answer)) == pytest.approx(reached, rel=1e-5, abs=2e-6)

    @pytest.mark.parametrize("seed", range(12))
    def test_on_units_of_one_core_it_is_as_one_server(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        problem = draw(
            rng, demands=5, cpus=(1, 1), gpu=True, clocks=3, subnets=3, pressure=float(rng.choice([0.5, 2.0])),
            objective=("energy", "accuracy", "fair")[seed % 3],  # type: ignore[arg-type]
            cap=0.3 if seed % 2 else None, wait_shares=True,
        )  # fmt: skip
        one, other = solve(problem), solve(dataclasses.replace(problem, sharing="cpu"))
        assert other.cpus == dict.fromkeys(one.choice, (0,))
        assert dataclasses.replace(other, cpus=one.cpus) == one

    @pytest.mark.parametrize("seed", range(20))
    def test_it_is_never_worse_than_one_server(self, seed: int) -> None:
        problem = draw_by_cpu(3000 + seed, most=6, clocks=3, subnets=2, most_cores=4)
        one = dataclasses.replace(problem, sharing="unit")
        old, new = levels(one, outcome(one, solve(one))), levels(problem, outcome(problem, solve(problem)))
        assert new[0] <= old[0] + 1e-7 * max(1.0, abs(old[0]))

    def test_many_narrow_cpus(self) -> None:
        demands = [demand(f"a{i}", point(cores=1 + i % 3), point(cores=4, latency_ms=4.0)) for i in range(8)]
        answer = solve(by_cpu(*demands, units=(unit(cores=MOST_CPUS),)))
        assert answer.optimal
        assert answer.violation == 0.0
        assert len({cpu for cpus in answer.cpus.values() for cpu in cpus}) == sum(map(len, answer.cpus.values()))


class TestWithoutProof:
    @pytest.mark.parametrize("block", range(3))
    def test_the_bounds_hold_and_no_answer_betters_the_proven_one(
        self, block: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        problems = [draw_by_cpu(seed, most=5, clocks=3, subnets=3) for seed in range(8 * block, 8 * block + 8)]
        proven = [solve(problem) for problem in problems]
        monkeypatch.setattr(solver, "EXACT_DEMANDS", 0)
        for problem, exact in zip(problems, proven, strict=True):
            local = solve(problem)
            best, good = outcome(problem, exact), outcome(problem, local)
            assert not local.optimal
            assert levels(problem, best)[0] <= levels(problem, good)[0] + 1e-7 * max(1.0, best.violation)
            if problem.objective != "fair" or best.largest_term <= good.largest_term:
                assert local.violation_bound <= best.violation + 1e-7 * max(1.0, best.violation)
            if problem.objective == "energy" and best.violation <= good.violation + 1e-9:
                assert local.bound <= best.power_w * (1 + 1e-6)

    @pytest.mark.parametrize("apps", range(EXACT_DEMANDS + 1, EXACT_DEMANDS + 5))
    def test_bounds_of_many_hold_against_better_answers(self, apps: int) -> None:
        rng = np.random.default_rng(apps)
        pressure = 0.4 if apps % 2 else 3.0
        problem = draw(rng, demands=apps, cpus=(2, 4), gpu=True, clocks=4, subnets=3, pressure=pressure, sharing="cpu")
        first = solve(problem, budget=20_000)
        later = solve(problem, start=solve(problem, start=first))
        for answer in (first, later):
            assert answer.violation_bound <= min(first.violation, later.violation) + 1e-9
            if first.violation == later.violation:
                assert answer.bound <= min(first.power_w, later.power_w) * (1 + 1e-9)

    def test_a_search_cut_short_says_so_and_takes_up_where_another_ended(self) -> None:
        for seed in range(4000, 4012):
            problem = draw_by_cpu(seed, most=6, clocks=3, subnets=2)
            best = outcome(problem, full := solve(problem))
            for budget in (0, 300, 10_000):
                cut = solve(problem, budget=budget)
                assert levels(problem, best)[0] <= levels(problem, outcome(problem, cut))[0] + 1e-7
                if cut.optimal:
                    assert levels(problem, outcome(problem, cut)) == pytest.approx(levels(problem, best), rel=1e-6)
            hurried = solve(problem, budget=0, start=full)
            assert levels(problem, outcome(problem, hurried)) == pytest.approx(levels(problem, best), rel=1e-6)
