"""INA3221, the three-channel power monitor of the Jetsons: as hwmon (Linux 5 and later) and as iio (L4T 4.9).

Source: drivers/hwmon/ina3221.c of Linux 6.1.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from .hwmon import Hwmon, add_i2c_device, closest, rounded
from .kernel import FakeKernel
from .power import mean_w, power_w
from .texts import kernel_error, signed_32, strict_signed

_CONVERSION_US = (140, 204, 332, 588, 1100, 2116, 4156, 8244)
_SAMPLES = (1, 4, 16, 64, 128, 256, 512, 1024)
_BUS_MV, _SHUNT_UV = 8, 40
"""Steps of the converter."""
_MOST_STEPS = 4095
_MOST_POINTS = 16
"""Most samples that the model averages; the chip averages up to 1024."""


@dataclass
class Channel:
    """A channel and what hangs on it.

    Attributes:
        label: the rail's name in the device tree; None if it gives none.
        rail: whose power it measures; None if nothing is connected.
        volts: the rail's voltage.
        shunt_uohm: what the driver takes its shunt to be.
        enabled: False once somebody switched it off.
        limits: registers of the limits, in steps of the converter, by "max" and "crit".
    """

    label: str | None
    rail: str | None
    volts: float = 5.0
    shunt_uohm: int = 5000
    enabled: bool = True

    def __post_init__(self) -> None:
        self.limits = {"max": _MOST_STEPS, "crit": _MOST_STEPS}
        # The chip measures a voltage; who tells the driver another resistance does not change that.
        self.true_shunt_uohm = self.shunt_uohm


class Ina3221:
    """The chip behind the hwmon driver.

    Attributes:
        channels: its three channels.
        samples: samples that it averages.
        conversion_us: time of one conversion, of bus and shunt alike.
        hwmon: its hwmon device.
    """

    def __init__(
        self, kernel: FakeKernel, bus: int, address: int, channels: Sequence[Channel], *, adapter: str
    ) -> None:
        """Add a chip on an I2C bus."""
        self.channels = tuple(channels)
        self.samples = 1
        self.conversion_us = 1100
        self._kernel = kernel
        device = add_i2c_device(kernel, bus, address, "ina3221", adapter=adapter)
        kernel.text(f"{device}/name", "ina3221")
        self.hwmon = Hwmon(kernel, device, "ina3221")
        self._add_files()

    @property
    def period_s(self) -> float:
        """Time after which the readings of all channels are new."""
        return self._period_us * self.samples / 1e6

    @property
    def _period_us(self) -> int:
        return 2 * self.conversion_us * sum(channel.enabled for channel in self.channels)

    def _add_files(self) -> None:
        file = self.hwmon.file
        for number, channel in enumerate(self.channels, start=1):
            self._add_channel(number, channel)
        file("in7_label", lambda: "sum of shunt voltages")
        file("in7_input", lambda: str(self._sum() * _SHUNT_UV))
        file("curr4_input", self._sum_current)
        file("samples", lambda: str(self.samples), self._store_samples)
        # This driver leaves the samples out of the interval that it tells; others do not.
        file("update_interval", lambda: str(rounded(self._period_us, 1000)), self._store_interval)

    def _add_channel(self, number: int, channel: Channel) -> None:
        def limit(name: str) -> str:
            return str(rounded(channel.limits[name] * 40_000, channel.shunt_uohm))

        file = self.hwmon.file
        if channel.label is not None:
            file(f"in{number}_label", lambda: str(channel.label))
        file(f"in{number}_input", partial(self._bus, channel))
        file(f"in{number}_enable", lambda: str(int(channel.enabled)), partial(self._enable, channel))
        file(f"in{number + 3}_input", partial(self._shunt, channel))
        file(f"curr{number}_input", partial(self._current, channel))
        for name in ("max", "crit"):
            file(f"curr{number}_{name}", partial(limit, name), partial(self._store_limit, channel, name))
            file(f"curr{number}_{name}_alarm", lambda: "0")
        file(f"shunt{number}_resistor", lambda: str(channel.shunt_uohm), partial(self._store_shunt, channel))

    # ------------------------------------------------------------ readings

    def _steps(self, channel: Channel) -> tuple[int, int]:
        """Return what the converter last found, in its steps: the bus's voltage and the shunt's."""
        if channel.rail is None:
            return 0, 0
        # It converts on and on: a reading is the mean over the last period that is over.
        end_s = self._kernel.now_s() // self.period_s * self.period_s
        points = min(self.samples, _MOST_POINTS)
        watts = mean_w(self._kernel, channel.rail, end_s - self.period_s, end_s, points)
        shunt_uv = watts / channel.volts * channel.true_shunt_uohm
        return _in_steps(channel.volts * 1000 / _BUS_MV), _in_steps(shunt_uv / _SHUNT_UV)

    def _bus(self, channel: Channel) -> str:
        _demand(channel.enabled)
        return str(self._steps(channel)[0] * _BUS_MV)

    def _shunt(self, channel: Channel) -> str:
        _demand(channel.enabled)
        return str(self._steps(channel)[1] * _SHUNT_UV)

    def _current(self, channel: Channel) -> str:
        _demand(channel.enabled)
        return str(rounded(self._steps(channel)[1] * 40_000, channel.shunt_uohm))

    def _sum(self) -> int:
        return sum(self._steps(channel)[1] for channel in self.channels if channel.enabled)

    def _sum_current(self) -> str:
        shunts = {channel.shunt_uohm for channel in self.channels}
        _demand(len(shunts) == 1)
        return str(rounded(self._sum() * 40_000, shunts.pop()))

    # ------------------------------------------------------------ settings

    def _enable(self, channel: Channel, content: bytes) -> None:
        channel.enabled = strict_signed(content, 64) != 0

    def _store_samples(self, content: bytes) -> None:
        self.samples = _SAMPLES[closest(strict_signed(content, 64), _SAMPLES)]

    def _store_interval(self, content: bytes) -> None:
        conversions = self.samples * sum(channel.enabled for channel in self.channels)
        half_us = int(signed_32(signed_32(strict_signed(content, 64)) * 1000) / 2)
        # The division is one of unsigned numbers of 32 bits, so -1 is a very long time.
        wanted_us = (half_us + conversions // 2) % (1 << 32) // conversions
        self.conversion_us = _CONVERSION_US[closest(wanted_us, _CONVERSION_US)]

    def _store_limit(self, channel: Channel, name: str, content: bytes) -> None:
        most_ma = (2**31 - 1) // channel.shunt_uohm
        current_ma = min(max(strict_signed(content, 64), -most_ma), most_ma)
        # The rounding of a number near the end of 32 bits begins anew at the other end.
        product = current_ma * channel.shunt_uohm
        voltage_uv = int(signed_32(product + (500 if product > 0 else -500)) / 1000)
        voltage_uv = min(max(voltage_uv, -163_800), 163_800)
        channel.limits[name] = rounded(voltage_uv, 5) >> 3

    def _store_shunt(self, channel: Channel, content: bytes) -> None:
        channel.shunt_uohm = max(strict_signed(content, any_base=True), 1)


def add_iio_ina3221(
    kernel: FakeKernel, bus: int, address: int, channels: Sequence[Channel], *, number: int = 0, adapter: str
) -> None:
    """Add the chip behind NVIDIA's iio driver of L4T 4.9; its channels are counted from 0, and it tells the power."""
    device = add_i2c_device(kernel, bus, address, "ina3221x", adapter=adapter)
    kernel.text(f"{device}/name", "ina3221x")
    base = f"{device}/iio:device{number}"
    kernel.link(f"sys/bus/iio/devices/iio:device{number}", base)
    kernel.text(f"{base}/name", "ina3221x")

    for index, channel in enumerate(channels):
        _add_iio_channel(kernel, base, index, channel)


def _add_iio_channel(kernel: FakeKernel, base: str, index: int, channel: Channel) -> None:
    def current_ma() -> int:
        watts = power_w(kernel, channel.rail, kernel.now_s()) if channel.rail else 0.0
        return round(watts / channel.volts * 1000)

    kernel.text(f"{base}/rail_name_{index}", channel.label or "NC")
    kernel.file(f"{base}/in_voltage{index}_input", lambda: str(round(channel.volts * 1000)))
    kernel.file(f"{base}/in_current{index}_input", lambda: str(current_ma()))
    kernel.file(f"{base}/in_power{index}_input", lambda: str(round(current_ma() * channel.volts)))
    for limit in ("warn", "crit"):
        kernel.text(f"{base}/{limit}_current_limit_{index}", "32760 ma", mode=0o644)


def _demand(possible: bool) -> None:
    if not possible:
        raise kernel_error(errno.ENODATA)


def _in_steps(steps: float) -> int:
    return min(max(round(steps), -_MOST_STEPS), _MOST_STEPS)
