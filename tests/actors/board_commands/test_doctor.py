"""What can be used and what not, why, and a mend that mends it."""

from __future__ import annotations

import errno
import shlex
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from actors.board_commands.condition import facts, notes
from actors.board_commands.doctor import Check, Examination, examine
from actors.board_commands.identity import L4t
from actors.board_commands.software import jetpack, software
from helpers.fake_kernel import FakeKernel, FakeTree, boards
from helpers.planted import CPU, plant, policy


def check(found: Examination, name: str) -> Check:
    (one,) = [one for one in found.checks if one.name.startswith(name)]
    return one


def noted(kernel: FakeKernel) -> str:
    return "\n".join(f"{note.text} [{note.mend}]" for note in notes(FakeTree(kernel)))


@pytest.mark.parametrize("name", sorted(set(boards.ALL) - {"container", "bed-amd64"}))
def test_root_can_use_every_machine_and_nothing_is_turned(name: str) -> None:
    kernel = boards.ALL[name]()
    found = examine(FakeTree(kernel))
    assert found.ok
    assert found.mends == ()
    assert kernel.writes == []


def test_files_of_one_name_are_one_line() -> None:
    found = examine(FakeTree(boards.x86_hybrid_laptop()))
    assert check(found, "scaling_governor").name == "scaling_governor (policy0-7)"
    assert check(found, "online").name == "online (cpu1-7)"
    # The driver has no governor userspace, so no speed is ever set.
    assert not [one for one in found.checks if one.name.startswith("scaling_setspeed")]


@pytest.mark.parametrize("title", ["let a group set clocks", "let a group switch CPUs"])
@pytest.mark.parametrize("name", ["xavier-nx-l4t32", "orin-nano-l4t36", "odroid-xu3", "amd-desktop"])
def test_the_mend_for_files_lets_a_group_use_them(name: str, title: str) -> None:
    kernel = boards.ALL[name]()
    kernel.root = False
    tree = FakeTree(kernel)
    found = examine(tree)
    assert not found.ok
    assert check(found, "scaling_governor").why_not == "Permission denied"
    (mend,) = [one for one in found.mends if one.title == title]
    for line in mend.lines:
        if line.startswith("z /"):
            _, pattern, mode, owner, group = shlex.split(line)
            assert (owner, group) == ("root", "gearshift")
            for path, _ in kernel.files():
                if fnmatchcase(path, pattern.lstrip("/")):
                    kernel.chmod(path, int(mode, 8))
            for directory in tree.find(pattern.lstrip("/")):
                kernel.chmod(kernel.real(directory), int(mode, 8))
    assert not [one for one in examine(tree).checks if one.mend == title]


def test_switches_alone_ask_for_no_other_files() -> None:
    kernel = boards.this_vm()
    kernel.root = False
    found = examine(FakeTree(kernel))
    assert found.ok  # nobody has to switch a CPU off
    assert [mend.title for mend in found.mends] == ["let a group switch CPUs"]


def test_a_gpu_that_no_engine_runs_on_is_not_missed() -> None:
    kernel = boards.rk3588()
    kernel.root = False
    found = examine(FakeTree(kernel))
    clock = check(found, "max_freq")
    assert (clock.write, clock.wanted, clock.mend) == (False, False, None)
    assert not any("devfreq" in line for mend in found.mends for line in mend.lines)
    assert "no engine of gearshift runs on GPU fb000000.gpu" in noted(kernel)


def test_energy_counters_that_only_root_reads_have_the_udev_rule() -> None:
    kernel = boards.x86_hybrid_laptop()
    kernel.root = False
    found = examine(FakeTree(kernel))
    package = check(found, "rail package-0")
    assert (package.read, package.why_not, package.wanted) == (False, "Permission denied", True)
    # What covers no unit is not missed.
    assert not check(found, "rail uncore").wanted
    (mend,) = [one for one in found.mends if one.title == package.mend]
    (rule,) = [line for line in mend.lines if line.startswith("SUBSYSTEM")]
    assert 'KERNEL=="intel-rapl*", RUN+="/bin/chgrp gearshift /sys/%p/energy_uj"' in rule


def test_a_container_is_told_how_to_get_the_machines_files() -> None:
    found = examine(FakeTree(boards.ALL["container"]()))
    assert not found.ok
    assert check(found, "scaling_setspeed").why_not == "Read-only file system"
    assert [mend.title for mend in found.mends] == ["give the container /sys"]
    assert any("-v /sys:/sys" in line for line in found.mends[0].lines)
    (_, note) = [note for note in notes(FakeTree(boards.ALL["container"]())) if "may not be used" in note.text] * 2
    assert note.text.startswith("CPUs 1,3-5 ")
    assert "--cpuset-cpus=0-5" in note.mend


def test_a_policy_that_is_away_is_a_state_and_no_fault() -> None:
    kernel = boards.xavier_nx_l4t35()
    for cpu in (4, 5):
        kernel.cpus.switch(cpu, False)
    found = examine(FakeTree(kernel))
    assert found.ok
    assert check(found, "scaling_governor").name == "scaling_governor (policy0,2)"
    assert "policy4 has no CPU online" in noted(kernel)
    assert "CPUs 4-5 are offline: somebody has switched them off" in noted(kernel)
    assert "[echo 1 | sudo tee /sys/devices/system/cpu/cpu{4,5}/online]" in noted(kernel)
    assert facts(FakeTree(kernel))["CPUs"] == "0-3 online, 4-5 offline"


def test_cpus_that_a_power_mode_leaves_out_are_back_in_another_one() -> None:
    kernel = boards.xavier_nx_l4t35()
    assert kernel.jetson is not None
    kernel.jetson.nvpmodel(3)
    assert "CPUs 2-5 are offline: the power mode MODE_10W_2CORE leaves them out" in noted(kernel)
    assert "[sudo nvpmodel -m 2  # MODE_15W_6CORE]" in noted(kernel)


def test_a_file_that_a_gate_keeps_silent_is_no_fault() -> None:
    found = examine(FakeTree(boards.orin_nano_l4t36()))
    silent = check(found, "temperature (cv0-thermal")
    assert (silent.read, silent.wanted) == (False, False)
    assert found.ok


def test_a_broken_rail_is_a_fault() -> None:
    kernel = boards.xavier_nx_l4t35()
    (path,) = FakeTree(kernel).find("sys/bus/i2c/devices/7-0040/hwmon/hwmon*/curr2_input")
    kernel.fail(path, errno.EIO)
    found = examine(FakeTree(kernel))
    assert check(found, "rail VDD_CPU_GPU_CV").why_not == "Input/output error"
    assert not found.ok


# ---------------------------------------------------------------- notes


def test_locked_clocks_are_noted_with_the_mend() -> None:
    kernel = boards.orin_nano_l4t36()
    kernel.jetson.jetson_clocks(True)
    assert "the clock is locked, lowest and highest are the same: policy0,4 at 1344 MHz" in noted(kernel)
    assert "[sudo jetson_clocks --restore]" in noted(kernel)
    assert "the GPU's clock is locked at 918 MHz" in noted(kernel)


def test_a_cap_is_noted_with_who_holds_it() -> None:
    assert "held down: policy0,2,4 at 1420.8 of 1907.2 MHz" in noted(boards.xavier_nx_l4t35())
    assert "(nvpmodel MODE_15W_6CORE)" in noted(boards.xavier_nx_l4t35())
    kernel = boards.bed_arm64()
    kernel.cooling[0].turn(1)
    assert "held down: policy0 at 1200 of 1907.2 MHz (thermal" in noted(kernel)


def test_a_lowest_clock_above_the_highest_is_odd(tmp_path: Path) -> None:
    files = policy(0, "0", 2_000_000, scaling_min_freq=1_600_000, scaling_max_freq=1_200_000)
    (note, _) = notes(plant(tmp_path, files | {f"{CPU}/online": 0}))
    assert note.text == (
        "the lowest clock is above the highest one, which counts: policy0 (scaling_min_freq 1600000, scaling_max_freq "
        "1200000)"
    )


def test_a_governor_that_is_not_loaded_is_noted_where_it_would_help() -> None:
    kernel = boards.odroid_xu4()
    kernel.cpufreq.governors = ("performance", "schedutil")
    assert "policy0,4: no governor userspace" in noted(kernel)
    assert "[sudo modprobe cpufreq_userspace]" in noted(kernel)
    # These drivers have it never.
    assert "userspace" not in noted(boards.x86_hybrid_laptop())


def test_turbo_and_boost_that_are_off_are_noted() -> None:
    kernel = boards.x86_hybrid_laptop()
    kernel.write("sys/devices/system/cpu/intel_pstate/no_turbo", "1")
    assert "turbo is off" in noted(kernel)
    kernel = boards.amd_desktop(acpi=True)
    kernel.write(f"{CPU}/cpufreq/boost", "0")
    assert "boost is off" in noted(kernel)


# ---------------------------------------------------------------- software


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ((32, "7.4"), "4.6"),
        ((35, "1.0"), "5.0"),
        ((35, "4.1"), "5.1"),
        ((36, "3.0"), "6.0"),
        ((36, "4.3"), "6.1 or 6.2"),
    ],
)
def test_a_release_has_its_jetpack(release: tuple[int, str], name: str) -> None:
    found = jetpack(L4t(major=release[0], revision=release[1]))
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("release", [(32, "4.4"), (28, "2.1"), (99, "1")])
def test_an_unknown_release_has_none(release: tuple[int, str]) -> None:
    assert jetpack(L4t(major=release[0], revision=release[1])) is None
    assert "not known here" in software(L4t(major=release[0], revision=release[1]))["JetPack"]


def test_a_jetpack_of_another_python_says_what_follows() -> None:
    text = software(L4t(major=35, revision="4.1"))["JetPack"]
    assert text.startswith("5.1: CUDA 11.4, TensorRT 8.5.2, made for Python 3.8; wheels of Python 3.8 do not load")


def test_a_package_that_is_missing_says_if_its_wheels_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.board_commands.software._PACKAGES", ("openvino-that-is-not-there", "openvino"))
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.31"))
    monkeypatch.setattr(
        "actors.board_commands.software._GLIBC", {"openvino-that-is-not-there": (2, 35), "openvino": (2, 35)}
    )
    found = software()
    assert found["openvino-that-is-not-there"] == "not installed; its wheels need glibc 2.35 or later, and this is 2.31"
    assert "not installed" not in found["openvino"]
