"""A clock is set on all clock domains of its unit or on none, whichever write fails and whatever was there before."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.agent.devices import open_device
from actors.agent.devices.cpufreq import CPUFREQ, CpufreqClock
from actors.agent.devices.devfreq import DevfreqClock
from actors.agent.devices.journal import Journal
from actors.agent.devices.real import RealClock
from actors.agent.devices.sysfs import DeniedError, GarbageError
from actors.agent.hold import Hold
from actors.agent.machine import Machine
from actors.ledger.ledger import BoardLedger
from helpers.board_bed import BoardBed, fake_bed
from helpers.board_loop import board_of
from helpers.fake_kernel import boards
from helpers.gpu_bed import GpuBed
from helpers.kill_points import KillPoints, MortalTree
from helpers.virtual_clock import VirtualClock
from scheduler.board import BoardUnit

pytestmark = pytest.mark.usefixtures("fake_boards")

_MOST_WRITES = 100

_ACTIONS: dict[str, Callable[[RealClock, BoardUnit], object]] = {
    "lowest": lambda clock, unit: clock.set_clock(unit.mhz[0]),
    "second": lambda clock, unit: clock.set_clock(unit.mhz[1]),
    "performance": lambda clock, unit: clock.govern("performance"),
    "another governor": lambda clock, unit: clock.govern(clock.governors()[-1]),
    "held down": lambda clock, unit: clock.govern("performance", unit.mhz[1]),
}


def _whole(bed: BoardBed) -> BoardUnit:
    """Return a unit with several clock domains of a board."""
    lowest, *_, highest = bed.units[0].mhz
    middle = 1190.4 if bed.tree.exists(f"{CPUFREQ}/policy0/scaling_available_frequencies") else 2000.0
    cpus = tuple(cpu for unit in bed.units[:3] for cpu in unit.cpus)
    return replace(bed.units[0], name="all", cpus=cpus, mhz=(lowest, middle, highest))


def _denied_once(machine: Machine) -> tuple[Machine, KillPoints]:
    """Return a machine one of whose writes is denied, and what counts them: each has two points."""

    def deny() -> None:
        points.left = None
        raise PermissionError(errno.EPERM, "denied")

    points = KillPoints(deny)
    return replace(machine, tree=MortalTree(machine.tree, points)), points


def _deny_each_write(
    machine: Machine,
    open_clock: Callable[[BoardUnit, Journal], RealClock],
    unit: BoardUnit,
    knobs: Callable[[], dict[str, str]],
    first: str | None,
) -> None:
    found = knobs()
    failing, points = _denied_once(machine)
    for action in _ACTIONS.values():
        denied = True
        for write in range(_MOST_WRITES):
            hold = Hold(failing)
            clock = open_clock(unit, hold.journal)
            if first is not None:
                _ACTIONS[first](clock, unit)
            before = knobs()
            points.left = 2 * write
            try:
                action(clock, unit)
            except DeniedError:
                assert knobs() == before
                action(clock, unit)
            else:
                denied = False
            points.left = None
            hold.give_back()
            assert knobs() == found
            if not denied:
                break
        assert not denied


@pytest.mark.parametrize("first", [None, "second", "held down"])
@pytest.mark.parametrize("board", ["xavier-nx-l4t32", "xavier-nx-l4t35", "amd-desktop"])
def test_a_write_that_is_denied_leaves_the_cpus_as_they_were(board: str, first: str | None, tmp_path: Path) -> None:
    bed = fake_bed(boards.ALL[board](), tmp_path)
    for path in bed.tree.find(f"{CPUFREQ}/schedutil/rate_limit_us"):
        bed.write(path, 123)  # what the kernel forgets when the last domain leaves schedutil
    _deny_each_write(bed.machine, CpufreqClock, _whole(bed), bed.knobs, first)


@pytest.mark.parametrize("first", [None, "second", "held down"])
@pytest.mark.parametrize("board", ["xavier-nx-l4t32", "odroid-xu3"])
def test_a_write_that_is_denied_leaves_the_gpu_as_it_was(board: str, first: str | None, tmp_path: Path) -> None:
    gpu = GpuBed(fake_bed(boards.ALL[board](), tmp_path))
    _deny_each_write(gpu.bed.machine, DevfreqClock, gpu.unit, gpu.knobs, first)


def test_a_limit_that_cannot_be_set_is_not_in_force(tmp_path: Path) -> None:
    bed = fake_bed(boards.ALL["xavier-nx-l4t35"](), tmp_path / "state")
    board = board_of(bed)
    unit = board.units[0]
    machine, points = _denied_once(bed.machine)
    hold = Hold(machine)
    ledger = BoardLedger.create(tmp_path, board, slots=1, clock=VirtualClock())
    device = open_device(unit, ledger, VirtualClock(), hold.journal)
    device.set_clock(unit.mhz[-1])
    points.left = 0
    with pytest.raises(DeniedError):
        device.limit(max_mhz=unit.mhz[1], cpus_online=[0])
    assert device.read().cpus_online == unit.all_cpus
    assert device.set_clock(unit.mhz[-1]) == unit.mhz[-1]
    hold.give_back()
    ledger.remove()


def test_a_domain_that_was_away_gets_the_governor_too(tmp_path: Path) -> None:
    bed = fake_bed(boards.ALL["xavier-nx-l4t35"](), tmp_path)
    before = bed.knobs()
    unit = _whole(bed)
    hold = Hold(bed.machine)
    clock = CpufreqClock(unit, hold.journal)
    clock.set_clock(unit.mhz[0])
    for on in (False, True):
        for cpu in (4, 5):
            bed.switch(cpu, on)
        if not on:
            clock.govern("performance", unit.mhz[1])
    clock.look()
    assert bed.read(f"{CPUFREQ}/policy4/scaling_governor") == "performance"
    assert {bed.khz(one) for one in bed.units} == {round(unit.mhz[1] * 1000)}
    hold.give_back()
    assert bed.knobs() == before


def test_a_look_that_fails_is_made_up_for_by_the_next(tmp_path: Path) -> None:
    kernel = boards.ALL["xavier-nx-l4t35"]()
    bed = fake_bed(kernel, tmp_path)
    unit = _whole(bed)
    hold = Hold(bed.machine)
    clock = CpufreqClock(unit, hold.journal)
    clock.set_clock(unit.mhz[0])
    clock.look()
    bed.switch(1, False)
    bed.write(f"{CPUFREQ}/policy4/scaling_setspeed", round(unit.mhz[-1] * 1000))
    kernel.garbage(f"{CPUFREQ}/policy0/scaling_max_freq", b"nonsense")
    with pytest.raises(GarbageError, match="whole number"):
        clock.look()
    kernel.heal(f"{CPUFREQ}/policy0/scaling_max_freq")
    clock.look()
    assert {bed.khz(one) for one in bed.units} == {round(unit.mhz[0] * 1000)}
    hold.give_back()
