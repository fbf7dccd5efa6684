"""The two boards of the bed: what firmware and chips are made to say, and what tests in the guests expect to read.

The figures are examples in the range of real boards; they are nobody's measurements.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """CPUs that share a clock.

    Attributes:
        cpus: their numbers.
        khz: the table of clocks, rising.
        mv: the voltage at each clock; empty where firmware tells none.
        dmips_per_mhz: speed per MHz, as a device tree gives it; None where firmware tells none.
        power_coefficient: µW per MHz and V², as a device tree gives it; None where firmware tells none.
    """

    cpus: tuple[int, ...]
    khz: tuple[int, ...]
    mv: tuple[int, ...] = ()
    dmips_per_mhz: int | None = None
    power_coefficient: int | None = None

    @property
    def policy(self) -> str:
        """The cluster's folder in `/sys/devices/system/cpu/cpufreq`: it is named after the first CPU."""
        return f"policy{self.cpus[0]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """A guest.

    Attributes:
        name: Debian's name of its architecture.
        machine: the name that the kernel and wheels have for it, `uname -m`.
        driver: what `scaling_driver` says.
        clusters: its CPUs.
    """

    name: str
    machine: str
    driver: str
    clusters: tuple[Cluster, ...]


AMD64 = Board(
    name="amd64",
    machine="x86_64",
    driver="acpi-cpufreq",
    clusters=(
        Cluster(cpus=(0, 1), khz=(800_000, 1_200_000, 1_600_000, 2_000_000)),
        Cluster(cpus=(2, 3), khz=(600_000, 1_000_000, 1_400_000)),
    ),
)
ARM64 = Board(
    name="arm64",
    machine="aarch64",
    driver="cpufreq-dt",
    clusters=(
        Cluster(
            cpus=(0, 1),
            khz=(600_000, 1_200_000, 1_907_200),
            mv=(900, 1000, 1250),
            dmips_per_mhz=1024,
            power_coefficient=310,
        ),
        Cluster(cpus=(2, 3), khz=(400_000, 1_400_000), mv=(900, 1250), dmips_per_mhz=539, power_coefficient=90),
    ),
)
BOARDS = {board.name: board for board in (AMD64, ARM64)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """A power meter on the I2C bus of the amd64 guest.

    Attributes:
        driver: `ina3221`, of three channels, or `ina231`, of one.
        address: on the bus.
        channels: what each channel is made to measure, as (mV, mA); multiples of the chip's steps.
    """

    driver: str
    address: int
    channels: tuple[tuple[int, int], ...]


# As on an Nvidia Jetson (one chip, three rails), and as on an Odroid XU3 (a chip for each rail). One bus holds all, so
# the Odroid's first is elsewhere than on the board. Drivers take a shunt of 10 mΩ: no device tree names another.
CHIPS = (
    Chip(driver="ina3221", address=0x40, channels=((5080, 1000), (5000, 140), (4992, 220))),
    Chip(driver="ina231", address=0x41, channels=((1100, 2000),)),
    Chip(driver="ina231", address=0x44, channels=((1000, 500),)),
)

# A GPU under devfreq, a counter of energy and a thermal zone: the parameters of the module `gsboard`.
GPU_HZ = (114_750_000, 204_000_000, 306_000_000, 510_000_000, 803_250_000, 1_109_250_000)
GPU_NAME = "17000000.gv11b"
ENERGY_RANGE_UJ = 2**32 - 1
ENERGY_FOUND_UJ = ENERGY_RANGE_UJ - 2_000_000
ZONE_NAME = "CPU-therm"
ZONE_MC = 45_000
