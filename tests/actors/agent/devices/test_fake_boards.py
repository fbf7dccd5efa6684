"""Each machine of the fake kernel has what the real one has, and its traps."""

from __future__ import annotations

import pytest

from actors.agent.devices.devfreq import gpus
from helpers.fake_kernel import FakeKernel, FakeTree, boards, snapshot
from helpers.fake_kernel.answers import answer, turn

CPU = "sys/devices/system/cpu"
POLICY = f"{CPU}/cpufreq/policy0"
PSTATE = f"{CPU}/intel_pstate"


def says(kernel: FakeKernel, *paths: str) -> list[str]:
    return [answer(FakeTree(kernel), path) for path in paths]


def put(kernel: FakeKernel, path: str, value: str | int) -> str:
    return turn(FakeTree(kernel), path, value)


@pytest.mark.parametrize("board", boards.ALL)
def test_reading_everything_changes_nothing(board: str) -> None:
    kernel = boards.ALL[board]()
    before = snapshot(kernel)
    for path, _ in kernel.files():
        answer(FakeTree(kernel), path)
    assert snapshot(kernel) == before


@pytest.mark.parametrize("board", boards.ALL)
def test_every_cpu_that_has_a_clock_is_in_one_policy(board: str) -> None:
    tree = FakeTree(boards.ALL[board]())
    related = [answer(tree, path) for path in tree.find(f"{CPU}/cpufreq/policy*/related_cpus")]
    cpus = [int(cpu) for words in related for cpu in words.split()]
    assert sorted(cpus) == ([] if board == "this-vm" else list(range(len(cpus))))
    assert len(tree.find(f"{CPU}/cpu*/topology/core_id")) == len(cpus) or board == "this-vm"


def test_odroid_has_its_little_cluster_first_and_sensors_that_only_an_address_tells() -> None:
    xu3, xu4 = boards.odroid_xu3(), boards.odroid_xu4()
    for kernel in (xu3, xu4):
        assert says(kernel, f"{CPU}/cpu0/cpu_capacity", f"{CPU}/cpu4/cpu_capacity") == ["377", "1024"]
        assert gpus(FakeTree(kernel)) == ["sys/class/devfreq/11800000.gpu"]
    powers = FakeTree(xu3).find("sys/bus/i2c/devices/*/hwmon/hwmon*/power1_input")
    assert [path.split("/")[4] for path in powers] == ["0-0040", "0-0041", "0-0044", "0-0045"]
    assert not FakeTree(xu4).find("sys/bus/i2c/devices/*")


def test_orin_gates_sensors_and_has_a_gpu_with_two_paths() -> None:
    kernel = boards.orin_nano_l4t36()
    tree = FakeTree(kernel)
    temps = {answer(tree, f"{zone}/type"): answer(tree, f"{zone}/temp") for zone in tree.find("sys/class/thermal/t*")}
    assert [temps[f"cv{number}-thermal"] for number in range(3)] == ["EAGAIN"] * 3
    assert temps["tj-thermal"] == "47000"
    gpu = tree.real("sys/devices/platform/17000000.gpu/devfreq_dev")
    assert gpu == tree.real("sys/class/devfreq/17000000.gpu") == kernel.gpu.base
    assert answer(tree, "sys/class/devfreq/17000000.gpu/device/of_node/name") == "gpu\0"
    (chip,) = tree.find("sys/bus/i2c/devices/1-0040/hwmon/hwmon*")
    assert says(kernel, f"{chip}/curr1_crit", f"{chip}/in1_input", f"{chip}/in1_label") == ["7784", "5072", "VDD_IN"]
    kernel.jetson.nvpmodel(3)
    assert says(kernel, f"{CPU}/online", f"{POLICY}/scaling_max_freq") == ["0-3", "960000"]
    kernel.jetson.nvpmodel(2)
    assert says(kernel, f"{CPU}/online", f"{POLICY}/scaling_max_freq") == ["0-5", "1510400"], "-1 is no limit"


def test_the_raspberry_pi_5_believes_in_clocks_that_it_has_not() -> None:
    for kernel, true_khz in ((boards.rpi5(), 1_500_000), (boards.rpi5(belief_is_wrong=False), 1_000_000)):
        put(kernel, f"{POLICY}/scaling_governor", "userspace")
        put(kernel, f"{POLICY}/scaling_setspeed", 1_000_000)
        assert says(kernel, f"{POLICY}/scaling_cur_freq", f"{POLICY}/cpuinfo_cur_freq") == ["1000000", "1000000"]
        assert kernel.policy(0).true_khz == true_khz


def test_only_the_gpu_of_rk3588_is_taken_for_one() -> None:
    kernel = boards.rk3588()
    assert gpus(FakeTree(kernel)) == ["sys/class/devfreq/fb000000.gpu"]
    kernel.gpu.load = 0.37
    assert says(kernel, "sys/class/devfreq/fb000000.gpu/load") == ["37@300000000Hz"]


def test_a_processor_that_chooses_its_clock_has_no_table_and_no_speed() -> None:
    kernel = boards.x86_hybrid_laptop()
    assert says(kernel, f"{POLICY}/scaling_available_governors", f"{POLICY}/scaling_setspeed") == [
        "performance powersave",
        "<unsupported>",
    ]
    assert says(kernel, f"{POLICY}/scaling_available_frequencies", f"{CPU}/cpu0/cpu_capacity") == ["ENOENT", "ENOENT"]
    assert put(kernel, f"{POLICY}/scaling_setspeed", 1_000_000) == "EINVAL"
    assert put(kernel, f"{POLICY}/scaling_governor", "userspace") == "EINVAL"
    put(kernel, f"{POLICY}/scaling_max_freq", 2_345_678)
    assert says(kernel, f"{POLICY}/scaling_max_freq") == ["2345678"], "not rounded"
    put(kernel, f"{POLICY}/scaling_governor", "performance")
    assert says(kernel, f"{POLICY}/scaling_cur_freq") == ["2345541"], "measured, and off every table"
    assert says(kernel, "sys/devices/cpu_core/cpus", "sys/devices/cpu_atom/cpus") == ["0-3", "4-7"]
    assert says(kernel, f"{CPU}/cpu1/topology/core_cpus_list") == ["0-1"]


def test_no_turbo_lowers_the_shown_maximum_and_gives_it_back_unless_written() -> None:
    kernel = boards.x86_hybrid_laptop()
    assert put(kernel, f"{PSTATE}/no_turbo", 1) == "ok"
    assert says(kernel, f"{POLICY}/scaling_max_freq", f"{POLICY}/cpuinfo_max_freq") == ["2100000", "4700000"]
    put(kernel, f"{POLICY}/scaling_max_freq", 2_100_000)
    assert put(kernel, f"{PSTATE}/no_turbo", 0) == "ok"
    assert says(kernel, f"{POLICY}/scaling_max_freq") == ["2100000"]
    assert says(kernel, f"{CPU}/cpufreq/policy1/scaling_max_freq") == ["4700000"]
    put(kernel, f"{PSTATE}/max_perf_pct", 50)
    assert says(kernel, f"{CPU}/cpufreq/policy1/scaling_max_freq") == ["4700000"], "a cap that no policy shows"


def test_refusals_of_intel_pstate() -> None:
    kernel = boards.x86_hybrid_laptop()
    preference = f"{POLICY}/energy_performance_preference"
    assert put(kernel, preference, "power") == "ok"
    assert put(kernel, preference, "nonesuch") == put(kernel, preference, 256) == "EINVAL"
    put(kernel, f"{POLICY}/scaling_governor", "performance")
    assert put(kernel, preference, "power") == "EBUSY"
    assert says(kernel, preference) == ["performance"]
    put(kernel, f"{PSTATE}/no_turbo", 1)
    with pytest.raises(NotImplementedError):
        put(kernel, f"{PSTATE}/status", "passive")


def test_intel_pstate_in_its_passive_mode_sets_steps_of_100_mhz() -> None:
    kernel = boards.x86_hybrid_laptop(passive=True)
    assert put(kernel, f"{POLICY}/scaling_governor", "userspace") == "ok"
    put(kernel, f"{POLICY}/scaling_setspeed", 1_234_567)
    assert says(kernel, f"{POLICY}/scaling_setspeed") == ["1300000"]


def test_the_energy_counters_of_a_laptop_repeat_themselves() -> None:
    tree = FakeTree(boards.x86_hybrid_laptop())
    names = {path.split("/")[3]: answer(tree, path) for path in tree.find("sys/class/powercap/*/name")}
    assert names == {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "uncore",
        "intel-rapl:1": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    tree.kernel.root = False
    assert answer(tree, "sys/class/powercap/intel-rapl:0/energy_uj") == "EACCES"


@pytest.mark.parametrize("acpi", [False, True])
def test_an_amd_desktop(acpi: bool) -> None:
    kernel = boards.amd_desktop(acpi=acpi)
    boost = f"{CPU}/cpufreq/boost"
    assert [put(kernel, boost, value) for value in (2, -1, "x", 0)] == ["EINVAL", "EINVAL", "EINVAL", "ok"]
    assert says(kernel, f"{POLICY}/scaling_max_freq") == ["3800000"]
    assert put(kernel, boost, 1) == "ok"
    assert says(kernel, f"{POLICY}/scaling_max_freq") == ["3800000" if acpi else "4463000"]
    assert says(kernel, f"{POLICY}/bios_limit") == ["3800000" if acpi else "ENOENT"]
    near = int(says(kernel, "sys/class/powercap/intel-rapl:0/energy_uj")[0])
    assert near > 65_532_610_987 - 11_000_000, "its counter is near the wrap"


def test_a_container_is_read_only_and_has_no_power_mode() -> None:
    kernel = boards.in_container(boards.x86_hybrid_laptop())
    tree = FakeTree(kernel)
    assert put(kernel, f"{POLICY}/scaling_max_freq", 1_000_000) == "EROFS"
    assert not tree.may(f"{POLICY}/scaling_max_freq", write=True)
    assert answer(tree, "sys/class/powercap/intel-rapl:0/energy_uj") == "EACCES"
    assert answer(tree, "sys/fs/cgroup/cpuset.cpus.effective") == "0,2"
    assert not FakeTree(boards.ALL["container"]()).exists("etc/nvpmodel.conf")


def test_a_virtual_machine_has_nothing_to_set_and_nothing_to_measure() -> None:
    tree = FakeTree(boards.this_vm())
    assert tree.names(f"{CPU}/cpufreq") == tree.names("sys/class/thermal") == tree.names("sys/class/hwmon") == []
    assert answer(tree, f"{CPU}/online") == "0-1"
    assert tree.exists(f"{CPU}/cpufreq")
