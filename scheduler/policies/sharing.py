"""What a choice comes to where applications share a CPU unit of several cores.

`scheduler.problem` has the requests of a shared unit served one at a time, however many cores it has: safe, simple, and
far off where six applications share four cores. Here applications that share a unit are spread over its CPUs as
`scheduler.placement` will spread them, and wait only for those that they share a CPU with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scheduler.placement import spread
from scheduler.problem import Demand, OperatingPoint, Problem, Unit
from scheduler.solve import FULL_LOAD, Evaluation, evaluate


def several_cores(problem: Problem) -> bool:
    """Whether it makes a difference on this problem's units."""
    return any(unit.kind == "cpu" and unit.cores > 1 for unit in problem.units)


def crowded_units(problem: Problem, evaluation: Evaluation) -> list[Unit]:
    """The CPU units of several cores that have applications share them."""
    return [unit for unit in problem.units if unit.name in evaluation.shared and unit.kind == "cpu" and unit.cores > 1]


def outcome(problem: Problem, choice: Mapping[str, OperatingPoint], mhz: Mapping[str, float]) -> Evaluation:
    """What a choice of one point for each demand and one clock for each unit comes to, CPU by CPU.

    The arguments are those of `scheduler.solve.evaluate`, and so is the result, but for the latencies on shared CPU
    units of several cores, and their overload: that of the most loaded CPU.
    """
    coarse = evaluate(problem, choice, mhz)
    crowded = crowded_units(problem, coarse)
    if not crowded:
        return coarse
    latency_ms, app_terms = dict(coarse.latency_ms), dict(coarse.app_terms)
    unit_terms = dict(coarse.unit_terms)
    for unit in crowded:
        here = [demand for demand in problem.demands if choice[demand.app].unit == unit.name]
        load, waits_ms = _by_cpu(unit, here, choice)
        unit_terms[unit.name] = max(0.0, load / FULL_LOAD - 1)
        for demand in here:
            point = choice[demand.app]
            latency_ms[demand.app] = point.latency_ms + waits_ms[demand.app]
            before = demand.weight * max(0.0, coarse.latency_ms[demand.app] / demand.latency_ms - 1)
            after = demand.weight * max(0.0, latency_ms[demand.app] / demand.latency_ms - 1)
            app_terms[demand.app] += after - before
    return replace(coarse, latency_ms=latency_ms, app_terms=app_terms, unit_terms=unit_terms)


def _by_cpu(unit: Unit, here: list[Demand], choice: Mapping[str, OperatingPoint]) -> tuple[float, dict[str, float]]:
    """Load of the most loaded CPU, and for each application the services that it may wait for."""
    loads = {demand.app: demand.rate_hz * choice[demand.app].busy_ms / 1000 for demand in here}
    cores = {demand.app: min(choice[demand.app].cores, unit.cores) for demand in here}
    cpus = spread(range(unit.cores), cores, loads, dict.fromkeys(cores, ()))
    by_cpu = [[app for app in cores if cpu in cpus[app]] for cpu in range(unit.cores)]
    waits_ms = {}
    for app in cores:
        beside = {other for cpu in cpus[app] for other in by_cpu[cpu]} - {app}
        waits_ms[app] = sum(choice[other].busy_ms for other in sorted(beside))
    return max(sum(loads[app] for app in apps) for apps in by_cpu), waits_ms
