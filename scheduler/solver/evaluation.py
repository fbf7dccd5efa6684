"""The model of contention: what a choice of points, clocks and CPUs comes to in latency, load, violation and power.

Start here to learn what the scheduler believes of applications that share a unit (`Problem.sharing`):

- **CPU by CPU** (`cpu`): each application has CPUs of its unit, as many as its point has cores. A request may wait for
  one service of every other application that has one of its CPUs. The load of a unit is that of its most loaded CPU.
- **One server** (`unit`, `exclusive`): once the cores that its applications ask for exceed its own, a unit is one
  server, and each request may wait for one service of every other application there. The load of a unit is the mean of
  its cores'.

Both count `wait_share` of the waiting. They agree on a unit of one core, on a GPU, and where no cores are shared. The
searches use the same rules as arrays (`cpus`, `one_server`). Which part that is, this module does not know, nor how a
choice is found.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import assert_never

from scheduler.objectives import Quantity
from scheduler.problem import FULL_LOAD, OperatingPoint, Problem, ProblemError, Unit


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The figures of a choice of points and clocks.

    Attributes:
        latency_ms: by app, the effective latency: its own latency plus the part of the waiting that counts.
        own_ms: by app, the latency of its point, on cores of its own.
        waits_ms: by app, the full services of others that a request may wait for.
        rho: by unit, the load; 1 when every core is always taken. CPU by CPU: that of its most loaded CPU.
        shared: the units on which requests of several apps share cores.
        app_terms: by app, its part of the violation, weighted.
        unit_terms: by unit, its overload.
        cap_term: the relative excess of power over the cap; 0 without a cap.
        power_w: power of all units, static power included.
        accuracy: sum of weight * accuracy over the apps.
    """

    latency_ms: dict[str, float]
    own_ms: dict[str, float]
    waits_ms: dict[str, float]
    rho: dict[str, float]
    shared: frozenset[str]
    app_terms: dict[str, float]
    unit_terms: dict[str, float]
    cap_term: float
    power_w: float
    accuracy: float

    @property
    def violation(self) -> float:
        """The sum of all terms."""
        return sum(self.app_terms.values()) + sum(self.unit_terms.values()) + self.cap_term

    @property
    def largest_term(self) -> float:
        """The largest single term."""
        return max([self.cap_term, *self.app_terms.values(), *self.unit_terms.values()])

    def of(self, quantity: Quantity) -> float:
        """Return one of the quantities that objectives weigh."""
        match quantity:
            case Quantity.LARGEST_TERM:
                return self.largest_term
            case Quantity.VIOLATION:
                return self.violation
            case Quantity.ACCURACY:
                return self.accuracy
            case Quantity.POWER:
                return self.power_w
            case _:
                assert_never(quantity)


def lateness(latency_ms: float, target_ms: float) -> float:
    """Return the relative excess of a latency over its target: 0.25 for 50 ms where 40 ms are the target."""
    return max(0.0, latency_ms / target_ms - 1.0)


def overload(load: float) -> float:
    """Return the relative excess of a load over `FULL_LOAD`: 0.5 for a load of 1.35."""
    return max(0.0, load / FULL_LOAD - 1.0)


def evaluate(
    problem: Problem,
    choice: Mapping[str, OperatingPoint],
    mhz: Mapping[str, float],
    cpus: Mapping[str, Collection[int]] | None = None,
) -> Evaluation:
    """Evaluate a choice of one point per demand, one clock per unit and, under `sharing="cpu"`, CPUs per demand.

    Three apps of 30 ms (service 25 ms) on a unit of two cores, one core each: as one server, each has an effective
    latency of 30 + 2 * 25 = 80 ms. CPU by CPU, with the first on CPU 0 and the others on CPU 1, it is 30 ms for the
    first and 30 + 25 = 55 ms for the others.

    Args:
        problem: the problem that the choice answers.
        choice: by app, the point taken. It need not be one of the demand's own.
        mhz: by unit, the clock; an unused unit may stand at any of its clocks.
        cpus: by app, its CPUs on its unit, counted from 0; needed under `sharing="cpu"`, not looked at otherwise.

    Raises:
        ProblemError: An app or a unit is missing, a point's clock is not its unit's, or under `sharing="cpu"` an app's
            CPUs are missing, too few or too many, or not its unit's.
    """
    by_cpu = problem.sharing == "cpu"
    if by_cpu and cpus is None:
        raise ProblemError("cpus: they are missing; where sharing is 'cpu' each app has CPUs of its unit.")
    for name, keys, given in (
        ("choice", {d.app for d in problem.demands}, choice),
        ("mhz", {u.name for u in problem.units}, mhz),
        ("cpus", {d.app for d in problem.demands}, cpus if by_cpu and cpus is not None else choice),
    ):
        for key in keys.symmetric_difference(given):
            raise ProblemError(f"{name}: {key!r} is in only one of the problem and the choice.")
    # Unit by unit: who is there, who waits for whom, how much of the core time is taken, and the power.
    waits_ms: dict[str, float] = {}
    rho: dict[str, float] = {}
    shared: set[str] = set()
    power_w = 0.0
    for unit in problem.units:
        here = {d.app: choice[d.app] for d in problem.demands if choice[d.app].unit == unit.name}
        for app, point in here.items():
            if point.mhz != mhz[unit.name]:
                raise ProblemError(
                    f"choice: the point of {app!r} is at {point.mhz!r} MHz, but mhz sets {unit.name!r}"
                    f" to {mhz[unit.name]!r}; all points on a unit have its one clock."
                )
        held = _cpus_of(unit, here, cpus if by_cpu else None)
        for app in here:
            waits_ms[app] = sum(here[other].busy_ms for other in here if other != app and held[other] & held[app])
        if any(held[app] & held[other] for app, other in combinations(here, 2)):
            shared.add(unit.name)
        loads = {d.app: d.rate_hz * here[d.app].busy_ms / 1000.0 for d in problem.demands if d.app in here}
        if by_cpu:
            rho[unit.name] = max(sum(loads[app] for app in here if cpu in held[app]) for cpu in range(unit.slots))
        else:
            rho[unit.name] = sum(load * _cores_of(unit, here[app]) for app, load in loads.items()) / unit.slots
        off_w = None if here else unit.off_w
        power_w += unit.static_w[unit.mhz.index(mhz[unit.name])] if off_w is None else off_w
        power_w += sum(d.rate_hz * choice[d.app].energy_mj for d in problem.demands if d.app in here) / 1000.0
    # Demand by demand: the part of the waiting that counts, and its term of the violation.
    latency_ms = {d.app: choice[d.app].latency_ms + d.wait_share * waits_ms[d.app] for d in problem.demands}
    app_terms = {}
    for demand in problem.demands:
        late = lateness(latency_ms[demand.app], demand.target_ms)
        floor = demand.min_accuracy
        short = max(0.0, 1.0 - choice[demand.app].accuracy / floor) if floor > 0 else 0.0
        app_terms[demand.app] = demand.weight * (late + short)
    cap = problem.power_cap_w
    return Evaluation(
        latency_ms=latency_ms,
        own_ms={d.app: choice[d.app].latency_ms for d in problem.demands},
        waits_ms={d.app: waits_ms[d.app] for d in problem.demands},
        rho=rho,
        shared=frozenset(shared),
        app_terms=app_terms,
        unit_terms={name: overload(load) for name, load in rho.items()},
        cap_term=0.0 if cap is None else max(0.0, power_w / cap - 1.0),
        power_w=power_w,
        accuracy=sum(d.weight * choice[d.app].accuracy for d in problem.demands),
    )


def _cores_of(unit: Unit, point: OperatingPoint) -> int:
    return 1 if unit.kind == "gpu" else point.cores


def _cpus_of(
    unit: Unit, here: Mapping[str, OperatingPoint], cpus: Mapping[str, Collection[int]] | None
) -> dict[str, frozenset[int]]:
    """Return by app of a unit the CPUs that it holds: those given, or of one server all or, where all fit, none.

    This is the one place that says who waits for whom: apps wait for each other that hold a CPU in common.

    Raises:
        ProblemError: An app's CPUs are too few or too many, or not the unit's.
    """
    if cpus is None:
        crowded = sum(_cores_of(unit, point) for point in here.values()) > unit.slots
        return dict.fromkeys(here, frozenset(range(unit.slots if crowded else 0)))
    held = {app: frozenset(cpus[app]) for app in here}
    for app, point in here.items():
        count = _cores_of(unit, point)
        if not (len(cpus[app]) == len(held[app]) == count and held[app] <= set(range(unit.slots))):
            raise ProblemError(
                f"cpus: those of {app!r} are {tuple(cpus[app])}; it needs {count} different ones of {unit.name!r}, from"
                f" 0 to {unit.slots - 1}."
            )
    return held
