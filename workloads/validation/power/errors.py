"""How far predicted power is from measured power, row by row and by board."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from scheduler.board import BoardUnit
from workloads.validation.power.rows import ROLES, MeasuredPower, Role, check_idle_rises
from workloads.validation.power.table import PowerTableError

AIM = 0.10
"""The largest median error of a board's held-out rows that counts as met."""

_OTHER_SCALE = 200.0
"""Factor between measured and predicted power from which on a table is in another unit than watts. No board file is
that wrong: those that were found wrong were so by a factor of 4."""

_NO_SCALE = 30.0
"""Factor from a scale from which on a figure is in none of them: half of the way, in orders, from mW to µW."""

_SCALES = {1e3: "mW", 1e6: "µW", 1e-3: "kW"}


@dataclass(frozen=True, kw_only=True, slots=True)
class RowError:
    """A measured power beside the predicted one.

    Attributes:
        row: what was measured.
        predicted_w: what the board's figures say.
    """

    row: MeasuredPower
    predicted_w: float

    @property
    def error(self) -> float:
        """Predicted over measured power, less 1: 1.1 W predicted for 1 W measured are 0.1."""
        return self.predicted_w / self.row.power_w - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Errors:
    """The errors of several rows.

    Attributes:
        rows: number of rows.
        median: median of the errors without their signs.
        bias: median of the errors with their signs; above 0 where too much is predicted.
        worst: the row that is furthest off.
    """

    rows: int
    median: float
    bias: float
    worst: RowError

    @classmethod
    def of(cls, errors: Sequence[RowError]) -> Errors:
        """Return the errors of at least one row."""
        return cls(
            rows=len(errors),
            median=median(abs(one.error) for one in errors),
            bias=median(one.error for one in errors),
            worst=max(errors, key=lambda one: abs(one.error)),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The errors of one board's rows of one role, and by who measured them.

    Attributes:
        board: name of the board, without its mode.
        role: role of the rows.
        errors: the errors of all of them.
        by_source: the errors of those of each source.
    """

    board: str
    role: Role
    errors: Errors
    by_source: dict[str, Errors]

    @property
    def met(self) -> bool:
        """True if the median is within the aim."""
        return self.errors.median <= AIM


def predicted(rows: Sequence[MeasuredPower]) -> list[RowError]:
    """Predict the power of each row.

    Raises:
        PowerTableError: if a figure is not in watts, or idle power falls with the clock.
    """
    errors = [RowError(row=row, predicted_w=predicted_w(row)) for row in rows]
    for one in errors:
        _check_scale(one)
    check_idle_rises(rows)
    return errors


def predicted_w(row: MeasuredPower) -> float:
    """Return the power that the board's figures say for a row, in watts.

    With a static_w of 0.2 and a dynamic_w of 0.5, a unit with 1.5 cores busy with a network of activity 0.8 takes
    0.8 W. A unit with less than one busy core on average counts as idle for the rest of the time.
    """
    units_w = [_unit_w(row.board.unit(name), row.mhz[name], row.busy[name], row.activity[name]) for name in row.units]
    return math.fsum(units_w) + (row.board.base_w or 0.0 if row.whole else 0.0)


def _unit_w(unit: BoardUnit, mhz: float, busy: float, activity: float) -> float:
    busy_w, idle_w = (unit.resting_w(mhz, busy=is_busy, on=True) for is_busy in (True, False))
    assert busy_w is not None
    assert idle_w is not None
    assert unit.dynamic_w is not None
    busy_share = min(1.0, busy)
    resting_w = busy_share * busy_w + (1 - busy_share) * idle_w
    return resting_w + busy * activity * unit.dynamic_w[unit.mhz.index(mhz)]


def _check_scale(one: RowError) -> None:
    factor = one.row.power_w / one.predicted_w if one.predicted_w > 0 else 1.0
    if 1 / _OTHER_SCALE < factor < _OTHER_SCALE:
        return
    scale = min(_SCALES, key=lambda scale: abs(math.log(factor / scale)))
    by_figures = f"{one.row.board.name} takes {one.predicted_w:.3g} W by its figures"
    if abs(math.log(factor / scale)) > math.log(_NO_SCALE):
        raise one.row.line.error(
            "power_w",
            f"{by_figures}, so {factor:.0e} times that is wrong in any unit; correct it, or leave the row out",
        )
    raise one.row.line.error(
        "power_w", f"{by_figures}, so this looks like {_SCALES[scale]}; give watts, here {one.row.power_w / scale:g}"
    )


def groups_of(errors: Sequence[RowError]) -> list[Group]:
    """Return the errors by board and role, held-out rows first."""
    if not errors:
        raise PowerTableError("There is no row to compare.")
    found: dict[tuple[str, Role], list[RowError]] = {}
    for one in errors:
        found.setdefault((one.row.board.name.partition(":")[0], one.row.role), []).append(one)
    groups = []
    for (board, role), own in sorted(found.items(), key=lambda pair: (pair[0][0], ROLES.index(pair[0][1]))):
        by_source: dict[str, list[RowError]] = {}
        for one in own:
            by_source.setdefault(one.row.source, []).append(one)
        groups.append(
            Group(
                board=board,
                role=role,
                errors=Errors.of(own),
                by_source={source: Errors.of(rows) for source, rows in by_source.items()},
            )
        )
    return groups
