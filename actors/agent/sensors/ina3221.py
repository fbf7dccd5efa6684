"""INA3221: a chip that measures three rails, as on Jetson boards, through either of its two kernel drivers.

- *hwmon* (mainline, L4T 5 and later): `in{1,2,3}_input` in mV and `curr{1,2,3}_input` in mA. There is no file for the
  power, so it is the product of two readings, which need not be of the same conversion. Channels 4 to 6 are shunt
  voltages in µV, channel 7 and `curr4` are sums.
- *iio* (L4T 4.9): `in_power{0,1,2}_input` in mW. A value may have its unit behind it.
"""

from __future__ import annotations

import math
from typing import ClassVar

from actors.agent.devices.sysfs import Knob, Tree, number
from actors.agent.sensors.common import Driver, FoundRail, Period, PowerChannel
from actors.agent.sensors.rail_names import label_feeds

_BUS = "sys/bus/i2c"

_RESET_PERIOD_S = 0.0066
"""Three channels, two conversions each, 1.1 ms a conversion: what the chip does after a reset (TI SBOS576)."""

_SHUNT_STEP_UV = 40
_USUAL_VOLTS, _USUAL_SHUNT_UOHM = 5.0, 5_000
"""A Jetson's rails, which its older driver does not tell: with them a step is 40 mW."""


class _Hwmon(PowerChannel):
    def __init__(self, tree: Tree, folder: str, channel: int) -> None:
        self._volts = tree.knob(f"{folder}/in{channel}_input")
        self._amps = tree.knob(f"{folder}/curr{channel}_input")
        interval_ms = tree.number_or_none(f"{folder}/update_interval")
        word_s = _RESET_PERIOD_S if interval_ms is None else max(1, interval_ms) / 1000
        # Linux 6.1 leaves the number of samples that are averaged out of update_interval; later versions do not.
        samples = max(1, tree.number_or_none(f"{folder}/samples") or 1)
        self.period = Period(word_s=word_s, least_s=word_s, most_s=word_s * samples)
        shunt_uohm = tree.number_or_none(f"{folder}/shunt{channel}_resistor") or _USUAL_SHUNT_UOHM
        millivolts = tree.number_or_none(f"{folder}/in{channel}_input") or 1000 * _USUAL_VOLTS
        self.step_w = _SHUNT_STEP_UV / shunt_uohm * millivolts / 1000

    def show(self) -> tuple[bytes, bytes]:
        return self._volts.raw(), self._amps.raw()

    def value(self, shown: tuple[bytes, bytes]) -> int:
        volts, amps = (knob.text_of(raw) for knob, raw in zip((self._volts, self._amps), shown, strict=True))
        return number(self._volts.path, volts) * number(self._amps.path, amps)  # mV · mA = µW

    def close(self) -> None:
        self._volts.close()
        self._amps.close()


class _Iio(PowerChannel):
    period = Period(word_s=_RESET_PERIOD_S, least_s=0.0, most_s=math.inf)
    step_w = _SHUNT_STEP_UV / _USUAL_SHUNT_UOHM * _USUAL_VOLTS

    def __init__(self, power: Knob) -> None:
        self._power = power

    def show(self) -> bytes:
        return self._power.raw()

    def value(self, shown: bytes) -> int:
        return 1000 * number(self._power.path, self._power.text_of(shown).split()[0])

    def close(self) -> None:
        self._power.close()


class Ina3221(Driver):
    """The driver of both kinds."""

    word: ClassVar[str] = "ina3221"
    denied: ClassVar[str] = "run as a user who may read the chip's files under /sys/bus/i2c"

    def find(self, tree: Tree) -> list[FoundRail]:
        """Return the channels that are connected."""
        return [rail for rail in _hwmon_rails(tree) + _iio_rails(tree) if "NC" not in rail.rail.split("_")]

    def open(self, tree: Tree, rail: FoundRail) -> PowerChannel:
        """Return a channel, open for reading."""
        folder, _, channel = rail.path.rpartition("#")
        if "iio:device" in folder:
            return _Iio(tree.knob(f"{folder}/in_power{channel}_input"))
        return _Hwmon(tree, folder, int(channel))


def _hwmon_rails(tree: Tree) -> list[FoundRail]:
    found = []
    for folder in tree.find(f"{_BUS}/devices/*/hwmon/hwmon*"):
        if tree.text_or_none(f"{folder}/name") != Ina3221.word:
            continue
        for channel in (1, 2, 3):
            if tree.exists(f"{folder}/in{channel}_input"):
                # A label is there only where the device tree gives one.
                label = tree.text_or_none(f"{folder}/in{channel}_label") or f"channel{channel}"
                found.append(_rail(label, folder.split("/")[-3], f"{folder}#{channel}"))
    return found


def _iio_rails(tree: Tree) -> list[FoundRail]:
    found: dict[tuple[str, str], FoundRail] = {}
    # The chip's folder is linked from its driver and from its bus.
    for folder in tree.find(f"{_BUS}/drivers/ina3221x/*/iio:device*") + tree.find(f"{_BUS}/devices/*/iio:device*"):
        for name in tree.names(folder):
            if name.startswith("rail_name_") and (label := tree.text_or_none(f"{folder}/{name}")):
                rail = _rail(label, folder.split("/")[-2], f"{folder}#{name.removeprefix('rail_name_')}")
                found.setdefault((rail.rail, rail.address), rail)
    return list(found.values())


def _rail(label: str, address: str, path: str) -> FoundRail:
    return FoundRail(driver=Ina3221.word, rail=label, address=address, path=path, feeds=label_feeds(label))
