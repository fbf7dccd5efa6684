"""What a calibration's records say: how fast each unit is at each clock, and what it takes.

Pure functions over records. Two models are fitted:

- *Time.* A step of the kernel that is timed takes a + b / f at clock f. The share of it that the clock does not
  stretch, at the top clock F, is m = a / (a + b / F), the board's `memory_share`.
- *Power.* A rail shows T + sum over its units of s(f) + n · d(f), where T is the rail with all units idle at their
  lowest clocks, s(f) what a unit at rest takes more at a higher clock, and d(f) one busy core. s does not fall from
  clock to clock, and no figure is negative (non-negative least squares).

A clock at which a step takes as long as at another one is not real: the firmware or the processor has its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from actors.board_commands.calibration_plan import Point, Record
from actors.board_commands.least_squares import non_negative_least_squares

_FLAT = 1.03
"""Times of a step within this ratio are the same: assumed of a board on which nothing else runs."""
_RATIO = 1.10
"""Clocks have to be at least this far apart for equal times to mean that one of them is not real."""

_LEAST_CLOCKS = 3
_LEAST_RANGE = 1.5
_MOST_ERROR = 0.05
"""A memory share is told from at least three clocks, the highest 1.5 times the lowest, and if its standard error is at
most 0.05. Else it is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedFit:
    """The speed of a unit's core.

    Attributes:
        step_s: time of one step at each clock that was measured.
        false_mhz: clocks that are not real, each with the one that is in force instead.
        memory_share: share of a step that the clock does not stretch, at the top clock; None where it can't be told.
        memory_error: its standard error; None where it can't be told.
    """

    step_s: Mapping[float, float]
    false_mhz: Mapping[float, float]
    memory_share: float | None
    memory_error: float | None

    @property
    def top_s(self) -> float:
        """Time of one step at the highest clock."""
        return self.step_s[max(self.step_s)]


@dataclass(frozen=True, kw_only=True, slots=True)
class RailFit:
    """The power that a rail shows.

    Attributes:
        rail: name of the rail.
        rest_w: the rail with all its units idle at their lowest clocks.
        static_w: by unit, what it takes more than that with no load, at each clock.
        dynamic_w: by unit, one busy core, at each clock.
        fitted: number of records that were fitted.
        residual_w: root of the mean square of what the fit is off by, over those.
        worst_w: the most that it is off by, over those.
        unseen: number of records that were held out.
        unseen_error: median of the relative error over those; None if there are none.
    """

    rail: str
    rest_w: float
    static_w: Mapping[str, Mapping[float, float]]
    dynamic_w: Mapping[str, Mapping[float, float]]
    fitted: int
    residual_w: float
    worst_w: float
    unseen: int
    unseen_error: float | None


def fit_speed(records: Sequence[Record], unit: str) -> SpeedFit | None:
    """Return how fast a unit's core is; None if no step of it was timed.

    Args:
        records: the records.
        unit: name of the unit.
    """
    times: dict[float, list[float]] = {}
    for record in records:
        if record.point.unit == unit and record.step_s is not None:
            times.setdefault(record.point.mhz, []).append(record.step_s)
    if not times:
        return None
    step_s = {mhz: median(times[mhz]) for mhz in sorted(times)}
    false_mhz = false_clocks(step_s)
    real = {mhz: time_s for mhz, time_s in step_s.items() if mhz not in false_mhz}
    share, error = _memory_share(real)
    return SpeedFit(step_s=step_s, false_mhz=false_mhz, memory_share=share, memory_error=error)


def false_clocks(step_s: Mapping[float, float]) -> dict[float, float]:
    """Return the clocks that are not real, each with the one that is in force instead.

    A step of 3, 3, 3, 2.5 ms at 1000, 1200, 1500 and 1800 MHz: 1000 and 1200 are 1500 in truth.

    Args:
        step_s: time of one step, by clock.
    """
    clocks = sorted(step_s)
    runs: list[list[float]] = []
    place = 0
    while place < len(clocks):
        end = place + 1
        while end < len(clocks) and _flat([step_s[mhz] for mhz in clocks[place : end + 1]]):
            end += 1
        if clocks[end - 1] >= _RATIO * clocks[place]:
            runs.append(clocks[place:end])
            place = end
        else:
            place += 1
    false = {mhz for run in runs for mhz in run}
    cycles = [step_s[mhz] * mhz for mhz in clocks if mhz not in false]
    found: dict[float, float] = {}
    for run in runs:
        # Where another clock is known to be real, the clock in force follows from the time.
        in_force = median(cycles) / median(step_s[mhz] for mhz in run) if cycles else run[-1]
        kept = min(run, key=lambda mhz: abs(math.log(mhz / in_force)))
        found |= {mhz: kept for mhz in run if mhz != kept}
    return found


def _flat(times_s: Sequence[float]) -> bool:
    return max(times_s) <= _FLAT * min(times_s)


def _memory_share(step_s: Mapping[float, float]) -> tuple[float | None, float | None]:
    """Return the share of a step at the top clock that the clock does not stretch, and its standard error."""
    mhz = np.array(sorted(step_s))
    if len(mhz) < _LEAST_CLOCKS or mhz[-1] < _LEAST_RANGE * mhz[0]:
        return None, None
    time_s = np.array([step_s[one] for one in mhz.tolist()])
    # Relative errors count, since a slow step is not measured worse than a fast one.
    columns = np.column_stack([np.ones_like(mhz), mhz[-1] / mhz]) / time_s[:, None]
    (a, b), *_ = np.linalg.lstsq(columns, np.ones_like(mhz), rcond=None)
    off = columns @ np.array([a, b]) - 1
    covariance = np.linalg.inv(columns.T @ columns) * (off @ off) / (len(mhz) - 2)
    slope = np.array([b, -a]) / (a + b) ** 2  # of m = a / (a + b), in a and b
    error = float(np.sqrt(slope @ covariance @ slope))
    share = float(min(max(a / (a + b), 0.0), 1.0))
    return (share, error) if error <= _MOST_ERROR else (None, error)


def fit_rail(
    records: Sequence[Record], rail: str, units: Collection[str], without: Collection[int] = ()
) -> RailFit | None:
    """Fit the power of a rail; None if it was measured at no clock.

    A clock is left out if the rail was read there with one number of busy cores only: what the unit takes at rest and
    what a core takes can't be told apart then.

    Args:
        records: the records.
        rail: name of the rail.
        units: names of the units that it covers.
        without: places of records that are held out.
    """
    used = [place for place, one in enumerate(records) if rail in one.powers_w and one.point.unit in units]
    clocks = _clocks_told([records[place].point for place in used if place not in without])
    if not clocks:
        return None
    columns: list[tuple[str, str, float]] = [("rest", "", 0.0)]
    columns += [("step", unit, mhz) for unit, table in clocks.items() for mhz in table[1:]]
    columns += [("core", unit, mhz) for unit, table in clocks.items() for mhz in table]
    seen = [place for place in used if records[place].point.mhz in clocks.get(records[place].point.unit, ())]
    matrix = np.array([[_share_of(records[place], *column) for column in columns] for place in seen])
    power_w = np.array([records[place].powers_w[rail] for place in seen])
    train = np.array([place not in without for place in seen])
    solution = non_negative_least_squares(matrix[train], power_w[train])
    error_w = matrix @ solution - power_w
    found = dict(zip(columns, solution.tolist(), strict=True))
    unseen = np.abs(error_w[~train]) / power_w[~train]
    return RailFit(
        rail=rail,
        rest_w=found["rest", "", 0.0],
        static_w={
            unit: {mhz: math.fsum(found["step", unit, one] for one in table[1:] if one <= mhz) for mhz in table}
            for unit, table in clocks.items()
        },
        dynamic_w={unit: {mhz: found["core", unit, mhz] for mhz in table} for unit, table in clocks.items()},
        fitted=int(train.sum()),
        residual_w=float(np.sqrt(np.mean(error_w[train] ** 2))),
        worst_w=float(np.abs(error_w[train]).max()),
        unseen=len(unseen),
        unseen_error=float(np.median(unseen)) if len(unseen) else None,
    )


def _clocks_told(points: Iterable[Point]) -> dict[str, list[float]]:
    """Return by unit its clocks at which there are at least two loads, rising."""
    loads: dict[tuple[str, float], set[int]] = {}
    for point in points:
        loads.setdefault((point.unit, point.mhz), set()).add(point.busy)
    told: dict[str, list[float]] = {}
    for (unit, mhz), seen in sorted(loads.items()):
        if len(seen) > 1:
            told.setdefault(unit, []).append(mhz)
    return told


def _share_of(record: Record, kind: str, unit: str, mhz: float) -> float:
    """Return how often a figure is in the power of a record."""
    if kind == "rest":
        return 1.0
    if record.point.unit != unit:
        return 0.0
    if kind == "step":
        return float(mhz <= record.point.mhz)
    return float(record.point.busy) if mhz == record.point.mhz else 0.0
