"""What the units and the board did and used between two readings: arithmetic on readings of the ledger and of rails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.agent.devices.common import UnitCondition
from actors.agent.energy import RailFigure, Source, UnitFigure, UnitSource, of_all_units, of_board, of_each_unit
from actors.agent.sensors import RailTotals
from actors.ledger.meters import UnitReading
from scheduler.board import Board
from scheduler.messages import UnitTelemetry


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitTotals:
    """One unit's totals since the mark.

    Attributes:
        name: name of the unit.
        busy: share of the time of all its cores that was taken, 0 to 1.
        clock_changes: how often its clock changed.
        mean_mhz: mean of its clock over time.
        energy_j: its energy, idle included; None where its power is unknown.
        energy_source: where that comes from: `measured`, `attributed`, `modelled` or `unknown`; see `UnitFigure`.
    """

    name: str
    busy: float
    clock_changes: int
    mean_mhz: float
    energy_j: float | None
    energy_source: UnitSource


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardTotals:
    """The board's totals since the mark.

    Attributes:
        duration_s: board time since the mark.
        units: the totals of each unit, in the board's order.
        units_j: energy of all units; None where that of one is unknown.
        board_j: energy of the whole board; None where that of a unit or of the rest is unknown.
        units_source: where `units_j` comes from: `measured`, `modelled` or `unknown`.
        board_source: where `board_j` comes from; `modelled` if any part of it is.
        modelled_units_j: energy of all units as the board's power figures say; None where unknown.
        modelled_board_j: energy of the whole board as they say.
        rails: the totals of each rail that was read.
    """

    duration_s: float
    units: tuple[UnitTotals, ...]
    units_j: float | None
    board_j: float | None
    units_source: Source
    board_source: Source
    modelled_units_j: float | None
    modelled_board_j: float | None
    rails: tuple[RailTotals, ...]


def board_totals(
    board: Board, old: Mapping[str, UnitReading], now: Mapping[str, UnitReading], rails: Sequence[RailTotals]
) -> BoardTotals:
    """Return what the board did between two readings of its units.

    Args:
        board: the board.
        old: the earlier readings, by unit.
        now: the later readings.
        rails: the rails' totals over the same time.
    """
    duration_s = min((now[name].now_s - old[name].now_s for name in now), default=0.0)
    modelled_j = {name: _spent_j(old[name], now[name]) for name in now}
    measured_j = [RailFigure(covers=rail.covers, value=None if rail.why_unknown else rail.joules) for rail in rails]
    units_j, units_source = of_all_units(modelled_j, measured_j)
    modelled_units_j, _ = of_all_units(modelled_j, ())
    board_j, board_source = of_board(board.board_j(units_j, duration_s), measured_j)
    each = of_each_unit(modelled_j, measured_j)
    return BoardTotals(
        duration_s=duration_s,
        units=tuple(_unit_totals(old[name], now[name], each[name]) for name in now),
        units_j=units_j,
        board_j=board_j,
        units_source=units_source,
        board_source=board_source,
        modelled_units_j=modelled_units_j,
        modelled_board_j=board.board_j(modelled_units_j, duration_s),
        rails=tuple(rails),
    )


def busy(old: UnitReading, now: UnitReading, cores: int) -> float:
    """Return the share of that many cores' time that was taken between two readings, 0 to 1."""
    span_s = (now.now_s - old.now_s) * cores
    return min(1.0, max(0.0, (sum(now.busy_s) - sum(old.busy_s)) / span_s)) if span_s > 0 else 0.0


def modelled_w(old: UnitReading, now: UnitReading) -> float | None:
    """Return a unit's mean power between two readings as the board's power figures say; None where unknown."""
    spent_j, span_s = _spent_j(old, now), now.now_s - old.now_s
    return None if spent_j is None or span_s <= 0 else spent_j / span_s


def unit_telemetry(
    old: UnitReading,
    now: UnitReading,
    condition: UnitCondition,
    *,
    cpus_online: tuple[int, ...] | None,
    offline_by: str | None,
    temp_c: float | None,
    power_w: float | None,
) -> UnitTelemetry:
    """Return the report of a unit on the time between two readings.

    Args:
        old: the earlier reading.
        now: the later one.
        condition: what the board grants the unit now.
        cpus_online: see `UnitTelemetry`, as the following.
        offline_by: reason why CPUs are offline.
        temp_c: its temperature.
        power_w: its mean power.
    """
    return UnitTelemetry(
        name=now.name,
        mhz_now=now.mhz if condition.mhz_now is None else condition.mhz_now,
        busy=busy(old, now, len(now.cpus_online)),
        temp_c=temp_c,
        power_w=power_w,
        max_mhz=condition.max_mhz,
        cpus_online=cpus_online,
        held_by=condition.held_by,
        offline_by=offline_by,
    )


def _unit_totals(old: UnitReading, now: UnitReading, energy: UnitFigure) -> UnitTotals:
    span_s = now.now_s - old.now_s
    return UnitTotals(
        name=now.name,
        busy=busy(old, now, len(now.busy_s)),
        clock_changes=now.clock_changes - old.clock_changes,
        mean_mhz=(now.mhz_s - old.mhz_s) / span_s if span_s > 0 else now.mhz,
        energy_j=energy.value,
        energy_source=energy.source,
    )


def _spent_j(old: UnitReading, now: UnitReading) -> float | None:
    if old.static_j is None or now.static_j is None or old.dynamic_j is None or now.dynamic_j is None:
        return None
    return now.static_j - old.static_j + now.dynamic_j - old.dynamic_j
