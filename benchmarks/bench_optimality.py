"""Check the answers of `scheduler.solver` on random problems against oracles that share no code with its searches.

Problems of 1 to 12 demands, all kinds of sharing, all objectives, with and without a power cap, with few and with many
points. Every choice is tried where there are at most `MOST_CHOICES`; else HiGHS solves the problem up to
`HIGHS_DEMANDS` demands, and CP-SAT beyond. An answer that claims to be proven must be as
good as the oracle's, and no bound may be beyond the truth, also of searches that are cut short after few nodes.

    python -m benchmarks.bench_optimality [--problems 2000] [--seed 0] [--limit-s 60] [--log FILE] [--json FILE]

With `--log` each problem is a line in that file, and a run goes on where the last one stopped. Problem 17 of seed 0 is
always the same problem: `--only 17` checks it alone. It ends with 1 if anything was wrong, and says which problems.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.figure_log import FigureLog
from benchmarks.rig import figures_table, print_table
from scheduler.objectives import OBJECTIVES, Quantity
from scheduler.problem import Allocation, Problem, Sharing
from scheduler.solver import EXACT_DEMANDS, Evaluation, evaluate, solve, warm
from tests.helpers.oracle_cpsat import CpSat
from tests.helpers.oracle_solve import Milp, brute_force, draw

MOST_CHOICES = 20_000
"""Choices of points and CPUs up to which each one is tried."""
HIGHS_DEMANDS = 4
"""Most demands that HiGHS is asked for; with more it takes minutes where CPUs are chosen."""
BUDGETS = (0, 300, 3_000, 30_000)
"""Nodes after which searches are cut short, to check their bounds."""
GROUPS = ((1, 3), (4, 6), (7, 9), (10, 12))
"""Numbers of demands that share a row of the table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """The outcome of one problem.

    Attributes:
        number: number of the problem.
        demands, sharing, objective, capped, points: what it is like; `points` of all demands together.
        oracle: `brute force`, `HiGHS` or `CP-SAT`; None where it ran out of time.
        proven: True if the solver says that its answer is the best.
        bounds: how many bounds were held against the truth.
        wrong: in words, what is wrong; empty where nothing is.
        solver_ms, oracle_s: wall time that both took.
    """

    number: int
    demands: int
    sharing: str
    objective: str
    capped: bool
    points: int
    oracle: str | None
    proven: bool
    bounds: int
    wrong: tuple[str, ...]
    solver_ms: float
    oracle_s: float


def drawn(seed: int, number: int) -> Problem:
    """Return a random problem, the same for a seed and number."""
    rng = np.random.default_rng([seed, number])
    sharing = get_args(Sharing)[number % 3]
    demands = int(rng.integers(1, EXACT_DEMANDS + 1)) if number % 2 else int(rng.integers(1, 5))
    many = bool(rng.integers(2))
    problem = draw(
        rng,
        demands=demands,
        cpus=tuple(rng.integers(1, 5 if many else 4, rng.integers(1, 4 if many else 3)).tolist()),
        gpu=bool(rng.integers(2)),
        clocks=int(rng.integers(2, 7)) if many else int(rng.integers(1, 3)),
        subnets=int(rng.integers(2, 5)) if many else 2,
        # As demands grow in number each one is lighter, so that targets are easily, hardly or not met at all sizes.
        pressure=float(rng.choice([0.5, 1.0, 2.0, 4.0, 8.0])) * min(1.0, 4.0 / demands),
        objective=tuple(OBJECTIVES)[number // 3 % 3],
        cap=float(rng.uniform(0.05, 0.6)) if rng.integers(2) else None,
        sharing=sharing,
        noise=float(rng.choice([0.0, 0.1, 0.6])),
        wait_shares=bool(rng.integers(2)),
    )
    alone = rng.random(demands) < (0.3 if rng.integers(3) == 0 else 0.0)
    return replace(
        problem,
        demands=tuple(replace(d, wait_share=0.0) if at else d for d, at in zip(problem.demands, alone, strict=True)),
    )


def choices_of(problem: Problem) -> int:
    """Return how many choices of points, and of CPUs where they are chosen, there are at most."""
    slots = {unit.name: unit.slots for unit in problem.units}

    def seats(unit: str, cores: int) -> int:
        return math.comb(slots[unit], min(cores, slots[unit])) if problem.sharing == "cpu" else 1

    return math.prod(sum(seats(p.unit, p.cores) for p in d.points) for d in problem.demands)


def levels_of(problem: Problem, outcome: Evaluation) -> list[float]:
    """Return the quantities that the objective lessens, in order; those that it raises have their sign turned."""
    return [
        -outcome.of(quantity) if quantity.raised else outcome.of(quantity)
        for quantity in OBJECTIVES[problem.objective].levels
    ]


def ask_oracle(problem: Problem, answer: Allocation, limit_s: float) -> tuple[str | None, list[float], float]:
    """Return which oracle has solved a problem, None if it ran out of time, its levels, and their tolerance."""
    if choices_of(problem) <= MOST_CHOICES:
        return "brute force", levels_of(problem, brute_force(problem)), 1e-6
    if len(problem.demands) <= HIGHS_DEMANDS:
        reached = Milp(problem).solve(limit_s)
        return ("HiGHS" if reached else None), reached or [], 1e-5  # it keeps rows to about 1e-6 only
    best = CpSat(problem).solve(limit_s, answer)
    return ("CP-SAT" if best else None), levels_of(problem, best) if best else [], 1e-6


def compare(ours: Sequence[float], theirs: Sequence[float], tolerance: float) -> int:
    """Return -1, 0 or 1 for levels of ours that are less than, equal to or more than an oracle's.

    They are equal within a tenth of the tolerance, or within the tolerance of themselves.
    """
    for a, b in zip(ours, theirs, strict=True):
        if abs(a - b) > max(0.1 * tolerance, tolerance * abs(b)):
            return -1 if a < b else 1
    return 0


def wrong_bounds(problem: Problem, answer: Allocation, best: Sequence[float]) -> list[str]:
    """Return in words which bounds of an answer are beyond the levels of the best one."""
    quantities = OBJECTIVES[problem.objective].levels
    truth = dict(zip(quantities, best, strict=True))
    slack = 1e-7 * max(1.0, truth[Quantity.VIOLATION])
    found = []
    if answer.violation_bound > truth[Quantity.VIOLATION] + slack:
        found.append(f"violation is at least {answer.violation_bound!r}, but {truth[Quantity.VIOLATION]!r} is possible")
    if truth[Quantity.VIOLATION] > answer.violation + slack:
        return found  # the bound on the goal is one at the answer's violation
    goal = OBJECTIVES[problem.objective].goals[0]
    sign = -1.0 if goal.raised else 1.0
    if sign * answer.bound > truth[goal] + 1e-6 * abs(truth[goal]):
        found.append(f"{goal.name.lower()} is bound by {answer.bound!r}, but {sign * truth[goal]!r} is possible")
    return found


def check(number: int, problem: Problem, limit_s: float) -> Checked:
    """Solve a problem, and hold the answer and its bounds against an oracle."""
    start_s = time.perf_counter()
    answer = solve(problem)
    solver_s = time.perf_counter() - start_s
    oracle, best, tolerance = ask_oracle(problem, answer, limit_s)
    oracle_s = time.perf_counter() - start_s - solver_s
    bounds, wrong = 0, []
    if oracle is not None:
        ours = levels_of(problem, evaluate(problem, answer.choice, answer.mhz, answer.cpus))
        side = compare(ours, best, tolerance)
        if side < 0:
            wrong.append(f"{ours} is better than the best of {oracle}, {best}")
        if side > 0 and answer.optimal:
            wrong.append(f"{ours} is said to be the best, but {oracle} has {best}")
        best = ours if side == 0 else best  # without the oracle's own rounding
        cut = [solve(problem, budget=budget) for budget in BUDGETS]
        wrong += [text for each in (answer, *cut) for text in wrong_bounds(problem, each, best)]
        bounds = 2 * (len(cut) + 1)
    return Checked(
        number=number,
        demands=len(problem.demands),
        sharing=str(problem.sharing),
        objective=problem.objective,
        capped=problem.power_cap_w is not None,
        points=sum(len(d.points) for d in problem.demands),
        oracle=oracle,
        proven=answer.optimal,
        bounds=bounds,
        wrong=tuple(wrong),
        solver_ms=round(1000.0 * solver_s, 3),
        oracle_s=round(oracle_s, 3),
    )


def checks(seed: int, numbers: Sequence[int], limit_s: float, log: Path | None) -> Iterator[Checked]:
    """Yield the outcome of each problem; one that is in the log already is taken from there."""
    kept = FigureLog(log)
    for number in numbers:
        case = {"seed": seed, "number": number}
        if kept.get(case) is None:
            kept.keep(case, asdict(check(number, drawn(seed, number), limit_s)))
        known = kept.get(case) or {}
        yield Checked(**known | {"wrong": tuple(known["wrong"])})


def show(found: Sequence[Checked]) -> None:
    """Print how many problems were checked by which oracle, and what was wrong."""
    oracles = ("brute force", "HiGHS", "CP-SAT")
    heads = ("demands", "problems", *oracles, "out of time", "wrong", "not proven", "bounds held")
    table = figures_table("The solver against oracles", *heads)
    for sharing, (low, high) in itertools.product(get_args(Sharing), GROUPS):
        some = [one for one in found if one.sharing == sharing and low <= one.demands <= high]
        table.add_row(sharing, f"{low}-{high}", *_counts(some))
    table.add_row("all", "", *_counts(found))
    print_table(table)
    for one in found:
        for text in one.wrong:
            print(f"problem {one.number}: {text}")


def _counts(some: Sequence[Checked]) -> list[str]:
    by_oracle = [sum(one.oracle == name for one in some) for name in ("brute force", "HiGHS", "CP-SAT", None)]
    wrong, unproven = sum(bool(one.wrong) for one in some), sum(not one.proven for one in some)
    return [str(count) for count in (len(some), *by_oracle, wrong, unproven, sum(one.bounds for one in some))]


def main(argv: list[str] | None = None) -> int:
    """Check problems and print a table; return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=200, help="how many problems (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the problems (default 0)")
    parser.add_argument("--only", type=int, help="number of one problem to check alone")
    parser.add_argument("--limit-s", type=float, default=60.0, help="an oracle's time limit per level (default 60)")
    parser.add_argument("--log", type=Path, help="file with a line for each problem, to go on with")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args(argv)
    if options.problems < 1 or options.seed < 0:
        parser.error("--problems must be at least 1 and --seed at least 0.")
    warm()
    numbers = range(options.problems) if options.only is None else [options.only]
    found = []
    for one in checks(options.seed, numbers, options.limit_s, options.log):
        found.append(one)
        if len(found) % 100 == 0 or one.wrong:
            print(f"{len(found)} of {len(numbers)}: {'; '.join(one.wrong)}", file=sys.stderr, flush=True)
    show(found)
    if options.json is not None:
        options.json.write_text(json.dumps({"seed": options.seed, "problems": [asdict(one) for one in found]}) + "\n")
    return 1 if any(one.wrong for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
