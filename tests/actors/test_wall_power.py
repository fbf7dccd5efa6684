"""Boards measured at the wall: their figures and ladders follow from the tables by the stated rules."""

from __future__ import annotations

from itertools import pairwise
from statistics import median

import pytest

from actors.cluster import packaged_board
from actors.stored_profiles import packaged_profile
from actors.wall_power import (
    A53_TO_A73,
    LADDERS,
    N2_BIG_MV,
    N2_LITTLE_MV,
    SYSTEMS,
    TOP_MHZ,
    activity,
    busy_core_w,
    idle_w,
    n2_shape,
    pi4_shape,
    pi4_static_w,
)
from scheduler.board import BoardUnit
from workloads.make_profiles import samples_with


def powered(board: str, name: str) -> tuple[BoardUnit, tuple[float, ...], tuple[float, ...]]:
    unit = packaged_board(board).unit(name)
    assert unit.static_w is not None
    assert unit.dynamic_w is not None
    return unit, unit.static_w, unit.dynamic_w


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=lambda system: system.name)
def test_each_system_has_all_networks(system) -> None:
    assert len(system.runs) == len({run.network for run in system.runs}) == 94
    for run in system.runs:
        assert run.mean_ms > 0
        assert 0.4 < run.top1 < 0.82
        assert run.idle_w < run.wall_w


def test_figures_by_hand() -> None:
    runs = {run.network: run for run in SYSTEMS["odroid-n2-armnn"].runs}
    run = runs["efficientnet-lite0-float32"]
    assert (run.mean_ms, run.top1, run.wall_w, run.idle_w) == (56.2675, 0.75068, 5.045, 2.871)
    assert run.above_idle_w == pytest.approx(2.174)
    assert run.mean_mj == pytest.approx(122.33, abs=0.01)
    # 2.174 W on two cores; the median network adds 0.83325 W a core.
    assert activity(SYSTEMS["odroid-n2-armnn"], run) == pytest.approx(1.087 / 0.83325)


def test_the_raspberry_pis_power_is_the_measured_one() -> None:
    unit, static_w, dynamic_w = powered("raspberry-pi-4", "cpu")
    top = TOP_MHZ["raspberry-pi-4"]
    assert unit.mhz[-1] == top
    assert static_w == pytest.approx([pi4_static_w(mhz) for mhz in unit.mhz], abs=5e-5)
    core_w = busy_core_w("raspberry-pi-4")
    assert dynamic_w == pytest.approx([core_w * pi4_shape(mhz) for mhz in unit.mhz], abs=5e-5)
    base_w = packaged_board("raspberry-pi-4").base_w
    assert base_w == pytest.approx(idle_w("raspberry-pi-4") - pi4_static_w(top), abs=5e-5)
    # What one task adds at 600 and 1500 MHz, the median of six: 213.3 and 617.1 mW.
    assert pi4_shape(600) / pi4_shape(1500) == pytest.approx(0.2133 / 0.6171, rel=1e-3)


def test_the_odroid_n2s_power_is_the_measured_one() -> None:
    board = packaged_board("odroid-n2")
    assert board.base_w == idle_w("odroid-n2")
    core_w = busy_core_w("odroid-n2")
    for name, millivolts, factor in (("big", N2_BIG_MV, 1.0), ("little", N2_LITTLE_MV, A53_TO_A73)):
        unit, static_w, dynamic_w = powered("odroid-n2", name)
        assert unit.mhz == tuple(millivolts)
        assert not any(static_w)
        modelled = [factor * core_w * n2_shape(int(mhz), millivolts) for mhz in unit.mhz]
        assert dynamic_w == pytest.approx(modelled, abs=5e-5)
        assert all(before < after for before, after in pairwise(dynamic_w))
    assert board.unit("little").speed == pytest.approx(592 / 1024 * 1800 / 2208, abs=5e-5)


@pytest.mark.parametrize(("name", "system"), LADDERS.items())
def test_board_and_ladder_give_back_what_was_measured(name: str, system: str) -> None:
    measured = SYSTEMS[system]
    board, profile = packaged_board(measured.board), packaged_profile(name)
    assert profile is not None
    assert board.speed_of == profile.speed_of == measured.board
    unit, static_w, dynamic_w = powered(measured.board, board.units[0].name)
    assert board.base_w is not None
    by_network = {run.network: run for run in measured.runs}
    assert sorted(rung.subnet for rung in profile.rungs) == sorted(by_network)
    for rung in profile.rungs:
        (time,) = rung.times
        run = by_network[rung.subnet]
        assert (time.cores, time.activity_source, rung.accuracy) == (measured.cores, "published", run.top1)
        assert time.mean_ms == pytest.approx(run.mean_ms, rel=1e-3)
        assert time.quantile_ms(0.9) == pytest.approx(run.p90_ms, rel=1e-3)
        busy_w = board.base_w + static_w[-1] + time.cores * dynamic_w[-1] * time.activity
        assert busy_w == pytest.approx(idle_w(measured.board) + run.above_idle_w, abs=2e-3)
    assert unit.cores >= profile.rungs[0].times[0].cores


@pytest.mark.parametrize("board", TOP_MHZ)
def test_the_median_network_has_activity_1(board: str) -> None:
    systems = [system for system in SYSTEMS.values() if system.board == board and system.cores]
    assert median(activity(system, run) for system in systems for run in system.runs) == pytest.approx(1)


@pytest.mark.parametrize(("mean_ms", "p90_ms"), [(10.0, 12.0), (10.0, 9.0), (10.0, 10.0), (2.5, 3.9)])
def test_samples_have_the_published_mean_and_quantile(mean_ms: float, p90_ms: float) -> None:
    samples_ms = samples_with(mean_ms, p90_ms)
    assert list(samples_ms) == sorted(samples_ms)
    assert sum(samples_ms) / len(samples_ms) == pytest.approx(mean_ms, abs=1e-3)
    assert samples_ms[8] == pytest.approx(p90_ms)


def test_samples_of_an_impossible_quantile_are_refused() -> None:
    with pytest.raises(ValueError, match="a mean of 1 ms is too low"):
        samples_with(1.0, 5.0)
