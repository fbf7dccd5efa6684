"""The device layer: one back-end for each way in which a unit's clock can be set."""

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
"""By `dvfs`."""


def open_device(unit: BoardUnit, ledger: BoardLedger, clock: Clock) -> Device:
    """Return the back-end of a unit.

    Args:
        unit: the unit.
        ledger: of its board.
        clock: board time.

    Raises:
        DeviceError: if there is no back-end for its `dvfs`.
    """
    if unit.dvfs not in BACK_ENDS:
        raise DeviceError(f"unit {unit.name!r}: there is no back-end for dvfs {unit.dvfs!r}")
    return BACK_ENDS[unit.dvfs](unit, ledger, clock)
