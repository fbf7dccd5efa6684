"""Operating points: the ways to serve an application, one by one or as the columns of a table.

Plain frozen data with its own validation. This module does not know where points come from or how one is chosen.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from scheduler.errors import InputError


class ProblemError(InputError):
    """A problem is not well formed; the message names the field, its value and the fix."""


def check(ok: bool, owner: str, name: str, value: object, want: str) -> None:
    """Raise a `ProblemError` that names the field and the value wanted, unless `ok`."""
    if not ok:
        raise ProblemError(f"{owner}: {name} is {value!r}; it must be {want}.")


def check_number(owner: str, name: str, value: float, low: float = 0.0, *, above: bool = False) -> None:
    """Raise unless a value is finite and at least `low`, or above it."""
    if not (math.isfinite(value) and (value > low if above else value >= low)):
        check(False, owner, name, value, f"a finite number {'above' if above else 'of at least'} {low:g}")


def check_fraction(owner: str, name: str, value: float) -> None:
    """Raise unless a value is from 0 to 1."""
    check(0.0 <= value <= 1.0, owner, name, value, "a fraction from 0 to 1")


def check_cores(owner: str, value: int) -> None:
    """Raise unless a value is a number of cores."""
    check(isinstance(value, int) and value >= 1, owner, "cores", value, "a whole number of at least 1")


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
        check_cores(owner, self.cores)
        check_number(owner, "mhz", self.mhz, above=True)
        check_number(owner, "latency_ms", self.latency_ms)
        check_number(owner, "energy_mj", self.energy_mj)
        check_fraction(owner, "accuracy", self.accuracy)
        check_number(owner, "service_ms", self.busy_ms)

    @property
    def busy_ms(self) -> float:
        """Mean time for which one inference takes the cores: `service_ms`, or `latency_ms` where that is None."""
        return self.latency_ms if self.service_ms is None else self.service_ms


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PointTable:
    """Operating points as columns, so that they can be searched fast.

    Attributes:
        subnets, units: the names that occur, in any order.
        subnet, unit: (points,): by point, an index into `subnets` and into `units`.
        columns: (6, points): cores, MHz, latency in ms, busy time in ms, energy in mJ, accuracy.
    """

    subnets: tuple[str, ...]
    units: tuple[str, ...]
    subnet: NDArray[np.intp]
    unit: NDArray[np.intp]
    columns: NDArray[np.float64]

    @classmethod
    def of(cls, points: Iterable[OperatingPoint]) -> "PointTable":
        """Read points into columns."""
        subnets: dict[str, int] = {}
        units: dict[str, int] = {}
        rows = [
            (
                *(subnets.setdefault(p.subnet, len(subnets)), units.setdefault(p.unit, len(units))),
                *(p.cores, p.mhz, p.latency_ms, p.busy_ms, p.energy_mj, p.accuracy),
            )
            for p in points
        ]
        columns = np.array(rows, dtype=np.float64).reshape(-1, 8).T.copy()
        subnet, unit = columns[:2].astype(np.intp)
        return cls(subnets=tuple(subnets), units=tuple(units), subnet=subnet, unit=unit, columns=columns[2:].copy())

    def point(self, row: int) -> OperatingPoint:
        """Return one point."""
        cores, mhz, latency_ms, busy_ms, energy_mj, accuracy = self.columns[:, row].tolist()
        return OperatingPoint(
            subnet=self.subnets[self.subnet[row]],
            unit=self.units[self.unit[row]],
            cores=int(cores),
            mhz=mhz,
            latency_ms=latency_ms,
            energy_mj=energy_mj,
            accuracy=accuracy,
            service_ms=busy_ms,
        )

    def only(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "PointTable":
        """Return some of the points, in the order of `rows`."""
        return replace(self, subnet=self.subnet[rows], unit=self.unit[rows], columns=self.columns[:, rows])


class Points(Sequence[OperatingPoint]):
    """Operating points as columns; each becomes an `OperatingPoint` when somebody looks at it.

    An app has up to thousands of points, and a decision looks at few of them one by one. They stay the same from one
    decision to the next as long as its rate does.

    Args:
        table: the points.

    Raises:
        ProblemError: A figure of a point is out of range.
    """

    def __init__(self, table: PointTable) -> None:
        self.table = table
        figures = table.columns
        fine = np.isfinite(figures) & (figures >= 0.0)
        if not (fine.all() and (figures[:2] > 0.0).all() and (figures[5] <= 1.0).all()):
            _ = self._all  # making the first one that is wrong says what is

    @classmethod
    def of(cls, points: Iterable[OperatingPoint]) -> "Points":
        """Return the points as `Points`; those that are `Points` already are returned as they are."""
        return points if isinstance(points, cls) else cls(PointTable.of(points))

    @cached_property
    def _all(self) -> tuple[OperatingPoint, ...]:
        return tuple(map(self.table.point, range(len(self))))

    @cached_property
    def extents(self) -> Mapping[str, tuple[int, frozenset[float]]]:
        """By unit that a point lies on, the most cores of one there, and the clocks."""
        found = {}
        for index in np.unique(self.table.unit).tolist():
            cores, mhz = self.table.columns[:2, self.table.unit == index]
            found[self.table.units[index]] = int(cores.max()), frozenset(mhz.tolist())
        return found

    @cached_property
    def _gears(self) -> dict[tuple[str, str, int], "Points"]:
        return {}

    def in_gear(self, subnet: str, unit: str, cores: int) -> "Points":
        """Return the points of a sub-network on so many cores of a unit; they differ in nothing but their clock."""
        table, gear = self.table, (subnet, unit, cores)
        if gear not in self._gears:
            names = subnet in table.subnets and unit in table.units
            here = np.zeros(len(self), dtype=np.bool_)
            if names:
                here = (table.subnet == table.subnets.index(subnet)) & (table.unit == table.units.index(unit))
                here &= table.columns[0] == cores
            self._gears[gear] = Points(table.only(here))
        return self._gears[gear]

    def __len__(self) -> int:
        return len(self.table.unit)

    @overload
    def __getitem__(self, index: int) -> OperatingPoint: ...
    @overload
    def __getitem__(self, index: slice) -> "Points": ...
    def __getitem__(self, index: int | slice) -> "OperatingPoint | Points":
        if isinstance(index, slice):
            return Points(self.table.only(np.arange(len(self))[index]))
        return self._all[index] if "_all" in vars(self) else self.table.point(range(len(self))[index])

    def __iter__(self) -> Iterator[OperatingPoint]:
        return iter(self._all)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Sequence) and len(self) == len(other) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(self._all)

    def __repr__(self) -> str:
        return f"Points.of({self._all!r})"
