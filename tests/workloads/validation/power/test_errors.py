"""Power is predicted by hand's rule, and errors are told by board, role and source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.cluster import packaged_board
from workloads.simulator.board import Residency
from workloads.validation.power.errors import AIM, Errors, RowError, groups_of, predicted, predicted_w
from workloads.validation.power.rows import MeasuredPower, checked_rows
from workloads.validation.power.table import Line, read_table

Written = Callable[..., Path]
HEADS = "rail,mhz:big,busy:big,mhz:little,busy:little,mhz:gpu,busy:gpu,power_w"


@pytest.mark.parametrize(
    ("line", "watts"),
    [
        # One unit: static, and 1.5 cores of 2 W.
        ("big,1000,1.5,,,,,3", 0.4 + 1.5 * 2.0),
        # An idle unit takes half of its static power where its idle_share says so; a quarter busy, for three quarters.
        ("little,,,800,0,,,0.1", 0.5 * 0.2),
        ("little,,,800,0.25,,,0.3", 0.25 * 0.2 + 0.75 * 0.1 + 0.25 * 0.4),
        ("gpu,,,,,600.5,0.9,8", 1.0 + 0.9 * 8.0),
        # All units, and the whole board.
        ("CORES,500,1,400,1,,,1", 0.2 + 0.5 + 0.1 + 0.1),
        ("units,500,1,400,1,300,1,4", 0.2 + 0.5 + 0.1 + 0.1 + 0.5 + 3.0),
        ("board,500,2,,,300,1,6", 2.5 + 0.2 + 2 * 0.5 + 0.05 + 0.5 + 3.0),
    ],
)
def test_power_is_static_and_dynamic_times_cores_and_the_rest_of_the_board(
    table: Written, board: Path, line: str, watts: float
) -> None:
    (one,) = predicted(checked_rows(read_table(table(HEADS, line)), str(board)))
    assert one.predicted_w == pytest.approx(watts)
    assert one.error == pytest.approx(watts / float(line.rpartition(",")[2]) - 1)


def measured(power_w: float, **changed: object) -> MeasuredPower:
    """A row of one busy core of an Odroid's A15 cluster at 1000 MHz, of which 0.5582 W are predicted."""
    cells = {"board": "odroid-xu3", "rail": "big", "mhz": "1000", "busy": "1", "power_w": str(power_w)}
    (row,) = checked_rows([Line(where="made up", cells=cells)])
    return replace(row, **changed)  # type: ignore[arg-type]


def test_a_networks_activity_is_a_factor_on_the_busy_cores_alone() -> None:
    row = measured(0.5)
    unit = row.board.unit("big")
    assert unit.static_w is not None
    static_w = unit.static_w[unit.mhz.index(1000)]
    dynamic_w = predicted_w(row) - static_w
    assert predicted_w(replace(row, activity={"big": 0.8})) == pytest.approx(static_w + 0.8 * dynamic_w)


@given(
    name=st.sampled_from(["odroid-xu3", "jetson-xavier-nx", "two-core-host"]),
    place=st.integers(0, 30),
    busy=st.floats(0, 4),
    activity=st.floats(0.2, 2),
)
def test_a_second_takes_the_joules_that_the_simulator_counts(
    name: str, place: int, busy: float, activity: float
) -> None:
    board = packaged_board(name)
    unit = replace(board.units[0], idle_share=0.4)
    board = replace(board, units=(unit, *board.units[1:]))
    mhz, busy = unit.mhz[place % len(unit.mhz)], min(busy, unit.cores)
    row = replace(
        measured(1.0),
        board=board,
        units=(unit.name,),
        mhz={unit.name: mhz},
        busy={unit.name: busy},
        activity={unit.name: activity},
    )
    second = [float(clock == mhz) for clock in unit.mhz]
    zero = (0.0,) * len(second)
    residency = Residency(
        mhz=unit.mhz,
        time_s=tuple(second),
        idle_s=tuple(max(0.0, 1 - busy) * share for share in second),
        busy_s=tuple(busy * share for share in second),
        active_s=tuple(busy * activity * share for share in second),
        off_s=zero,
        managing_s=zero,
    )
    assert predicted_w(row) == pytest.approx(residency.energy_j(unit))


def test_errors_are_told_by_board_role_and_source() -> None:
    board = packaged_board("odroid-xu3")
    errors = [
        RowError(row=measured(1.0, source="a"), predicted_w=1.05),
        RowError(row=measured(1.0, source="a"), predicted_w=0.92),
        RowError(row=measured(2.0, source="b"), predicted_w=3.0),
        RowError(row=measured(1.0, role="fitted"), predicted_w=1.01),
        RowError(row=measured(1.0, board=replace(board, name="mine:LOW")), predicted_w=1.2),
        RowError(row=measured(1.0, board=replace(board, name="mine:HIGH")), predicted_w=0.6),
    ]
    mine, held_out, fitted = groups_of(errors)
    assert [(one.board, one.role, one.errors.rows) for one in (mine, held_out, fitted)] == [
        ("mine", "held-out", 2),
        ("odroid-xu3", "held-out", 3),
        ("odroid-xu3", "fitted", 1),
    ]
    assert held_out.errors.median == pytest.approx(0.08)
    assert held_out.errors.bias == pytest.approx(0.05)
    assert held_out.errors.worst is errors[2]
    assert {source: one.rows for source, one in held_out.by_source.items()} == {"a": 2, "b": 1}
    assert (mine.errors.median, mine.errors.bias) == (pytest.approx(0.3), pytest.approx(-0.1))
    assert (mine.met, held_out.met) == (False, True)


def test_a_median_at_the_aim_is_met() -> None:
    (group,) = groups_of([RowError(row=measured(1.0), predicted_w=1 + AIM / 2)])
    assert group.met
    (group,) = groups_of([RowError(row=measured(1.0), predicted_w=1 - 1.01 * AIM)])
    assert not group.met
    assert group.errors == Errors(
        rows=1, median=pytest.approx(0.101), bias=pytest.approx(-0.101), worst=group.errors.worst
    )
