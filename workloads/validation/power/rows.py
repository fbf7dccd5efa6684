"""The rows of a table of measured power, checked against the boards that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from actors.cluster import find_board
from scheduler.board import SAME_CLOCK, Board, BoardUnit
from scheduler.errors import InputError, did_you_mean, shown
from workloads.validation.power.networks import activity_of
from workloads.validation.power.table import BY_UNIT, Line, PowerTableError

Role = Literal["fitted", "held-out"]
ROLES: tuple[Role, ...] = ("held-out", "fitted")

WHOLE, ALL_UNITS = "board", "units"
"""Rails of every board: the whole board, and all its units together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredPower:
    """A power that was measured, and what the board did meanwhile.

    Attributes:
        where: the place that errors name.
        board: the board, in its mode.
        rail: the rail as the table names it.
        units: names of the units behind the rail.
        whole: true if the rail is that of the whole board.
        mhz: the clock of each unit behind the rail.
        busy: the mean number of busy cores of each unit behind the rail.
        network: what kept them busy; None where that is not said.
        activity: the network's activity on each unit behind the rail, 1 where none is named.
        power_w: the measured power in watts.
        role: `fitted` if figures of the board were made from it, else `held-out`.
        source: who measured it, in words; empty if that is not said.
        note: text of the table's own.
    """

    where: str
    board: Board
    rail: str
    units: tuple[str, ...]
    whole: bool
    mhz: Mapping[str, float]
    busy: Mapping[str, float]
    network: str | None
    activity: Mapping[str, float]
    power_w: float
    role: Role
    source: str
    note: str

    @property
    def is_idle(self) -> bool:
        """True if no core was busy."""
        return not any(self.busy.values())

    @property
    def line(self) -> Line:
        """The measured figure as a line of a table, for an error that names it."""
        return Line(where=self.where, cells={"power_w": f"{self.power_w:g}"})


def checked_rows(lines: Sequence[Line], board: str | None = None) -> list[MeasuredPower]:
    """Return the rows of a table.

    Args:
        lines: its lines.
        board: the board of rows that name none; None if each has to name one.

    Raises:
        PowerTableError: for the first row that is wrong.
    """
    boards: dict[str, Board] = {}
    return [_row(line, _board(line, board, boards)) for line in lines]


def _board(line: Line, default: str | None, known: dict[str, Board]) -> Board:
    name = line.cell("board") or default or ""
    if not name:
        raise line.error("board", "no board is named; give one in the row, or to all rows with --board")
    if name not in known:
        try:
            known[name] = find_board(name)
        except InputError as error:
            raise line.error("board", str(error).rstrip(".")) from None
    board = known[name]
    if not board.powered:
        raise line.error("board", f"{board.name} has no power figures ({board.power_source}), so none can be compared")
    return board


def _row(line: Line, board: Board) -> MeasuredPower:
    for column in line.cells:
        unit = column.partition(":")[2]
        if unit and unit not in _names(board):
            raise line.error(
                column,
                f"{board.name} has no unit {shown(unit)}.{did_you_mean(unit, _names(board))} It has "
                f"{', '.join(_names(board))}; leave the cell empty",
            )
    rail = line.cell("rail") or ALL_UNITS
    units, whole = _behind(line, board, rail)
    busy = _busy(line, units)
    power_w, role = line.number("power_w"), line.cell("role") or "held-out"
    if not power_w:
        raise line.error("power_w", "no power; give the measured watts, above 0, or leave the row out")
    if role not in ROLES:
        raise line.error("role", f"must be {' or '.join(ROLES)}")
    return MeasuredPower(
        where=line.where,
        board=board,
        rail=rail,
        units=tuple(unit.name for unit in units),
        whole=whole,
        mhz={unit.name: _clock(line, unit, units, busy[unit.name]) for unit in units},
        busy=busy,
        network=line.cell("network") or None,
        activity={unit.name: activity_of(line, board, unit, busy[unit.name]) for unit in units},
        power_w=power_w,
        role=role,
        source=line.cell("source"),
        note=line.cell("note"),
    )


def _names(board: Board) -> list[str]:
    return [unit.name for unit in board.units]


def _behind(line: Line, board: Board, rail: str) -> tuple[list[BoardUnit], bool]:
    """Return the units behind a rail, and whether it is that of the whole board."""
    sensors = {sensor.rail: sensor.covers for sensor in board.sensors}
    covers = sensors.get(rail, WHOLE if rail == WHOLE else rail.split("+"))
    if covers == WHOLE:
        if board.base_w is None:
            raise line.error(
                "rail", f"what {board.name} takes beside its units is unknown (base_w); give the power of its units"
            )
        return list(board.units), True
    names = _names(board) if rail == ALL_UNITS else list(covers)
    for name in names:
        if name not in _names(board):
            known = [WHOLE, ALL_UNITS, *_names(board), *sensors]
            raise line.error(
                "rail",
                f"{board.name} has no rail or unit {shown(name)}.{did_you_mean(name, known)} "
                f"There are {', '.join(known)}; "
                f"several units are joined by +",
            )
    if not names:
        raise line.error("rail", "no unit is behind it, so no figure says what it takes; leave the row out")
    return [unit for unit in board.units if unit.name in names], False


def _common(units: Sequence[BoardUnit]) -> list[BoardUnit]:
    """Return the units that `mhz` and `busy` without a unit are of: the CPU units, or else all."""
    return [unit for unit in units if unit.kind == "cpu"] or list(units)


# ---------------------------------------------------------------- busy cores and clocks


def _busy(line: Line, units: Sequence[BoardUnit]) -> dict[str, float]:
    """Return the busy cores of each unit; those of no unit in particular fill the units in their order."""
    busy = {}
    for unit in units:
        column = f"busy:{unit.name}"
        busy[unit.name] = line.number(column) or 0.0
        if busy[unit.name] > unit.cores:
            raise line.error(column, f"more than the {_cores(unit.cores)} of {unit.name}; a GPU counts as one core")
    left = line.number("busy") or 0.0
    common = _common(units)
    if left and any(f"busy:{unit.name}" in line.cells for unit in common):
        raise line.error("busy", "is there beside busy:UNIT; leave one of both empty")
    if left > sum(unit.cores for unit in common):
        what = " + ".join(unit.name for unit in common)
        raise line.error("busy", f"more than the {_cores(sum(unit.cores for unit in common))} of {what}")
    for unit in common if left else ():
        busy[unit.name] = min(left, unit.cores)
        left -= busy[unit.name]
    return busy


def _clock(line: Line, unit: BoardUnit, units: Sequence[BoardUnit], busy: float) -> float:
    """Return a unit's clock; an idle one without a stated clock is at its lowest."""
    own = f"mhz:{unit.name}"
    column = own if own in line.cells or unit not in _common(units) else "mhz"
    text = line.cell(column)
    if text in ("min", "max"):
        return unit.mhz[0 if text == "min" else -1]
    mhz = line.number(column)
    if mhz is None:
        if busy:
            raise line.error(own, f"{unit.name} is busy, so its power needs a clock; give it in MHz, or min or max")
        return unit.mhz[0]
    nearest = unit.nearest(mhz)
    if abs(nearest - mhz) > SAME_CLOCK * nearest:
        raise line.error(column, _off_table(unit, mhz, named=column == own))
    return nearest


def _off_table(unit: BoardUnit, mhz: float, *, named: bool) -> str:
    """Return why a clock can't be used, with the two that are nearest to it."""
    for scale, name in ((1e3, "kHz"), (1e6, "Hz"), (1e-3, "GHz")):
        if any(abs(mhz / scale - clock) <= SAME_CLOCK * clock for clock in unit.mhz):
            return f"looks like {name}; give {mhz / scale:g} MHz"
    hint = "" if named or unit.kind == "gpu" else f"; for a clock of another unit write {BY_UNIT[0]}:UNIT"
    if not unit.mhz[0] < mhz < unit.mhz[-1]:
        end, clock = ("lowest", unit.mhz[0]) if mhz < unit.mhz[0] else ("highest", unit.mhz[-1])
        return f"{unit.name} has no such clock; its {end} is {clock:g} MHz{hint}"
    above = next(place for place, clock in enumerate(unit.mhz) if clock > mhz)
    near = f"{unit.mhz[above - 1]:g} and {unit.mhz[above]:g}"
    return f"{unit.name} has no such clock; next to it are {near} MHz{hint}"


def _cores(count: int) -> str:
    return f"{count} core{'s' * (count > 1)}"


# ---------------------------------------------------------------- rows beside each other

_MAY_FALL = 0.1
"""Share by which idle power may fall at a higher clock: meters are noisy, and chips cool down between two rows."""


def check_idle_rises(rows: Sequence[MeasuredPower]) -> None:
    """Refuse idle power that is lower at a higher clock.

    Compared are rows of one board, rail, role and source, the clocks of which are at least as high in the one as in the
    other.

    Raises:
        PowerTableError: if it falls by more than a tenth; it names both rows.
    """
    groups: dict[tuple[str, ...], list[MeasuredPower]] = {}
    for row in rows:
        if row.is_idle:
            groups.setdefault((row.board.name, row.rail, row.role, row.source), []).append(row)
    for group in groups.values():
        ordered = sorted(group, key=lambda row: sum(row.mhz.values()))
        for place, lower in enumerate(ordered):
            for higher in ordered[place + 1 :]:
                rises = lower.mhz != higher.mhz and all(higher.mhz[unit] >= lower.mhz[unit] for unit in lower.mhz)
                if rises and higher.power_w < (1 - _MAY_FALL) * lower.power_w:
                    raise _falls(lower, higher)


def _falls(lower: MeasuredPower, higher: MeasuredPower) -> PowerTableError:
    clocks = " and ".join(f"{mhz:g}" for mhz in lower.mhz.values())
    return higher.line.error(
        "power_w",
        f"the board is idle, and at {clocks} MHz it took more, {lower.power_w:g} W ({lower.where}); correct one of "
        f"both rows, or leave it out",
    )
