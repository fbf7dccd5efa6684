"""INA219, INA226, INA231 and their relatives: chips that measure one rail each, through the kernel's hwmon drivers.

They show their power themselves, `power1_input` in µW. They have no labels, so a rail is known by its address: on an
Odroid XU3 the A15 cluster's chip is at 0x40.
"""

from __future__ import annotations

import re
from typing import ClassVar

from actors.agent.devices.sysfs import Tree, number
from actors.agent.sensors.common import NO_UNIT, Driver, Feeds, FoundRail, Period, PowerChannel
from actors.agent.sensors.rail_names import BY_ADDRESS

_DEFAULT_PERIOD_S = 0.035
"""What an INA231 does where its driver does not say: 16 samples of two conversions of 1.1 ms (the kernel's default)."""

_STEPS = {"ina219": (20, 10_000), "ina220": (20, 10_000)}
_USUAL_STEPS = (25, 2_500)
"""Steps of the current in one of power, in V, and the step of the shunt's voltage in nV (Linux, ina2xx.c)."""
_DEFAULT_SHUNT_UOHM = 10_000


class _Hwmon(PowerChannel):
    def __init__(self, tree: Tree, folder: str) -> None:
        self._power = tree.knob(f"{folder}/power1_input")
        interval_ms = tree.number_or_none(f"{folder}/update_interval")
        period_s = _DEFAULT_PERIOD_S if interval_ms is None else max(1, interval_ms) / 1000
        self.period = Period(word_s=period_s, least_s=period_s, most_s=period_s)
        shunt_uohm = tree.number_or_none(f"{folder}/shunt_resistor") or _DEFAULT_SHUNT_UOHM
        volts, shunt_nv = _STEPS.get(tree.text_or_none(f"{folder}/name") or "", _USUAL_STEPS)
        self.step_w = volts * shunt_nv / shunt_uohm / 1000

    def show(self) -> bytes:
        return self._power.raw()

    def value(self, shown: bytes) -> int:
        return number(self._power.path, self._power.text_of(shown))

    def close(self) -> None:
        self._power.close()


class Ina2xx(Driver):
    """The driver of the family."""

    word: ClassVar[str] = "ina2xx"
    denied: ClassVar[str] = "run as a user who may read the chip's files under /sys/bus/i2c"

    def find(self, tree: Tree) -> list[FoundRail]:
        """Return the chips. One that no table knows is called by its bus and address, `4-0040`."""
        found = []
        for folder in tree.find("sys/bus/i2c/devices/*/hwmon/hwmon*"):
            name = tree.text_or_none(f"{folder}/name") or ""
            if re.fullmatch(r"ina2\d\d\w*", name) and tree.exists(f"{folder}/power1_input"):
                address = folder.split("/")[-3]
                rail, feeds = _known(tree).get(address[-2:], (address, NO_UNIT))
                found.append(FoundRail(driver=self.word, rail=rail, address=address, path=folder, feeds=feeds))
        return found

    def open(self, tree: Tree, rail: FoundRail) -> PowerChannel:
        """Return a chip, open for reading."""
        return _Hwmon(tree, rail.path)


def _known(tree: Tree) -> dict[str, tuple[str, Feeds]]:
    """Return the rails of this board by the last two digits of the chip's address."""
    boards = (tree.text_or_none("proc/device-tree/compatible") or "").split("\0")
    return next((BY_ADDRESS[board] for board in boards if board in BY_ADDRESS), {})
