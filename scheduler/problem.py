"""The scheduling problem and its answer: units, demands with their operating points, and an allocation.

Plain frozen data with its own validation. This module does not know how a problem is solved, where its points come
from, or what a board is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from scheduler.errors import did_you_mean
from scheduler.objectives import OBJECTIVES, ObjectiveName
from scheduler.operating_point import (
    OperatingPoint,
    Points,
    PointTable,
    ProblemError,
    check,
    check_cores,
    check_fraction,
    check_number,
)

__all__ = [
    "FULL_LOAD",
    "MOST_CPUS",
    "Allocation",
    "Demand",
    "Kind",
    "OperatingPoint",
    "PointTable",
    "Points",
    "Problem",
    "ProblemError",
    "Sharing",
    "Unit",
]

Kind = Literal["cpu", "gpu"]
Sharing = Literal["exclusive", "unit", "cpu"]

FULL_LOAD = 0.9
"""The load from which on a unit, or an operating point on its own cores, counts as overloaded."""
MOST_CPUS = 62
"""Most cores of a CPU unit whose CPUs are chosen one by one (`sharing="cpu"`): a set of them is one whole number."""


def _check_unique(owner: str, name: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ProblemError(f"{owner}: {name} {value!r} occurs twice; each needs a name of its own.")
        seen.add(value)


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
    points: Sequence[OperatingPoint]
    wait_share: float = 1.0

    def __post_init__(self) -> None:
        owner = f"demand {self.app!r}"
        check_number(owner, "rate_hz", self.rate_hz)
        check_number(owner, "target_ms", self.target_ms, above=True)
        check_fraction(owner, "min_accuracy", self.min_accuracy)
        check_number(owner, "weight", self.weight)
        check_number(owner, "wait_share", self.wait_share)
        object.__setattr__(self, "points", Points.of(self.points))
        check(len(self.points) > 0, owner, "points", (), "at least one operating point")

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
        check(self.kind in get_args(Kind), owner, "kind", self.kind, f"one of {', '.join(get_args(Kind))}")
        check_cores(owner, self.cores)
        object.__setattr__(self, "mhz", tuple(self.mhz))
        object.__setattr__(self, "static_w", tuple(self.static_w))
        check(len(self.mhz) > 0, owner, "mhz", self.mhz, "at least one clock")
        for mhz in self.mhz:
            check_number(owner, "mhz", mhz, above=True)
        rising = all(a < b for a, b in zip(self.mhz, self.mhz[1:], strict=False))
        check(rising, owner, "mhz", self.mhz, "in ascending order, each clock once")
        want = f"one figure for each of the {len(self.mhz)} clocks"
        check(len(self.static_w) == len(self.mhz), owner, "static_w", self.static_w, want)
        for watts in self.static_w:
            check_number(owner, "static_w", watts)
        rising = all(a <= b for a, b in zip(self.static_w, self.static_w[1:], strict=False))
        check(rising, owner, "static_w", self.static_w, "non-decreasing with the clock")
        if self.off_w is not None:
            check_number(owner, "off_w", self.off_w)
            want = f"at most the power at the lowest clock, {self.static_w[0]:g}"
            check(self.off_w <= self.static_w[0], owner, "off_w", self.off_w, want)

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
            check_number(owner, "power_cap_w", self.power_cap_w, above=True)
        _check_unique(owner, "unit", (unit.name for unit in self.units))
        _check_unique(owner, "app", (demand.app for demand in self.demands))
        units = {unit.name: unit for unit in self.units}
        for unit in self.units:
            if self.sharing == "cpu" and unit.slots > MOST_CPUS:
                want = f"at most {MOST_CPUS} where sharing is 'cpu'; describe it as several units, or share by 'unit'"
                check(False, f"unit {unit.name!r}", "cores", unit.cores, want)
        for demand in self.demands:
            _check_points(demand, units)


def _check_points(demand: Demand, units: Mapping[str, Unit]) -> None:
    """Raise unless each point of the demand lies on a known unit, within its cores, at one of its clocks."""
    owner = f"demand {demand.app!r}"
    for name, (cores, clocks) in Points.of(demand.points).extents.items():
        unit = units.get(name)
        if unit is None:
            raise ProblemError(f"{owner}: a point's unit {name!r} is unknown.{did_you_mean(name, units)}")
        if unit.kind == "cpu" and cores > unit.cores:
            check(False, owner, f"cores of a point on {name!r}", cores, f"at most the unit's {unit.cores}")
        off = clocks.difference(unit.mhz)
        if off:
            check(False, owner, f"mhz of a point on {name!r}", min(off), f"one of the unit's clocks {unit.mhz}")


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
