"""`probe`, `doctor` and `restore` as a user meets them: what they print, write, refuse, and their exit codes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.agent.devices.journal import Journal
from actors.agent.devices.sysfs import Tree
from actors.agent.hold import Hold
from actors.agent.machine import Machine
from actors.board_commands.board_text import board_text
from actors.board_commands.dump import make_dump, write_dump
from actors.board_file import read_sources
from actors.cluster import host, load_board
from helpers import tiny_networks
from helpers.board_bed import BoardBed, fake_bed
from helpers.board_loop import board_of
from helpers.command_line import assert_refused, gearshift
from helpers.fake_kernel import FakeKernel, FakeTree, boards
from helpers.planted import plant
from scheduler.board import Sensor
from scheduler.profile import Profile
from workloads.ladder.profiles import profile_board


def report_of(kernel: FakeKernel, to: Path) -> Path:
    write_dump(make_dump(FakeTree(kernel), {}), to)
    return to


@pytest.fixture
def xavier(tmp_path: Path) -> Path:
    """A report of a Xavier NX."""
    return report_of(boards.xavier_nx_l4t35(), tmp_path / "xavier.tar.gz")


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    """A report of a laptop whose owner is not root."""
    kernel = boards.x86_hybrid_laptop()
    kernel.root = False
    return report_of(kernel, tmp_path / "laptop")


def test_probe_prints_a_board_and_nothing_else(xavier: Path, tmp_path: Path) -> None:
    ended = gearshift("probe", "--sysroot", xavier)
    assert (ended.code, ended.err) == (0, "")
    (tmp_path / "board.yaml").write_text(ended.out)
    assert load_board(tmp_path / "board.yaml").name == "nvidia-jetson-xavier-nx-developer-kit"
    header = " ".join(line.lstrip("# ") for line in ended.out.splitlines()[:6])
    assert f"from the files in {xavier}: NVIDIA Jetson Xavier NX Developer Kit" in header


def test_probe_writes_a_file_once(xavier: Path, tmp_path: Path) -> None:
    file = tmp_path / "board.yaml"
    ended = gearshift("probe", "--sysroot", xavier, "--write", file)
    assert (ended.code, ended.out) == (0, "")
    assert load_board(file).unit("gpu").dvfs == "devfreq"
    assert_refused(gearshift("probe", "--sysroot", xavier, "--write", file), "--write", "is there already")
    assert_refused(gearshift("probe", "--sysroot", xavier, "--write", tmp_path / "no" / "b.yaml"), "can't be written")


def test_probe_says_which_clocks_are_not_set_and_can_list_them(laptop: Path) -> None:
    ended = gearshift("probe", "--sysroot", laptop)
    assert "dvfs: fixed" in ended.out
    assert "p-cores: fixed, and its 8 clocks, 400 to 4700 MHz, are not set" in ended.err
    every = gearshift("probe", "--sysroot", laptop, "--all-clocks")
    assert (every.err, every.out.count("dvfs: cpufreq")) == ("", 2)


@pytest.mark.parametrize("command", ["probe", "doctor"])
def test_a_sysroot_that_is_none_is_refused(command: str, tmp_path: Path) -> None:
    assert_refused(gearshift(command, "--sysroot", tmp_path / "missing"), "--sysroot", "there is no such file")
    (tmp_path / "odd").write_text("odd")
    assert_refused(gearshift(command, "--sysroot", tmp_path / "odd"), "is no dump of gearshift doctor")


@pytest.mark.parametrize("command", ["probe", "doctor"])
def test_a_directory_that_is_no_machine_is_refused(command: str, tmp_path: Path) -> None:
    assert_refused(gearshift(command, "--sysroot", tmp_path), "--sysroot", "lists no CPU; name the root of a machine")


@pytest.fixture
def not_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine is looked at."""

    def looked(*_: object) -> None:
        raise AssertionError("this machine was looked at")

    for name in ("os.sched_getaffinity", "os.cpu_count", "psutil.cpu_count", "platform.release"):
        monkeypatch.setattr(name, looked)
    monkeypatch.setattr(Machine, "__init__", looked)
    for module in ("board_commands.probe_gpus", "board_commands.software"):
        monkeypatch.setattr(f"actors.{module}.cuda_devices", looked)
        monkeypatch.setattr(f"actors.{module}.open_nvml", looked)
    monkeypatch.setattr("actors.agent.sensors.nvml.open_nvml", looked)


@pytest.mark.usefixtures("not_this_machine")
def test_a_sysroot_is_all_that_is_looked_at(xavier: Path, laptop: Path) -> None:
    for report in (xavier, laptop):
        assert gearshift("probe", "--sysroot", report).code == 0
        assert gearshift("doctor", "--sysroot", report).code in (0, 1)


def test_doctors_exit_code_says_if_all_can_be_used(xavier: Path, laptop: Path) -> None:
    well = gearshift("doctor", "--sysroot", xavier)
    assert (well.code, well.err) == (0, "")
    assert "All clocks and rails that this machine has can be used." in well.out
    assert "power mode" in well.out
    ill = gearshift("doctor", "--sysroot", laptop)
    assert ill.code == 1
    # Commands stand on lines of their own, to be copied.
    assert "z /sys/devices/system/cpu/cpufreq/policy[0-9]*/scaling_min_freq 0664 root gearshift" in ill.out.splitlines()


def test_doctor_as_json_is_one_object(laptop: Path) -> None:
    ended = gearshift("doctor", "--sysroot", laptop, "--json")
    found = json.loads(ended.out)
    assert (ended.code, ended.err, found["ok"]) == (1, "", False)
    (limit,) = [check for check in found["checks"] if check["name"].startswith("scaling_max_freq")]
    assert (limit["read"], limit["write"], limit["why_not"]) == (True, False, "Permission denied")
    assert limit["mend"] in [mend["title"] for mend in found["mends"]]


def test_a_report_of_this_machine_says_what_is_in_it_and_is_probed_like_it(tmp_path: Path) -> None:
    report = tmp_path / "report.tar.gz"
    ended = gearshift("doctor", "--report", report)
    assert "holds" in ended.out
    assert "of CPUs and their places" in ended.out
    assert "no host name" in ended.out
    assert_refused(gearshift("doctor", "--report", report), "is there already")
    again = gearshift("probe", "--sysroot", report).out.partition("\nname:")[2]
    # A dump does not know which GPUs torch finds.
    if not Tree().find("sys/class/devfreq/*"):
        assert again == gearshift("probe").out.partition("\nname:")[2]


@pytest.fixture
def odroid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """An Odroid XU3 that the commands take for this machine."""
    machine = Machine(tree=FakeTree(boards.odroid_xu3()), state=tmp_path / "state")
    monkeypatch.setattr("workloads.cli.board.Machine", lambda: machine)
    return machine


def test_restore_says_what_it_did_and_nothing_to_do_is_no_fault(odroid: Machine) -> None:
    ended = gearshift("restore")
    assert (ended.code, ended.out) == (0, "Nothing to give back: no run of yours has left a knob turned.\n")
    governor = odroid.tree.knob("sys/devices/system/cpu/cpufreq/policy0/scaling_governor")
    Journal(odroid.tree, odroid.state).turn(governor, "powersave", "governor")
    assert gearshift("restore", "--dry-run").out.splitlines()[0] == "This would be done:"
    assert governor.text() == "powersave"
    assert gearshift("restore").out == f"put back: /{governor.path} = ondemand\n"
    assert governor.text() == "ondemand"


def test_restore_leaves_the_board_to_a_run_that_is_alive(odroid: Machine) -> None:
    unlock = odroid.tree.lock("sys/devices/system/cpu/online")
    assert unlock is not None
    assert_refused(gearshift("restore"), "another run is using this board")
    unlock()


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with this one's CPUs and nothing that could be turned or measured."""
    files = {"sys/devices/system/cpu/online": ",".join(map(str, sorted(os.sched_getaffinity(0))))}
    machine = Machine(tree=plant(tmp_path / "root", files), state=tmp_path / "state")
    monkeypatch.setattr("actors.agent.machine.Machine", lambda: machine)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("plain")
def test_calibrate_times_a_machine_that_has_nothing_else_and_writes_it() -> None:
    ended = gearshift("calibrate", "host", "--seconds", "0.2")
    assert ended.code == 0
    assert "- no rail covers a unit and could be read, so power stays as it was" in ended.out
    board = load_board("host-calibrated.yaml")
    assert [unit.speed for unit in board.units] == [1.0]
    assert "gearshift calibrate host --seconds 0.2" in Path("host-calibrated.yaml").read_text()
    sources = read_sources("host-calibrated.yaml")
    assert sources["mhz"] == "unknown: no file says it; the figure stands for it"
    assert sources["speed"].startswith("measured: gearshift calibrate, ")
    assert_refused(gearshift("calibrate", "host", "--seconds", "0.2"), "host-calibrated.yaml", "is there already")


@pytest.mark.usefixtures("plain")
def test_a_board_that_calibrate_writes_into_another_folder_finds_its_recording() -> None:
    Path("mine").mkdir()
    Path("power.csv").write_text("at_s,power_w\n0,3\n100000,3\n")
    board = host(Machine()).board
    recorded = Sensor(rail="board", driver="replay", covers="board", file="power.csv")
    Path("board.yaml").write_text(board_text(replace(board, sensors=(recorded,))))
    assert gearshift("calibrate", "board.yaml", "--seconds", "0.2", "--write", "mine/new.yaml").code == 0
    (sensor,) = load_board("mine/new.yaml").sensors
    assert sensor.file is not None
    assert Path(sensor.file).samefile("power.csv")


@pytest.mark.usefixtures("plain")
def test_calibrate_refuses_what_it_cannot_measure_or_keep() -> None:
    assert_refused(gearshift("calibrate", "two-core-host"), "unit 'big' is emulated", "such as host")
    assert_refused(gearshift("calibrate", "odroid-xu3"), "unit 'big'")
    assert_refused(gearshift("calibrate", "missing.yaml"), "missing.yaml: cannot be read")
    assert_refused(gearshift("calibrate", "host", "--write", "no/such/file.yaml"), "can't be written")
    assert gearshift("calibrate", "host", "--seconds", "0").code == 2


# ---------------------------------------------------------------- profile


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BoardBed:
    """Two clusters of two cores that `profile` takes for this machine, with their board and tiny networks."""
    bed = fake_bed(boards.bed_arm64(), tmp_path / "state")
    monkeypatch.setattr("workloads.cli.supernets.Machine", lambda: bed.machine)
    monkeypatch.setattr("actors.profiling._SAMPLES", 2)
    tiny = [(artifact, None, "unknown") for artifact in tiny_networks.ladder(tmp_path).values()]
    monkeypatch.setattr("workloads.cli.supernets.ladder_of", lambda *_: tiny)
    monkeypatch.chdir(tmp_path)
    Path("board.yaml").write_text(board_text(board_of(bed)))
    return bed


@pytest.mark.parametrize("interrupted", [False, True])
def test_profile_measures_at_the_highest_clocks_and_gives_the_board_back(
    interrupted: bool, bed: BoardBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bed.knobs()
    seen_khz = []

    def measured(*arguments: Any, **options: Any) -> Profile:
        seen_khz.append([bed.khz(unit) for unit in bed.units])
        if interrupted:
            raise KeyboardInterrupt
        return profile_board(*arguments, **options)

    monkeypatch.setattr("workloads.cli.supernets.profile_board", measured)
    ended = gearshift("profile", "ofa-plates", "--board", "board.yaml", "--engine", "onnxruntime")
    assert ended.code == (130 if interrupted else 0)
    assert seen_khz == [[1907200, 1400000]]
    assert "policy0: measured at 1907.2 of 1907.2 MHz" in ended.err
    assert ("core(s)" in ended.out) is not interrupted
    assert ("activity 1 (assumed)" in ended.out) is not interrupted
    assert ("- activity not measured: no rail covers unit 'policy0': " in ended.out) is not interrupted
    assert bed.knobs() == before
    Hold(bed.machine).give_back()


def test_profile_refuses_a_board_that_this_machine_is_not_or_that_another_has(bed: BoardBed) -> None:
    assert_refused(gearshift("profile", "ofa-plates", "--board", "odroid-xu3"), "unit 'big'", "CPUs ")
    hold = Hold(bed.machine)
    assert_refused(gearshift("profile", "ofa-plates", "--board", "board.yaml"), "another run is using this board")
    hold.give_back()


def test_profile_says_what_a_dead_run_had_left_and_what_somebody_else_has_set_meanwhile(
    bed: BoardBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    governor = bed.tree.knob("sys/devices/system/cpu/cpufreq/policy0/scaling_governor")
    Journal(bed.tree, bed.machine.state).turn(governor, "performance", "governor")

    def measured(*arguments: Any, **options: Any) -> Profile:
        bed.write(governor.path, "powersave")
        return profile_board(*arguments, **options)

    monkeypatch.setattr("workloads.cli.supernets.profile_board", measured)
    ended = gearshift("profile", "ofa-plates", "--board", "board.yaml", "--engine", "onnxruntime")
    assert ended.code == 0
    assert f"of a run that was killed: put back: /{governor.path} = schedutil" in ended.err
    assert f"left as it is, since somebody else has set it meanwhile: /{governor.path} = powersave" in ended.err
