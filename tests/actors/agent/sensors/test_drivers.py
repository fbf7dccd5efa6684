"""Each driver finds the rails that a kernel shows, names and reads them rightly, and says what can't be read."""

import errno

import pytest

from actors.agent.devices.sysfs import GarbageError, KnobError, Tree
from actors.agent.sensors import DRIVERS, found
from actors.agent.sensors.common import Feeds, Period
from helpers.sensor_trees import Denied, ina3221_hwmon, ina3221_iio, odroid_xu3, packages, rapl_zone, tree, write_files

NOTHING = Feeds()
CPUS_AND_GPU = Feeds(cpus=None, gpu=True)
BOARD = Feeds(board=True)


def opened(root, name):
    (rail,) = [rail for rail in found(tree(root)) if rail.rail == name]
    return DRIVERS[rail.driver].open(tree(root), rail)


def by_name(root):
    return {rail.rail: rail for rail in found(tree(root))}


def test_a_machine_without_sensors_has_no_rails(tmp_path):
    assert found(tree(tmp_path)) == ()


@pytest.mark.parametrize(
    ("name", "files", "step_w"),
    [
        ("ina231", {}, 0.00625),
        ("ina226", {"shunt_resistor": 2000}, 0.03125),
        ("ina219", {"shunt_resistor": 10000}, 0.02),
    ],
)
def test_a_chip_tells_its_least_step_by_its_shunt(tmp_path, name, files, step_w):
    where = "sys/bus/i2c/devices/0-0040/hwmon/hwmon0"
    write_files(tmp_path, where, name=name, power1_input=1, **files)
    assert opened(tmp_path, "0-0040").step_w == pytest.approx(step_w)


def test_an_ina3221_steps_by_its_shunt_and_its_voltage(tmp_path):
    ina3221_hwmon(tmp_path, shunt2_resistor=20_000)
    # 5.08 V, and a shunt of 5 mΩ where the driver does not say.
    assert opened(tmp_path, "VDD_IN").step_w == pytest.approx(0.008 * 5.08)
    assert opened(tmp_path, "VDD_CPU_GPU_CV").step_w == pytest.approx(0.002 * 5.08)


# ---------------------------------------------------------------- INA3221


def test_an_ina3221_under_hwmon_has_its_three_labels_and_their_products(tmp_path):
    ina3221_hwmon(tmp_path)
    rails = by_name(tmp_path)
    assert [(name, rail.address, rail.feeds) for name, rail in rails.items()] == [
        ("VDD_IN", "7-0040", BOARD),
        ("VDD_CPU_GPU_CV", "7-0040", CPUS_AND_GPU),
        ("VDD_SOC", "7-0040", NOTHING),
    ]
    assert all(rail.why_not is None for rail in rails.values())
    assert [opened(tmp_path, name).read() for name in rails] == [5080 * 1000, 5080 * 140, 5080 * 220]


def test_an_ina3221_under_iio_is_found_once_though_two_folders_show_it(tmp_path):
    ina3221_iio(tmp_path)
    assert [(rail.rail, rail.address) for rail in found(tree(tmp_path))] == [
        ("VDD_IN", "7-0040"),
        ("VDD_CPU_GPU_CV", "7-0040"),
        ("VDD_SOC", "7-0040"),
    ]
    # One of the values has its unit behind it.
    assert [opened(tmp_path, name).read() for name in ("VDD_IN", "VDD_CPU_GPU_CV")] == [5_080_000, 700_000]


def test_channels_that_are_not_connected_and_sums_are_left_out(tmp_path):
    ina3221_hwmon(tmp_path, labels=("VDD_GPU_SOC", "NC", "VIN_SYS_5V0"))
    assert {name: rail.feeds for name, rail in by_name(tmp_path).items()} == {
        "VDD_GPU_SOC": NOTHING,
        "VIN_SYS_5V0": NOTHING,
    }


def test_without_labels_channels_are_numbered(tmp_path):
    folder = ina3221_hwmon(tmp_path)
    for label in folder.glob("in*_label"):
        label.unlink()
    assert list(by_name(tmp_path)) == ["channel1", "channel2", "channel3"]


@pytest.mark.parametrize(
    ("files", "period"),
    [
        ({"update_interval": 7, "samples": 4}, Period(word_s=0.007, least_s=0.007, most_s=0.028)),
        # -1 is accepted by the driver when it is written, and would be no time.
        ({"update_interval": 0, "samples": 1}, Period(word_s=0.001, least_s=0.001, most_s=0.001)),
    ],
)
def test_the_drivers_word_on_its_period_may_leave_out_averaging(tmp_path, files, period):
    ina3221_hwmon(tmp_path, **files)
    assert opened(tmp_path, "VDD_IN").period == period


@pytest.mark.parametrize(
    ("labels", "feeds"),
    [
        ("VDD_CPU_CV", Feeds(cpus=None)),
        ("VDD_SYS_GPU", Feeds(gpu=True)),
        ("POM_5V_IN", BOARD),
        ("POM_5V_CPU", Feeds(cpus=None)),
        ("CPU", Feeds(cpus=None)),
        ("CV", NOTHING),
        ("VDDRQ", NOTHING),
        ("VDD_SYS_DDR", NOTHING),
    ],
)
def test_a_label_tells_what_it_feeds_only_if_all_its_words_do(tmp_path, labels, feeds):
    ina3221_hwmon(tmp_path, labels=(labels, "NC", "NC"))
    assert by_name(tmp_path)[labels].feeds == feeds


def test_nothing_is_ever_written_to_a_sensor(tmp_path):
    class ReadOnly(Tree):
        def open(self, path, *, writing=False):
            assert not writing
            return super().open(path)

    ina3221_hwmon(tmp_path)
    odroid_xu3(tmp_path)
    rapl_zone(tmp_path, "intel-rapl:0", "package-0")
    rails = found(ReadOnly(tmp_path))
    assert len(rails) == 8
    for rail in rails:
        DRIVERS[rail.driver].open(ReadOnly(tmp_path), rail).read()


# ---------------------------------------------------------------- INA2xx


def test_the_four_chips_of_an_odroid_xu3_are_told_by_their_address(tmp_path):
    odroid_xu3(tmp_path)
    rails = by_name(tmp_path)
    assert {name: (rail.address, rail.feeds) for name, rail in rails.items()} == {
        "VDD_ARM": ("0-0040", Feeds(cpus=(4, 5, 6, 7))),
        "VDD_MEM": ("0-0041", NOTHING),
        "VDD_G3D": ("0-0044", Feeds(gpu=True)),
        "VDD_KFC": ("0-0045", Feeds(cpus=(0, 1, 2, 3))),
    }
    channel = opened(tmp_path, "VDD_ARM")
    assert (channel.read(), channel.period.word_s) == (2_500_000, 0.035)


def test_a_chip_of_another_board_is_called_by_its_address_and_feeds_nothing_known(tmp_path):
    write_files(tmp_path, "sys/bus/i2c/devices/1-0040/hwmon/hwmon2", name="ina226", power1_input=12)
    # Neither a relative without power, nor another chip, nor an INA3221.
    write_files(tmp_path, "sys/bus/i2c/devices/1-0041/hwmon/hwmon3", name="ina226", in1_input=12)
    write_files(tmp_path, "sys/bus/i2c/devices/1-004c/hwmon/hwmon4", name="tmp451", power1_input=12)
    (rail,) = found(tree(tmp_path))
    assert (rail.driver, rail.rail, rail.address, rail.feeds) == ("ina2xx", "1-0040", "1-0040", NOTHING)


# ---------------------------------------------------------------- RAPL


def test_rapl_zones_are_told_apart_and_a_package_is_there_once(tmp_path):
    packages(tmp_path, {cpu: "0" for cpu in range(8)})
    for zone, name in {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "uncore",
        "intel-rapl:0:2": "dram",
        "intel-rapl:1": "psys",
        "intel-rapl-mmio:0": "package-0",
    }.items():
        rapl_zone(tmp_path, zone, name)
    write_files(tmp_path, "sys/class/powercap/intel-rapl", enabled=1)
    assert {name: (rail.address, rail.feeds) for name, rail in by_name(tmp_path).items()} == {
        "package-0": ("intel-rapl:0", Feeds(cpus=tuple(range(8)))),
        "core": ("intel-rapl:0:0", NOTHING),
        "uncore": ("intel-rapl:0:1", NOTHING),
        "dram": ("intel-rapl:0:2", NOTHING),
        "psys": ("intel-rapl:1", BOARD),
    }


def test_parts_of_two_packages_have_names_of_their_own(tmp_path):
    packages(tmp_path, {0: "0", 1: "1"})
    for package in (0, 1):
        rapl_zone(tmp_path, f"intel-rapl:{package}", f"package-{package}")
        rapl_zone(tmp_path, f"intel-rapl:{package}:0", "core", energy_uj=package)
    rails = by_name(tmp_path)
    assert list(rails) == ["package-0", "package-0 core", "package-1", "package-1 core"]
    assert [rail.feeds.cpus for rail in rails.values()] == [(0,), (), (1,), ()]
    assert opened(tmp_path, "package-1 core").read() == 1


def test_a_package_of_several_dies_feeds_the_cpus_of_its_die(tmp_path):
    packages(tmp_path, {0: "0", 1: "0"})
    write_files(tmp_path, "sys/devices/system/cpu/cpu1/topology", die_id=1)
    rapl_zone(tmp_path, "intel-rapl:0", "package-0-die-1")
    assert by_name(tmp_path)["package-0-die-1"].feeds == Feeds(cpus=(1,))


def test_a_counter_beyond_its_range_is_a_firmware_that_does_not_count(tmp_path):
    rapl_zone(tmp_path, "intel-rapl:0", "package-0", energy_uj=60_000_000_000_000)
    (rail,) = found(tree(tmp_path))
    assert "says 60000000000000" in rail.why_not
    assert "262143328850" in rail.why_not
    assert rail.mend is None
    with pytest.raises(GarbageError):
        DRIVERS["rapl"].open(tree(tmp_path), rail).read()


def test_a_counter_without_a_known_range_is_not_believed(tmp_path):
    (rapl_zone(tmp_path, "intel-rapl:0", "package-0") / "max_energy_range_uj").unlink()
    assert "max_energy_range_uj, None" in found(tree(tmp_path))[0].why_not


def test_a_counter_that_only_root_may_read_says_where_the_mend_is(tmp_path):
    rapl_zone(tmp_path, "intel-rapl:0", "package-0")
    (rail,) = found(Denied(tmp_path, "energy_uj"))
    assert rail.why_not == "/sys/class/powercap/intel-rapl:0/energy_uj: Permission denied"
    assert "gearshift doctor" in rail.mend


# ---------------------------------------------------------------- all of them


def test_a_driver_that_was_loaded_anew_is_read_on(tmp_path):
    class Reloaded(Tree):
        """Files that were opened before a moment belong to a device that is gone."""

        loads = 0

        def open(self, path, *, writing=False):
            file, loaded = super().open(path), self.loads
            read = file.read

            def read_unless_gone():
                if loaded < self.loads:
                    raise OSError(errno.ENODEV, "No such device")
                return read()

            file.read = read_unless_gone
            return file

    folder = ina3221_hwmon(tmp_path)
    files = Reloaded(tmp_path)
    channel = DRIVERS["ina3221"].open(files, found(files)[0])
    assert channel.read() == 5080 * 1000
    files.loads += 1
    (folder / "curr1_input").write_text("2000\n")
    assert channel.read() == 5080 * 2000


@pytest.mark.parametrize(
    ("make", "file"),
    [
        (lambda root: ina3221_hwmon(root), "curr1_input"),
        (lambda root: ina3221_iio(root), "in_power0_input"),
        (lambda root: rapl_zone(root, "intel-rapl:0", "package-0"), "energy_uj"),
        (
            lambda root: write_files(root, "sys/bus/i2c/devices/1-0040/hwmon/hwmon2", name="ina226", power1_input=1),
            "power1_input",
        ),
    ],
    ids=["ina3221", "iio", "rapl", "ina2xx"],
)
@pytest.mark.parametrize("fault", ["vanishes", "garbage", "empty"])
def test_a_channel_that_cannot_be_read_says_so_and_comes_back(tmp_path, make, file, fault):
    folder = make(tmp_path)
    rail = found(tree(tmp_path))[0]
    channel = DRIVERS[rail.driver].open(tree(tmp_path), rail)
    before, good = channel.read(), (folder / file).read_text()
    channel.close()
    if fault == "vanishes":
        (folder / file).unlink()
    else:
        (folder / file).write_text("x y\n" if fault == "garbage" else "")
    with pytest.raises(KnobError, match=file):
        channel.read()
    (folder / file).write_text(good)
    assert channel.read() == before
