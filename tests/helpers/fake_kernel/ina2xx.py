"""INA226 and INA231, single-channel power monitors that know their power, and tell no rail's name.

Source: drivers/hwmon/ina2xx.c of Linux 6.1.
"""

from __future__ import annotations

import errno

from .hwmon import Hwmon, add_i2c_device, closest, rounded
from .kernel import FakeKernel
from .power import mean_w
from .texts import kernel_error, signed_32, strict_unsigned

_AVERAGES = (1, 4, 16, 64, 128, 256, 512, 1024)
_CONVERSIONS_US = 2200
"""Time of a conversion of bus and shunt."""
_SHUNT_NV, _BUS_UV = 2500, 1250
"""Steps of the converter."""
_DIVIDEND = 1_000_000_000 // 400
_MOST_POINTS = 16
"""Most samples that the model averages."""


class Ina2xx:
    """One chip.

    Attributes:
        rail: whose power it measures.
        volts: the rail's voltage.
        shunt_uohm: what the driver takes its shunt to be.
        averages: samples that it averages.
        hwmon: its hwmon device.
    """

    def __init__(
        self,
        kernel: FakeKernel,
        bus: int,
        address: int,
        rail: str,
        *,
        volts: float = 1.0,
        shunt_uohm: int = 10_000,
        name: str = "ina231",
        adapter: str = "",
    ) -> None:
        """Add a chip on an I2C bus."""
        self.rail = rail
        self.volts = volts
        self.shunt_uohm = shunt_uohm
        self.averages = 16
        self._true_shunt_uohm = shunt_uohm
        self._kernel = kernel
        device = add_i2c_device(kernel, bus, address, "ina2xx", adapter=adapter)
        kernel.text(f"{device}/name", name)
        self.hwmon = Hwmon(kernel, device, name)
        file = self.hwmon.file
        file("in0_input", lambda: str(rounded(self._steps()[1], 400)))
        file("in1_input", lambda: str(rounded(self._steps()[0] * _BUS_UV, 1000)))
        file("curr1_input", lambda: str(rounded(signed_32(self._steps()[1] * self._current_ua), 1000)))
        file("power1_input", lambda: str(signed_32(self._power_steps() * 25 * self._current_ua)))
        file("shunt_resistor", lambda: str(self.shunt_uohm), self._store_shunt)
        file("update_interval", lambda: str(rounded(self.averages * _CONVERSIONS_US, 1000)), self._store_interval)

    @property
    def period_s(self) -> float:
        """Time after which a reading is new."""
        return self.averages * _CONVERSIONS_US / 1e6

    @property
    def _current_ua(self) -> int:
        return rounded(_DIVIDEND, self.shunt_uohm)

    def _steps(self) -> tuple[int, int]:
        end_s = self._kernel.now_s() // self.period_s * self.period_s
        points = min(self.averages, _MOST_POINTS)
        watts = mean_w(self._kernel, self.rail, end_s - self.period_s, end_s, points)
        shunt_nv = watts / self.volts * self._true_shunt_uohm * 1000
        return round(self.volts * 1e6 / _BUS_UV), min(round(shunt_nv / _SHUNT_NV), 32_767)

    def _power_steps(self) -> int:
        bus, shunt = self._steps()
        return shunt * bus // 20_000

    def _store_shunt(self, content: bytes) -> None:
        value = strict_unsigned(content, 64)
        if not 0 < value <= _DIVIDEND:
            raise kernel_error(errno.EINVAL)
        self.shunt_uohm = value

    def _store_interval(self, content: bytes) -> None:
        value = strict_unsigned(content, 64)
        if not 0 < value < 2**31:
            raise kernel_error(errno.EINVAL)
        wanted = rounded(value * 1000, _CONVERSIONS_US)
        self.averages = _AVERAGES[closest(wanted, _AVERAGES)]
