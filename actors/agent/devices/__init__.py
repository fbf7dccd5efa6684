"""The device layer: one back-end for each way in which a unit's clock can be set here.

To add one, write its class beside the others and give it a row below. `scheduler.board.DVFS` says what each way can do,
on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from actors.agent.devices.common import Device, DeviceError
from actors.agent.devices.cpufreq import CpufreqClock
from actors.agent.devices.devfreq import DevfreqClock
from actors.agent.devices.emulated import EmulatedDevice
from actors.agent.devices.fixed import FixedDevice
from actors.agent.devices.hotplug import UnitSwitch
from actors.agent.devices.journal import Journal
from actors.agent.devices.nvml import NvmlClock
from actors.agent.devices.real import RealClock, RealDevice
from actors.clock import Clock
from actors.ledger.ledger import BoardLedger
from scheduler.board import Board, BoardUnit

__all__ = ["REAL_CLOCKS", "Device", "DeviceError", "open_clock", "open_device", "put_online"]

REAL_CLOCKS: Mapping[str, Callable[[BoardUnit, Journal], RealClock]] = {
    "cpufreq": CpufreqClock,
    "devfreq": DevfreqClock,
    "nvml": NvmlClock,
}
"""The back-ends that turn real knobs, by the word of their DVFS in `cluster.yaml`."""

_OTHERS: Mapping[str, type[Device]] = {"emulated": EmulatedDevice, "fixed": FixedDevice}


def open_clock(board: Board, unit: BoardUnit, journal: Journal) -> RealClock:
    """Return the knobs of the clock of a unit that has a real one; nothing is turned.

    Args:
        board: its board.
        unit: the unit.
        journal: journal of the board.

    Raises:
        DeviceError: if the unit can't be driven as described.
    """
    if unit.dvfs == "nvml":  # several cards are told apart by their units' places
        return NvmlClock(unit, journal, board.cuda_number(unit.name))
    return REAL_CLOCKS[unit.dvfs](unit, journal)


def put_online(board: Board, units: Collection[str], journal: Journal) -> None:
    """Put units online that a process before has switched off: the clock of one that is off shows nothing.

    Args:
        board: the board.
        units: names of the units; emulated ones are left out.
        journal: the board's journal, which that process has kept.

    Raises:
        DeviceError: if a CPU does not come.
    """
    for unit in board.units:
        if unit.name in units and unit.may_switch_off and not unit.emulated:
            UnitSwitch(unit, journal).on()


def open_device(unit: BoardUnit, ledger: BoardLedger, clock: Clock, journal: Journal | None = None) -> Device:
    """Return the back-end of a unit.

    Args:
        unit: the unit.
        ledger: the ledger of its board.
        clock: board time.
        journal: journal of the board; a unit whose clock is real needs one.

    Raises:
        DeviceError: if there is no back-end for its DVFS, or the unit can't be driven as described.
    """
    if unit.dvfs in _OTHERS:
        return _OTHERS[unit.dvfs](unit, ledger, clock)
    if unit.dvfs not in REAL_CLOCKS or journal is None:
        raise DeviceError(f"unit {unit.name!r}: there is no back-end for dvfs {unit.dvfs!r}")
    cpus = UnitSwitch(unit, journal) if unit.may_switch_off else None
    return RealDevice(unit, ledger, clock, open_clock(ledger.board, unit, journal), cpus)
