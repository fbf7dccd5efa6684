"""The bed itself: what the guests have to offer, so that a failing bed is told from a failing device layer."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.boards import CHIPS, ENERGY_FOUND_UJ, ENERGY_RANGE_UJ, GPU_HZ, GPU_NAME, ZONE_MC, ZONE_NAME, Chip, Cluster
from kernel.guest import chips
from kernel.guest.levers import BOARD, CPUS, THERMAL, capped, cooling_device, gsboard, read

amd64 = pytest.mark.skipif(BOARD.name != "amd64", reason="the amd64 guest has these devices")
arm64 = pytest.mark.skipif(BOARD.name != "arm64", reason="the arm64 guest has a device tree")
every_cluster = pytest.mark.parametrize("cluster", BOARD.clusters, ids=lambda cluster: cluster.policy)

GPU = Path("/sys/class/devfreq") / GPU_NAME
PACKAGE = Path("/sys/class/powercap/intel-rapl:0")


def policy(cluster: Cluster) -> Path:
    return CPUS / "cpufreq" / cluster.policy


@pytest.fixture(autouse=True)
def _as_found() -> Iterator[None]:
    """Every test finds, and leaves, the governor and the limits as the kernel set them at boot."""
    names = ("scaling_governor", "scaling_max_freq", "scaling_min_freq")
    found = {policy(c) / name: read(policy(c) / name) for c in BOARD.clusters for name in names}
    yield
    for path, value in found.items():
        path.write_text(value)
    assert {path: read(path) for path in found} == found


def test_tests_know_the_bed_and_are_root(request: pytest.FixtureRequest) -> None:
    assert request.config.getoption("--bed") == "real"
    assert os.geteuid() == 0


def test_the_guests_python_has_what_the_board_agent_and_its_tests_import() -> None:
    for module in ("actors.agent.agent", "actors.cluster", "hypothesis", "msgpack"):
        importlib.import_module(module)


def test_the_clusters_are_all_there_is() -> None:
    assert sorted(path.name for path in (CPUS / "cpufreq").glob("policy*")) == [c.policy for c in BOARD.clusters]
    assert read(CPUS / "online") == "0-3"


@every_cluster
def test_a_cluster_has_its_cpus_its_table_and_all_governors(cluster: Cluster) -> None:
    folder = policy(cluster)
    assert read(folder / "scaling_driver") == BOARD.driver
    assert tuple(map(int, read(folder / "related_cpus").split())) == cluster.cpus
    assert tuple(sorted(map(int, read(folder / "scaling_available_frequencies").split()))) == cluster.khz
    governors = set(read(folder / "scaling_available_governors").split())
    assert governors == {"conservative", "ondemand", "performance", "powersave", "schedutil", "userspace"}
    assert read(folder / "scaling_max_freq") == str(cluster.khz[-1])


@every_cluster
def test_a_clock_can_be_set(cluster: Cluster) -> None:
    folder = policy(cluster)
    (folder / "scaling_governor").write_text("userspace")
    for khz in cluster.khz:
        (folder / "scaling_setspeed").write_text(str(khz))
        assert read(folder / "scaling_cur_freq") == str(khz)


def test_a_cap_of_somebody_else_lowers_the_clock_and_gives_it_back() -> None:
    cluster = BOARD.clusters[0]
    folder, top, below = policy(cluster), cluster.khz[-1], cluster.khz[-2]
    (folder / "scaling_governor").write_text("userspace")
    (folder / "scaling_setspeed").write_text(str(top))
    with capped(below):
        assert read(folder / "scaling_max_freq") == str(below)
        assert read(folder / "scaling_cur_freq") == str(below)
    assert read(folder / "scaling_max_freq") == str(top)
    assert read(folder / "scaling_cur_freq") == str(top)


@every_cluster
def test_a_core_goes_and_comes_back(cluster: Cluster) -> None:
    last = cluster.cpus[-1]
    (CPUS / f"cpu{last}" / "online").write_text("0")
    try:
        assert read(policy(cluster) / "affected_cpus") == str(cluster.cpus[0])
    finally:
        (CPUS / f"cpu{last}" / "online").write_text("1")
    assert tuple(map(int, read(policy(cluster) / "affected_cpus").split())) == cluster.cpus


def test_a_policy_whose_cpus_are_all_away_is_busy() -> None:
    cluster = BOARD.clusters[1]
    switches = [CPUS / f"cpu{cpu}" / "online" for cpu in cluster.cpus]
    for switch in switches:
        switch.write_text("0")
    try:
        with pytest.raises(OSError, match="busy"):
            read(policy(cluster) / "scaling_max_freq")
    finally:
        for switch in switches:
            switch.write_text("1")


@arm64
def test_cpu_0_can_go() -> None:
    (CPUS / "cpu0" / "online").write_text("0")
    (CPUS / "cpu0" / "online").write_text("1")
    assert read(CPUS / "online") == "0-3"


@amd64
def test_cpu_0_has_no_switch() -> None:
    assert not (CPUS / "cpu0" / "online").exists()


def test_sys_can_be_read_only_for_one_process() -> None:
    switch = CPUS / "cpu3" / "online"
    script = f"mount -o remount,ro,bind /sys && echo 0 > {switch}"
    ended = subprocess.run(["busybox", "unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
    assert "Read-only file system" in ended.stderr
    switch.write_text("1")


def test_a_cpuset_can_hold_a_process() -> None:
    groups = Path("/sys/fs/cgroup")
    assert "cpuset" in read(groups / "cgroup.controllers").split()
    (groups / "cgroup.subtree_control").write_text("+cpuset")
    (groups / "two").mkdir()
    try:
        (groups / "two" / "cpuset.cpus").write_text("0,2")
        script = f"echo $$ > {groups}/two/cgroup.procs && grep Cpus_allowed_list /proc/self/status"
        shown = subprocess.run(["busybox", "sh", "-c", script], capture_output=True, text=True, check=True).stdout
        assert shown.split() == ["Cpus_allowed_list:", "0,2"]
    finally:
        (groups / "two").rmdir()
        (groups / "cgroup.subtree_control").write_text("-cpuset")


@arm64
def test_a_capacity_is_the_speed_at_the_top_clock_and_the_fastest_is_1024() -> None:
    speeds = {c.cpus[0]: (c.dmips_per_mhz or 0) * c.khz[-1] for c in BOARD.clusters}
    for cpu, speed in speeds.items():
        assert read(CPUS / f"cpu{cpu}" / "cpu_capacity") == str(1024 * speed // max(speeds.values()))
    assert read(CPUS / "cpu2" / "cpu_capacity") == "395"


@arm64
@every_cluster
def test_the_energy_model_has_the_power_of_each_clock(cluster: Cluster) -> None:
    model = Path("/sys/kernel/debug/energy_model") / f"cpu{cluster.cpus[0]}"
    for khz, mv in zip(cluster.khz, cluster.mv, strict=True):
        power_uw = int(read(model / f"ps:{khz}" / "power"))
        assert power_uw == (cluster.power_coefficient or 0) * mv**2 * (khz // 1000) // 1_000_000


@arm64
@every_cluster
def test_a_cooling_device_has_a_step_for_each_clock_below_the_top(cluster: Cluster) -> None:
    assert read(cooling_device(cluster.cpus[0]) / "max_state") == str(len(cluster.khz) - 1)


@amd64
@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: f"{chip.driver}-{chip.address:#x}")
def test_a_chip_reads_what_it_was_made_to_measure(chip: Chip) -> None:
    folder = chips.hwmon(chip)
    assert read(folder / "name") == chip.driver
    # An ina231 has its shunt at in0 and its bus at in1; an ina3221 counts its buses from in1.
    for number, (mv, ma) in enumerate(chip.channels, start=1):
        assert (read(folder / f"in{number}_input"), read(folder / f"curr{number}_input")) == (str(mv), str(ma))
    if chip.driver == "ina231":
        assert int(read(folder / "power1_input")) == pytest.approx(mv * ma, abs=1000 * chips.INA231_POWER_MW)


@amd64
def test_a_chip_can_be_made_to_measure_something_else() -> None:
    chip = CHIPS[0]
    chips.measure(chip, ((4800, 2000), (0, 0), (0, 0)))
    try:
        assert (read(chips.hwmon(chip) / "in1_input"), read(chips.hwmon(chip) / "curr1_input")) == ("4800", "2000")
    finally:
        chips.measure(chip, chip.channels)


@amd64
def test_the_gpu_follows_its_limits_after_a_polling_interval() -> None:
    assert tuple(map(int, read(GPU / "available_frequencies").split())) == GPU_HZ
    assert "simple_ondemand" in read(GPU / "available_governors")
    (GPU / "min_freq").write_text(str(GPU_HZ[3]))
    try:
        until = time.monotonic() + 30
        while int(read(GPU / "cur_freq")) < GPU_HZ[3] and time.monotonic() < until:
            time.sleep(0.01)
        assert int(read(GPU / "cur_freq")) >= GPU_HZ[3]
    finally:
        (GPU / "min_freq").write_text("0")


@amd64
def test_the_energy_counter_stands_near_its_end_counts_and_wraps() -> None:
    assert read(PACKAGE / "name") == "package-0"
    assert read(PACKAGE / "max_energy_range_uj") == str(ENERGY_RANGE_UJ)
    assert oct((PACKAGE / "energy_uj").stat().st_mode & 0o777) == "0o400"
    assert read(PACKAGE / "energy_uj") == str(ENERGY_FOUND_UJ)
    gsboard(power_uw=10**12)
    try:
        until = time.monotonic() + 30
        while int(read(PACKAGE / "energy_uj")) >= ENERGY_FOUND_UJ and time.monotonic() < until:
            pass
        assert int(read(PACKAGE / "energy_uj")) < ENERGY_FOUND_UJ
    finally:
        gsboard(power_uw=0, energy_uj=ENERGY_FOUND_UJ)


@amd64
def test_a_zone_has_the_temperature_or_the_error_that_it_is_given() -> None:
    (zone,) = (path.parent for path in THERMAL.glob("thermal_zone*/type") if read(path) == ZONE_NAME)
    assert read(zone / "temp") == str(ZONE_MC)
    gsboard(temp_mc=91_000)
    assert read(zone / "temp") == "91000"
    gsboard(temp_errno=errno.ENODEV)
    try:
        with pytest.raises(OSError, match="No such device"):
            read(zone / "temp")
    finally:
        gsboard(temp_errno=0, temp_mc=ZONE_MC)
