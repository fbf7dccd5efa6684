"""Oracles for `scheduler.solver`: every choice tried, and a mixed-integer model for HiGHS.

`draw` makes the random problems that tests and the benchmark share.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from scheduler.objectives import ObjectiveName
from scheduler.problem import FULL_LOAD, Demand, OperatingPoint, Problem, Sharing, Unit
from scheduler.solver import Evaluation, evaluate


def choices(problem: Problem) -> Iterator[Evaluation]:
    """Yield the evaluation of every choice; where sharing is barred, choices with needless sharing are left out."""
    found = []
    for points in itertools.product(*(demand.points for demand in problem.demands)):
        clocks: dict[str, float] = {}
        if any(clocks.setdefault(point.unit, point.mhz) != point.mhz for point in points):
            continue
        mhz = {unit.name: clocks.get(unit.name, unit.mhz[0]) for unit in problem.units}
        choice = {d.app: point for d, point in zip(problem.demands, points, strict=True)}
        found.extend(evaluate(problem, choice, mhz, cpus) for cpus in assignments(problem, choice))
    if problem.sharing == "exclusive":
        cpus = {unit.name for unit in problem.units if unit.kind == "cpu"}
        alone = [each for each in found if not each.shared & cpus]
        found = alone or found
    yield from found


def assignments(problem: Problem, choice: Mapping[str, OperatingPoint]) -> Iterator[dict[str, tuple[int, ...]] | None]:
    """Yield every choice of CPUs for a choice of points; where the problem's model does not choose them, only None.

    CPUs of a unit are alike, so that the first demand on each one has its first CPUs.
    """
    if problem.sharing != "cpu":
        yield None
        return
    slots = {unit.name: unit.slots for unit in problem.units}
    seats, begun = [], set()
    for point in choice.values():
        cores = min(point.cores, slots[point.unit])
        among = range(slots[point.unit] if point.unit in begun else cores)
        seats.append(list(itertools.combinations(among, cores)))
        begun.add(point.unit)
    for cpus in itertools.product(*seats):
        yield dict(zip(choice, cpus, strict=True))


def rank(problem: Problem, outcome: Evaluation) -> tuple[float, ...]:
    """Return the quantities that the objective lessens, in order; rounded violations make equal ones equal."""
    violation = round(outcome.violation, 8)
    if problem.objective == "accuracy":
        return violation, -round(outcome.accuracy, 8), outcome.power_w
    if problem.objective == "fair":
        return round(outcome.largest_term, 8), violation, outcome.power_w
    return violation, outcome.power_w


def brute_force(problem: Problem) -> Evaluation:
    """Return the evaluation of the best of all choices."""
    return min(choices(problem), key=lambda outcome: rank(problem, outcome))


class Milp:
    """A problem as a mixed-integer programme: pick a row per demand and a clock per unit.

    Waiting on a shared unit or CPU is linearised with big-M rows. HiGHS solves it once per level of the objective, each
    level bound to what the one before reached.
    """

    def __init__(self, problem: Problem) -> None:
        """Write the model down."""
        self.problem = problem
        self.size = 0
        self.upper: list[float] = []
        self.whole: list[int] = []
        self.rows: list[tuple[dict[int, float], float, float]] = []
        units, demands = problem.units, problem.demands
        x = [[self._variable(1.0, whole=True) for _ in d.points] for d in demands]
        y = {(u.name, mhz): self._variable(1.0, whole=True) for u in units for mhz in u.mhz}
        self.shares = {u.name: self._variable(1.0, whole=True) for u in units}
        wait = [self._variable() for _ in demands]  # where waiting goes CPU by CPU: the sum of `waited`
        self.waited: list[dict[int, float]] = [{} for _ in demands]
        late = [self._variable() for _ in demands]
        over = {u.name: self._variable() for u in units}
        excess, self.worst = self._variable(), self._variable()
        self.power: dict[int, float] = {}
        self.accuracy: dict[int, float] = {}
        self.violation: dict[int, float] = {excess: 1.0}
        for u in units:
            self._row({y[u.name, mhz]: 1.0 for mhz in u.mhz}, 1.0, 1.0)
            self.power |= {y[u.name, mhz]: w for mhz, w in zip(u.mhz, u.static_w, strict=True)}
            if u.off_w is not None:
                # It is off at most where nobody is, and then counts as standing at its lowest clock.
                off = self._variable(1.0)
                self.power[off] = u.off_w - u.static_w[0]
                self._row({y[u.name, u.mhz[0]]: 1.0, off: -1.0}, 0.0)
                for i, d in enumerate(demands):
                    here = [v for v, p in zip(x[i], d.points, strict=True) if p.unit == u.name]
                    self._row({off: -1.0, **dict.fromkeys(here, -1.0)}, -1.0)
            self.violation[over[u.name]] = 1.0
            self._row({self.worst: 1.0, over[u.name]: -1.0}, 0.0)
            taken, load = {}, {over[u.name]: FULL_LOAD}
            for i, d in enumerate(demands):
                for v, p in zip(x[i], d.points, strict=True):
                    if p.unit == u.name:
                        taken[v] = -1.0 if u.kind == "gpu" else -float(p.cores)
                        load[v] = d.rate_hz * p.busy_ms * taken[v] / (1000.0 * u.slots)
            if problem.sharing == "cpu":
                self._wait_by_cpu(u, x, over[u.name])
                continue
            most = -sum(min((taken.get(v, 0.0) for v in row), default=0.0) for row in x)
            self._row({**taken, self.shares[u.name]: max(0.0, most - u.slots)}, -float(u.slots))
            self._row(load, -FULL_LOAD)
        for i, d in enumerate(demands):
            self._row({v: 1.0 for v in x[i]}, 1.0, 1.0)
            term = {late[i]: d.weight}
            for v, p in zip(x[i], d.points, strict=True):
                self.power[v] = d.rate_hz * p.energy_mj / 1000.0
                self.accuracy[v] = -d.weight * p.accuracy
                if d.min_accuracy > 0:
                    term[v] = d.weight * max(0.0, 1.0 - p.accuracy / d.min_accuracy)
            self.violation |= term
            self._row({self.worst: 1.0, **{v: -a for v, a in term.items()}}, 0.0)
            latency = {v: -p.latency_ms / d.target_ms for v, p in zip(x[i], d.points, strict=True)}
            self._row({late[i]: 1.0, wait[i]: -d.wait_share / d.target_ms, **latency}, -1.0)
            for u in units:
                for mhz in u.mhz:
                    here = [v for v, p in zip(x[i], d.points, strict=True) if p.unit == u.name and p.mhz == mhz]
                    if here:
                        self._row({y[u.name, mhz]: 1.0, **dict.fromkeys(here, -1.0)}, 0.0)
                if problem.sharing == "cpu":
                    continue
                others = {
                    v: -p.busy_ms
                    for k, other in enumerate(demands)
                    for v, p in zip(x[k], other.points, strict=True)
                    if k != i and p.unit == u.name
                }
                big = sum(
                    max((p.busy_ms for p in o.points if p.unit == u.name), default=0.0) for o in demands if o is not d
                )
                mine = {v: -big for v, p in zip(x[i], d.points, strict=True) if p.unit == u.name}
                self._row({wait[i]: 1.0, self.shares[u.name]: -big, **others, **mine}, -2.0 * big)
            if problem.sharing == "cpu":
                self._row({wait[i]: 1.0, **self.waited[i]}, 0.0)
        if problem.power_cap_w is not None:
            scaled = {v: -w / problem.power_cap_w for v, w in self.power.items()}
            self._row({excess: 1.0, **scaled}, -1.0)
            self._row({self.worst: 1.0, excess: -1.0}, 0.0)

    def _wait_by_cpu(self, unit: Unit, x: list[list[int]], over: int) -> None:
        """Give each demand CPUs of a unit; those with one in common wait for each other, and each CPU has its load."""
        demands = self.problem.demands
        held = [[self._variable(1.0, whole=True) for _ in range(unit.slots)] for _ in demands]
        busy: list[dict[int, float]] = []
        for d, row, cpus in zip(demands, x, held, strict=True):
            here = [(v, p) for v, p in zip(row, d.points, strict=True) if p.unit == unit.name]
            cores = {v: -float(min(p.cores, unit.slots)) for v, p in here}
            self._row({**dict.fromkeys(cpus, 1.0), **cores}, 0.0, 0.0)
            busy.append({v: p.busy_ms for v, p in here})
        most = [max(each.values(), default=0.0) for each in busy]
        for i, k in itertools.permutations(range(len(demands)), 2):
            waited = self._variable()
            self.waited[i][waited] = -1.0
            for cpu in range(unit.slots):
                both = {held[i][cpu]: -most[k], held[k][cpu]: -most[k]}
                self._row({waited: 1.0, **{v: -ms for v, ms in busy[k].items()}, **both}, -2.0 * most[k])
        for cpu in range(unit.slots):
            load = {over: FULL_LOAD}
            for d, cpus, each, high in zip(demands, held, busy, most, strict=True):
                part, rate = self._variable(), d.rate_hz / 1000.0
                load[part] = -1.0
                self._row(
                    {part: 1.0, cpus[cpu]: -rate * high, **{v: -rate * ms for v, ms in each.items()}}, -rate * high
                )
            self._row(load, -FULL_LOAD)

    def solve(self, time_limit_s: float = 60.0) -> list[float] | None:
        """Return the value that each level reaches, or None if HiGHS runs out of time."""
        levels = {
            "energy": [self.violation, self.power],
            "accuracy": [self.violation, self.accuracy, self.power],
            "fair": [{self.worst: 1.0}, self.violation, self.power],
        }[self.problem.objective]
        if self.problem.sharing == "exclusive":
            gpus = {u.name for u in self.problem.units if u.kind == "gpu"}
            shares = {v: 1.0 for name, v in self.shares.items() if name not in gpus}
            unshared = self._least(shares, time_limit_s)
            if unshared is not None and unshared < 0.5:
                self._row({v: -1.0 for v in shares}, 0.0)
        reached = []
        for level in levels:
            value = self._least(level, time_limit_s)
            if value is None:
                return None
            reached.append(value)
            self._row({v: -a for v, a in level.items()}, -(value + 1e-9 * max(1.0, abs(value))))
        return reached

    def _variable(self, upper: float = np.inf, *, whole: bool = False) -> int:
        self.size += 1
        self.upper.append(upper)
        self.whole.append(int(whole))
        return self.size - 1

    def _row(self, factors: dict[int, float], low: float, high: float = np.inf) -> None:
        self.rows.append((factors, low, high))

    def _least(self, level: dict[int, float], time_limit_s: float) -> float | None:
        cost = np.zeros(self.size)
        for v, a in level.items():
            cost[v] = a
        columns = [v for row, _, _ in self.rows for v in row]
        factors = [a for row, _, _ in self.rows for a in row.values()]
        starts = np.cumsum([0, *(len(row) for row, _, _ in self.rows)])
        matrix = csr_array((factors, columns, starts), shape=(len(self.rows), self.size))
        low: NDArray[np.float64] = np.array([row[1] for row in self.rows])
        high = np.array([row[2] for row in self.rows])
        result = milp(
            cost,
            integrality=np.array(self.whole),
            bounds=Bounds(0.0, np.array(self.upper)),
            constraints=LinearConstraint(matrix, low, high),
            options={"mip_rel_gap": 1e-9, "time_limit": time_limit_s},
        )
        return None if result.status != 0 else float(result.fun)


def draw(
    rng: np.random.Generator,
    *,
    demands: int,
    cpus: tuple[int, ...] = (2,),
    gpu: bool = False,
    clocks: int = 2,
    gpu_clocks: int | None = None,
    subnets: int = 2,
    pressure: float = 1.0,
    objective: ObjectiveName = "energy",
    cap: float | None = None,
    sharing: Sharing | bool = "unit",
    wait_shares: bool = False,
    noise: float = 0.1,
) -> Problem:
    """Draw a problem shaped like a board: larger sub-networks take longer and are more accurate, and so on.

    Args:
        rng: source of chance.
        demands: number of applications.
        cpus: number of cores of each CPU unit.
        gpu: True if there is a GPU.
        clocks: number of clocks of a CPU unit.
        gpu_clocks: number of clocks of the GPU; None for as many as a CPU unit has.
        subnets: number of sub-networks in each application's ladder.
        pressure: scale of service times against targets: 1 is busy, 3 hopeless.
        objective: name of the objective.
        cap: power cap as a share of the power at the top clocks; None for none.
        sharing: as in `Problem`.
        wait_shares: True if waiting counts for more or less than all of it.
        noise: relative disorder of the points' figures.
    """
    units = [_draw_unit(rng, f"cpu{i}", "cpu", cores, clocks) for i, cores in enumerate(cpus)]
    if gpu:
        units.append(_draw_unit(rng, "gpu", "gpu", 1, gpu_clocks or clocks))
    speeds = {unit.name: float(rng.uniform(0.5, 1.5)) * (3.0 if unit.kind == "gpu" else 1.0) for unit in units}
    watts = {unit.name: float(rng.uniform(0.5, 2.0)) for unit in units}

    def disorder() -> float:
        return float(1.0 + noise * rng.uniform(-1.0, 1.0))

    drawn = []
    for i in range(demands):
        target_ms = float(rng.uniform(20.0, 200.0))
        rate_hz = float(rng.uniform(0.1, 0.7)) * 1000.0 / target_ms
        largest_ms = float(rng.uniform(0.2, 0.8)) * target_ms * pressure
        points = []
        for unit in units:
            for mhz, j in itertools.product(unit.mhz, range(subnets)):
                for cores in range(1, unit.slots + 1):
                    size = (j + 1) / subnets
                    service_ms = largest_ms * size / speeds[unit.name] * unit.mhz[-1] / mhz / cores**0.8 * disorder()
                    power_w = watts[unit.name] * cores**0.9 * (mhz / unit.mhz[-1]) ** 2.2
                    points.append(
                        OperatingPoint(
                            subnet=f"s{j}",
                            unit=unit.name,
                            cores=cores,
                            mhz=mhz,
                            latency_ms=service_ms * float(rng.uniform(1.0, 1.3)),
                            energy_mj=power_w * service_ms * disorder(),
                            accuracy=0.5 + 0.4 * (j + 1) / subnets,
                            service_ms=service_ms,
                        )
                    )
        drawn.append(
            Demand(
                app=f"app{i}",
                rate_hz=rate_hz,
                target_ms=target_ms,
                min_accuracy=float(rng.choice([0.0, 0.6, 0.75, 0.88])),
                weight=float(rng.choice([0.5, 1.0, 2.0])),
                points=tuple(points),
                wait_share=float(rng.choice([0.05, 0.4, 1.0, 3.0])) if wait_shares else 1.0,
            )
        )
    top_w = sum(unit.static_w[-1] + watts[unit.name] * unit.slots for unit in units)
    may_go_off = rng.random(len(units)) < 0.4
    return Problem(
        units=tuple(
            replace(unit, off_w=unit.static_w[0] * float(rng.random())) if off else unit
            for unit, off in zip(units, may_go_off, strict=True)
        ),
        demands=tuple(drawn),
        objective=objective,
        power_cap_w=None if cap is None else cap * top_w,
        sharing=sharing,
    )


def _draw_unit(rng: np.random.Generator, name: str, kind: str, cores: int, clocks: int) -> Unit:
    mhz = tuple(np.linspace(300.0, 1900.0, clocks).round(1).tolist()) if clocks > 1 else (1000.0,)
    static_w = np.cumsum(rng.uniform(0.0, 0.4 / clocks, clocks)) + rng.uniform(0.05, 0.3)
    return Unit(
        name=name, kind="gpu" if kind == "gpu" else "cpu", cores=cores, mhz=mhz, static_w=tuple(static_w.tolist())
    )
