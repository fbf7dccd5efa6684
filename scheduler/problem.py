"""The scheduling problem and its answer: units, demands with their operating points, and an allocation.

Plain frozen data with its own validation. This module does not know how a problem is solved, where its points come
from, or what a board is.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scheduler.errors import InputError, did_you_mean
from scheduler.objectives import OBJECTIVES, ObjectiveName

Kind = Literal["cpu", "gpu"]
Sharing = Literal["exclusive", "unit", "cpu"]

FULL_LOAD = 0.9
"""The load from which on a unit, or an operating point on its own cores, counts as overloaded."""
MOST_CPUS = 62
"""Most cores of a CPU unit whose CPUs are chosen one by one (`sharing="cpu"`): a set of them is one whole number."""


class ProblemError(InputError):
    """A problem is not well formed; the message names the field, its value and the fix."""


def _check(ok: bool, owner: str, name: str, value: object, want: str) -> None:
    """Raise a `ProblemError` that names the field and the value wanted, unless `ok`."""
    if not ok:
        raise ProblemError(f"{owner}: {name} is {value!r}; it must be {want}.")


def _check_number(owner: str, name: str, value: float, low: float = 0.0, *, above: bool = False) -> None:
    """Raise unless a value is finite and at least `low`, or above it."""
    if not (math.isfinite(value) and (value > low if above else value >= low)):
        _check(False, owner, name, value, f"a finite number {'above' if above else 'of at least'} {low:g}")


def _check_fraction(owner: str, name: str, value: float) -> None:
    _check(0.0 <= value <= 1.0, owner, name, value, "a fraction from 0 to 1")


def _check_cores(owner: str, value: int) -> None:
    _check(isinstance(value, int) and value >= 1, owner, "cores", value, "a whole number of at least 1")


def _check_unique(owner: str, name: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ProblemError(f"{owner}: {name} {value!r} occurs twice; each needs a name of its own.")
        seen.add(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """One way to serve an app: a sub-network on some cores of a unit at a clock, and what that costs.

    Attributes:
        subnet: the sub-network.
        unit: the unit's name.
        cores: cores that a request takes.
        mhz: the unit's clock.
        latency_ms: the slo quantile of the response time at the demand's rate, on cores of its own.
        energy_mj: energy of one inference above static power: (busy power - static power) * service time.
        accuracy: a fraction from 0 to 1.
        service_ms: mean time for which one inference takes the cores; None stands for `latency_ms`.
    """

    subnet: str
    unit: str
    cores: int
    mhz: float
    latency_ms: float
    energy_mj: float
    accuracy: float
    service_ms: float | None = None

    def __post_init__(self) -> None:
        # Thousands of points are built at once: one chain of comparisons (false for NaN) decides, and only a
        # point that fails it is looked at field by field.
        if (
            0.0 <= self.latency_ms < math.inf
            and 0.0 <= self.energy_mj < math.inf
            and 0.0 <= self.accuracy <= 1.0
            and 0.0 < self.mhz < math.inf
            and 0.0 <= self.busy_ms < math.inf
            and isinstance(self.cores, int)
            and self.cores >= 1
        ):
            return
        owner = f"operating point {self.subnet!r} on {self.unit!r}"
        _check_cores(owner, self.cores)
        _check_number(owner, "mhz", self.mhz, above=True)
        _check_number(owner, "latency_ms", self.latency_ms)
        _check_number(owner, "energy_mj", self.energy_mj)
        _check_fraction(owner, "accuracy", self.accuracy)
        _check_number(owner, "service_ms", self.busy_ms)

    @property
    def busy_ms(self) -> float:
        """Mean time for which one inference takes the cores: `service_ms`, or `latency_ms` where that is None."""
        return self.latency_ms if self.service_ms is None else self.service_ms


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PointTable:
    """A demand's points as columns, in the order given, so that they can be searched fast.

    Attributes:
        units: the units that the points lie on, in order of first appearance.
        most_cores: by unit, the most cores of a point.
        clocks: by unit, the clocks that occur.
        unit: by point, an index into `units`.
        columns: (6, points): cores, MHz, latency in ms, busy time in ms, energy in mJ, accuracy.
    """

    units: tuple[str, ...]
    most_cores: tuple[int, ...]
    clocks: tuple[frozenset[float], ...]
    unit: NDArray[np.intp]
    columns: NDArray[np.float64]

    @classmethod
    def of(cls, points: tuple[OperatingPoint, ...]) -> "PointTable":
        """Read the points, at least one, into columns."""
        code: dict[str, int] = {}
        unit = np.array([code.setdefault(p.unit, len(code)) for p in points], dtype=np.intp)
        rows = [(p.cores, p.mhz, p.latency_ms, p.busy_ms, p.energy_mj, p.accuracy) for p in points]
        columns = np.array(rows, dtype=np.float64).T.copy()
        cores, mhz = columns[:2]
        on_unit = [unit == index for index in range(len(code))]
        return cls(
            units=tuple(code),
            most_cores=tuple(int(cores[here].max()) for here in on_unit),
            clocks=tuple(frozenset(mhz[here].tolist()) for here in on_unit),
            unit=unit,
            columns=columns,
        )


class Points(tuple[OperatingPoint, ...]):
    """Operating points that are read into columns, and sorted by gear, only once.

    An app's points stay the same from one decision to the next as long as its rate does, and every problem made of them
    needs their columns.
    """

    @classmethod
    def of(cls, points: Iterable[OperatingPoint]) -> "Points":
        """Return the points as `Points`; those that are `Points` already are returned as they are."""
        return points if isinstance(points, cls) else cls(points)

    @cached_property
    def table(self) -> PointTable:
        """The points, at least one, as columns."""
        return PointTable.of(self)

    @cached_property
    def by_gear(self) -> Mapping[tuple[str, str, int], "Points"]:
        """The points by sub-network, unit and cores; those of one entry differ in nothing but their clock."""
        gears: dict[tuple[str, str, int], list[OperatingPoint]] = {}
        for point in self:
            gears.setdefault((point.subnet, point.unit, point.cores), []).append(point)
        return {gear: Points(points) for gear, points in gears.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """The demand of one app, and the operating points that could serve it.

    Attributes:
        app: the app's name.
        rate_hz: requests per second.
        target_ms: the latency target; the slo quantile of the effective latency should not exceed it.
        min_accuracy: the accuracy floor, a fraction; 0 for none.
        weight: importance, at least 0; the demand's terms are multiplied by it.
        points: the operating points, at least one.
        wait_share: factor on the waiting for others, at least 0; 1 where all of it counts, 0 where none does.
    """

    app: str
    rate_hz: float
    target_ms: float
    min_accuracy: float
    weight: float
    points: tuple[OperatingPoint, ...]
    wait_share: float = 1.0

    def __post_init__(self) -> None:
        owner = f"demand {self.app!r}"
        _check_number(owner, "rate_hz", self.rate_hz)
        _check_number(owner, "target_ms", self.target_ms, above=True)
        _check_fraction(owner, "min_accuracy", self.min_accuracy)
        _check_number(owner, "weight", self.weight)
        _check_number(owner, "wait_share", self.wait_share)
        object.__setattr__(self, "points", Points.of(self.points))
        _check(len(self.points) > 0, owner, "points", (), "at least one operating point")

    @property
    def table(self) -> PointTable:
        """`points` as columns."""
        return Points.of(self.points).table


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A group of like cores, or a GPU, with one clock.

    Attributes:
        name: the unit's name.
        kind: `cpu` or `gpu`.
        cores: cores of a CPU unit; a GPU is taken as one core, whatever this says.
        mhz: the clocks that may be set, ascending.
        static_w: power of the unit at each clock with no load, non-decreasing.
        off_w: power of the unit while nobody uses it and it is switched off, at most `static_w` at the lowest clock;
            None where it can't be switched off: it then stands at its lowest clock.
    """

    name: str
    kind: Kind
    cores: int
    mhz: tuple[float, ...]
    static_w: tuple[float, ...]
    off_w: float | None = None

    def __post_init__(self) -> None:
        owner = f"unit {self.name!r}"
        _check(self.kind in get_args(Kind), owner, "kind", self.kind, f"one of {', '.join(get_args(Kind))}")
        _check_cores(owner, self.cores)
        object.__setattr__(self, "mhz", tuple(self.mhz))
        object.__setattr__(self, "static_w", tuple(self.static_w))
        _check(len(self.mhz) > 0, owner, "mhz", self.mhz, "at least one clock")
        for mhz in self.mhz:
            _check_number(owner, "mhz", mhz, above=True)
        rising = all(a < b for a, b in zip(self.mhz, self.mhz[1:], strict=False))
        _check(rising, owner, "mhz", self.mhz, "in ascending order, each clock once")
        want = f"one figure for each of the {len(self.mhz)} clocks"
        _check(len(self.static_w) == len(self.mhz), owner, "static_w", self.static_w, want)
        for watts in self.static_w:
            _check_number(owner, "static_w", watts)
        rising = all(a <= b for a, b in zip(self.static_w, self.static_w[1:], strict=False))
        _check(rising, owner, "static_w", self.static_w, "non-decreasing with the clock")
        if self.off_w is not None:
            _check_number(owner, "off_w", self.off_w)
            want = f"at most the power at the lowest clock, {self.static_w[0]:g}"
            _check(self.off_w <= self.static_w[0], owner, "off_w", self.off_w, want)

    @property
    def unused_w(self) -> float:
        """Power of the unit while nobody uses it: `off_w`, or where that is None `static_w` at its lowest clock."""
        return self.static_w[0] if self.off_w is None else self.off_w

    @property
    def slots(self) -> int:
        """Cores that requests can hold at once: `cores` of a CPU unit, 1 of a GPU."""
        return 1 if self.kind == "gpu" else self.cores


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """The whole input of one decision.

    Attributes:
        units: the units, each with a name of its own.
        demands: the demands, one for each app.
        objective: a name in `scheduler.objectives.OBJECTIVES`.
        power_cap_w: cap on the power of all units; None for none.
        sharing: `unit`: a request on a shared unit waits for every other app there. `exclusive`: that too, but CPU
            cores must not be shared where an assignment without sharing exists. True and False stand for these two.
            `cpu`: each app has CPUs of its unit, and a request waits for the apps that share one of them; a CPU unit
            then has at most `MOST_CPUS` cores.
    """

    units: tuple[Unit, ...]
    demands: tuple[Demand, ...]
    objective: ObjectiveName = "energy"
    power_cap_w: float | None = None
    sharing: Sharing | bool = "unit"

    def __post_init__(self) -> None:
        owner = "problem"
        if isinstance(self.sharing, bool):
            object.__setattr__(self, "sharing", "unit" if self.sharing else "exclusive")
        if self.sharing not in get_args(Sharing):
            raise ProblemError(
                f"problem: sharing is {self.sharing!r}; it must be one of {', '.join(get_args(Sharing))}."
                + did_you_mean(str(self.sharing), get_args(Sharing))
            )
        object.__setattr__(self, "units", tuple(self.units))
        object.__setattr__(self, "demands", tuple(self.demands))
        if self.objective not in OBJECTIVES:
            raise ProblemError(
                f"problem: objective is {self.objective!r}; it must be one of {', '.join(OBJECTIVES)}."
                + did_you_mean(str(self.objective), OBJECTIVES)
            )
        if self.power_cap_w is not None:
            _check_number(owner, "power_cap_w", self.power_cap_w, above=True)
        _check_unique(owner, "unit", (unit.name for unit in self.units))
        _check_unique(owner, "app", (demand.app for demand in self.demands))
        units = {unit.name: unit for unit in self.units}
        for unit in self.units:
            if self.sharing == "cpu" and unit.slots > MOST_CPUS:
                want = f"at most {MOST_CPUS} where sharing is 'cpu'; describe it as several units, or share by 'unit'"
                _check(False, f"unit {unit.name!r}", "cores", unit.cores, want)
        for demand in self.demands:
            _check_points(demand, units)


def _check_points(demand: Demand, units: Mapping[str, Unit]) -> None:
    """Raise unless each point of the demand lies on a known unit, within its cores, at one of its clocks."""
    owner, table = f"demand {demand.app!r}", demand.table
    for name, cores, clocks in zip(table.units, table.most_cores, table.clocks, strict=True):
        unit = units.get(name)
        if unit is None:
            raise ProblemError(f"{owner}: a point's unit {name!r} is unknown.{did_you_mean(name, units)}")
        if unit.kind == "cpu" and cores > unit.cores:
            _check(False, owner, f"cores of a point on {name!r}", cores, f"at most the unit's {unit.cores}")
        off = clocks.difference(unit.mhz)
        if off:
            _check(False, owner, f"mhz of a point on {name!r}", min(off), f"one of the unit's clocks {unit.mhz}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocation:
    """An answer: a point for each app, a clock for each unit, and what they come to.

    Attributes:
        choice: by app, its point, in the order of the demands.
        mhz: by unit, its clock, in the order of the units.
        cpus: by app, in the order of the demands, its CPUs on its unit, counted from 0 and rising; `(0,)` on a GPU.
            `()` for each where `Problem.sharing` is not `cpu`: that model does not choose them.
        latency_ms: by app, the effective latency, waiting for others included.
        power_w: power of all units, static power included.
        violation: the sum of all terms; 0 where everything is met.
        optimal: True if the answer is proven to be the best: to 1e-7 in violation, of itself where it is above 1, and
            to 1e-6 of itself in the rest.
        bound: at this violation, a proven lower bound on power; for an objective that seeks accuracy, a proven upper
            bound on the sum of weight * accuracy.
        violation_bound: a proven lower bound on violation; for an objective that lessens the largest term first, of
            answers with no larger one.
    """

    choice: dict[str, OperatingPoint]
    mhz: dict[str, float]
    cpus: dict[str, tuple[int, ...]]
    latency_ms: dict[str, float]
    power_w: float
    violation: float
    optimal: bool
    bound: float
    violation_bound: float
