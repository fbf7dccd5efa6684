"""The AGX Xavier's figures follow from its runs and rails, and the packaged board has them."""

from statistics import median

import pytest

from actors import agx_power
from actors.cluster import packaged_board
from actors.measured_tables import measured_rows
from actors.xavier_fit import gpu_runs, runs
from actors.xavier_power import STOCK

BOARD = packaged_board(agx_power.NAME)
RAILS = [row for row in measured_rows("agx_xavier_rails.csv") if row["load"] == "yolov3"]


def test_the_packaged_board_has_the_derived_figures():
    gpu = BOARD.unit("gpu")
    assert gpu.static_w == pytest.approx([agx_power.gpu_static_w(mhz) for mhz in gpu.mhz], abs=5.1e-5)
    top_w = agx_power.top_gpu_dynamic_w()
    assert gpu.dynamic_w == pytest.approx([top_w * agx_power.gpu_scale(mhz) for mhz in gpu.mhz], abs=5.1e-5)
    for name in ("cluster0", "cluster3"):
        cluster = BOARD.unit(name)
        assert cluster.static_w == pytest.approx([agx_power.static_w(mhz) for mhz in cluster.mhz], abs=5.1e-5)
        assert cluster.dynamic_w == pytest.approx([agx_power.dynamic_w(mhz) for mhz in cluster.mhz], abs=5.1e-5)
    assert BOARD.base_w == pytest.approx(agx_power.base_w(), abs=5.1e-5)


def test_a_core_is_that_of_a_xavier_nx():
    nx = packaged_board("jetson-xavier-nx-unclamped").unit("cluster0")
    own = BOARD.unit("cluster0")
    for mhz in nx.mhz:
        if mhz in own.mhz:
            assert own.dynamic_w[own.mhz.index(mhz)] == pytest.approx(nx.dynamic_w[nx.mhz.index(mhz)], abs=1.1e-4)
            assert own.static_w[own.mhz.index(mhz)] == pytest.approx(nx.static_w[nx.mhz.index(mhz)], abs=1.1e-4)


def test_the_idle_board_of_the_runs_is_given_back():
    idle_w = median(run.idle_w for run in runs() if run.board == agx_power.NAME)
    assert BOARD.base_w + agx_power.static_w(1190.4) + BOARD.unit("gpu").static_w[0] == pytest.approx(idle_w, abs=2e-4)


def test_activity_1_is_the_median_run_and_networks_compare_as_on_a_xavier_nx():
    own = {(run.network, run.scenario): agx_power.top_gpu_w(run) for run in gpu_runs(agx_power.NAME)}
    assert median(own.values()) == pytest.approx(agx_power.top_gpu_dynamic_w())
    least, most = (pick(own, key=own.__getitem__) for pick in (min, max))
    assert (least, most) == (("ssd-mobilenet", "single"), ("rnnt", "offline"))
    assert {(run.network, run.scenario) for run in gpu_runs(STOCK)} == set(own)


def test_the_gpus_power_goes_with_the_clock_as_its_rail_did():
    idle_w = next(float(row["gpu_w"]) for row in measured_rows("agx_xavier_rails.csv") if row["load"] == "idle")
    rail_w = {mode: float(row["gpu_w"]) - idle_w for row in RAILS for mode in [row["mode"]]}
    assert agx_power.gpu_scale(675.75) == pytest.approx(rail_w["MODE_15W"] / rail_w["MAXN"])
    at_905 = median(rail_w[row["mode"]] for row in RAILS if row["gpu_mhz"] == "905.25")
    assert agx_power.gpu_scale(905.25) == pytest.approx(at_905 / rail_w["MAXN"])
    # Below the lowest of them the voltage stays.
    assert agx_power.gpu_scale(318.75) == pytest.approx(agx_power.gpu_scale(675.75) * 318.75 / 675.75)


def test_all_rails_together_took_what_the_figures_say_at_the_wall():
    """The level is that of other runs at the wall, and the rails of SoC, memory and 5 V were used for nothing."""
    gpu, errors = BOARD.unit("gpu"), {}
    for row in RAILS:
        if row["mode"] == "MODE_10W":  # with half of the GPU off
            continue
        place, mhz = gpu.mhz.index(float(row["gpu_mhz"])), float(row["cpu_mhz"])
        clusters_w = int(row["cpu_cores"]) / 2 * agx_power.static_w(mhz)
        cores_w = float(row["busy_cores"]) * agx_power.dynamic_w(mhz)
        errors[row["mode"]] = (
            BOARD.base_w + clusters_w + cores_w + gpu.static_w[place] + gpu.dynamic_w[place]
        ) / agx_power.wall_w(row)
    assert all(ratio == pytest.approx(1.0, abs=0.12) for ratio in errors.values())
