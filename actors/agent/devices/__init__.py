"""The device layer: one back-end for each way in which a unit's clock can be set here.

To add one, write its class beside the others and give it a row in `BACK_ENDS`. `scheduler.board.DVFS` says what each
way can do, on any machine.
"""

from __future__ import annotations

from collections.abc import Mapping

from actors.agent.devices.common import Device, DeviceError
from actors.agent.devices.emulated import EmulatedDevice
from actors.agent.devices.fixed import FixedDevice
from actors.clock import Clock
from actors.ledger.ledger import BoardLedger
from scheduler.board import BoardUnit

__all__ = ["BACK_ENDS", "Device", "DeviceError", "open_device"]

BACK_ENDS: Mapping[str, type[Device]] = {"emulated": EmulatedDevice, "fixed": FixedDevice}
"""The back-ends that run here, by the word of their DVFS in `cluster.yaml`."""


def open_device(unit: BoardUnit, ledger: BoardLedger, clock: Clock) -> Device:
    """Return the back-end of a unit.

    Args:
        unit: the unit.
        ledger: the ledger of its board.
        clock: board time.

    Raises:
        DeviceError: if there is no back-end for its DVFS.
    """
    if unit.dvfs not in BACK_ENDS:
        raise DeviceError(f"unit {unit.name!r}: there is no back-end for dvfs {unit.dvfs!r}")
    return BACK_ENDS[unit.dvfs](unit, ledger, clock)
