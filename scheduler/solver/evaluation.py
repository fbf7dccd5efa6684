"""The model of contention: what a choice of points and clocks comes to in latency, load, violation and power.

Start here to learn what the scheduler believes of applications that share a unit. It has three models, from the most
cautious to the most hopeful:

- **One server** (`evaluate`, here, public as `scheduler.solver.evaluate`): the worst case, with a shared unit as one
  server. Once the cores that its applications ask for exceed its own, each request may wait for one service of every
  other application on the unit. The searches use this model as arrays (`tables.effective_ms`, `Frame.term`), and
  `policies.clamps` uses it for one clock at a time.
- **CPU by CPU** (`policies.sharing.evaluate_by_cpu`): the worst case, but each request waits only for applications on a
  CPU that it shares.
- **Likely** (`policies.sharing.evaluate_likely`): CPU by CPU, and of each wait only the part that more than a few
  requests meet.

All three agree where no cores are shared, and share `lateness` and `overload`. This module does not know how a choice
is found.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from scheduler.objectives import Quantity
from scheduler.problem import FULL_LOAD, OperatingPoint, Problem, ProblemError


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The figures of a choice of points and clocks.

    Attributes:
        latency_ms: by app, the effective latency: its own latency plus the part of the waiting that counts.
        own_ms: by app, the latency of its point, on cores of its own.
        waits_ms: by app, the full services of others that a request may wait for.
        rho: by unit, the load; 1 when every core is always taken.
        shared: the units whose cores are shared by requests of several apps.
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


def evaluate(problem: Problem, choice: Mapping[str, OperatingPoint], mhz: Mapping[str, float]) -> Evaluation:
    """Evaluate a choice of one point per demand and one clock per unit, with a shared unit as one server.

    Two apps of 30 ms (service 25 ms) on a unit of one core share it: each has an effective latency of 30 + 25 = 55 ms.
    On two cores they would have 30 ms each.

    Args:
        problem: the problem that the choice answers.
        choice: by app, the point taken. It need not be one of the demand's own.
        mhz: by unit, the clock; an unused unit may stand at any of its clocks.

    Raises:
        ProblemError: An app or a unit is missing, or a point's clock is not its unit's.
    """
    for name, keys, given in (
        ("choice", {d.app for d in problem.demands}, choice),
        ("mhz", {u.name for u in problem.units}, mhz),
    ):
        for key in keys.symmetric_difference(given):
            raise ProblemError(f"{name}: {key!r} is in only one of the problem and the choice.")
    # Unit by unit: who is there, who waits for whom, how much of the core time is taken, and the power.
    waits_ms: dict[str, float] = {}
    rho: dict[str, float] = {}
    shared: set[str] = set()
    power_w = 0.0
    for unit in problem.units:
        here = [d for d in problem.demands if choice[d.app].unit == unit.name]
        cores = {d.app: 1 if unit.kind == "gpu" else choice[d.app].cores for d in here}
        busy_ms = sum(choice[d.app].busy_ms for d in here)
        waits = sum(cores.values()) > unit.slots
        if waits:
            shared.add(unit.name)
        for demand in here:
            point = choice[demand.app]
            if point.mhz != mhz[unit.name]:
                raise ProblemError(
                    f"choice: the point of {demand.app!r} is at {point.mhz!r} MHz, but mhz sets {unit.name!r}"
                    f" to {mhz[unit.name]!r}; all points on a unit have its one clock."
                )
            waits_ms[demand.app] = busy_ms - point.busy_ms if waits else 0.0
        taken = sum(d.rate_hz * choice[d.app].busy_ms * cores[d.app] for d in here)
        rho[unit.name] = taken / (1000.0 * unit.slots)
        off_w = None if here else unit.off_w
        power_w += unit.static_w[unit.mhz.index(mhz[unit.name])] if off_w is None else off_w
        power_w += sum(d.rate_hz * choice[d.app].energy_mj for d in here) / 1000.0
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
