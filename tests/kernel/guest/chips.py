"""The power meters of the amd64 guest: registers behind the kernel's i2c-stub, read by the kernel's own drivers."""

from __future__ import annotations

import ctypes
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from kernel.boards import CHIPS, Chip

DEVICES = Path("/sys/bus/i2c/devices")
# Requests and codes of linux/i2c-dev.h and linux/i2c.h.
I2C_SLAVE_FORCE = 0x0706
I2C_SMBUS = 0x0720
SMBUS_WRITE = 0
SMBUS_WORD_DATA = 3
# What drivers take without a device tree, and the steps of the chips' data sheets.
SHUNT_OHM = 0.010
INA3221_VOLT_MV = 8
INA3221_SHUNT_UV = 40
INA231_VOLT_MV = 1.25
INA231_SHUNT_UV = 2.5
# The current's step that the driver ina2xx chooses for that shunt; power has 25 of it in W.
INA231_CURRENT_MA = 0.25
INA231_POWER_MW = 25 * INA231_CURRENT_MA


class _WordData(ctypes.Structure):
    _fields_ = (
        ("read_write", ctypes.c_uint8),
        ("command", ctypes.c_uint8),
        ("size", ctypes.c_uint32),
        ("data", ctypes.POINTER(ctypes.c_uint16)),
    )


def bus() -> int:
    """Return the number of the bus that i2c-stub made."""
    (name,) = (path for path in DEVICES.glob("i2c-*/name") if path.read_text().startswith("SMBus stub"))
    return int(name.parent.name.removeprefix("i2c-"))


def set_registers(address: int, registers: dict[int, int]) -> None:
    """Write registers of 16 bits into a chip, also under its driver's hands."""
    fd = os.open(f"/dev/i2c-{bus()}", os.O_RDWR)
    try:
        fcntl.ioctl(fd, I2C_SLAVE_FORCE, address)
        for register, value in registers.items():
            # The chips send the high byte first, SMBus the low one.
            word = ctypes.c_uint16((value & 0xFF) << 8 | value >> 8)
            fcntl.ioctl(fd, I2C_SMBUS, _WordData(SMBUS_WRITE, register, SMBUS_WORD_DATA, ctypes.pointer(word)))
    finally:
        os.close(fd)


def measure(chip: Chip, channels: Sequence[tuple[int, int]]) -> None:
    """Make a chip measure these mV and mA."""
    if chip.driver == "ina3221":
        registers = {}
        for number, (mv, ma) in enumerate(channels):
            registers[1 + 2 * number] = round(ma * 1000 * SHUNT_OHM / INA3221_SHUNT_UV) << 3
            registers[2 + 2 * number] = mv // INA3221_VOLT_MV << 3
    else:
        ((mv, ma),) = channels
        registers = {
            1: round(ma * 1000 * SHUNT_OHM / INA231_SHUNT_UV),
            2: round(mv / INA231_VOLT_MV),
            3: round(mv * ma / 1000 / INA231_POWER_MW),
            4: round(ma / INA231_CURRENT_MA),
        }
    set_registers(chip.address, registers)


def plug_in() -> None:
    """Fill the chips and tell the kernel that they are there."""
    for chip in CHIPS:
        measure(chip, chip.channels)
        (DEVICES / f"i2c-{bus()}" / "new_device").write_text(f"{chip.driver} {chip.address:#04x}")


def hwmon(chip: Chip) -> Path:
    """Return a chip's folder of hwmon, whose number changes from boot to boot."""
    (folder,) = (DEVICES / f"{bus()}-{chip.address:04x}" / "hwmon").iterdir()
    return folder
