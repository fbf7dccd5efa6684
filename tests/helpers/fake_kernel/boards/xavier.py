"""Jetson Xavier NX: under L4T 32 with the rules of Linux 4.9, under L4T 35 with those of 5.10.

Clocks: `available_frequencies` of the board; transition latency: drivers/cpufreq/tegra194-cpufreq.c; trip points: the
board's device tree; power near idle: published readings of its rails.
"""

from __future__ import annotations

from ..cooling import cool_by_clock, cool_device_by_clock
from ..cpufreq import Cpufreq, Driver
from ..cpus import Core, Cpus
from ..devfreq import Devfreq
from ..hwmon import Hwmon
from ..ina3221 import Channel, Ina3221, add_iio_ina3221
from ..jetson import Jetson, Mode
from ..kernel import FakeKernel
from ..power import constant
from ..thermal import ThermalZone, Trip

_CLUSTERS = ((0, 1), (2, 3), (4, 5))
_KHZ = (*range(115_200, 1_881_601, 76_800), 1_907_200)
_OLD_GOVERNORS = ("interactive", "conservative", "ondemand", "userspace", "powersave", "performance", "schedutil")
_GOVERNORS = _OLD_GOVERNORS[1:]
_GPU_HZ = (
    *(114_750_000, 204_000_000, 306_000_000, 408_000_000, 510_000_000, 599_250_000, 701_250_000, 752_250_000),
    *(803_250_000, 854_250_000, 905_250_000, 956_250_000, 1_007_250_000, 1_058_250_000, 1_109_250_000),
)
_GPU_GOVERNORS = ("wmark_active", "wmark_simple", "nvhost_podgov", "userspace", "performance", "simple_ondemand")
_IDLE_W = {"VDD_IN": 5.08, "VDD_CPU_GPU_CV": 0.7, "VDD_SOC": 1.1}
_I2C = "sys/devices/c240000.i2c"


def _mode(number: int, name: str, cpus: int, most_khz: int, gpu_hz: int, emc_hz: int = 1_600_000_000) -> Mode:
    return Mode(number, name, cpus, (1_190_400, most_khz), (0, gpu_hz), emc_hz)


_MODES = (
    _mode(0, "MODE_15W_2CORE", 2, 1_907_200, 1_109_250_000),
    _mode(1, "MODE_15W_4CORE", 4, 1_420_800, 1_109_250_000),
    _mode(2, "MODE_15W_6CORE", 6, 1_420_800, 1_109_250_000),
    _mode(3, "MODE_10W_2CORE", 2, 1_497_600, 803_250_000),
    _mode(4, "MODE_10W_4CORE", 4, 1_190_400, 803_250_000),
    _mode(5, "MODE_10W_DESKTOP", 4, 1_907_200, 510_000_000),
    _mode(6, "MODE_20W_2CORE", 2, 1_907_200, 1_109_250_000, 1_866_000_000),
    _mode(7, "MODE_20W_4CORE", 4, 1_420_800, 1_109_250_000, 1_866_000_000),
    _mode(8, "MODE_20W_6CORE", 6, 1_420_800, 1_109_250_000, 1_866_000_000),
)


def xavier_nx_l4t32() -> FakeKernel:
    """Return the kernel of a Xavier NX with JetPack 4, in mode 15W_6CORE."""
    kernel = FakeKernel((4, 9))
    _add_processors(kernel, "tegra_cpufreq", _OLD_GOVERNORS)
    channels = [Channel(rail, rail) for rail in _IDLE_W]
    add_iio_ina3221(kernel, 7, 0x40, channels, adapter=_I2C)
    _add_tools(kernel, "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t186ref, EABI: aarch64")
    return kernel


def xavier_nx_l4t35() -> FakeKernel:
    """Return the kernel of a Xavier NX with JetPack 5, in mode 15W_6CORE."""
    kernel = FakeKernel((5, 10))
    _add_processors(kernel, "tegra194", _GOVERNORS)
    # Thermal zones and the fan have hwmon devices, too, and come first.
    for zone, name in enumerate(("cpu_thermal", "gpu_thermal", "aux_thermal", "pwmfan")):
        Hwmon(kernel, f"sys/devices/virtual/thermal/thermal_zone{zone}", name)
    channels = [Channel(rail, rail) for rail in _IDLE_W]
    Ina3221(kernel, 7, 0x40, channels, adapter=_I2C)
    _add_tools(kernel, "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64")
    return kernel


def _add_processors(kernel: FakeKernel, driver: str, governors: tuple[str, ...]) -> None:
    cores = []
    for cluster in _CLUSTERS:
        for cpu in cluster:
            caches = (
                (1, "Data", (cpu,)),
                (1, "Instruction", (cpu,)),
                (2, "Unified", cluster),
                (3, "Unified", tuple(range(6))),
            )
            cores.append(Core((cpu,), core=cpu % 2, package=cluster[0] // 2, capacity=1024, caches=caches))
    Cpus(kernel, cores)
    cpufreq = Cpufreq(kernel, Driver(driver, latency_ns=300_000), governors)
    cooling = [cool_by_clock(kernel, cpufreq.add(cluster, _KHZ, "schedutil")) for cluster in _CLUSTERS]
    kernel.gpu = Devfreq(
        kernel, "sys/devices/17000000.gv11b", _GPU_HZ, _GPU_GOVERNORS, "nvhost_podgov", node="gv11b", polling_ms=25
    )
    gpu_cooling = cool_device_by_clock(kernel, kernel.gpu)
    kernel.file("sys/devices/gpu.0/load", lambda: str(round(kernel.gpu.load * 1000)))
    ThermalZone(
        kernel, "CPU-therm", 39_500, trips=(Trip("passive", 90_500), Trip("critical", 96_000)), cooled_by=cooling
    )
    ThermalZone(
        kernel, "GPU-therm", 38_000, trips=(Trip("passive", 91_500), Trip("critical", 97_000)), cooled_by=[gpu_cooling]
    )
    ThermalZone(kernel, "AUX-therm", 38_500, trips=(Trip("passive", 90_000), Trip("critical", 95_500)))
    ThermalZone(kernel, "AO-therm", 40_000)
    ThermalZone(kernel, "PMIC-Die", 50_000)
    kernel.rails.update({rail: constant(watts) for rail, watts in _IDLE_W.items()})


def _add_tools(kernel: FakeKernel, release: str) -> None:
    gpu = "sys/devices/17000000.gv11b/devfreq/17000000.gv11b"
    kernel.text("proc/device-tree/model", "NVIDIA Jetson Xavier NX Developer Kit")
    Jetson(kernel, _MODES, 2, release=release, cpu_word="CPU_DENVER", gpu=gpu)
