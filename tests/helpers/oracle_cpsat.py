"""An oracle for `scheduler.solver` at up to a dozen demands: a problem as a model in whole numbers for CP-SAT.

It shares no code with the searches.
"""

import itertools
from dataclasses import replace
from typing import Any

from ortools.sat.python import cp_model

from scheduler.problem import FULL_LOAD, Allocation, OperatingPoint, Problem, Unit
from scheduler.solver import Evaluation, evaluate

TICKS = 1e9
"""Whole numbers in one unit of violation and of weight * accuracy, and in a watt."""

Parts = list[tuple[Any, float]]
"""Variables, each with what it adds to a sum."""


class CpSat:
    """A problem for CP-SAT: pick a point per demand, a clock per unit and, under `sharing="cpu"`, CPUs per demand.

    CP-SAT proves one level of the objective after another, each with those before bound to what they reached. Rounding
    to ticks moves a level by half a tick at most for each of its terms, points and units.
    """

    def __init__(self, problem: Problem) -> None:
        """Write the model down."""
        self.problem = problem
        self.model = cp_model.CpModel()
        units, demands = problem.units, problem.demands
        self.most: dict[int, int] = {}
        self.taken = [[self._yes_or_no() for _ in d.points] for d in demands]
        self.clock = {u.name: [self._yes_or_no() for _ in u.mhz] for u in units}
        self.here = {u.name: [self._yes_or_no() for _ in demands] for u in units}
        self.meet = {pair: self._yes_or_no() for pair in itertools.combinations(range(len(demands)), 2)}
        self.held: dict[str, list[list[Any]]] = {}
        self.crowded: list[Any] = []
        self.power: Parts = []
        terms = []
        for unit in units:
            self._stand(unit)
            terms.append(self._share_by_cpu(unit) if problem.sharing == "cpu" else self._share_one_server(unit))
        terms += [self._serve(i) for i in range(len(demands))]
        if problem.power_cap_w is not None:
            terms.append(self._above([(v, w / problem.power_cap_w) for v, w in self.power]))
        self.terms = terms
        self.worst = self._number(max(self.most[term.index] for term in terms))
        for term in terms:
            self.model.add(self.worst >= term)

    def solve(self, time_limit_s: float = 60.0, hint: Allocation | None = None) -> Evaluation | None:
        """Return what the best choice comes to, or None if CP-SAT runs out of time.

        Args:
            time_limit_s: for each level.
            hint: an answer to begin with. CP-SAT proves what is returned all the same.
        """
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.max_time_in_seconds = time_limit_s
        # Else OR-Tools 9.15 loses the best answer of some models (its issue 5293, open in 2026-12).
        solver.parameters.presolve_inclusion_work_limit = 0
        if hint is not None:
            self._begin_with(hint)
        if self.problem.sharing == "exclusive" and self.crowded:
            # Cores are not shared where that can be avoided altogether; else how much they are does not count.
            for crowded in self.crowded:
                self.model.add(crowded == 0)
            if solver.solve(self.model) == cp_model.INFEASIBLE:
                return CpSat(replace(self.problem, sharing="unit")).solve(time_limit_s, hint)
        for level in self._levels():
            self.model.minimize(level)
            if solver.solve(self.model) != cp_model.OPTIMAL:
                return None
            # Terms that are equal on paper may be rounded apart.
            self.model.add(level <= round(solver.objective_value) + len(self.terms))
            self.model.clear_hints()
            for at in range(len(self.model.proto.variables)):
                variable = self.model.get_int_var_from_proto_index(at)
                self.model.add_hint(variable, solver.value(variable))
        return self._chosen(solver)

    def _levels(self) -> list[Any]:
        violation = sum(self.terms)
        power = _whole(self.power)
        accuracy = _whole(
            [(v, d.weight * p.accuracy) for i, d in enumerate(self.problem.demands) for v, p in self._points(i)]
        )
        return {
            "energy": [violation, power],
            "accuracy": [violation, -accuracy, power],
            "fair": [self.worst, violation, power],
        }[self.problem.objective]

    # Variables.

    def _number(self, most: int) -> Any:
        """Return a variable for a whole number from 0 to `most`."""
        number = self.model.new_int_var(0, most, "")
        self.most[number.index] = most
        return number

    def _yes_or_no(self) -> Any:
        return self.model.new_bool_var("")

    def _above(self, parts: Parts) -> Any:
        """Return a variable of at least the sum of parts less 1, and at least 0, in ticks."""
        above = self._number(sum(max(0, round(TICKS * part)) for _, part in parts))
        self.model.add(above >= _whole(parts) - round(TICKS))
        return above

    def _where(self, true: Any, parts: Parts) -> Any:
        """Return a variable of at least a sum of parts, of which one is taken at most, where something is true."""
        most = max((round(TICKS * part) for _, part in parts), default=0)
        number = self._number(most)
        self.model.add(number >= _whole(parts) - most * (1 - true))
        return number

    def _points(self, i: int, unit: str | None = None) -> list[tuple[Any, OperatingPoint]]:
        """Return a demand's points with the variables that say whether it takes them, those of one unit or all."""
        pairs = zip(self.taken[i], self.problem.demands[i].points, strict=True)
        return [(v, p) for v, p in pairs if unit in (None, p.unit)]

    # Units.

    def _stand(self, unit: Unit) -> None:
        """Give a unit one clock, which all points taken there have, and count its power."""
        clocks, here = self.clock[unit.name], self.here[unit.name]
        self.model.add_exactly_one(clocks)
        self.power += zip(clocks, unit.static_w, strict=True)
        for i, is_here in enumerate(here):
            points = self._points(i, unit.name)
            self.model.add(sum(v for v, _ in points) == is_here)
            for mhz, clock in zip(unit.mhz, clocks, strict=True):
                self.model.add(sum(v for v, p in points if p.mhz == mhz) <= clock)
        if unit.off_w is not None:
            off = self._yes_or_no()
            self.model.add_implication(off, clocks[0])
            for is_here in here:
                self.model.add_implication(off, ~is_here)
            self.power.append((off, unit.off_w - unit.static_w[0]))

    def _share_by_cpu(self, unit: Unit) -> Any:
        """Give each demand CPUs of a unit; those with one in common meet. Return the overload of the most loaded."""
        demands, cpus = self.problem.demands, range(unit.slots)
        held = [[self._yes_or_no() for _ in cpus] for _ in demands]
        self.held[unit.name] = held
        for i, row in enumerate(held):
            self.model.add(sum(row) == sum(min(p.cores, unit.slots) * v for v, p in self._points(i, unit.name)))
        for (i, j), meet in self.meet.items():
            for cpu in cpus:
                self.model.add_bool_or(~held[i][cpu], ~held[j][cpu], meet)
        # CPUs of a unit are alike: who holds them, read as a binary number, does not rise from one to the next.
        holders = [sum((1 << i) * row[cpu] for i, row in enumerate(held)) for cpu in cpus]
        for one, other in itertools.pairwise(holders):
            self.model.add(one >= other)
        loads = []
        for cpu in cpus:
            load = []
            for i, d in enumerate(demands):
                parts = [(v, d.rate_hz * p.busy_ms / 1000.0 / FULL_LOAD) for v, p in self._points(i, unit.name)]
                load.append(self._where(held[i][cpu], parts))
            loads.append(load)
        over = self._number(sum(self.most[part.index] for part in loads[0]))
        for load in loads:
            self.model.add(over >= sum(load) - round(TICKS))
        return over

    def _share_one_server(self, unit: Unit) -> Any:
        """Let all on a unit meet once its cores do not suffice. Return its overload."""
        cores: Parts = []
        load: Parts = []
        for i, d in enumerate(self.problem.demands):
            for v, p in self._points(i, unit.name):
                count = 1 if unit.kind == "gpu" else p.cores
                cores.append((v, count))
                load.append((v, d.rate_hz * p.busy_ms * count / (1000.0 * unit.slots) / FULL_LOAD))
        crowded = self._yes_or_no()
        most = len(self.problem.demands) * unit.slots
        self.model.add(sum(count * v for v, count in cores) <= unit.slots + most * crowded)
        for (i, j), meet in self.meet.items():
            one, other = self.here[unit.name][i], self.here[unit.name][j]
            self.model.add_bool_or(~one, ~other, ~crowded, meet)
        if unit.kind == "cpu":
            self.crowded.append(crowded)
        return self._above(load)

    # Demands.

    def _serve(self, i: int) -> Any:
        """Let a demand take one point and wait for those that it meets. Return its term."""
        d = self.problem.demands[i]
        self.model.add_exactly_one(self.taken[i])
        self.power += [(v, d.rate_hz * p.energy_mj / 1000.0) for v, p in self._points(i)]
        scale = d.weight / d.target_ms
        late = [(v, scale * (p.latency_ms - d.target_ms)) for v, p in self._points(i)]
        waits = [self._wait(i, j, scale * d.wait_share) for j in range(len(self.problem.demands)) if j != i]
        most = max(0, *(round(TICKS * part) for _, part in late)) + sum(self.most[wait.index] for wait in waits)
        term = self._number(most + round(TICKS * d.weight))
        lacks: Parts = []
        if d.min_accuracy > 0.0:
            lacks = [(v, d.weight * max(0.0, 1.0 - p.accuracy / d.min_accuracy)) for v, p in self._points(i)]
        self.model.add(term >= _whole(late) + sum(waits) + _whole(lacks))
        self.model.add(term >= _whole(lacks))
        return term

    def _wait(self, i: int, j: int, scale: float) -> Any:
        """Return a variable of at least what one demand waits for another one where they meet, in ticks."""
        return self._where(self.meet[min(i, j), max(i, j)], [(v, scale * p.busy_ms) for v, p in self._points(j)])

    # Answers.

    def _begin_with(self, answer: Allocation) -> None:
        """Hint at an answer."""
        demands = self.problem.demands
        for i, d in enumerate(demands):
            for v, p in self._points(i):
                self.model.add_hint(v, p is answer.choice[d.app])
        for unit in self.problem.units:
            for v, mhz in zip(self.clock[unit.name], unit.mhz, strict=True):
                self.model.add_hint(v, mhz == answer.mhz[unit.name])
            if self.problem.sharing == "cpu":
                on = [answer.choice[d.app].unit == unit.name for d in demands]
                holders = [
                    [is_on and cpu in answer.cpus[d.app] for d, is_on in zip(demands, on, strict=True)]
                    for cpu in range(unit.slots)
                ]
                holders.sort(key=lambda who: sum(1 << i for i, has in enumerate(who) if has), reverse=True)
                for i, row in enumerate(self.held[unit.name]):
                    for v, who in zip(row, holders, strict=True):
                        self.model.add_hint(v, who[i])

    def _chosen(self, solver: Any) -> Evaluation:
        """Return what the choice that CP-SAT has found comes to, not rounded."""
        problem = self.problem
        choice = {d.app: next(p for v, p in self._points(i) if solver.value(v)) for i, d in enumerate(problem.demands)}
        used = {p.unit: p.mhz for p in choice.values()}
        mhz = {u.name: used.get(u.name, u.mhz[0]) for u in problem.units}
        if problem.sharing != "cpu":
            return evaluate(problem, choice, mhz)
        cpus = {
            d.app: tuple(cpu for cpu, v in enumerate(self.held[choice[d.app].unit][i]) if solver.value(v))
            for i, d in enumerate(problem.demands)
        }
        return evaluate(problem, choice, mhz, cpus)


def _whole(parts: Parts) -> Any:
    """Return the sum of parts in ticks."""
    return cp_model.LinearExpr.weighted_sum([v for v, _ in parts], [round(TICKS * part) for _, part in parts])
