"""Which of the kernel's clock domains a unit's clock turns: all of its cores' threads, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.agent.devices.cpufreq import CpufreqClock
from actors.agent.devices.sysfs import DeviceError
from actors.agent.hold import Hold
from actors.agent.machine import Machine
from actors.board_commands.probe import probe
from helpers.fake_kernel import FakeKernel, FakeTree, boards
from helpers.fake_kernel.files import snapshot
from scheduler.board import BoardUnit


def unit(*cpus: int, mhz: tuple[float, ...]) -> BoardUnit:
    return BoardUnit(name="u", kind="cpu", cpus=cpus, dvfs="cpufreq", mhz=mhz, static_w=None, dynamic_w=None)


def hold(kernel: FakeKernel, tmp_path: Path) -> Hold:
    return Hold(Machine(tree=FakeTree(kernel), state=tmp_path / "state"))


@pytest.mark.parametrize("name", ["x86-hybrid-laptop", "x86-hybrid-laptop-passive", "amd-desktop", "amd-desktop-acpi"])
def test_the_other_threads_of_a_core_get_its_clock_and_come_back_with_it(name: str, tmp_path: Path) -> None:
    kernel = boards.ALL[name]()
    before = snapshot(kernel)
    held = hold(kernel, tmp_path)
    fast = probe(FakeTree(kernel)).board.units[0]
    threads = (0, 1, 2, 3) if "hybrid" in name else range(8)
    assert len(fast.cpus) == len(threads) / 2
    lowest_khz = round(fast.mhz[0] * 1000)
    CpufreqClock(fast, held.journal).set_clock(fast.mhz[0])
    for cpu in threads:
        policy = kernel.policy(cpu)
        assert (policy.limits.high == lowest_khz) or policy.cur_khz == lowest_khz, cpu
    held.give_back()
    assert snapshot(kernel) == before


def test_a_cpu_of_the_domain_that_is_offline_stands_in_nobodys_way(tmp_path: Path) -> None:
    kernel = boards.xavier_nx_l4t35()
    kernel.cpus.switch(5, False)
    held = hold(kernel, tmp_path)
    clock = CpufreqClock(unit(4, mhz=(1190.4, 1420.8)), held.journal)
    assert clock.set_clock(1190.4) == 1190.4
    held.give_back()


def test_a_cpu_of_the_domain_that_works_has_to_be_in_the_unit(tmp_path: Path) -> None:
    held = hold(boards.xavier_nx_l4t35(), tmp_path)
    with pytest.raises(DeviceError, match=r"CPU 5 has one clock with CPU 4 \(policy4\). Put CPUs 4, 5 into one unit"):
        CpufreqClock(unit(4, mhz=(1190.4,)), held.journal)
    held.give_back()


@pytest.mark.parametrize("text", ["garbage", "-1", "3-1", "0-99999999"])
def test_a_domain_that_names_no_cpus_is_nobodys(text: str, tmp_path: Path) -> None:
    kernel = boards.odroid_xu3()
    kernel.garbage("sys/devices/system/cpu/cpufreq/policy0/related_cpus", text.encode())
    held = hold(kernel, tmp_path)
    CpufreqClock(unit(4, 5, 6, 7, mhz=(200.0,)), held.journal)
    with pytest.raises(DeviceError, match="the kernel sets no clock of CPU 0"):
        CpufreqClock(unit(0, 1, 2, 3, mhz=(200.0,)), held.journal)
    held.give_back()
