"""A set of parameters makes a board, clock by clock, and the packaged Xavier NX is that of the medians."""

from dataclasses import replace

import pytest

from actors.cluster import packaged_board
from actors.xavier_fit import fit, stated
from actors.xavier_power import (
    STOCK,
    UNCLAMPED,
    board_of,
    cluster_w,
    core_w,
    draws_of,
    gpu_scale,
    gpu_voltage,
    idle_gpu_w,
    with_power,
)

SETS = fit()
MEDIANS = stated(SETS)


@pytest.mark.parametrize("name", [STOCK, UNCLAMPED])
def test_the_packaged_board_is_that_of_the_medians(name):
    packaged, fitted = packaged_board(name), board_of(MEDIANS, name)
    assert packaged.base_w == pytest.approx(fitted.base_w, abs=5.1e-5)
    for unit in packaged.units:
        other = fitted.unit(unit.name)
        assert unit.static_w == pytest.approx(other.static_w, abs=5.1e-5)
        assert unit.dynamic_w == pytest.approx(other.dynamic_w, abs=5.1e-5)
        assert (unit.speed, unit.memory_share) == pytest.approx((other.speed, other.memory_share), abs=5.1e-5)
    plain = {"static_w": None, "dynamic_w": None, "speed": 1.0, "memory_share": 0.0}
    assert [replace(unit, **plain) for unit in packaged.units] == [replace(unit, **plain) for unit in fitted.units]


def test_a_sets_board_has_its_power_clock_by_clock():
    one = SETS[5]
    board, draws = board_of(one, UNCLAMPED), draws_of(one)
    cluster, gpu = board.unit("cluster2"), board.unit("gpu")
    assert board.base_w == one.base_w
    assert cluster.static_w == pytest.approx([cluster_w(draws, mhz).item() for mhz in cluster.mhz])
    assert cluster.dynamic_w == pytest.approx([one.cpu_activity * core_w(draws, mhz).item() for mhz in cluster.mhz])
    assert gpu.static_w == pytest.approx([idle_gpu_w(draws, mhz).item() for mhz in gpu.mhz])
    top_w = one.gpu_activity * one.gpu_dynamic_w
    assert gpu.dynamic_w == pytest.approx([top_w * gpu_scale(draws, mhz).item() for mhz in gpu.mhz])
    assert (cluster.memory_share, gpu.memory_share) == (one.cpu_memory_share, one.gpu_memory_share)
    assert (cluster.transition_us, gpu.transition_us) == (300, one.gpu_transition_us)


def test_power_at_the_top_clocks_is_the_parameter_itself():
    draws = draws_of(MEDIANS)
    assert core_w(draws, 1907.2).item() == pytest.approx(MEDIANS.cpu_dynamic_w)
    assert cluster_w(draws, 1907.2).item() == pytest.approx(MEDIANS.cpu_static_w)
    assert idle_gpu_w(draws, 1109.25).item() == pytest.approx(MEDIANS.gpu_static_w)
    assert gpu_scale(draws, 1109.25).item() == pytest.approx(1.0)


def test_a_busy_gpu_may_have_a_floor_that_its_clock_does_not_lower():
    one = replace(MEDIANS, gpu_floor_share=0.25, gpu_voltage_share=0.8)
    # By hand at 114.75 MHz: 0.25 + 0.75 · 0.8² · 0.10345.
    assert gpu_scale(draws_of(one), 114.75).item() == pytest.approx(0.25 + 0.75 * 0.64 * 114.75 / 1109.25)
    assert gpu_voltage(draws_of(one), 612.0).item() == pytest.approx(0.9)


def test_the_memory_of_a_20_w_mode_takes_what_the_set_says():
    one = SETS[7]
    stock, fast = (packaged_board(STOCK, name) for name in ("MODE_15W_6CORE", "MODE_20W_6CORE"))
    assert fast.base_w == pytest.approx(stock.base_w + 0.9)
    assert with_power(stock, one).base_w == one.base_w
    assert with_power(fast, one).base_w == one.base_w + one.emc_w
    # A set's board may be put in a mode as well.
    assert {mode.emc_w for mode in with_power(stock, one).modes} == {None, one.emc_w}


def test_published_times_hold_at_1420_mhz_whatever_the_memory_share():
    for one in SETS[:20]:
        assert board_of(one, UNCLAMPED).unit("cluster0").pace(1420.8) == pytest.approx(1.0)
        assert board_of(one, STOCK).unit("cluster0").pace(1420.8) == pytest.approx(1.0)
        assert board_of(one, STOCK).unit("gpu").pace(1109.25) == pytest.approx(1.0)
