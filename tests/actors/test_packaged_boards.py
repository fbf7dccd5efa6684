"""The packaged boards describe themselves truly, and their figures have sources."""

import csv
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import yaml

from actors import cluster
from actors.board_schema import BoardError
from actors.cluster import check_host, default_board_path, load_board, packaged_board

ROOT = Path(__file__).parents[2]
BOARDS = Path(cluster.__file__).parent / "boards"
NAMES = ["one-unit-host", "two-core-host"]
SIMULATED = ["jetson-xavier-nx", "jetson-xavier-nx-unclamped", "odroid-xu3"]


@pytest.mark.parametrize("name", NAMES + SIMULATED)
def test_shipped_boards_say_what_they_are(name):
    first_line = (BOARDS / f"{name}.yaml").read_text().splitlines()[0]
    assert "Describes the board" in first_line
    assert "not a file of Ray's cluster launcher" in first_line
    board = packaged_board(name)
    assert board.name == name
    fitted = "xavier" in name
    assert (board.base_w is None) != fitted
    assert board.power_source.startswith("fitted" if fitted else "modelled")


def test_every_packaged_board_is_known_to_these_tests():
    assert sorted(NAMES + SIMULATED) == sorted(path.stem for path in BOARDS.glob("*.yaml"))


@pytest.mark.parametrize("name", SIMULATED)
def test_boards_for_simulation_are_not_driven(name):
    with pytest.raises(BoardError, match=r"cannot be driven here yet.*--backend sim"):
        check_host(packaged_board(name))


def test_an_unknown_packaged_board_is_refused_with_the_nearest():
    with pytest.raises(BoardError, match="Did you mean 'two-core-host'") as caught:
        packaged_board("two-cores-host")
    assert "odroid-xu3, one-unit-host, two-core-host" in str(caught.value)


def test_the_projects_own_board_is_the_packaged_one(tmp_path, monkeypatch):
    assert load_board(ROOT / "cluster.yaml") == packaged_board("two-core-host")
    monkeypatch.chdir(tmp_path)
    assert load_board(default_board_path()) == packaged_board("two-core-host")
    (tmp_path / "cluster.yaml").write_text("mine")
    assert default_board_path() == Path("cluster.yaml")


def test_the_boards_differ_as_documented():
    big, little = packaged_board("two-core-host").units
    (both,) = packaged_board("one-unit-host").units
    assert little.speed == pytest.approx(big.speed * 539 / 1024, abs=5e-5)  # the kernel's capacities
    assert both == replace(big, name="cpu", cpus=(0, 1))


def test_the_whole_odroid_is_the_emulated_one_with_all_its_cores_and_without_the_throttling_clock():
    emulated, whole = packaged_board("two-core-host"), packaged_board("odroid-xu3")
    for name, left_out in (("big", 1), ("little", 0)):
        one, all_cores = emulated.unit(name), whole.unit(name)
        kept = len(one.mhz) - left_out
        assert all_cores.mhz == one.mhz[:kept]
        assert (all_cores.static_w, all_cores.dynamic_w) == (one.static_w[:kept], one.dynamic_w[:kept])
        assert all_cores.pace(all_cores.mhz[-1]) == pytest.approx(one.pace(all_cores.mhz[-1]))
        assert (all_cores.cores, all_cores.transition_us) == (4, 140.0)


def test_the_odroids_heat_is_fitted_to_the_temperatures_of_the_measured_table():
    rows = [row for row in measured("a15") if row["mhz"] != "2000"]
    bounds_c = [[float(end) for end in row["temperature_c"].split("-")] for row in rows]
    slope, intercept = np.polyfit([float(row["power_w"]) for row in rows], np.mean(bounds_c, axis=1), 1)
    board = packaged_board("odroid-xu3")
    heat = board.unit("big").thermal
    assert heat.c_per_w == pytest.approx(slope, abs=0.005)
    assert board.ambient_c == pytest.approx(intercept, abs=0.05)
    # 1800 MHz did not throttle, 2000 MHz did.
    assert bounds_c[-1][1] < heat.trip_c <= 84


def test_the_stock_xavier_keeps_to_its_nvpmodel_mode():
    lines = [line for line in (BOARDS / "xavier_nx_nvpmodel.csv").read_text().splitlines() if line[0] != "#"]
    (mode,) = [row for row in csv.DictReader(lines) if row["name"] == "MODE_15W_6CORE"]
    stock, free = packaged_board("jetson-xavier-nx"), packaged_board("jetson-xavier-nx-unclamped")
    clusters = [unit for unit in stock.units if unit.kind == "cpu"]
    assert sum(unit.cores for unit in clusters) == int(mode["cpu_cores"])
    low, high = int(mode["cpu_min_khz"]) / 1000, int(mode["cpu_max_khz"]) / 1000
    for name in ("cluster0", "cluster1", "cluster2"):
        assert stock.unit(name).mhz == tuple(mhz for mhz in free.unit(name).mhz if low <= mhz <= high)
        assert len(free.unit(name).mhz) == 25
    assert stock.unit("gpu") == free.unit("gpu")
    assert (len(stock.unit("gpu").mhz), stock.unit("gpu").mhz[-1]) == (15, int(mode["gpu_max_hz"]) / 1e6)
    assert stock.speed_of == free.speed_of == "jetson-xavier-nx"


# Device-tree voltages in mV, and the kernel's dynamic power coefficients (exynos5422-odroid-core.dtsi,
# exynos5420-cpus.dtsi); how many busy cores the measured column fits.
MV = {
    "a15": {200: 900, 400: 900, 600: 900, 800: 900, 1000: 1000, 1200: 1000, 1400: 1100, 1600: 1250}
    | {1800: 1237.5, 2000: 1312.5},
    "a7": {200: 900, 400: 1000, 600: 1000, 800: 1100, 1000: 1100, 1200: 1250, 1400: 1275},
}
COEFFICIENT = {"a15": 310, "a7": 90}
BUSY_CORES = {"a15": 4, "a7": 1}


def measured(column):
    lines = (BOARDS / "odroid_xu3_power.csv").read_text().splitlines()
    return [row for row in csv.DictReader(line for line in lines if line[0] != "#") if row["cluster"] == column]


@pytest.mark.parametrize(
    ("column", "board", "name"),
    [("a15", "two-core-host", "big"), ("a7", "two-core-host", "little"), ("a15", "one-unit-host", "cpu")],
)
def test_power_follows_from_the_measured_table_by_the_stated_rule(column, board, name):
    rows = measured(column)
    mhz = [int(row["mhz"]) for row in rows]
    dynamic_w = [COEFFICIENT[column] * MV[column][step] ** 2 * step / 1e12 for step in mhz]
    left_w = [
        max(0.0, float(row["power_w"]) - BUSY_CORES[column] * watts) for row, watts in zip(rows, dynamic_w, strict=True)
    ]
    unit = packaged_board(board).unit(name)
    assert unit.mhz == tuple(mhz)
    assert unit.dynamic_w == pytest.approx(dynamic_w, abs=5.1e-5)
    assert unit.static_w == pytest.approx(list(accumulate(left_w, max)), abs=5.1e-5)


def documented():
    """Each piece of YAML in the documentation: whole boards, and single keys."""
    text = (ROOT / "docs" / "boards.md").read_text()
    return [yaml.safe_load(block.split("```")[0]) for block in text.split("```yaml\n")[1:]]


def test_the_documented_boards_can_be_read(tmp_path):
    units = {}
    for content in documented():
        if "name" in content:
            (tmp_path / "board.yaml").write_text(yaml.safe_dump(content))
            board = load_board(tmp_path / "board.yaml")
            units[board.name] = [(unit.name, unit.kind, unit.cores) for unit in board.units]
    assert units == {"laptop": [("cpu", "cpu", 2)], "workstation": [("cpu", "cpu", 2), ("gpu", "gpu", 1)]}


def test_the_documented_sensors_are_those_of_a_xavier_nx(tmp_path):
    (sensors,) = [content["power"] for content in documented() if list(content) == ["power"]]
    xavier = yaml.safe_load((BOARDS / "jetson-xavier-nx.yaml").read_text())
    (tmp_path / "board.yaml").write_text(yaml.safe_dump({**xavier, "power": xavier["power"] | sensors}))
    rails = {sensor.rail: sensor.covers for sensor in load_board(tmp_path / "board.yaml").sensors}
    cpus = ("cluster0", "cluster1", "cluster2")
    assert rails == {"VDD_IN": "board", "VDD_CPU_GPU_CV": (*cpus, "gpu"), "VDD_SOC": ()}
