"""The check of the solver against oracles finds nothing in a few problems, and does find what is wrong."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import bench_optimality
from benchmarks.bench_optimality import check, choices_of, compare, drawn, levels_of, wrong_bounds
from scheduler.problem import Allocation, Problem
from scheduler.solver import evaluate, solve

SMALL = [number for number in range(60) if choices_of(drawn(7, number)) <= 2000]


def levels(problem: Problem, answer: Allocation) -> list[float]:
    return levels_of(problem, evaluate(problem, answer.choice, answer.mhz, answer.cpus))


def test_nothing_is_wrong_where_every_choice_is_tried() -> None:
    found = [check(number, drawn(7, number), 10.0) for number in SMALL]
    assert len(found) >= 15
    assert {one.sharing for one in found} == {"exclusive", "unit", "cpu"}
    assert all((one.oracle, one.wrong, one.proven, one.bounds) == ("brute force", (), True, 10) for one in found)


def test_an_answer_that_is_not_the_best_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0
    for number in SMALL:
        problem = drawn(7, number)
        best = solve(problem)
        for d in problem.demands:
            poorer = replace(d, points=tuple(p for p in d.points if p != best.choice[d.app]) or d.points)
            others = tuple(poorer if each is d else each for each in problem.demands)
            poor = solve(replace(problem, demands=others))
            if problem.sharing == "exclusive" or compare(levels(problem, poor), levels(problem, best), 1e-6) <= 0:
                continue
            seen += 1
            monkeypatch.setattr(bench_optimality, "solve", lambda _, poor=poor, **changes: poor)
            assert "is said to be the best, but brute force has" in check(number, problem, 10.0).wrong[0]
            monkeypatch.undo()
    assert seen >= 5


def test_bounds_beyond_the_truth_are_found() -> None:
    for number in SMALL:
        problem = drawn(7, number)
        best = solve(problem)
        truth = levels(problem, best)
        assert wrong_bounds(problem, best, truth) == []
        side = 0.9 if problem.objective == "accuracy" else 1.1
        high = replace(best, violation_bound=best.violation + 1.0, bound=side * best.bound)
        assert len(wrong_bounds(problem, high, truth)) == 2


def test_levels_are_compared_in_order_and_within_a_tolerance() -> None:
    assert compare([1.0, 5.0], [1.0 + 1e-8, 5.0], 1e-6) == 0
    assert compare([1.0, 5.0], [2.0, 4.0], 1e-6) == -1
    assert compare([1.0, 5.0], [1.0, 4.0], 1e-6) == 1


def test_a_run_goes_on_where_the_last_one_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, out = tmp_path / "log", tmp_path / "out.json"
    command = ["--seed", "7", "--problems", "2", "--log", str(log), "--json", str(out)]
    assert bench_optimality.main(command) == 0
    first = log.read_text()
    assert len(first.splitlines()) == 2
    monkeypatch.setattr(bench_optimality, "check", lambda *_: pytest.fail("it is known already"))
    assert bench_optimality.main(command) == 0
    assert log.read_text() == first
    assert [one["number"] for one in json.loads(out.read_text())["problems"]] == [0, 1]
