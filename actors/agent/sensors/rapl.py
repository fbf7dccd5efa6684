"""RAPL: the energy counters of x86 packages, as zones of the kernel's powercap class.

`package-N` is a processor; `core` and `uncore` are parts of it; `dram` is beside it; `psys` is the platform, packages
included. AMD's processors have the same names under the same folder, without `dram` and `psys`.

A counter has 32 bits in hardware units (61 µJ on most), shown in µJ. One of AMD's wraps after 65.5 kJ, which a package
of 280 W uses in 234 s.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import ClassVar

from actors.agent.devices.sysfs import GarbageError, Tree, number
from actors.agent.sensors.common import JOIN_GROUP, NO_UNIT, Driver, EnergyChannel, Feeds, FoundRail

_MOST_PACKAGE_W, _MOST_BOARD_W = 1000, 4000
"""Highest power of a package or a part of it, and of a platform; assumed. Packages on sale take hundreds of watts, and
few boards hold more than four. So AMD's 65.5 kJ last for at least 65 s."""

_CLASS = "sys/class/powercap"
_CPUS = "sys/devices/system/cpu"


class _Zone(EnergyChannel):
    def __init__(self, tree: Tree, path: str) -> None:
        self.most_w = _MOST_BOARD_W if tree.text_or_none(f"{path}/name") == "psys" else _MOST_PACKAGE_W
        self.range_uj = tree.number_or_none(f"{path}/max_energy_range_uj")
        self._energy = tree.knob(f"{path}/energy_uj")

    def show(self) -> bytes:
        return self._energy.raw()

    def value(self, shown: bytes) -> int:
        energy_uj = number(self._energy.path, self._energy.text_of(shown))
        # Firmware without a working counter shows figures such as 60000000000000.
        if self.range_uj is None or not 0 <= energy_uj <= self.range_uj:
            raise GarbageError(
                self._energy.path,
                f"says {energy_uj}, which is not within max_energy_range_uj, {self.range_uj}: this firmware does not "
                "count energy",
            )
        return energy_uj

    def close(self) -> None:
        self._energy.close()


class Rapl(Driver):
    """The driver of RAPL zones."""

    word: ClassVar[str] = "rapl"
    denied: ClassVar[str] = "the kernel lets only root read it; gearshift doctor says how a group may"
    commands: ClassVar[tuple[str, ...]] = (
        "The kernel lets only root read these counters. Run as root, or let a group read them, and log in again:",
        JOIN_GROUP,
        "sudo tee /etc/udev/rules.d/70-gearshift.rules <<END",
        'SUBSYSTEM=="powercap", KERNEL=="intel-rapl*", RUN+="/bin/chgrp gearshift /sys/%p/energy_uj", '
        'RUN+="/bin/chmod g+r /sys/%p/energy_uj"',
        "END",
        "sudo udevadm control --reload; sudo udevadm trigger --subsystem-match=powercap",
    )

    def find(self, tree: Tree) -> list[FoundRail]:
        """Return the zones, each once: `intel-rapl-mmio` shows a package again that `intel-rapl` has."""
        zones = {path: name for path in _zones(tree) if (name := tree.text_or_none(f"{path}/name"))}
        parts = Counter(name for path, name in zones.items() if _is_part(path))
        found: dict[str, FoundRail] = {}
        for path, name in zones.items():
            # Two packages have a zone `core` each; then they are `package-0 core` and `package-1 core`.
            whole = zones.get(path.rpartition(":")[0])
            rail = f"{whole} {name}" if _is_part(path) and parts[name] > 1 else name
            address = path.rpartition("/")[2]
            found.setdefault(
                rail, FoundRail(driver=self.word, rail=rail, address=address, path=path, feeds=_feeds(tree, name))
            )
        return list(found.values())

    def open(self, tree: Tree, rail: FoundRail) -> EnergyChannel:
        """Return a zone, open for reading."""
        return _Zone(tree, rail.path)


def _zones(tree: Tree) -> list[str]:
    return tree.find(f"{_CLASS}/intel-rapl:*") + tree.find(f"{_CLASS}/intel-rapl-mmio:*")


def _is_part(path: str) -> bool:
    """Return True for `intel-rapl:0:1`, a part of `intel-rapl:0`."""
    return path.count(":") > 1


def _feeds(tree: Tree, name: str) -> Feeds:
    if name == "psys":
        return Feeds(board=True)
    # The other zones feed no unit, or are part of a package that feeds it.
    package = re.fullmatch(r"package-(\d+)(?:-die-(\d+))?", name)
    if package is None:
        return NO_UNIT
    number, die = package.groups()
    place = {"physical_package_id": number, **({"die_id": die} if die else {})}
    cpus = [int(path.rpartition("cpu")[2]) for path in tree.find(f"{_CPUS}/cpu[0-9]*")]
    return Feeds(
        cpus=tuple(
            cpu
            for cpu in cpus
            if all(tree.text_or_none(f"{_CPUS}/cpu{cpu}/topology/{file}") == value for file, value in place.items())
        )
    )
