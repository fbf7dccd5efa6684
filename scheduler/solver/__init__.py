"""The solver: it chooses an operating point and CPUs for each demand, and a clock for each unit.

`solve` looks for the best choice: exactly and with proof for up to `EXACT_DEMANDS` demands, by local search with
proven bounds for more. `evaluate` says what a choice comes to. Both are pure functions. They do not know where points
come from, what a board is, or what becomes of the answer.

**Example.** A camera asks for ten inferences a second within 50 ms. On unit `big` its only network takes 40 ms and
30 mJ at 1000 MHz, 25 ms and 45 mJ at 2000 MHz; the unit itself takes 0.2 W and 0.5 W at these clocks. Both points meet
the target, so both have a violation of 0, and power decides: 0.2 W + 10/s * 30 mJ = 0.5 W against 0.95 W. `solve`
chooses 1000 MHz. With a target of 30 ms the slow point is late by a third (40 / 30 - 1), its violation is 0.33, and
`solve` chooses 2000 MHz whatever that costs.

**Violation.** It is a sum of terms, all 0 where everything is met:

- one for each demand: its weight times the sum of its relative excess of latency and its relative lack of accuracy;
- one for each unit: the relative excess of its load over `FULL_LOAD` (0.9);
- one for the power cap: the relative excess of power.

**Objectives** (`scheduler.objectives`) compare lexicographically: a later quantity decides only among choices that are
equal in all before it. `energy`: least violation, then least power. `accuracy`: least violation, then greatest sum of
weight * accuracy, then least power. `fair`: least largest term, then least violation, then least power.

**Waiting** (`Problem.sharing`). With `cpu` the solver also chooses the CPUs of each demand on its unit, and a demand
waits for those that have one of them. Three demands of one core and a service of 10 ms each on a unit of two cores: the
first is alone on CPU 0, the others share CPU 1 and wait 10 ms each. With `unit` a unit whose cores don't suffice is one
server, and each of the three waits 20 ms.

**More room never hurts.** A looser target, a higher cap, one more core or clock never makes the answer worse by its
objective. The one exception lies in the meaning of `sharing="exclusive"`: one more core can make an assignment without
sharing possible, which is then taken even where it is worse.

**Ties.** Violation and accuracy are kept in ticks of about 1e-10. Among choices that are equal to within what is proven
(`Allocation.optimal`) the first one met stays. The search is deterministic: it takes units, demands, clocks and points
in the order given.

**Files**, in reading order: `evaluation` (the model), `grid` (a problem as arrays), `costs`, `alone`, `one_server`,
`cpus`, `by_cpu`, `seating` and `one_unit` (a set of demands on one unit), `keys`, `local`, `moves` and `answers` (good
answers for any number), `filling` and `sets` (prices: which unit serves which set), `joining` (the best of what the
prices leave), `proof` (all three together), `exact` (which proofs an objective needs), `bounds` (where there is no
proof) and `searching` (which of these a problem gets). Inner loops are compiled (`scheduler.compiled`).
"""

from __future__ import annotations

from dataclasses import replace

from scheduler.compiled import COMPILING_S, keeps_code
from scheduler.objectives import OBJECTIVES
from scheduler.problem import Allocation, Demand, OperatingPoint, Problem, Unit
from scheduler.solver.evaluation import Evaluation, evaluate

__all__ = ["BUDGET", "COMPILING_S", "EXACT_DEMANDS", "Evaluation", "bounded", "evaluate", "keeps_code", "solve", "warm"]

EXACT_DEMANDS = 12
"""Most demands for which the search is exact; tables and time double with each demand more."""
BUDGET = 20_000_000
"""Nodes that a search may look at unless told."""


def solve(
    problem: Problem,
    *,
    budget: int = BUDGET,
    start: Allocation | None = None,
    bounds: bool = True,
    deep: bool = True,
) -> Allocation:
    """Choose a point for each demand and a clock for each unit; under `sharing="cpu"` CPUs for each demand, too.

    For up to `EXACT_DEMANDS` demands the answer is proven optimal, unless the search exceeds its budget. Then, as with
    more demands, it is the best one met, `optimal` is False and the bounds are still proven.

    Args:
        problem: the problem.
        budget: nodes that the search may look at. The first placement of every demand is always made.
        start: an earlier answer to begin with, for these applications or others; it changes nothing in the answer's
            proof. An application that it doesn't hold, or not at a point that the problem has, is placed anew.
        bounds: False saves time where there is no proof: the bounds are then trivial, no violation and no power, or an
            accuracy of 1 for everybody. `bounded` gives better ones later.
        deep: False saves time where there is no proof: moves after which two units change their clocks are left out.

    Raises:
        ProblemError: No choice of one clock per unit leaves every demand a point (points are missing at some
            clocks). Any other well-formed problem has an answer.
    """
    from scheduler.solver import searching  # most processes need the model of contention alone, and no compiler

    answer, proven = searching.find(problem, EXACT_DEMANDS, budget, start, deep)
    choice = {d.app: d.points[row] for d, row in zip(problem.demands, answer.rows, strict=True)}
    mhz = {u.name: u.mhz[clock] for u, clock in zip(problem.units, answer.clocks, strict=True)}
    by_cpu = problem.sharing == "cpu"
    cpus = {d.app: _cpus_of(bits) if by_cpu else () for d, bits in zip(problem.demands, answer.cpus, strict=True)}
    outcome = evaluate(problem, choice, mhz, cpus)
    goal = OBJECTIVES[problem.objective].goals[0]
    trivial = sum(demand.weight for demand in problem.demands) if goal.raised else 0.0
    allocation = Allocation(
        choice=choice,
        mhz=mhz,
        cpus=cpus,
        latency_ms=outcome.latency_ms,
        power_w=outcome.power_w,
        violation=outcome.violation,
        optimal=proven,
        bound=outcome.of(goal) if proven else trivial,
        violation_bound=outcome.violation if proven else 0.0,
    )
    return bounded(problem, allocation) if bounds else allocation


def bounded(problem: Problem, answer: Allocation) -> Allocation:
    """Return an answer to a problem with the best bounds that are known to be proven; one that is optimal as it is."""
    from scheduler.solver import searching

    if answer.optimal:
        return answer
    outcome = evaluate(problem, answer.choice, answer.mhz, answer.cpus)
    violation_bound, bound = searching.bounds_of(problem, outcome)
    return replace(answer, violation_bound=violation_bound, bound=bound)


def _cpus_of(bits: int) -> tuple[int, ...]:
    """Return the CPUs that are the bits of a number, in rising order; a unit that is one server has only CPU 0."""
    return tuple(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1) or (0,)


def warm() -> None:
    """Compile the solver, or load it from disk, ahead of time: the first `solve` would do so otherwise.

    It solves small problems that can't be met, with and without a cap that binds: they take every path.
    """
    units = [Unit(name=name, kind="cpu", cores=2, mhz=(1.0, 2.0), static_w=(0.1, 0.3)) for name in "uv"]
    demands = tuple(
        Demand(
            app=f"a{i}",
            rate_hz=20.0,
            target_ms=20.0 + i,
            min_accuracy=0.6,
            weight=1.0,
            points=tuple(
                OperatingPoint(
                    subnet=subnet,
                    unit=unit.name,
                    cores=cores,
                    mhz=mhz,
                    latency_ms=ms * (9.0 + i % 2) / mhz / cores**0.7,
                    energy_mj=ms * mhz * (1.0 + 0.3 * i),
                    accuracy=accuracy,
                )
                for unit in units
                for mhz in unit.mhz
                for subnet, ms, accuracy in (("s", 2.0, 0.5), ("m", 3.0, 0.6), ("l", 5.0, 0.7))
                for cores in (1, 2)
            ),
        )
        for i in range(EXACT_DEMANDS + 1)
    )
    for objective in OBJECTIVES:
        for apps, cap in ((5, None), (5, 1.2), (5, 1.0), (5, 0.8), (EXACT_DEMANDS + 1, 1.0)):
            solve(Problem(units=tuple(units), demands=demands[:apps], objective=objective, power_cap_w=cap))
