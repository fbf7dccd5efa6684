"""The finer models of contention: applications on a shared unit wait CPU by CPU.

`scheduler.solver.evaluate` takes a shared unit as one server, however many cores it has: safe, simple, and far off
where six applications share four cores. The two models here spread the applications over the unit's CPUs as
`scheduler.placement` will spread them, and let each wait only for those on its CPUs.

- `evaluate_by_cpu`: the worst case; a request waits for a full service of each of them.
- `evaluate_likely`: the likely case; it waits for the part of that service that more than a few requests meet.

`scheduler.solver.evaluation` lists all models. This module does not choose anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from scheduler.placement import spread
from scheduler.problem import OperatingPoint, Problem, Unit
from scheduler.solver import Evaluation, evaluate
from scheduler.solver.evaluation import lateness, overload

RARE = 0.025
"""Share of requests that may wait longer than the likely case says: half of what a service-level objective of 95 %
leaves."""


def several_cores(problem: Problem) -> bool:
    """Return True if the problem has a CPU unit of several cores, so that the models can differ."""
    return any(unit.kind == "cpu" and unit.cores > 1 for unit in problem.units)


def may_crowd(problem: Problem) -> bool:
    """Return True if a CPU unit of several cores may have to serve more applications than it has cores."""
    return any(unit.kind == "cpu" and 1 < unit.cores < len(problem.demands) for unit in problem.units)


def crowded_units(problem: Problem, evaluation: Evaluation) -> list[Unit]:
    """Return the CPU units of several cores that applications share."""
    return [unit for unit in problem.units if unit.name in evaluation.shared and unit.kind == "cpu" and unit.cores > 1]


def evaluate_by_cpu(problem: Problem, choice: Mapping[str, OperatingPoint], mhz: Mapping[str, float]) -> Evaluation:
    """Evaluate a choice CPU by CPU, in the worst case.

    It differs from `scheduler.solver.evaluate` only on shared CPU units of several cores: in the latencies there, and
    in the unit's overload, which is that of its most loaded CPU.

    Five applications with services of 20 ms share four cores. Two of them share a CPU and wait 20 ms each, the other
    three wait for nobody. As one server, all five would wait 80 ms.

    Args:
        problem: the problem that the choice answers.
        choice: by application, the point taken.
        mhz: by unit, the clock.
    """
    coarse = evaluate(problem, choice, mhz)
    return _re_evaluated(problem, choice, coarse, crowded_units(problem, coarse), rare=0.0)


def evaluate_likely(problem: Problem, choice: Mapping[str, OperatingPoint], mhz: Mapping[str, float]) -> Evaluation:
    """Evaluate a choice CPU by CPU, in the likely case, on every shared unit.

    A request meets one of another application in service as often as that application has the core: with a load of
    0.05, one request in twenty. It then waits for what is left of that service, and every remainder from none to all is
    equally likely. So a share `RARE` of the requests wait longer than the part 1 - `RARE` / load of the service; with a
    load of 0.05 that part is one half. With a load below `RARE` the likely wait is nothing.

    Applications whose arrivals keep step may meet always or never; this model does not cover them.

    Args:
        problem: the problem that the choice answers.
        choice: by application, the point taken.
        mhz: by unit, the clock.
    """
    coarse = evaluate(problem, choice, mhz)
    shared = [unit for unit in problem.units if unit.name in coarse.shared]
    return _re_evaluated(problem, choice, coarse, shared, rare=RARE)


def _re_evaluated(
    problem: Problem, choice: Mapping[str, OperatingPoint], coarse: Evaluation, units: Sequence[Unit], *, rare: float
) -> Evaluation:
    """Replace latencies and overload on some shared units by those reckoned CPU by CPU.

    Args:
        problem: the problem that the choice answers.
        choice: by application, the point taken.
        coarse: the evaluation with each shared unit as one server.
        units: the units to reckon anew; all of them are shared.
        rare: share of requests that may wait longer; 0 for the worst case.
    """
    if not units:
        return coarse
    latency_ms, waits_ms = dict(coarse.latency_ms), dict(coarse.waits_ms)
    app_terms, unit_terms = dict(coarse.app_terms), dict(coarse.unit_terms)
    for unit in units:
        here = {demand.app: demand for demand in problem.demands if choice[demand.app].unit == unit.name}
        loads = {app: demand.rate_hz * choice[app].busy_ms / 1000 for app, demand in here.items()}
        by_cpu = _spread(unit, loads, choice)
        unit_terms[unit.name] = overload(max(sum(loads[app] for app in apps) for apps in by_cpu))
        for app, demand in here.items():
            # An application of several cores waits for those on any of its CPUs, for each of them once.
            others = sorted({other for apps in by_cpu if app in apps for other in apps} - {app})
            waits_ms[app] = sum(choice[other].busy_ms for other in others)
            # Of each service the lesser counts: the part that has been seen to count, `wait_share`, or the likely one,
            # the common part. A `wait_share` above 1 does not say that waiting is long. It comes from a request's own
            # latency, which is shorter than its point says: `problem_of` divides target and waiting by that ratio. So
            # the common part is scaled by it too. With a `wait_share` of 2 and a common part of 0.75, a service of
            # 20 ms counts as 30 ms.
            share, most = demand.wait_share, max(1.0, demand.wait_share)
            latency_ms[app] = choice[app].latency_ms + sum(
                choice[other].busy_ms * min(share, most * _common_part(loads[other], rare)) for other in others
            )
            # The rest of the app's term, its lack of accuracy, stays as it is.
            before = demand.weight * lateness(coarse.latency_ms[app], demand.target_ms)
            after = demand.weight * lateness(latency_ms[app], demand.target_ms)
            app_terms[app] += after - before
    return replace(coarse, latency_ms=latency_ms, waits_ms=waits_ms, app_terms=app_terms, unit_terms=unit_terms)


def _spread(unit: Unit, loads: Mapping[str, float], choice: Mapping[str, OperatingPoint]) -> list[list[str]]:
    """Return the applications of a unit, CPU by CPU."""
    cores = {app: 1 if unit.kind == "gpu" else min(choice[app].cores, unit.cores) for app in loads}
    cpus = spread(range(unit.slots), cores, loads, dict.fromkeys(cores, ()))
    return [[app for app in cores if cpu in cpus[app]] for cpu in range(unit.slots)]


def _common_part(load: float, rare: float) -> float:
    """Return the part of a service that all but a share `rare` of the requests wait at most; 1 where `rare` is 0.

    Args:
        load: share of the time in which the service's application has the core.
        rare: share of requests that may wait longer.
    """
    if load > rare:
        return 1 - rare / load
    return 0.0 if rare > 0 else 1.0
