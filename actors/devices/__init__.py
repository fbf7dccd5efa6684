"""The device layer: one back-end for each way in which a unit's clock can be set."""

from actors.devices.common import Device, DeviceError
from actors.devices.factory import BACK_ENDS, open_device

__all__ = ["BACK_ENDS", "Device", "DeviceError", "open_device"]
