"""What every kernel must do to the device layer, and the device layer to every kernel: fake ones, and real ones."""

from __future__ import annotations

import os
import random
import time

import pytest

from actors.agent.devices import REAL_CLOCKS
from actors.agent.devices.cpufreq import CpufreqClock
from actors.agent.devices.hotplug import UnitSwitch
from actors.agent.devices.limits import Limits
from actors.agent.devices.sysfs import DeviceError
from actors.agent.hold import BoardBusyError, Hold, recover
from helpers.board_bed import CPU, BoardBed
from scheduler.board import BoardUnit


def _clocks(bed: BoardBed, hold: Hold) -> list[tuple[BoardUnit, CpufreqClock]]:
    return [(unit, CpufreqClock(unit, hold.journal)) for unit in bed.units]


def test_every_clock_is_granted_and_the_board_is_given_back(bed: BoardBed) -> None:
    before = bed.knobs()
    hold = Hold(bed.machine)
    for unit, clock in _clocks(bed, hold):
        for mhz in (*unit.mhz, *reversed(unit.mhz)):
            assert clock.set_clock(mhz) == pytest.approx(mhz)
            assert bed.khz(unit) == round(mhz * 1000)
            assert clock.look().mhz == pytest.approx(mhz)
    hold.give_back()
    assert bed.knobs() == before
    assert not list(bed.machine.state.glob("journal-*"))


def test_nothing_is_turned_before_something_is_asked_for(bed: BoardBed) -> None:
    before = bed.knobs()
    hold = Hold(bed.machine)
    for _, clock in _clocks(bed, hold):
        clock.look()
    assert bed.knobs() == before
    assert not bed.machine.state.exists()
    hold.give_back()


@pytest.mark.parametrize("governor", ["performance", "powersave", "ondemand", "schedutil", "userspace"])
def test_whatever_governor_is_found_comes_back(bed: BoardBed, governor: str) -> None:
    for unit in bed.units:
        bed.write(f"{bed.policy(unit)}/scaling_governor", governor)
        if governor == "userspace":
            bed.write(f"{bed.policy(unit)}/scaling_setspeed", round(unit.mhz[-1] * 1000))
    before = bed.knobs()
    hold = Hold(bed.machine)
    for unit, clock in _clocks(bed, hold):
        clock.set_clock(unit.mhz[0])
        clock.govern("performance")
        clock.set_clock(unit.mhz[0])
    hold.give_back()
    assert bed.knobs() == before


def test_figures_of_a_governor_come_back(bed: BoardBed) -> None:
    for unit in bed.units:
        bed.write(f"{bed.policy(unit)}/scaling_governor", "schedutil")
    figures = bed.tree.find(f"{CPU}/cpufreq/schedutil/rate_limit_us") + bed.tree.find(
        f"{CPU}/cpufreq/policy*/schedutil/rate_limit_us"
    )
    assert figures
    for path in figures:
        bed.write(path, 123)
    before = bed.knobs()
    hold = Hold(bed.machine)
    for unit, clock in _clocks(bed, hold):
        clock.set_clock(unit.mhz[-1])
    assert not any(bed.tree.exists(path) for path in figures), "the kernel loses them"
    hold.give_back()
    assert bed.knobs() == before
    assert all(bed.read(path) == "123" for path in figures)


def test_a_governor_of_the_kernels_gets_the_clock(bed: BoardBed) -> None:
    unit = bed.units[0]
    hold = Hold(bed.machine)
    clock = CpufreqClock(unit, hold.journal)
    clock.govern("powersave")
    assert bed.khz(unit) == round(unit.mhz[0] * 1000)
    clock.govern("performance")
    assert bed.khz(unit) == round(unit.mhz[-1] * 1000)
    clock.govern("performance", unit.mhz[0])
    assert bed.khz(unit) == round(unit.mhz[0] * 1000)
    assert clock.look().held_by is None, "our own limit is not the board's"
    clock.govern("performance")
    assert bed.khz(unit) == round(unit.mhz[-1] * 1000)
    with pytest.raises(DeviceError, match=r"no governor 'nonsense' here; .*performance"):
        clock.govern("nonsense")
    hold.give_back()


def test_a_cap_is_seen_granted_and_comes_off_by_itself(bed: BoardBed) -> None:
    unit = bed.units[0]
    hold = Hold(bed.machine)
    clock = CpufreqClock(unit, hold.journal)
    clock.set_clock(unit.mhz[-1])
    with bed.capped(unit, unit.mhz[1]):
        seen = clock.look()
        assert seen.mhz == seen.max_mhz == unit.mhz[1]
        assert ("thermal" if bed.tells_who_caps else "somebody") in (seen.held_by or "")
        assert clock.set_clock(unit.mhz[-1]) == unit.mhz[1]
        assert clock.set_clock(unit.mhz[0]) == unit.mhz[0]
        clock.set_clock(unit.mhz[-1])
    seen = clock.look()
    assert (seen.mhz, seen.max_mhz, seen.held_by) == (unit.mhz[-1], None, None)
    hold.give_back()


def test_a_board_found_under_a_cap_is_free_once_the_cap_is_off(bed: BoardBed) -> None:
    unit = bed.units[0]
    limits = f"{bed.policy(unit)}/scaling_max_freq"
    before = bed.read(limits)
    with bed.capped(unit, unit.mhz[1]):
        hold = Hold(bed.machine)
        clock = CpufreqClock(unit, hold.journal)
        clock.set_clock(unit.mhz[0])
        clock.set_clock(unit.mhz[-1])
        hold.give_back()
    assert bed.read(limits) == before


def test_limits_found_under_heat_are_not_made_to_last(bed: BoardBed) -> None:
    if not bed.tells_who_caps:
        pytest.skip("this kernel does not say that the limit is a passing cap")
    unit = bed.units[0]
    highest = f"{bed.policy(unit)}/scaling_max_freq"
    bed.write(highest, round(unit.mhz[-1] * 1000))
    with bed.capped(unit, unit.mhz[1]):
        hold = Hold(bed.machine)
        limits = _limits(bed, hold, unit)
        limits.pin(round(unit.mhz[0] * 1000))
        limits.pin(round(unit.mhz[1] * 1000))
        given_back = hold.give_back()
    assert bed.read(highest) == str(round(unit.mhz[-1] * 1000))
    assert any("held down by thermal" in line for line in given_back.lines())


def _limits(bed: BoardBed, hold: Hold, unit: BoardUnit) -> Limits:
    top_khz = round(unit.mhz[-1] * 1000)
    return Limits(hold.journal, bed.policy(unit), "scaling_min_freq", "scaling_max_freq", top_khz)


@pytest.mark.parametrize("found", ["low", "high", "wide"])
def test_both_limits_go_to_any_clock_and_back(bed: BoardBed, found: str) -> None:
    unit = bed.units[0]
    low, high = {
        "low": (unit.mhz[0], unit.mhz[0]),
        "high": (unit.mhz[-1], unit.mhz[-1]),
        "wide": (unit.mhz[0], unit.mhz[-1]),
    }[found]
    for end, mhz in (("min", unit.mhz[0]), ("max", unit.mhz[-1]), ("max", high), ("min", low)):
        if bed.read(f"{bed.policy(unit)}/scaling_{end}_freq") != str(round(mhz * 1000)):
            bed.write(f"{bed.policy(unit)}/scaling_{end}_freq", round(mhz * 1000))
    before = bed.knobs()
    hold = Hold(bed.machine)
    limits = _limits(bed, hold, unit)
    for mhz in random.Random(1).choices(unit.mhz, k=20):
        khz = round(mhz * 1000)
        limits.pin(khz)
        # The kernel applies limits in a worker, which a busy machine may keep waiting.
        until_s = time.monotonic() + 10
        while (limits.lowest.number(), limits.highest.number()) != (khz, khz) and time.monotonic() < until_s:
            time.sleep(0.001)
        assert (limits.lowest.number(), limits.highest.number()) == (khz, khz)
    hold.give_back()
    assert bed.knobs() == before


def test_a_governor_that_somebody_else_sets_is_left_alone(bed: BoardBed) -> None:
    unit = bed.units[0]
    governor = f"{bed.policy(unit)}/scaling_governor"
    hold = Hold(bed.machine)
    clock = CpufreqClock(unit, hold.journal)
    clock.set_clock(unit.mhz[0])
    bed.write(governor, "powersave")
    seen = clock.look()
    assert seen.held_by == "governor powersave, which somebody set"
    assert seen.max_mhz == unit.mhz[0]
    assert clock.set_clock(unit.mhz[-1]) == unit.mhz[0], "what is granted is what is there"
    given_back = hold.give_back()
    assert bed.read(governor) == "powersave"
    assert given_back.left_alone == (f"/{governor} = powersave",)


def test_a_core_of_a_domain_goes_and_comes(bed: BoardBed) -> None:
    unit = bed.units[0]
    hold = Hold(bed.machine)
    clock = CpufreqClock(unit, hold.journal)
    clock.set_clock(unit.mhz[0])
    for on in (False, True):
        bed.switch(unit.cpus[1], on)
        clock.look()
        assert bed.khz(unit) == round(unit.mhz[0] * 1000)
    hold.give_back()


def test_a_domain_that_was_away_gets_its_clock_again(bed: BoardBed) -> None:
    unit = bed.units[1]
    before = bed.knobs()
    hold = Hold(bed.machine)
    clock = CpufreqClock(unit, hold.journal)
    clock.set_clock(unit.mhz[0])
    for cpu in unit.cpus:
        bed.switch(cpu, False)
    assert clock.look().mhz is None
    clock.set_clock(unit.mhz[1] if len(unit.mhz) > 2 else unit.mhz[0])
    for cpu in unit.cpus:
        bed.switch(cpu, True)
    clock.look()
    assert bed.khz(unit) == round((unit.mhz[1] if len(unit.mhz) > 2 else unit.mhz[0]) * 1000)
    hold.give_back()
    assert bed.knobs() == before


def test_a_domain_that_is_away_at_the_end_is_given_back_later(bed: BoardBed) -> None:
    unit = bed.units[1]
    before = bed.knobs()
    hold = Hold(bed.machine)
    CpufreqClock(unit, hold.journal).set_clock(unit.mhz[0])
    for cpu in unit.cpus:
        bed.switch(cpu, False)
    assert hold.give_back().failed
    for cpu in unit.cpus:
        bed.switch(cpu, True)
    assert bed.read(f"{bed.policy(unit)}/scaling_governor") == "userspace"
    recovered = recover(bed.machine)
    assert recovered is not None
    assert not recovered.failed
    assert bed.knobs() == before


def test_a_unit_is_switched_off_and_on(bed: BoardBed) -> None:
    unit = bed.units[1]
    before = bed.knobs()
    hold = Hold(bed.machine)
    clock, switch = CpufreqClock(unit, hold.journal), UnitSwitch(unit, hold.journal)
    clock.set_clock(unit.mhz[0])
    assert switch.off() > 0
    assert not {*unit.cpus} & {int(path[-8]) for path in bed.tree.find(f"{CPU}/cpu?/online") if bed.read(path) == "1"}
    assert clock.look().mhz is None
    assert switch.on() > 0
    assert clock.look().mhz == unit.mhz[0]
    switch.off()
    hold.give_back()
    assert bed.knobs() == before


def test_a_clock_off_the_table_is_refused_with_its_neighbours(bed: BoardBed) -> None:
    unit = bed.units[0]
    between = (unit.mhz[0] + unit.mhz[1]) / 2
    hold = Hold(bed.machine)
    wrong = BoardUnit(
        name="big", kind="cpu", cpus=unit.cpus, dvfs="cpufreq", mhz=(between,), static_w=None, dynamic_w=None
    )
    with pytest.raises(DeviceError, match=f"{between:g} MHz.*{unit.mhz[0]:g} and {unit.mhz[1]:g} MHz"):
        REAL_CLOCKS["cpufreq"](wrong, hold.journal)
    hold.give_back()


def test_half_a_clock_domain_is_refused(bed: BoardBed) -> None:
    unit = bed.units[0]
    hold = Hold(bed.machine)
    half = BoardUnit(
        name="half", kind="cpu", cpus=unit.cpus[:1], dvfs="cpufreq", mhz=unit.mhz, static_w=None, dynamic_w=None
    )
    with pytest.raises(DeviceError, match=rf"CPU {unit.cpus[1]} has one clock with CPU {unit.cpus[0]}"):
        CpufreqClock(half, hold.journal)
    hold.give_back()


def test_one_process_has_the_board(bed: BoardBed) -> None:
    hold = Hold(bed.machine)
    with pytest.raises(BoardBusyError, match=rf"another run is using this board \(process {os.getpid()}\)"):
        Hold(bed.machine)
    CpufreqClock(bed.units[0], hold.journal).set_clock(bed.units[0].mhz[0])
    assert recover(bed.machine) is None
    hold.give_back()
    Hold(bed.machine).give_back()
    with pytest.raises(DeviceError, match="given back"):
        CpufreqClock(bed.units[0], hold.journal).set_clock(bed.units[0].mhz[0])


def test_a_lowest_clock_that_a_cap_hides_is_not_lost(bed: BoardBed) -> None:
    if not bed.tells_who_caps:
        pytest.skip("this kernel does not say that the limit is a passing cap")
    unit = bed.units[0]
    lowest = f"{bed.policy(unit)}/scaling_min_freq"
    # Not the highest where there are others above the cap: on a Jetson that is how jetson_clocks leaves it.
    bed.write(lowest, round(unit.mhz[max(2, len(unit.mhz) - 2)] * 1000))
    before = bed.knobs()
    hold = Hold(bed.machine)
    clock = CpufreqClock(unit, hold.journal)
    with bed.capped(unit, unit.mhz[1]):
        clock.set_clock(unit.mhz[0])
    clock.set_clock(unit.mhz[0])
    assert bed.khz(unit) == round(unit.mhz[0] * 1000)
    hold.give_back()
    assert bed.knobs() == before


def test_a_clock_that_the_kernel_forgot_under_a_cap_comes_back(bed: BoardBed) -> None:
    unit = bed.units[0]
    hold = Hold(bed.machine)
    clock = CpufreqClock(unit, hold.journal)
    clock.set_clock(unit.mhz[-1])
    with bed.capped(unit, unit.mhz[1]):
        for on in (False, True):
            bed.switch(unit.cpus[1], on)
        clock.look()
    clock.look()
    assert bed.khz(unit) == round(unit.mhz[-1] * 1000)
    hold.give_back()


def test_a_domain_that_went_and_came_between_two_looks_gets_its_clock_again(bed: BoardBed) -> None:
    unit = bed.units[1]
    hold = Hold(bed.machine)
    clock = CpufreqClock(unit, hold.journal)
    clock.set_clock(unit.mhz[0])
    clock.look()
    for on in (False, True):
        for cpu in unit.cpus:
            bed.switch(cpu, on)
    clock.look()
    assert bed.khz(unit) == round(unit.mhz[0] * 1000)
    hold.give_back()
