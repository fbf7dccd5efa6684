"""What some user has left a board in, and what a run does to it: drawn from a generator, for any bed."""

from __future__ import annotations

import random
from collections.abc import Callable

from actors.agent.devices import open_device
from actors.agent.devices.cpufreq import CpufreqClock
from actors.agent.devices.hotplug import UnitSwitch
from actors.agent.devices.limits import Limits
from actors.agent.hold import Hold
from actors.agent.machine import Machine
from actors.ledger.ledger import BoardLedger
from helpers.board_bed import CPU, BoardBed
from helpers.board_loop import board_of
from helpers.virtual_clock import VirtualClock
from scheduler.request_clock import Pace, Timing


def prepare(bed: BoardBed, rng: random.Random, *, by_limits: bool) -> None:
    """Leave the board as some user may have left it; a clock that is set by limits has no set speed."""
    for unit in bed.units:
        policy = bed.policy(unit)
        # On a Jetson, a lowest clock at the highest one may be the work of jetson_clocks, which no run touches.
        draw = rng.sample if bed.tree.exists("etc/nv_tegra_release") else rng.choices
        low, high = sorted(round(mhz * 1000) for mhz in draw(unit.mhz, k=2))
        bed.write(f"{policy}/scaling_min_freq", low)
        bed.write(f"{policy}/scaling_max_freq", high)
        governors = {*bed.read(f"{policy}/scaling_available_governors").split()} - (
            {"userspace"} if by_limits else set()
        )
        bed.write(f"{policy}/scaling_governor", rng.choice(sorted(governors)))
        if bed.read(f"{policy}/scaling_governor") == "userspace":
            bed.write(f"{policy}/scaling_setspeed", rng.choice((low, high)))
    for path in bed.tree.find(f"{CPU}/cpufreq/*/rate_limit_us"):
        bed.write(path, rng.randrange(1, 5000))


def _use_limits(bed: BoardBed, machine: Machine, rng: random.Random) -> None:
    """Use the board as a run does on a kernel without `userspace`, and give it back."""
    hold = Hold(machine)
    for _ in range(rng.randrange(1, 12)):
        unit = rng.choice(bed.units)
        top_khz = round(unit.mhz[-1] * 1000)
        limits = Limits(hold.journal, bed.policy(unit), "scaling_min_freq", "scaling_max_freq", top_khz)
        limits.pin(round(rng.choice(unit.mhz) * 1000))
    hold.give_back()


def _use(bed: BoardBed, machine: Machine, rng: random.Random) -> None:
    """Use the board as a run does, and give it back."""
    hold = Hold(machine)
    clocks = [CpufreqClock(unit, hold.journal) for unit in bed.units]
    switch = UnitSwitch(bed.units[1], hold.journal)
    for _ in range(rng.randrange(1, 12)):
        number = rng.randrange(len(clocks))
        unit, clock = bed.units[number], clocks[number]
        match rng.randrange(5):
            case 0 | 1 | 2:
                clock.set_clock(rng.choice(unit.mhz))
            case 3:
                clock.govern(rng.choice(("performance", "powersave", "ondemand")), rng.choice((*unit.mhz, None)))
            case 4:
                clocks[1].keep()
                switch.off()
                switch.on()
                clocks[1].look()
    hold.give_back()


def _use_paced(bed: BoardBed, machine: Machine, rng: random.Random) -> None:
    """Use the board as a run does whose requests have clocks of their own, and give it back."""
    hold = Hold(machine)
    clock = VirtualClock()
    board = board_of(bed)
    ledger = BoardLedger.create(machine.state.with_name(f"ledger-{machine.state.name}"), board, slots=1, clock=clock)
    devices = [open_device(unit, ledger, clock, hold.journal) for unit in board.units]
    for _ in range(rng.randrange(1, 6)):
        device = rng.choice(devices)
        unit = device.unit
        device.set_clock(
            rng.choice(unit.mhz), paces={0: Pace(rest_mhz=unit.mhz[0], least_mhz=rng.choice(unit.mhz), share=1.0)}
        )
        for left_s in rng.choices((0.0, 1e9), k=rng.randrange(3)):
            lease = ledger.take(0, unit.name, unit.cpus[:1], 1.0)
            assert lease is not None
            ledger.ask(lease, Timing(samples_ms=(10.0,), arrival_s=0.0, deadline_s=left_s))
            device.follow()
            ledger.release(lease)
            device.follow()
        device.condition()
    hold.give_back()


def one_use(rng: random.Random, *, by_limits: bool) -> Callable[[BoardBed, Machine, random.Random], None]:
    """Return a way to use the board as some run does."""
    return _use_limits if by_limits else rng.choice((_use, _use_paced))
