"""Boards that do not do what they should: each fault gets clear words, nothing is half-applied, all is given back."""

from __future__ import annotations

import errno
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from actors.agent.agent import BoardAgent
from actors.agent.checks import check_clocks, check_governor
from actors.agent.devices import REAL_CLOCKS
from actors.agent.devices.cpufreq import CpufreqClock
from actors.agent.devices.journal_files import read_journals
from actors.agent.devices.sysfs import DeniedError, DeviceError, GarbageError
from actors.agent.hold import BoardBusyError, Hold, recover
from helpers.board_bed import BoardBed, fake_bed
from helpers.board_loop import board_of
from helpers.fake_kernel import FakeKernel, boards
from helpers.virtual_clock import VirtualClock
from scheduler.policies import PolicyError

_POLICY0 = "sys/devices/system/cpu/cpufreq/policy0"

pytestmark = pytest.mark.usefixtures("fake_boards")


@pytest.fixture
def kernel() -> FakeKernel:
    return boards.ALL["xavier-nx-l4t35"]()


@pytest.fixture
def xavier(kernel: FakeKernel, tmp_path: Path) -> BoardBed:
    return fake_bed(kernel, tmp_path / "state")


def test_who_may_not_write_is_told_before_anything_is_turned(kernel: FakeKernel, xavier: BoardBed) -> None:
    kernel.root = False
    with pytest.raises(DeviceError, match=r"unit 'policy0': this process may not write /.*gearshift doctor says how"):
        check_clocks(board_of(xavier), xavier.machine)
    kernel.root, kernel.read_only = True, True
    with pytest.raises(DeviceError, match="may not write"):
        check_clocks(board_of(xavier), xavier.machine)
    assert not kernel.writes


def test_a_permission_that_goes_in_the_middle_leaves_no_unit_with_two_clocks(
    kernel: FakeKernel, xavier: BoardBed
) -> None:
    whole = replace(xavier.units[0], name="all", cpus=tuple(range(6)))
    hold = Hold(xavier.machine)
    clock = CpufreqClock(whole, hold.journal)
    clock.set_clock(whole.mhz[0])
    kernel.fail("sys/devices/system/cpu/cpufreq/policy4/scaling_setspeed", errno.EPERM, times=1)
    with pytest.raises(DeniedError, match="policy4/scaling_setspeed: Operation not permitted"):
        clock.set_clock(whole.mhz[2])
    assert {xavier.khz(unit) for unit in xavier.units} == {round(whole.mhz[0] * 1000)}
    hold.give_back()


def test_garbage_in_a_file_is_named_and_the_agent_goes_on(kernel: FakeKernel, xavier: BoardBed, tmp_path: Path) -> None:
    before = xavier.knobs()
    board = board_of(xavier)
    with BoardAgent(board, apps=["a"], path=tmp_path / "ledger", clock=VirtualClock(), machine=xavier.machine) as agent:
        agent.set_clock("policy0", board.units[0].mhz[0])
        kernel.garbage(f"{_POLICY0}/scaling_max_freq", b"\xff\xfenonsense\n")
        (first, second, *_) = agent.telemetry()
        assert "policy0/scaling_max_freq: should hold a whole number" in (first.held_by or "")
        assert second.held_by is None or "nvpmodel" in second.held_by
        kernel.heal(f"{_POLICY0}/scaling_max_freq")
        assert "whole number" not in (agent.telemetry()[0].held_by or "")
    assert xavier.knobs() == before


def test_garbage_at_the_start_is_refused(kernel: FakeKernel, xavier: BoardBed) -> None:
    kernel.garbage(f"{_POLICY0}/scaling_available_frequencies", b"fast faster")
    with pytest.raises(GarbageError, match="scaling_available_frequencies: should hold a whole number, not 'fast'"):
        REAL_CLOCKS["cpufreq"](xavier.units[0], Hold(xavier.machine).journal)


def test_a_file_that_vanishes_is_away_until_it_is_back(kernel: FakeKernel, xavier: BoardBed) -> None:
    unit = xavier.units[0]
    before = xavier.knobs()
    hold = Hold(xavier.machine)
    clock = CpufreqClock(unit, hold.journal)
    clock.set_clock(unit.mhz[0])
    kernel.vanish(f"{_POLICY0}/scaling_setspeed")
    assert clock.look().mhz is None
    assert clock.set_clock(unit.mhz[1]) == unit.mhz[1]
    kernel.come_back(f"{_POLICY0}/scaling_setspeed")
    clock.look()
    assert xavier.khz(unit) == round(unit.mhz[1] * 1000)
    hold.give_back()
    assert xavier.knobs() == before


def test_a_unit_that_is_offline_at_the_start_is_refused(xavier: BoardBed) -> None:
    for cpu in (2, 3):
        xavier.switch(cpu, False)
    with pytest.raises(DeviceError, match=r"the kernel sets no clock of CPU 2 .*offline, put it online"):
        check_clocks(board_of(xavier), xavier.machine)


def test_locked_clocks_are_refused_with_the_tool_that_unlocks_them(kernel: FakeKernel, xavier: BoardBed) -> None:
    board = board_of(xavier)
    kernel.jetson.jetson_clocks(True)
    with pytest.raises(DeviceError, match="sudo jetson_clocks --restore"):
        check_clocks(board, xavier.machine)
    kernel.jetson.jetson_clocks(False)


def test_a_governor_that_the_kernel_lacks_is_refused_before_the_run(xavier: BoardBed) -> None:
    with pytest.raises(PolicyError, match=r"no governor 'interactive' for unit 'policy0'.*modprobe"):
        check_governor(board_of(xavier), "floor+interactive", xavier.machine)
    for model in ("lavd", "schedutil-uclamp"):
        with pytest.raises(PolicyError, match=f"no governor '{model}' .* for emulated and simulated boards"):
            check_governor(board_of(xavier), f"floor+{model}", xavier.machine)
    check_governor(board_of(xavier), "floor+schedutil", xavier.machine)
    check_governor(board_of(xavier), "joint", xavier.machine)


def test_a_second_run_and_a_stranger_with_the_lock_are_refused(xavier: BoardBed, tmp_path: Path) -> None:
    hold = Hold(xavier.machine)
    with pytest.raises(BoardBusyError, match="another run is using this board"):
        check_clocks(board_of(xavier), xavier.machine)
    hold.give_back()
    check_clocks(board_of(xavier), xavier.machine)


def test_the_lock_of_this_machine_ends_with_its_process() -> None:
    code = (
        "from actors.agent.devices.lock import lock_board; from actors.agent.devices.sysfs import Tree\n"
        "print(lock_board(Tree()) is not None, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        again = subprocess.run([sys.executable, "-c", code], input="\n", capture_output=True, text=True, check=True)
        assert again.stdout == "False\n"
        other.kill()
    freed = subprocess.run([sys.executable, "-c", code], input="\n", capture_output=True, text=True, check=True)
    assert freed.stdout == "True\n"


def test_the_journal_of_another_boot_is_deleted_and_nothing_is_turned(kernel: FakeKernel, xavier: BoardBed) -> None:
    hold = Hold(xavier.machine)
    CpufreqClock(xavier.units[0], hold.journal).set_clock(xavier.units[0].mhz[0])
    hold._unlock()
    kernel.boot()
    before = xavier.knobs()
    recovered = recover(xavier.machine)
    assert recovered is not None
    assert recovered.lines() == []
    assert not read_journals(xavier.tree, xavier.machine.state)
    assert xavier.knobs() == before


def test_what_is_no_journal_is_named(xavier: BoardBed) -> None:
    directory = xavier.machine.state / "journal-1"
    directory.mkdir(parents=True)
    (directory / "set").write_bytes(b"")
    (directory / "found").write_text("[1, 2]\n")
    with pytest.raises(DeviceError, match=r"journal-1 is no journal of gearshift .*; delete it"):
        recover(xavier.machine)


def test_a_directory_that_others_may_write_to_is_not_trusted(xavier: BoardBed) -> None:
    xavier.machine.state.mkdir(mode=0o777)
    xavier.machine.state.chmod(0o777)
    hold = Hold(xavier.machine)
    with pytest.raises(DeviceError, match="others may write to it; remove it"):
        CpufreqClock(xavier.units[0], hold.journal).set_clock(xavier.units[0].mhz[0])
    hold.give_back()
