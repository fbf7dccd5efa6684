"""The figures of the boards that are or play an Odroid XU3 follow from the measured tables by the stated rules."""

from __future__ import annotations

from itertools import pairwise
from statistics import median

import pytest

from actors.cluster import packaged_board
from actors.measured_tables import measured_rows
from actors.odroid_power import (
    BOARDS,
    CLUSTER_OF,
    TOP_MHZ,
    OdroidPower,
    clock_share,
    dynamic_w,
    leakage_of_other_chip,
    one_core,
    power_sets,
    speed_of_little,
    speeds_of_little,
    static_w,
    with_power,
)

UNITS = [(board, unit.name) for board in BOARDS for unit in packaged_board(board).units]


@pytest.mark.parametrize(("board", "name"), UNITS)
def test_a_boards_power_is_the_measured_one(board: str, name: str) -> None:
    unit, cluster = packaged_board(board).unit(name), CLUSTER_OF[name]
    assert unit.static_w is not None
    assert unit.dynamic_w is not None
    assert unit.mhz[-1] == TOP_MHZ[cluster]
    assert unit.static_w == tuple(static_w(cluster)[int(mhz)] for mhz in unit.mhz)
    assert unit.dynamic_w == tuple(dynamic_w(cluster)[int(mhz)] for mhz in unit.mhz)


@pytest.mark.parametrize("board", ["odroid-xu3", "two-core-host"])
def test_the_little_core_is_as_fast_as_the_measured_times_say(board: str) -> None:
    big, little = packaged_board(board).units
    assert little.speed == pytest.approx(big.speed * speed_of_little(), abs=5e-5)


@pytest.mark.parametrize(("cluster", "clocks"), [("a15", 19), ("a7", 14)])
def test_the_tables_have_each_clock_and_rise_with_it(cluster: str, clocks: int) -> None:
    table = one_core(cluster)
    assert table.mhz == tuple(range(200, 200 + 100 * clocks, 100))
    assert len(table.workloads) == 13
    for rising in (table.idle_w, *table.above_idle_w.values()):
        assert len(rising) == clocks
        assert all(0 < before < after for before, after in pairwise(rising))


def test_figures_by_hand() -> None:
    # At 1000 MHz of the A15, in mW: 358.8 359 ... the seventh of thirteen is that of `decrypt`.
    row = next(
        row for row in measured_rows("odroid_xu3_one_core_power.csv") if (row["cluster"], row["mhz"]) == ("a15", "1000")
    )
    above = sorted(float(watts) for column, watts in row.items() if column not in ("cluster", "mhz", "idle_w"))
    assert (static_w("a15")[1000], dynamic_w("a15")[1000]) == (0.133, above[6])
    assert above[6] == float(row["decrypt"])
    # `gzip-5` takes 0.0647 of the unit of time on the A15 at 2000 MHz, and 0.1453 on the A7 at 1400 MHz.
    assert speed_of_little() == pytest.approx(0.0647 / 0.1453, abs=0.001)


def test_workloads_that_wait_for_memory_say_nothing_of_how_fast_a_core_is() -> None:
    assert sorted(speeds_of_little()) == ["cacherate-0", "decrypt", "encrypt", "gzip-1", "gzip-5", "gzip-9", "hash"]
    assert clock_share("a15", "decrypt") == pytest.approx(1.0, abs=0.01)
    assert clock_share("a15", "cachekiller") < 0.1
    others = [
        clock_share(cluster, name)
        for cluster in TOP_MHZ
        for name in one_core(cluster).workloads
        if name not in speeds_of_little()
    ]
    assert max(others) < 0.66


@pytest.mark.parametrize("name", BOARDS)
def test_a_set_is_one_workloads_power_and_one_chips_idle_power(name: str) -> None:
    board = packaged_board(name)
    sets = power_sets()
    assert len(sets) == len(set(sets)) == 26
    for one in sets:
        changed = with_power(board, one)
        for unit, was in zip(changed.units, board.units, strict=True):
            assert unit.dynamic_w is not None
            assert unit.static_w is not None
            assert was.static_w is not None
            table = one_core(CLUSTER_OF[unit.name])
            assert unit.dynamic_w[-1] == table.above_idle_w[one.workload][table.mhz.index(int(unit.mhz[-1]))]
            hotter = one.hotter and CLUSTER_OF[unit.name] == "a15"
            assert (unit.static_w != was.static_w) == hotter
            assert all(before < after for before, after in pairwise(unit.static_w))
            assert (unit.mhz, unit.speed, unit.memory_share) == (was.mhz, was.speed, was.memory_share)


def test_the_packaged_figures_are_the_median_over_the_workloads_of_the_sets() -> None:
    board = packaged_board("odroid-xu3")
    of_sets = [with_power(board, one).unit("big").dynamic_w for one in power_sets() if not one.hotter]
    assert board.unit("big").dynamic_w == tuple(median(own) for own in zip(*of_sets, strict=True))


def test_the_hotter_chip_takes_what_was_measured_of_it() -> None:
    table = one_core("a15")
    factors = dict(zip(table.mhz, leakage_of_other_chip(table), strict=True))
    hot = with_power(packaged_board("odroid-xu3"), OdroidPower(workload="hash", hotter=True)).unit("big")
    assert hot.static_w is not None
    of_mhz = dict(zip(hot.mhz, hot.static_w, strict=True))
    assert of_mhz[1000] == pytest.approx(0.235)
    assert of_mhz[2000] == pytest.approx(1.154)
    assert factors[200] == factors[1000]
    assert factors[1500] == pytest.approx((factors[1000] + factors[2000]) / 2)
