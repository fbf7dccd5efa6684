"""Rows of measured power are understood as documented, and refused with the row, the column, the value and the fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.stored_profiles import packaged_profile
from workloads.validation.power.errors import predicted
from workloads.validation.power.rows import MeasuredPower, checked_rows
from workloads.validation.power.table import PowerTableError, read_table

Written = Callable[..., Path]


def rows(table: Written, board: Path, *lines: str) -> list[MeasuredPower]:
    return checked_rows(read_table(table(*lines)), str(board))


def refused(table: Written, board: Path, *lines: str) -> str:
    with pytest.raises(PowerTableError) as caught:
        predicted(rows(table, board, *lines))
    return str(caught.value)


def test_a_row_says_what_the_board_did(table: Written, board: Path) -> None:
    (row,) = rows(table, board, "rail,mhz:big,busy:big,power_w,role,source,note", "big,999.99,1.5,3.5,fitted,lab,warm")
    assert (row.board.name, row.rail, row.units, row.whole) == ("hand", "big", ("big",), False)
    assert (dict(row.mhz), dict(row.busy), row.power_w) == ({"big": 1000.0}, {"big": 1.5}, 3.5)
    assert (row.role, row.source, row.note, row.network) == ("fitted", "lab", "warm", None)


def test_what_is_left_out_is_idle_at_the_lowest_clock_and_held_out(table: Written, board: Path) -> None:
    (row,) = rows(table, board, "power_w", "1.0")
    assert row.units == ("big", "little", "gpu")
    assert dict(row.mhz) == {"big": 500.0, "little": 400.0, "gpu": 300.0}
    assert (row.is_idle, row.role, row.whole) == (True, "held-out", False)


@pytest.mark.parametrize(
    ("rail", "units", "whole"),
    [
        ("board", ("big", "little", "gpu"), True),
        ("WALL", ("big", "little", "gpu"), True),
        ("units", ("big", "little", "gpu"), False),
        ("CORES", ("big", "little"), False),
        ("gpu+big", ("big", "gpu"), False),
        ("gpu", ("gpu",), False),
    ],
)
def test_a_rail_is_the_board_units_or_one_of_the_boards(
    table: Written, board: Path, rail: str, units: tuple[str, ...], whole: bool
) -> None:
    (row,) = rows(table, board, "rail,power_w", f"{rail},3")
    assert (row.units, row.whole) == (units, whole)


def test_busy_cores_of_no_unit_in_particular_fill_the_cpu_units_in_order(table: Written, board: Path) -> None:
    one, three = rows(table, board, "mhz,mhz:little,mhz:gpu,busy,power_w", "1000,800,600.5,1.5,9", "500,max,min,3,9")
    assert dict(one.busy) == {"big": 1.5, "little": 0.0, "gpu": 0.0}
    assert dict(one.mhz) == {"big": 1000.0, "little": 800.0, "gpu": 600.5}
    assert dict(three.busy) == {"big": 2.0, "little": 1.0, "gpu": 0.0}
    assert dict(three.mhz) == {"big": 500.0, "little": 800.0, "gpu": 300.0}


def test_behind_a_gpus_rail_they_are_the_gpus(table: Written, board: Path) -> None:
    (row,) = rows(table, board, "rail,mhz,busy,power_w", "gpu,600.5,0.9,8")
    assert (dict(row.mhz), dict(row.busy)) == ({"gpu": 600.5}, {"gpu": 0.9})


def test_a_network_has_the_activity_of_the_boards_ladder(table: Written, board: Path) -> None:
    profile = packaged_profile("dynamic-ofa-gpu")
    assert profile is not None
    rung = profile.rungs[0]
    (time,) = rung.times
    name = f"dynamic-ofa-gpu/{rung.subnet}"
    (row,) = rows(table, board, "mhz:gpu,busy:gpu,network,power_w", f"max,1,{name},9")
    assert row.network == name
    assert dict(row.activity) == {"big": 1.0, "little": 1.0, "gpu": time.activity}


def test_packaged_boards_are_named_in_their_modes(table: Written, board: Path) -> None:
    row, _ = rows(table, board, "board,mhz:gpu,power_w", "jetson-xavier-nx:MODE_10W_2CORE,max,5", "odroid-xu3,,0.07")
    assert row.board.mode == "MODE_10W_2CORE"
    assert dict(row.mhz)["gpu"] == 803.25


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("none,big,1000,1,3", ["row 2, board 'none'", "is not packaged", "odroid-xu3"]),
        ("jetson-xavier-nx:MAXX,units,,,3", ["board 'jetson-xavier-nx:MAXX'", "no mode 'MAXX'"]),
        ("rk3588,units,,,3", ["board 'rk3588'", "no power figures"]),
        ("odroid-xu3,board,,,3", ["rail 'board'", "base_w", "give the power of its units"]),
        ("odroid-xu3,bigg,,,3", ["rail 'bigg'", "Did you mean 'big'?", "VDD_ARM"]),
        ("odroid-xu3,VDD_MEM,,,3", ["rail 'VDD_MEM'", "no unit is behind it"]),
        ("odroid-xu3,big,1450,1,3", ["mhz '1450'", "next to it are 1400 and 1500 MHz"]),
        ("odroid-xu3,big,150,1,3", ["mhz '150'", "its lowest is 200 MHz"]),
        ("odroid-xu3,big,1400000,1,3", ["mhz '1400000'", "looks like kHz; give 1400 MHz"]),
        ("odroid-xu3,big,1.4,1,3", ["mhz '1.4'", "looks like GHz; give 1400 MHz"]),
        ("odroid-xu3,big,top,1,3", ["mhz 'top'", "is no number"]),
        ("odroid-xu3,big,,1,3", ["mhz:big ''", "is busy, so its power needs a clock"]),
        (
            "odroid-xu3,units,1800,1,3",
            ["mhz '1800'", "little has no such clock; its highest is 1400 MHz; ", "write mhz:UNIT"],
        ),
        ("odroid-xu3,big,1400,5,3", ["busy '5'", "more than the 4 cores of big"]),
        ("odroid-xu3,big,1400,-1,3", ["busy '-1'", "below 0"]),
        ("odroid-xu3,big,1400,1,", ["power_w ''", "no power"]),
        ("odroid-xu3,big,1400,1,0", ["power_w '0'", "no power"]),
        ("odroid-xu3,big,1400,1,936", ["power_w '936'", "0.936 W by its figures", "looks like mW", "here 0.936"]),
        ("odroid-xu3,big,1400,1,936000", ["looks like µW", "here 0.936"]),
        ("odroid-xu3,big,1400,1,0.000936", ["looks like kW", "here 0.936"]),
        ("odroid-xu3,big,1400,1,1e9", ["0.936 W by its figures", "1e+09 times that is wrong in any unit"]),
    ],
)
def test_a_row_that_is_wrong_is_refused(table: Written, board: Path, line: str, says: list[str]) -> None:
    message = refused(table, board, "board,rail,mhz,busy,power_w", line)
    assert message.startswith("measured.csv, row 2, ")
    assert all(words in message for words in says), message
    assert message.endswith(".")


@pytest.mark.parametrize(
    ("heads", "line", "says"),
    [
        ("mhz:npu,power_w", "500,3", ["mhz:npu '500'", "hand has no unit 'npu'", "big, little, gpu"]),
        ("mhz:gpu,busy:gpu,power_w", "max,2,3", ["busy:gpu '2'", "more than the 1 core of gpu", "GPU counts as one"]),
        ("busy,busy:big,mhz,power_w", "1,1,max,3", ["busy '1'", "beside busy:UNIT"]),
        (
            "busy,mhz,network,activity,power_w",
            "1,max,r40,0.8,3",
            ["activity '0.8'", "beside network", "leave one of both"],
        ),
        ("busy,mhz,activity:big,power_w", "1,max,high,3", ["activity:big 'high'", "is no number"]),
        ("role,power_w", "heldout,3", ["role 'heldout'", "must be held-out or fitted."]),
        ("network,power_w", "resnet,3", ["network 'resnet'", "no such network", "dynamic-ofa-gpu", "leave the cell"]),
    ],
)
def test_other_cells_that_are_wrong(table: Written, board: Path, heads: str, line: str, says: list[str]) -> None:
    message = refused(table, board, heads, line)
    assert all(words in message for words in says), message


def test_each_row_needs_a_board(table: Written) -> None:
    with pytest.raises(PowerTableError, match=r"row 2, board '': no board is named.*--board"):
        checked_rows(read_table(table("power_w", "1")))


def test_idle_power_that_falls_with_the_clock_is_refused(table: Written, board: Path) -> None:
    heads = "rail,mhz,power_w,source"
    message = refused(table, board, heads, "big,1000,0.17,a", "big,500,0.20,a")
    assert message.startswith("measured.csv, row 2, power_w '0.17': ")
    assert "at 500 MHz it took more, 0.2 W (measured.csv, row 3)" in message
    # Noise, another source, and a clock that is higher on one unit and lower on another are no contradiction.
    predicted(rows(table, board, heads, "big,1000,0.185,a", "big,500,0.20,a"))
    predicted(rows(table, board, heads, "big,1000,0.17,a", "big,500,0.20,b"))
    both = "rail,mhz:big,mhz:little,power_w"
    predicted(rows(table, board, both, "big+little,1000,400,0.2", "big+little,500,800,0.4"))
