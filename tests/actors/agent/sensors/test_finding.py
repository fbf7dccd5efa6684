"""The rails of `cluster.yaml` are matched with those that are there, before anything has started."""

from dataclasses import replace

import pytest

from actors.agent.sensors.common import Feeds, SensorError
from actors.agent.sensors.finding import check_sensors, sensors_of
from actors.agent.sensors.rail_names import covers
from helpers.sensor_trees import Denied, ina3221_hwmon, odroid_xu3, packages, rapl_zone, tree, write_files
from scheduler.board import Board, BoardUnit
from scheduler.sensor import Sensor

CPU = BoardUnit(name="cpu", kind="cpu", cpus=(0, 1, 2, 3), dvfs="fixed", mhz=(1000.0,), static_w=None, dynamic_w=None)
BIG = replace(CPU, name="big", cpus=(4, 5, 6, 7))
GPU = replace(CPU, name="gpu", kind="gpu", cpus=(), host="cpu")
VDD_IN = Sensor(rail="VDD_IN", driver="ina3221", covers="board")
VDD_CPU = Sensor(rail="VDD_CPU_GPU_CV", driver="ina3221", covers=("cpu", "gpu"))


def board(*sensors, sensor="none", units=(CPU, GPU)):
    return Board(name="test", units=units, base_w=None, sensor=sensor, power_source="unknown", sensors=sensors)


def test_rails_that_are_there_pass_without_a_word(tmp_path):
    ina3221_hwmon(tmp_path)
    assert check_sensors(board(VDD_IN, VDD_CPU), tree(tmp_path)) == []
    assert check_sensors(board(), tree(tmp_path)) == []


def test_a_rail_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    ina3221_hwmon(tmp_path)
    with pytest.raises(SensorError) as error:
        check_sensors(board(replace(VDD_IN, rail="VDD_INN")), tree(tmp_path))
    assert str(error.value) == (
        "power.sensors: rail 'VDD_INN': driver ina3221 finds no such rail here: its rails are VDD_IN (7-0040), "
        "VDD_CPU_GPU_CV (7-0040), VDD_SOC (7-0040). Did you mean 'VDD_IN'?"
    )
    with pytest.raises(SensorError, match="driver rapl finds no such rail here: it finds no rail"):
        check_sensors(board(Sensor(rail="package-0", driver="rapl", covers=("cpu",))), tree(tmp_path))


def test_of_two_chips_with_the_same_label_the_address_says_which(tmp_path):
    for address in ("1-0040", "1-0041"):
        ina3221_hwmon(tmp_path, address=address)
    with pytest.raises(SensorError, match="2 times, at 1-0040 and 1-0041"):
        check_sensors(board(VDD_IN), tree(tmp_path))
    for address in ("0x41", "1-0041"):
        assert check_sensors(board(replace(VDD_IN, address=address)), tree(tmp_path)) == []
    with pytest.raises(SensorError, match="finds no such rail at 0x42"):
        check_sensors(board(replace(VDD_IN, address="0x42")), tree(tmp_path))


def test_a_chip_without_labels_is_known_by_its_address_under_any_name(tmp_path):
    odroid_xu3(tmp_path)
    mine = Sensor(rail="a15", driver="ina2xx", covers=("cpu",), address="0x40")
    assert check_sensors(board(mine), tree(tmp_path)) == []
    with pytest.raises(SensorError, match="finds no such rail at 0x46"):
        check_sensors(board(replace(mine, address="0x46")), tree(tmp_path))


def test_a_rail_that_cannot_be_read_stops_nothing_and_comes_with_its_mend(tmp_path):
    rapl_zone(tmp_path, "intel-rapl:0", "package-0")
    package = Sensor(rail="package-0", driver="rapl", covers=("cpu",))
    assert check_sensors(board(package), tree(tmp_path)) == []
    (notice,) = check_sensors(board(package), Denied(tmp_path, "energy_uj"))
    assert notice.startswith("rail 'package-0' cannot be read, so its energy will be unknown: /sys/class/powercap/")
    assert "Permission denied" in notice
    assert "gearshift doctor" in notice


def test_a_rail_of_this_machine_does_not_measure_an_emulated_unit(tmp_path):
    ina3221_hwmon(tmp_path)
    emulated = (replace(CPU, dvfs="emulated"), GPU)
    for sensor in (VDD_IN, VDD_CPU):
        with pytest.raises(SensorError, match="covers unit 'cpu', whose clock is emulated"):
            check_sensors(board(sensor, units=emulated), tree(tmp_path))


def test_a_replay_is_announced_and_its_file_is_read_beforehand(tmp_path):
    file = tmp_path / "meter.csv"
    file.write_text("at_s,power_w\n0,1\n9,1\n")
    replayed = Sensor(rail="wall", driver="replay", covers="board", file=str(file))
    emulated = (replace(CPU, dvfs="emulated"),)
    (notice,) = check_sensors(board(replayed, units=emulated), tree(tmp_path))
    assert notice == f"rail 'wall' is replayed from {file}: it is not measured in this run"
    file.write_text("at_s,power_w\n0,1\n")
    with pytest.raises(SensorError, match="two rows"):
        check_sensors(board(replayed), tree(tmp_path))


# ---------------------------------------------------------------- guesses


def test_what_feeds_a_unit_covers_it_only_if_it_feeds_all_of_it():
    units = (CPU, BIG, GPU)
    assert covers(Feeds(board=True), units) == "board"
    assert covers(Feeds(cpus=None, gpu=True), units) == ("cpu", "big", "gpu")
    assert covers(Feeds(cpus=(4, 5, 6, 7)), units) == ("big",)
    assert covers(Feeds(cpus=(0, 1, 2)), units) == ()
    assert covers(Feeds(gpu=True), units) == ("gpu",)
    assert covers(Feeds(), units) == ()


def test_the_shorthand_takes_all_rails_whose_names_say_what_they_feed(tmp_path):
    ina3221_hwmon(tmp_path)
    assert sensors_of(board(sensor="ina3221"), tree(tmp_path)) == (
        replace(VDD_IN, address="7-0040"),
        replace(VDD_CPU, address="7-0040"),
    )


def test_the_shorthand_covers_no_unit_twice(tmp_path):
    packages(tmp_path, dict.fromkeys(range(4), "0"))
    rapl_zone(tmp_path, "intel-rapl:0", "package-0")
    rapl_zone(tmp_path, "intel-rapl:0:0", "core")
    rapl_zone(tmp_path, "intel-rapl:1", "psys")
    units = (CPU,)
    assert [(one.rail, one.covers) for one in sensors_of(board(sensor="rapl", units=units), tree(tmp_path))] == [
        ("package-0", ("cpu",)),
        ("psys", "board"),
    ]
    ina3221_hwmon(tmp_path, address="1-0040", labels=("CPU", "VDD_CPU_CV", "GPU"))
    ina3221_hwmon(tmp_path, address="1-0041", labels=("CPU", "NC", "NC"))
    assert [(one.rail, one.address) for one in sensors_of(board(sensor="ina3221"), tree(tmp_path))] == [
        ("CPU", "1-0040"),
        ("GPU", "1-0040"),
    ]


@pytest.mark.parametrize(("labels", "words"), [(None, "it finds no rail"), (("VDDRQ", "NC", "NC"), "VDDRQ (7-0040)")])
def test_a_shorthand_that_measures_nothing_is_refused(tmp_path, labels, words):
    if labels:
        ina3221_hwmon(tmp_path, labels=labels)
    with pytest.raises(SensorError) as error:
        check_sensors(board(sensor="ina3221"), tree(tmp_path))
    assert words in str(error.value)
    assert "power.sensor is 'ina3221'" in str(error.value)


def test_a_rail_that_covers_nothing_is_not_measured(tmp_path):
    ina3221_hwmon(tmp_path)
    assert sensors_of(board(VDD_IN, replace(VDD_IN, rail="VDD_SOC", covers=())), tree(tmp_path)) == (VDD_IN,)


def test_a_package_of_other_cpus_does_not_cover_a_unit(tmp_path):
    packages(tmp_path, {cpu: "01"[cpu > 1] for cpu in range(4)})
    rapl_zone(tmp_path, "intel-rapl:0", "package-0")
    assert sensors_of(board(sensor="rapl"), tree(tmp_path)) == ()
    write_files(tmp_path, "sys/devices/system/cpu/cpu3/topology", physical_package_id=0)
    write_files(tmp_path, "sys/devices/system/cpu/cpu2/topology", physical_package_id=0)
    assert [one.covers for one in sensors_of(board(sensor="rapl"), tree(tmp_path))] == [("cpu",)]
