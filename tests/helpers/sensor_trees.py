"""Folders that look like the sensors of a board, for drivers that read plain files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from actors.agent.devices.sysfs import File, Tree

LABELS = ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")


def write_files(root: Path, folder: str, **files: object) -> Path:
    """Write files into a folder under a root; return the folder."""
    where = root / folder
    where.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (where / name).write_text(f"{content}\n")
    return where


def ina3221_hwmon(root: Path, *, address: str = "7-0040", labels: tuple[str, ...] = LABELS, **more: object) -> Path:
    """Write an INA3221 under the mainline driver: 5080 mV and 1000, 140, 220 mA; return its folder."""
    files: dict[str, object] = {"name": "ina3221", "update_interval": 7, "samples": 1}
    for channel, (label, amps) in enumerate(zip(labels, (1000, 140, 220), strict=True), start=1):
        files |= {f"in{channel}_input": 5080, f"curr{channel}_input": amps, f"in{channel}_label": label}
    files |= {"in4_input": 5000, "in7_input": 6800, "in7_label": "sum of shunt voltages", "curr4_input": 1360}
    return write_files(root, f"sys/bus/i2c/devices/{address}/hwmon/hwmon4", **files | more)


def ina3221_iio(root: Path, *, address: str = "7-0040") -> Path:
    """Write an INA3221 under L4T 4.9's driver, seen from its driver and from its bus; return its folder."""
    files: dict[str, object] = {}
    for channel, (label, power) in enumerate(zip(LABELS, ("5080", "700 mW", "1100"), strict=True)):
        files |= {f"rail_name_{channel}": label, f"in_power{channel}_input": power}
    where = write_files(root, f"sys/bus/i2c/drivers/ina3221x/{address}/iio:device0", name="ina3221x", **files)
    bus = root / "sys/bus/i2c/devices"
    bus.mkdir(parents=True)
    (bus / address).symlink_to(where.parent)
    return where


def rapl_zone(root: Path, zone: str, name: str, energy_uj: int = 1000, range_uj: int = 262143328850) -> Path:
    """Write a RAPL zone such as `intel-rapl:0`; return its folder."""
    return write_files(root, f"sys/class/powercap/{zone}", name=name, energy_uj=energy_uj, max_energy_range_uj=range_uj)


def packages(root: Path, cpus: dict[int, str]) -> None:
    """Write the package that each CPU is in."""
    for cpu, package in cpus.items():
        write_files(root, f"sys/devices/system/cpu/cpu{cpu}/topology", physical_package_id=package, die_id=0)


def odroid_xu3(root: Path) -> None:
    """Write the four INA231 of an Odroid XU3."""
    write_files(root, "proc/device-tree", compatible="hardkernel,odroid-xu3\0samsung,exynos5800\0samsung,exynos5\0")
    for place, (address, power_uw) in enumerate({"40": 2500000, "41": 300000, "44": 120000, "45": 450000}.items()):
        write_files(
            root,
            f"sys/bus/i2c/devices/0-00{address}/hwmon/hwmon{place}",
            name="ina231",
            power1_input=power_uw,
            update_interval=35,
        )


def tree(root: Path) -> Tree:
    """Return the tree of a root."""
    return Tree(root)


class Denied(Tree):
    """A tree in which nobody may read a file of that name."""

    def __init__(self, root: Path, name: str) -> None:
        super().__init__(root)
        self._name = name

    def open(self, path: str, *, writing: bool = False) -> File:
        """Open a file, unless it is of that name."""
        if path.endswith(self._name):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return super().open(path, writing=writing)
