"""Where sensors' files are: I2C devices and the numbered hwmon devices below them.

The number changes with each boot, and other sensors come before it.
"""

from __future__ import annotations

from .kernel import FakeKernel, Show, Store

_HWMON = "sys/class/hwmon"


def add_i2c_device(kernel: FakeKernel, bus: int, address: int, driver: str, *, adapter: str = "") -> str:
    """Add an I2C device with the links that lead to it.

    Args:
        kernel: the kernel that it belongs to.
        bus: number of its bus.
        address: its address there.
        driver: its driver, in whose directory a link is.
        adapter: directory of the bus's controller, like `sys/devices/platform/c240000.i2c`.

    Returns:
        Its directory.
    """
    name = f"{bus}-{address:04x}"
    base = f"{adapter or 'sys/devices/platform/i2c'}/i2c-{bus}/{name}"
    kernel.directory(base)
    kernel.link(f"sys/bus/i2c/devices/{name}", base)
    kernel.link(f"sys/bus/i2c/drivers/{driver}/{name}", base)
    return base


class Hwmon:
    """A hwmon device.

    Attributes:
        base: its directory.
    """

    def __init__(self, kernel: FakeKernel, parent: str, name: str) -> None:
        """Add a device with the next number, below the directory of another device."""
        number = sum(1 for path, _ in kernel.files(_HWMON)) if kernel.exists(_HWMON) else 0
        self.base = f"{parent}/hwmon/hwmon{number}"
        self._kernel = kernel
        kernel.text(f"{self.base}/name", name)
        kernel.link(f"{self.base}/device", parent)
        kernel.link(f"{_HWMON}/hwmon{number}", self.base)

    def file(self, name: str, show: Show, store: Store | None = None) -> None:
        """Add a file."""
        self._kernel.file(f"{self.base}/{name}", show, store)

    def number(self, name: str, value: int) -> None:
        """Add a file with a number that stays."""
        self._kernel.text(f"{self.base}/{name}", str(value))


def closest(value: int, rising: tuple[int, ...]) -> int:
    """Return the index of the number that is closest to a value (include/linux/util_macros.h: find_closest)."""
    return min(range(len(rising)), key=lambda index: abs(rising[index] - value))


def rounded(value: int, divisor: int) -> int:
    """Return value / divisor, rounded to the nearest; halves away from zero (DIV_ROUND_CLOSEST)."""
    half = divisor // 2
    return (value + half) // divisor if value > 0 else -((-value + half) // divisor)
