"""The TX2's figures are what its rails took, clock by clock, and the packaged board has them."""

from statistics import median

import pytest

from actors import tx2_power
from actors.cluster import packaged_board
from actors.measured_tables import measured_rows

SWEEP = {float(row["gpu_mhz"]): row for row in measured_rows("jetson_tx2_gpu_clocks.csv")}


def test_the_packaged_board_has_the_derived_figures():
    board = packaged_board("jetson-tx2")
    gpu, a57, denver = (board.unit(name) for name in ("gpu", "a57", "denver"))
    assert list(gpu.mhz) == list(SWEEP) == list(tx2_power.gpu_static_w())
    assert gpu.static_w == pytest.approx(list(tx2_power.gpu_static_w().values()), abs=5.1e-5)
    assert gpu.dynamic_w == pytest.approx(list(tx2_power.gpu_dynamic_w().values()), abs=5.1e-5)
    assert gpu.memory_share == pytest.approx(tx2_power.memory_share(), abs=5.1e-5)
    scales = [tx2_power.cpu_scale(mhz) for mhz in a57.mhz]
    assert a57.static_w == pytest.approx([scale * tx2_power.cpu_static_w() for scale in scales], abs=5.1e-5)
    dynamic_w = [scale * tx2_power.core_w() * mhz / a57.mhz[-1] for scale, mhz in zip(scales, a57.mhz, strict=True)]
    assert a57.dynamic_w == denver.dynamic_w == pytest.approx(dynamic_w, abs=5.1e-5)
    assert set(denver.static_w) == {0.0}
    assert board.base_w == pytest.approx(tx2_power.base_w(), abs=5.1e-4)


@pytest.mark.parametrize(("mode", "emc_mhz"), [("MAXN", 1866), ("MAXQ", 1331.2), ("MAXP_CORE_ARM", 1600)])
def test_a_mode_has_the_power_of_its_memory_clock(mode, emc_mhz):
    board = packaged_board("jetson-tx2", mode)
    assert board.base_w == pytest.approx(tx2_power.base_w() + tx2_power.emc_w(emc_mhz), abs=1e-3)


def test_the_figures_give_back_what_the_module_took_with_the_cpus_rail_as_measured():
    board = packaged_board("jetson-tx2")
    gpu = board.unit("gpu")
    for mhz, row in SWEEP.items():
        place = gpu.mhz.index(mhz)
        caused_w = tx2_power.vgg19_activity() * gpu.dynamic_w[place]
        assert board.base_w + gpu.static_w[place] + caused_w + float(row["cpu_w"]) == pytest.approx(
            float(row["vdd_in_w"]), abs=2e-3
        )


def test_without_load_the_parts_add_up_to_the_module():
    idle = next(row for row in measured_rows("jetson_tx2_idle.csv") if row["emc_mhz"] == "1866")
    parts_w = tx2_power.base_w() + float(idle["gpu_w"]) + tx2_power.cpu_static_w()
    assert parts_w == pytest.approx(float(idle["vdd_in_w"]))
    assert tx2_power.emc_w(1866) == 0.0
    # By hand: 2.678 and 2.197 W, where it was 3.318 W.
    assert (tx2_power.emc_w(1600), tx2_power.emc_w(1331.2)) == pytest.approx((-0.640, -1.121))


def test_a_second_core_adds_less_than_the_first():
    idle_w, one_w, two_w = (float(row["cpu_w"]) for row in measured_rows("jetson_tx2_cores.csv"))
    assert tx2_power.core_w() == pytest.approx((one_w - idle_w) / 0.99)
    assert two_w - one_w < 0.6 * (one_w - idle_w)


def test_activity_1_is_the_median_of_the_measured_networks():
    ratios = [1.0, *tx2_power.networks_over_vgg19().values()]
    assert len(ratios) == 9
    assert median(ratio * tx2_power.vgg19_activity() for ratio in ratios) == pytest.approx(1.0)
    # By hand, ResNet-50 in half precision and batches of 8 took 9.81 W at the wall at most.
    cpu_w = tx2_power.cpu_scale(1420.8) * (0.289 + tx2_power.core_w() * 1420.8 / 2035.2)
    rest_w = 2.85 - 0.64 + 0.152 + cpu_w
    wall_w = next(
        float(row["wall_w"])
        for row in measured_rows("jetson_tx2_wall.csv")
        if (row["mode"], row["network"], row["datatype"], row["batch"]) == ("MAXP", "ResNet-50", "FP16", "8")
    )
    caused_w = (wall_w - 1.8) * 0.9 - rest_w
    assert tx2_power.over_vgg19()["ResNet-50", "FP16", "100", "8"] * tx2_power.vgg19_w()[1122.0] == pytest.approx(
        caused_w
    )


def test_power_rises_with_the_clock_and_less_than_the_clock_at_first():
    caused_w = list(tx2_power.vgg19_w().values())
    assert caused_w == sorted(caused_w)
    # Hardly a floor: at 0.088 of the top clock there is 0.098 of the power, and at half of it less than half.
    assert caused_w[0] / caused_w[-1] == pytest.approx(0.098, abs=0.002)
    assert tx2_power.vgg19_w()[624.75] / caused_w[-1] < 624.75 / 1300.5


def test_the_memory_share_tells_the_measured_latencies():
    gpu = packaged_board("jetson-tx2").unit("gpu")
    top_ms = [float(row["latency_ms"]) * gpu.pace(mhz) for mhz, row in SWEEP.items()]
    errors = [own / median(top_ms) - 1 for own in top_ms]
    assert max(map(abs, errors)) < 0.065
