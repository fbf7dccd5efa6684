"""The packaged boards describe themselves truly, and their figures have sources."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from actors import cluster, odroid_power
from actors.board_schema import BoardError
from actors.cluster import check_host, default_board_path, load_board, packaged_board
from actors.measured_tables import measured_rows

ROOT = Path(__file__).parents[2]
BOARDS = Path(cluster.__file__).parent / "boards"
EMULATED = ["one-unit-host", "two-core-host"]
SIMULATED = sorted({path.stem for path in BOARDS.glob("*.yaml")} - set(EMULATED))
NAMES = [*EMULATED, *SIMULATED]
XAVIER_NX = ["jetson-xavier-nx", "jetson-xavier-nx-unclamped"]
AT_THE_WALL = ["odroid-n2", "raspberry-pi-4"]
FITTED = [*XAVIER_NX, "jetson-agx-xavier", "jetson-tx2", *AT_THE_WALL]
POWERED = [*EMULATED, "odroid-xu3", *FITTED]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_boards_say_what_they_are(name):
    first_line = (BOARDS / f"{name}.yaml").read_text().splitlines()[0]
    assert "Describes the board" in first_line
    assert "not a file of Ray's cluster launcher" in first_line
    board = packaged_board(name)
    assert board.name == name
    assert board.powered == (name in POWERED)
    assert (board.base_w is not None) == (name in FITTED)
    mark = "fitted" if name in FITTED else "published" if name in POWERED else "unknown"
    assert board.power_source.startswith(f"{mark}: ")


def figures(content):
    """Yield each key of a board's file that holds a figure or a name of the board's own, with its unit or None."""
    for unit in content["units"]:
        for key, value in unit.items():
            if key == "thermal":
                yield from ((unit["name"], f"thermal.{part}") for part in value)
            elif key not in ("name", "kind", "dvfs", "host"):
                yield unit["name"], key
    yield from ((None, key) for key in ("modes", "ambient_c") if key in content)
    if any("emc_w" in mode for mode in content.get("modes", ())):
        yield None, "emc_w"
    yield from ((None, key) for key in ("base_w", "sensors") if content["power"].get(key) is not None)


@pytest.mark.parametrize("name", NAMES)
def test_each_figure_has_a_source_and_each_source_a_figure(name):
    """Whether a source says so, only a reader can check; that one is named for each figure, this test does."""
    content = yaml.safe_load((BOARDS / f"{name}.yaml").read_text())
    used = set()
    for unit, key in figures(content):
        found = [source for source in (f"{unit}.{key}", key) if source in content["sources"]]
        assert found, f"{name}: {key} of {unit} has no source"
        used.add(found[0])
    assert used == set(content["sources"])


@pytest.mark.parametrize("name", SIMULATED)
def test_a_board_that_this_machine_is_not_can_still_be_simulated(name):
    board = packaged_board(name)
    if {cpu for unit in board.units for cpu in unit.cpus} <= os.sched_getaffinity(0):
        pytest.skip("this machine has all its CPUs")
    with pytest.raises(BoardError, match=f"^Board '{name}', unit .* simulate it with --backend sim"):
        check_host(board)


@pytest.mark.parametrize("name", NAMES)
def test_each_mode_leaves_its_cpus_and_what_is_known_of_power(name):
    whole = yaml.safe_load((BOARDS / f"{name}.yaml").read_text())
    there = {cpu for unit in whole["units"] for cpu in unit.get("cpus", [])}
    for mode in packaged_board(name).modes:
        board = packaged_board(name, mode.name)
        assert {cpu for unit in board.units for cpu in unit.cpus} == set(mode.cpus or there)
        assert board.powered == (name in POWERED)


def test_an_unknown_packaged_board_is_refused_with_the_nearest():
    with pytest.raises(BoardError, match="Did you mean 'two-core-host'") as caught:
        packaged_board("two-cores-host")
    assert "odroid-xu3, odroid-xu4, one-unit-host" in str(caught.value)


def test_the_projects_own_board_is_the_packaged_one(tmp_path, monkeypatch):
    assert load_board(ROOT / "cluster.yaml") == packaged_board("two-core-host")
    monkeypatch.chdir(tmp_path)
    assert load_board(default_board_path()) == packaged_board("two-core-host")
    (tmp_path / "cluster.yaml").write_text("mine")
    assert default_board_path() == Path("cluster.yaml")


def test_the_boards_differ_as_documented():
    big, little = packaged_board("two-core-host").units
    (both,) = packaged_board("one-unit-host").units
    assert little.speed == pytest.approx(big.speed * odroid_power.speed_of_little(), abs=5e-5)
    assert both == replace(big, name="cpu", cpus=(0, 1))


def test_the_whole_odroid_is_the_emulated_one_with_all_its_cores_and_all_its_clocks():
    emulated, whole = packaged_board("two-core-host"), packaged_board("odroid-xu3")
    for name in ("big", "little"):
        one, all_cores = emulated.unit(name), whole.unit(name)
        assert all_cores.mhz == tuple(range(200, int(one.mhz[-1]) + 1, 100))
        second = slice(None, None, 2)
        assert (all_cores.mhz[second], all_cores.static_w[second], all_cores.dynamic_w[second]) == (
            one.mhz,
            one.static_w,
            one.dynamic_w,
        )
        assert (all_cores.speed, all_cores.cores, all_cores.transition_us) == (one.speed, 4, 140.0)


def test_the_odroids_heat_is_fitted_to_the_temperatures_of_the_measured_table():
    table = measured_rows("odroid_xu3_power.csv")
    rows = [row for row in table if row["cluster"] == "a15" and row["mhz"] != "2000"]
    bounds_c = [[float(end) for end in row["temperature_c"].split("-")] for row in rows]
    slope, intercept = np.polyfit([float(row["power_w"]) for row in rows], np.mean(bounds_c, axis=1), 1)
    board = packaged_board("odroid-xu3")
    heat = board.unit("big").thermal
    assert heat.c_per_w == pytest.approx(slope, abs=0.005)
    assert board.ambient_c == pytest.approx(intercept, abs=0.05)
    # 1800 MHz did not throttle, 2000 MHz did; so it is with four cores by the board's power, and with one it never is.
    assert bounds_c[-1][1] < heat.trip_c <= 84
    big = board.unit("big")
    steady_c = {
        (mhz, cores): board.ambient_c + heat.c_per_w * (static_w + cores * dynamic_w)
        for mhz, static_w, dynamic_w in zip(big.mhz, big.static_w, big.dynamic_w, strict=True)
        for cores in (1, 4)
    }
    assert steady_c[1800, 4] < heat.trip_c < steady_c[2000, 4]
    assert steady_c[2000, 1] < heat.trip_c


def test_the_stock_xavier_is_the_whole_one_in_a_mode_of_nvpmodel():
    stock, free = packaged_board("jetson-xavier-nx"), packaged_board("jetson-xavier-nx-unclamped")
    assert packaged_board("jetson-xavier-nx", stock.mode) == replace(stock, name="jetson-xavier-nx:MODE_15W_6CORE")
    for name in ("cluster0", "cluster1", "cluster2"):
        one, whole = stock.unit(name), free.unit(name)
        kept = slice(whole.mhz.index(1190.4), whole.mhz.index(1420.8) + 1)
        assert (one.mhz, one.static_w, one.dynamic_w) == (
            whole.mhz[kept],
            whole.static_w[kept],
            whole.dynamic_w[kept],
        )
        assert len(whole.mhz) == 25
    assert stock.unit("gpu") == free.unit("gpu")
    assert (len(stock.unit("gpu").mhz), stock.unit("gpu").mhz[-1]) == (15, 1109.25)
    assert stock.speed_of == free.speed_of == "jetson-xavier-nx"


def test_the_modes_of_the_xavier_nx_are_the_nine_published_ones():
    """Number, CPUs online, the CPUs' highest clock, the GPU's, and the memory's."""
    table = [
        [
            (board := packaged_board("jetson-xavier-nx", mode.name)).mode,
            mode.id,
            sum(unit.cores for unit in board.units if unit.kind == "cpu"),
            board.unit("cluster0").mhz[-1],
            board.unit("gpu").mhz[-1],
            mode.emc_mhz,
        ]
        for mode in packaged_board("jetson-xavier-nx").modes
    ]
    assert table == [
        ["MODE_15W_2CORE", 0, 2, 1907.2, 1109.25, 1600],
        ["MODE_15W_4CORE", 1, 4, 1420.8, 1109.25, 1600],
        ["MODE_15W_6CORE", 2, 6, 1420.8, 1109.25, 1600],
        ["MODE_10W_2CORE", 3, 2, 1497.6, 803.25, 1600],
        ["MODE_10W_4CORE", 4, 4, 1190.4, 803.25, 1600],
        ["MODE_10W_DESKTOP", 5, 4, 1907.2, 510.0, 1600],
        ["MODE_20W_2CORE", 6, 2, 1907.2, 1109.25, 1866],
        ["MODE_20W_4CORE", 7, 4, 1420.8, 1109.25, 1866],
        ["MODE_20W_6CORE", 8, 6, 1420.8, 1109.25, 1866],
    ]


@pytest.mark.parametrize(
    ("name", "top", "capacities"),
    [("odroid-xu4", "big", (539, 1024)), ("rk3588", "big0", (530, 1024))],
)
def test_a_little_core_is_as_fast_as_the_kernels_capacities_and_the_clocks_say(name, top, capacities):
    board = packaged_board(name)
    little, big = board.unit("little"), board.unit(top)
    assert big.speed == 1.0
    assert little.speed == pytest.approx(capacities[0] / capacities[1] * little.mhz[-1] / big.mhz[-1], abs=5e-5)


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


def test_the_documented_sensors_and_mode_are_those_of_a_xavier_nx():
    xavier = yaml.safe_load((BOARDS / "jetson-xavier-nx.yaml").read_text())
    pieces = {key: value for content in documented() if len(content) == 1 for key, value in content.items()}
    assert pieces == {"modes": xavier["modes"][:1], "power": {"sensors": xavier["power"]["sensors"]}}


def row(board):
    """A board's row in the documentation; units that are alike are told once."""
    alike = Counter((unit.kind, unit.cores, unit.mhz[0], unit.mhz[-1]) for unit in board.units)
    units = ", ".join(
        f"{f'{count} × ' if count > 1 else ''}{f'{cores} CPU' + 's' * (cores > 1) if kind == 'cpu' else 'GPU'} "
        f"{low:g} to {high:g}"
        for (kind, cores, low, high), count in alike.items()
    )
    modes = ", ".join(f"`{mode.name}` ({mode.id})" for mode in board.modes) or "none"
    rails = ", ".join(f"`{rail.rail}`" for rail in board.sensors) or "none"
    return f"| `{board.name}` | {units} | {modes} | {rails} | {board.power_source.partition(':')[0]} |"


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_has_a_row_for_each_board(name):
    assert row(packaged_board(name)) in (ROOT / "docs" / "boards.md").read_text().splitlines()
