"""What a choice comes to where applications share a CPU unit of several cores.

`scheduler.problem` has the requests of a shared unit served one at a time, however many cores it has: safe, simple, and
far off where six applications share four cores. Here applications that share a unit are spread over its CPUs as
`scheduler.placement` will spread them, and wait only for those that they share a CPU with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from scheduler.placement import spread
from scheduler.problem import OperatingPoint, Problem, Unit
from scheduler.solver import Evaluation, evaluate
from scheduler.solver.evaluation import lateness, overload

RARE = 0.025
"""Share of requests that may be late all the same: what plans leave at an slo of 95 %."""


def several_cores(problem: Problem) -> bool:
    """Whether it makes a difference on this problem's units."""
    return any(unit.kind == "cpu" and unit.cores > 1 for unit in problem.units)


def may_crowd(problem: Problem) -> bool:
    """Whether more applications than cores may be on a unit of several cores."""
    return any(unit.kind == "cpu" and 1 < unit.cores < len(problem.demands) for unit in problem.units)


def crowded_units(problem: Problem, evaluation: Evaluation) -> list[Unit]:
    """The CPU units of several cores that have applications share them."""
    return [unit for unit in problem.units if unit.name in evaluation.shared and unit.kind == "cpu" and unit.cores > 1]


def evaluate_by_cpu(problem: Problem, choice: Mapping[str, OperatingPoint], mhz: Mapping[str, float]) -> Evaluation:
    """What a choice of one point for each demand and one clock for each unit comes to, CPU by CPU.

    The arguments are those of `scheduler.solver.evaluate`, and so is the result, but for the latencies on shared CPU
    units of several cores, and their overload: that of the most loaded CPU.
    """
    coarse = evaluate(problem, choice, mhz)
    return _re_evaluated(problem, choice, coarse, crowded_units(problem, coarse), rare=0.0)


def evaluate_likely(problem: Problem, choice: Mapping[str, OperatingPoint], mhz: Mapping[str, float]) -> Evaluation:
    """As `evaluate_by_cpu`, with the waiting for another application counted as far as more than few requests meet it.

    A request meets one of another application in service as often as that has the core, and then waits for what is
    left of it, anything from none to all alike. So a share `RARE` of the requests wait longer than the part
    1 - RARE / load of its service, or than nothing where its load is less than that share. Applications whose arrivals
    keep step may meet always or never; of them this says nothing.
    """
    coarse = evaluate(problem, choice, mhz)
    shared = [unit for unit in problem.units if unit.name in coarse.shared]
    return _re_evaluated(problem, choice, coarse, shared, rare=RARE)


def _re_evaluated(
    problem: Problem, choice: Mapping[str, OperatingPoint], coarse: Evaluation, units: Sequence[Unit], *, rare: float
) -> Evaluation:
    """With latencies and overload of these units, all shared, CPU by CPU."""
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
            others = sorted({other for apps in by_cpu if app in apps for other in apps} - {app})
            waits_ms[app] = sum(choice[other].busy_ms for other in others)
            # A share above 1 is waiting in the measure of a request's own latency, which is shorter than its point's.
            share, most = demand.wait_share, max(1.0, demand.wait_share)
            latency_ms[app] = choice[app].latency_ms + sum(
                choice[other].busy_ms * min(share, most * _common_part(loads[other], rare)) for other in others
            )
            before = demand.weight * lateness(coarse.latency_ms[app], demand.target_ms)
            after = demand.weight * lateness(latency_ms[app], demand.target_ms)
            app_terms[app] += after - before
    return replace(coarse, latency_ms=latency_ms, waits_ms=waits_ms, app_terms=app_terms, unit_terms=unit_terms)


def _spread(unit: Unit, loads: Mapping[str, float], choice: Mapping[str, OperatingPoint]) -> list[list[str]]:
    """The applications of a unit, CPU by CPU."""
    cores = {app: 1 if unit.kind == "gpu" else min(choice[app].cores, unit.cores) for app in loads}
    cpus = spread(range(unit.slots), cores, loads, dict.fromkeys(cores, ()))
    return [[app for app in cores if cpu in cpus[app]] for cpu in range(unit.slots)]


def _common_part(load: float, rare: float) -> float:
    """The part of a service that no more than a share `rare` of the requests wait longer than; all of it where 0."""
    if load > rare:
        return 1 - rare / load
    return 0.0 if rare > 0 else 1.0
