"""Jetson Orin Nano 8GB under L4T 36 with the rules of Linux 5.15, in mode 25W.

Which CPUs are left after fusing, and the table of this module, are assumed; the rails, their limits and the names of
the thermal zones are those of published dumps.
"""

from __future__ import annotations

import errno

from ..cooling import CoolingDevice, cool_by_clock, cool_device_by_clock
from ..cpufreq import Cpufreq, Driver
from ..cpus import Core, Cpus
from ..devfreq import Devfreq
from ..hwmon import Hwmon
from ..ina3221 import Channel, Ina3221
from ..jetson import Jetson, Mode
from ..kernel import FakeKernel
from ..power import constant
from ..thermal import ThermalZone, Trip

_CLUSTERS = ((0, 1, 2, 3), (4, 5))
_KHZ = (*range(115_200, 1_497_601, 76_800), 1_510_400)
_GPU_HZ = tuple(mhz * 1_000_000 for mhz in (306, 408, 510, 612, 714, 816, 918, 1020))
_GOVERNORS = ("conservative", "ondemand", "userspace", "powersave", "performance", "schedutil")
_GPU_GOVERNORS = ("nvhost_podgov", "userspace", "performance", "powersave", "simple_ondemand")
_GPU = "sys/devices/platform/bus@0/17000000.gpu"
_I2C = "sys/devices/platform/bus@0/c240000.i2c"
_CRIT_STEPS = 7784 * 5000 // 40_000
"""The board's limit of 7784 mA, over 5 mΩ in steps of 40 µV."""
_IDLE_W = {"VDD_IN": 6.65, "VDD_CPU_GPU_CV": 1.2, "VDD_SOC": 1.7}

_MODES = (
    Mode(0, "15W", 6, (729_600, 1_510_400), (0, 612_000_000), 2_133_000_000),
    Mode(1, "25W", 6, (729_600, 1_344_000), (0, 918_000_000), 3_199_000_000),
    Mode(2, "MAXN_SUPER", 6, (729_600, -1), (0, -1), 0),
    Mode(3, "7W", 4, (729_600, 960_000), (0, 408_000_000), 2_133_000_000),
)


def orin_nano_l4t36() -> FakeKernel:
    """Return the kernel of an Orin Nano with JetPack 6."""
    kernel = FakeKernel((5, 15))
    cores = []
    for package, cluster in enumerate(_CLUSTERS):
        for cpu in cluster:
            caches = (
                (1, "Data", (cpu,)),
                (1, "Instruction", (cpu,)),
                (2, "Unified", (cpu,)),
                (3, "Unified", cluster),
            )
            cores.append(Core((cpu,), core=cpu % 4, package=package, capacity=1024, caches=caches))
    Cpus(kernel, cores)
    cpufreq = Cpufreq(kernel, Driver("tegra194", latency_ns=300_000), _GOVERNORS)
    cooling = [cool_by_clock(kernel, cpufreq.add(cluster, _KHZ, "schedutil")) for cluster in _CLUSTERS]
    gpu = Devfreq(kernel, _GPU, _GPU_HZ, _GPU_GOVERNORS, "nvhost_podgov", node="gpu", polling_ms=25)
    kernel.gpu = gpu
    # The driver keeps its old place alive, and NVIDIA's own files use it.
    kernel.link("sys/devices/platform/17000000.gpu/devfreq_dev", gpu.base)
    kernel.file("sys/devices/platform/gpu.0/load", lambda: str(round(gpu.load * 1000)))
    _add_zones(kernel, cooling, cool_device_by_clock(kernel, gpu))
    kernel.rails.update({rail: constant(watts) for rail, watts in _IDLE_W.items()})
    Hwmon(kernel, "sys/devices/platform/pwm-fan", "pwmfan")
    chip = Ina3221(kernel, 1, 0x40, [Channel(rail, rail, volts=5.072) for rail in _IDLE_W], adapter=_I2C)
    chip.channels[0].limits = {"max": _CRIT_STEPS, "crit": _CRIT_STEPS}
    kernel.text("proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit")
    release = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64"
    spelled = "sys/devices/platform/17000000.gpu/devfreq_dev"
    Jetson(kernel, _MODES, 1, release=release, cpu_word="CPU_A78", gpu=spelled)
    return kernel


def _add_zones(kernel: FakeKernel, cpus: list[CoolingDevice], gpu: CoolingDevice) -> None:
    passive = (Trip("passive", 99_000), Trip("critical", 104_500))
    ThermalZone(kernel, "cpu-thermal", 47_000, trips=passive, cooled_by=cpus)
    ThermalZone(kernel, "gpu-thermal", 46_500, trips=passive, cooled_by=[gpu])
    # The engines of these are off, and so are their sensors.
    for number in range(3):
        ThermalZone(kernel, f"cv{number}-thermal", 0, trips=passive, error=errno.EAGAIN)
    for number in range(3):
        ThermalZone(kernel, f"soc{number}-thermal", 46_000 + 250 * number, trips=passive)
    ThermalZone(kernel, "tj-thermal", 47_000, trips=passive)
