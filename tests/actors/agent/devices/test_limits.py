"""Limits that the kernel's worker applies late, and limits that somebody else sets: where clocks are set by limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actors.agent.devices.cpufreq import CPUFREQ, CpufreqClock
from actors.agent.hold import Hold
from helpers.board_bed import BoardBed, fake_bed
from helpers.fake_kernel import FakeKernel, boards

pytestmark = pytest.mark.usefixtures("fake_boards")


@pytest.fixture
def kernel() -> FakeKernel:
    return boards.ALL["amd-desktop"]()


@pytest.fixture
def amd(kernel: FakeKernel, tmp_path: Path) -> BoardBed:
    return fake_bed(kernel, tmp_path)


def test_a_limit_that_the_kernel_applies_a_little_later_is_granted(kernel: FakeKernel, amd: BoardBed) -> None:
    unit = amd.units[0]
    before = amd.knobs()
    hold = Hold(amd.machine)
    clock = CpufreqClock(unit, hold.journal)
    kernel.cpufreq.slow = True
    for mhz in (unit.mhz[0], unit.mhz[-1], unit.mhz[0]):
        assert clock.set_clock(mhz) == mhz
        assert hold.journal.values(f"{amd.policy(unit)}/scaling_max_freq") == (str(round(mhz * 1000)),)
    hold.give_back()
    kernel.tick()
    assert amd.knobs() == before


def test_a_limit_that_comes_too_late_to_wait_for_is_found_by_the_next_look(
    kernel: FakeKernel, amd: BoardBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = amd.units[0]
    hold = Hold(amd.machine)
    clock = CpufreqClock(unit, hold.journal)
    kernel.cpufreq.slow = True
    pauses: list[float] = []
    monkeypatch.setattr(amd.tree, "pause", pauses.append)
    assert clock.set_clock(unit.mhz[0]) == unit.mhz[-1], "what is granted is what is there"
    assert sum(pauses) < 0.03, "as many knobs as are waited for, 10 ms each"
    kernel.tick()
    seen = clock.look()
    assert (seen.max_mhz, seen.held_by) == (None, None)
    assert clock.set_clock(unit.mhz[-1]) == unit.mhz[0]
    kernel.tick()
    assert clock.look().held_by is None
    hold.give_back()


def test_a_cap_that_is_known_is_not_waited_for(
    kernel: FakeKernel, amd: BoardBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = amd.units[0]
    hold = Hold(amd.machine)
    clock = CpufreqClock(unit, hold.journal)
    clock.set_clock(unit.mhz[-1])
    kernel.policy(0).cap("heat", 2_000_000)
    clock.look()
    pauses: list[float] = []
    monkeypatch.setattr(amd.tree, "pause", pauses.append)
    assert clock.set_clock(unit.mhz[-1]) == 2000
    assert not pauses
    hold.give_back()


def test_a_lowest_clock_that_somebody_sets_meanwhile_is_left_alone(tmp_path: Path) -> None:
    bed = fake_bed(boards.ALL["odroid-xu3"](), tmp_path)
    unit = bed.units[0]
    lowest = f"{bed.policy(unit)}/scaling_min_freq"
    bed.write(lowest, round(unit.mhz[3] * 1000))
    hold = Hold(bed.machine)
    clock = CpufreqClock(unit, hold.journal)
    assert clock.set_clock(unit.mhz[0]) == unit.mhz[0]
    theirs = str(round(unit.mhz[2] * 1000))
    bed.write(lowest, theirs)
    assert clock.set_clock(unit.mhz[0]) == unit.mhz[2], "what is granted is what is there"
    assert bed.read(lowest) == theirs
    assert hold.give_back().left_alone == (f"/{lowest} = {theirs}",)
    assert bed.read(lowest) == theirs


def test_a_highest_clock_that_somebody_sets_under_a_governor_is_left_alone(tmp_path: Path) -> None:
    bed = fake_bed(boards.ALL["odroid-xu3"](), tmp_path)
    unit = bed.units[0]
    highest = f"{bed.policy(unit)}/scaling_max_freq"
    hold = Hold(bed.machine)
    clock = CpufreqClock(unit, hold.journal)
    clock.govern("performance", unit.mhz[4])
    theirs = str(round(unit.mhz[2] * 1000))
    bed.write(highest, theirs)
    seen = clock.look()
    assert (seen.max_mhz, seen.held_by) == (unit.mhz[2], "a limit that somebody set")
    for limit_mhz in (unit.mhz[3], None):
        clock.govern("performance", limit_mhz)
        assert bed.read(highest) == theirs
    assert hold.give_back().left_alone == (f"/{highest} = {theirs}",)


def test_a_limit_below_the_power_modes_is_not_the_modes(tmp_path: Path) -> None:
    xavier = fake_bed(boards.ALL["xavier-nx-l4t35"](), tmp_path)
    unit = xavier.units[0]
    unit = replace(unit, mhz=(*unit.mhz, 1907.2))  # its mode allows 1420.8
    hold = Hold(xavier.machine)
    clock = CpufreqClock(unit, hold.journal)
    assert (clock.look().max_mhz, clock.look().held_by) == (1420.8, "nvpmodel MODE_15W_6CORE")
    xavier.write(f"{CPUFREQ}/policy0/scaling_max_freq", 1190400)
    assert (clock.look().max_mhz, clock.look().held_by) == (1190.4, "a limit that somebody set")
    hold.give_back()
