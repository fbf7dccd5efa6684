"""The fake kernel's power sensors and thermal zones answer as real drivers did."""

from __future__ import annotations

import errno

import pytest

from helpers.fake_kernel import FakeKernel, FakeTree, boards
from helpers.fake_kernel.answers import answer, answer_kept, turn
from helpers.fake_kernel.ina2xx import Ina2xx
from helpers.fake_kernel.ina3221 import Channel, Ina3221
from helpers.fake_kernel.power import constant
from helpers.fake_kernel.powercap import Counter, Zone

RANGE_UJ = 262_143_328_850


class Time:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def kernel(time: Time) -> FakeKernel:
    return FakeKernel(now_s=time)


def ina3221(kernel: FakeKernel, *, shunt_uohm: int = 10_000) -> tuple[FakeTree, str]:
    """Return a chip with three rails of 5 V, and its directory."""
    channels = [Channel(None, rail, shunt_uohm=shunt_uohm) for rail in ("A", "B", "C")]
    chip = Ina3221(kernel, 1, 0x40, channels, adapter="sys/devices/i2c")
    return FakeTree(kernel), chip.hwmon.base


def test_ina3221_tells_volts_and_amperes_in_steps_and_no_watts(kernel: FakeKernel) -> None:
    kernel.rails |= {"A": constant(6.56), "B": constant(0.0), "C": constant(0.1)}
    tree, base = ina3221(kernel, shunt_uohm=5000)
    assert tree.find("sys/bus/i2c/devices/1-0040/hwmon/hwmon*/in1_input") == [
        "sys/bus/i2c/devices/1-0040/hwmon/hwmon0/in1_input"
    ]
    assert tree.real("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon0") == tree.real("sys/class/hwmon/hwmon0") == base
    # 1312 mA over 5 mΩ are 6560 µV, 164 steps of 40 µV, and a step is 8 mA.
    assert [answer(tree, f"{base}/{name}") for name in ("in1_input", "curr1_input", "in4_input")] == [
        "5000",
        "1312",
        "6560",
    ]
    assert answer(tree, f"{base}/curr3_input") == "16"
    assert answer(tree, f"{base}/in7_label") == "sum of shunt voltages"
    assert answer(tree, f"{base}/in7_input") == str(6560 + 80)
    assert not [name for name in tree.names(base) if name.startswith("power")]
    assert answer(tree, f"{base}/in1_label") == "ENOENT", "the device tree gave no label"


@pytest.mark.parametrize(("asked", "reads"), [(1, "1"), (10, "13"), (100, "49"), (1000, "49"), (-1, "49"), (7, "7")])
def test_ina3221_rounds_its_interval(kernel: FakeKernel, asked: int, reads: str) -> None:
    tree, base = ina3221(kernel)
    assert answer(tree, f"{base}/update_interval") == "7"
    assert turn(tree, f"{base}/update_interval", asked) == "ok"
    assert answer(tree, f"{base}/update_interval") == reads


def test_ina3221_leaves_its_samples_out_of_the_interval_that_it_tells(kernel: FakeKernel, time: Time) -> None:
    tree, base = ina3221(kernel)
    assert [turn(tree, f"{base}/samples", asked) for asked in (5, 9999)] == ["ok", "ok"]
    assert answer(tree, f"{base}/samples") == "1024"
    assert answer(tree, f"{base}/update_interval") == "7"
    turn(tree, f"{base}/samples", 5)
    assert answer(tree, f"{base}/samples") == "4"


def test_ina3221_repeats_itself_within_a_period(kernel: FakeKernel, time: Time) -> None:
    kernel.rails["A"] = lambda now_s: 5.0 if now_s < 100.1 else 10.0
    tree, base = ina3221(kernel)
    seen = []
    for _ in range(200):
        seen.append(answer(tree, f"{base}/curr1_input"))
        time.now_s += 0.001
    assert sorted({*seen}, key=int) == ["1000", "2000"]
    # Readings change at the end of the period of 6.6 ms in which the power changed, or the next one.
    assert 100 <= seen.index("2000") <= 100 + 2 * 7


def test_a_disabled_channel_and_a_removed_chip_have_no_value(kernel: FakeKernel) -> None:
    tree, base = ina3221(kernel)
    kept = tree.open(f"{base}/in2_input")
    turn(tree, f"{base}/in2_enable", 0)
    assert answer_kept(kept) == answer(tree, f"{base}/curr2_input") == "ENODATA"
    assert answer(tree, f"{base}/in1_input") == "5000"
    turn(tree, f"{base}/in2_enable", 1)
    assert answer_kept(kept) == "5000"
    kernel.vanish(tree.real("sys/bus/i2c/devices/1-0040"))
    assert answer_kept(kept) == "ENODEV"
    assert answer(tree, f"{base}/in2_input") == "ENOENT"


def test_the_iio_driver_tells_milliwatts() -> None:
    tree = FakeTree(boards.xavier_nx_l4t32())
    base = "sys/bus/i2c/drivers/ina3221x/7-0040/iio:device0"
    assert [answer(tree, f"{base}/rail_name_{index}") for index in range(3)] == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert [answer(tree, f"{base}/in_power{index}_input") for index in range(3)] == ["5080", "700", "1100"]
    assert answer(tree, f"{base}/crit_current_limit_0") == "32760 ma", "a figure with its unit"


def test_ina231_tells_microwatts_and_no_rail(kernel: FakeKernel) -> None:
    kernel.rails["A15"] = constant(2.0)
    chip = Ina2xx(kernel, 4, 0x40, "A15", volts=1.25)
    tree, base = FakeTree(kernel), chip.hwmon.base
    assert answer(tree, f"{base}/name") == "ina231"
    assert answer(tree, f"{base}/power1_input") == "2000000"
    assert answer(tree, f"{base}/in1_input") == "1250"
    assert answer(tree, f"{base}/curr1_input") == "1600"
    assert answer(tree, f"{base}/in0_input") == "16", "1.6 A over 10 mΩ"
    assert answer(tree, f"{base}/update_interval") == "35"
    assert answer(tree, f"{base}/shunt_resistor") == "10000"
    assert not [name for name in tree.names(base) if name.endswith("label")]
    assert turn(tree, f"{base}/update_interval", 0) == "EINVAL"


def test_rapl_counts_wraps_and_is_roots(kernel: FakeKernel, time: Time) -> None:
    kernel.rails["package"] = constant(100.0)
    zone = Zone(
        kernel, "intel-rapl:0", "package-0", Counter(kernel, "package", RANGE_UJ, RANGE_UJ - 1_000_000), RANGE_UJ
    )
    tree, base = FakeTree(kernel), "sys/class/powercap/intel-rapl:0"
    start_uj = int(answer(tree, f"{base}/energy_uj"))
    assert RANGE_UJ - 1_000_100 < start_uj <= RANGE_UJ - 1_000_000 + 100
    time.now_s += 1.0
    after_uj = int(answer(tree, f"{base}/energy_uj"))
    assert after_uj < start_uj
    assert after_uj == pytest.approx(99_000_000, abs=200), "100 J, of which 1 J was before the wrap"
    assert answer(tree, f"{base}/max_energy_range_uj") == str(RANGE_UJ)
    assert turn(tree, f"{base}/max_energy_range_uj", 0) == turn(tree, f"{base}/energy_uj", 0) == "EACCES"
    kernel.root = False
    assert answer(tree, f"{base}/energy_uj") == "EACCES"
    kernel.chmod(f"{base}/energy_uj", 0o440)
    assert answer(tree, f"{base}/energy_uj").isdigit(), "udev may give it to a group"
    zone.uj = lambda: 60_000_000_000_000
    assert int(answer(tree, f"{base}/energy_uj")) > RANGE_UJ, "there is firmware that does this"


def test_a_thermal_zone_without_a_value() -> None:
    new, old = boards.bed_amd64(), boards.xavier_nx_l4t35()
    for kernel, gated in ((new, "ENODATA"), (old, "EAGAIN")):
        zone, tree = kernel.zones[0], FakeTree(kernel)
        temp = "sys/class/thermal/thermal_zone0/temp"
        assert answer(tree, temp) == str(zone.temp_mc)
        zone.error = errno.EAGAIN
        assert answer(tree, temp) == gated
        zone.error = errno.EIO
        assert answer(tree, temp) == answer(tree, "sys/class/thermal/thermal_zone0/offset") == "EIO"


def test_heat_takes_clocks_step_by_step_and_gives_them_back() -> None:
    kernel = boards.xavier_nx_l4t35()
    tree = FakeTree(kernel)
    path = "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"
    kernel.zones[0].temp_mc = 91_000
    seen = []
    for _ in range(9):
        kernel.tick()
        seen.append(answer(tree, path))
    assert seen[:7] == ["1420800"] * 7, "the power mode's cap is lower at first"
    assert seen[7:] == ["1344000", "1267200"]
    kernel.zones[0].temp_mc = 60_000
    for _ in range(9):
        kernel.tick()
    assert answer(tree, path) == "1420800"
    assert tree.real("sys/class/thermal/thermal_zone0/cdev0") == tree.real("sys/class/thermal/cooling_device0")
