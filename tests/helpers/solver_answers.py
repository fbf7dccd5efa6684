"""Random problems for the solver, and figures that say how good an answer is."""

import dataclasses

import numpy as np

from helpers.oracle_solve import draw
from scheduler.problem import Allocation, Problem
from scheduler.solver import Evaluation, evaluate

OBJECTIVES = ("energy", "accuracy", "fair")


def outcome(problem: Problem, answer: Allocation) -> Evaluation:
    """Return the evaluation of an answer, and check that the answer holds the same figures."""
    result = evaluate(problem, answer.choice, answer.mhz, answer.cpus)
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
    """Return the quantities that the objective lessens, in order, not rounded."""
    return {
        "energy": [result.violation, result.power_w],
        "accuracy": [result.violation, -result.accuracy, result.power_w],
        "fair": [result.largest_term, result.violation, result.power_w],
    }[problem.objective]


def draw_any(seed: int, *, most: int, clocks: int, subnets: int) -> Problem:
    """Return the random problem of a seed: at most `most` demands, any objective, sharing allowed or barred."""
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


def draw_by_cpu(seed: int, *, most: int, clocks: int, subnets: int, most_cores: int = 3, units: int = 2) -> Problem:
    """Return the random problem of a seed where each demand has CPUs of its own; some demands count no waiting."""
    rng = np.random.default_rng(seed)
    problem = draw(
        rng,
        demands=int(rng.integers(1, most + 1)),
        cpus=tuple(rng.integers(1, most_cores + 1, rng.integers(1, units + 1)).tolist()),
        gpu=bool(rng.integers(2)),
        clocks=clocks,
        subnets=subnets,
        pressure=float(rng.choice([0.5, 1.0, 2.0, 4.0, 8.0])),
        objective=OBJECTIVES[seed % 3],  # type: ignore[arg-type]
        cap=float(rng.uniform(0.05, 0.6)) if rng.integers(2) else None,
        sharing="cpu",
        noise=float(rng.choice([0.0, 0.1, 0.6])),
        wait_shares=bool(rng.integers(2)),
    )
    alone = rng.random(len(problem.demands)) < (0.3 if rng.integers(2) else 0.0)
    demands = [
        dataclasses.replace(d, wait_share=0.0) if at else d for d, at in zip(problem.demands, alone, strict=True)
    ]
    return dataclasses.replace(problem, demands=tuple(demands))
