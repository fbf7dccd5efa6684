"""Odroid XU3 and XU4: the little cluster comes first.

Clocks, capacities, latency and sensors' places: exynos5420.dtsi, exynos5422-cpus.dtsi and exynos5422-odroidxu3.dts of
Linux. The rails' idle power is made up.
"""

from __future__ import annotations

from ..cooling import cool_by_clock, cool_device_by_clock
from ..cpufreq import Cpufreq, Driver
from ..cpus import Core, Cpus
from ..devfreq import Devfreq
from ..hwmon import Hwmon
from ..ina2xx import Ina2xx
from ..kernel import FakeKernel
from ..power import constant
from ..thermal import ThermalZone, Trip

_LITTLE, _BIG = (0, 1, 2, 3), (4, 5, 6, 7)
_LITTLE_KHZ = tuple(range(200_000, 1_400_001, 100_000))
_BIG_KHZ = tuple(range(200_000, 2_000_001, 100_000))
_GPU_HZ = tuple(mhz * 1_000_000 for mhz in (177, 266, 350, 420, 480, 543, 600))
_GOVERNORS = ("conservative", "ondemand", "userspace", "powersave", "performance", "schedutil")
_SENSORS = {0x40: ("A15", 0.3), 0x41: ("memory", 0.1), 0x44: ("GPU", 0.1), 0x45: ("A7", 0.1)}


def odroid_xu3() -> FakeKernel:
    """Return the kernel of an Odroid XU3 on mainline Linux: one sensor each for A15, memory, GPU and A7."""
    kernel = _odroid("Hardkernel Odroid XU3")
    for address, (rail, idle_w) in _SENSORS.items():
        kernel.rails[rail] = constant(idle_w)
        Ina2xx(kernel, 0, address, rail, adapter="sys/devices/platform/soc/12c60000.i2c")
    return kernel


def odroid_xu4() -> FakeKernel:
    """Return the kernel of an Odroid XU4 on mainline Linux: as the XU3, without sensors."""
    return _odroid("Hardkernel Odroid XU4")


def _odroid(model: str) -> FakeKernel:
    kernel = FakeKernel((6, 1))
    kernel.text("proc/device-tree/model", model)
    compatible = model.lower().replace("hardkernel ", "hardkernel,").replace(" ", "-")
    kernel.text("proc/device-tree/compatible", f"{compatible}\0samsung,exynos5800\0samsung,exynos5")
    # The kernel scales capacity-dmips-mhz by the highest clock: 539 · 1400 / 2000.
    little_capacity = 539 * _LITTLE_KHZ[-1] // _BIG_KHZ[-1]
    cores = []
    for cpu in _LITTLE + _BIG:
        cluster = _LITTLE if cpu in _LITTLE else _BIG
        cores.append(
            Core(
                (cpu,),
                core=cpu % 4,
                package=int(cpu in _BIG),
                capacity=little_capacity if cpu in _LITTLE else 1024,
                caches=((1, "Data", (cpu,)), (1, "Instruction", (cpu,)), (2, "Unified", cluster)),
            )
        )
    Cpus(kernel, cores)
    cpufreq = Cpufreq(kernel, Driver("cpufreq-dt", latency_ns=140_000, keeps_clock=True), _GOVERNORS)
    cooling = [
        cool_by_clock(kernel, cpufreq.add(cluster, table_khz, "ondemand"))
        for cluster, table_khz in ((_LITTLE, _LITTLE_KHZ), (_BIG, _BIG_KHZ))
    ]
    governors = ("userspace", "powersave", "performance", "simple_ondemand")
    device = "sys/devices/platform/soc/11800000.gpu"
    kernel.gpu = Devfreq(kernel, device, _GPU_HZ, governors, "simple_ondemand", node="gpu")
    gpu_cooling = cool_device_by_clock(kernel, kernel.gpu)
    # The bus and the memory are under devfreq as well.
    for name, table_hz in (
        ("bus-wcore", (84_000_000, 222_000_000, 400_000_000)),
        ("10c20000.memory-controller", (165_000_000, 413_000_000, 825_000_000)),
    ):
        Devfreq(kernel, f"sys/devices/platform/soc/{name}", table_hz, governors, "simple_ondemand", node=name)
    Hwmon(kernel, "sys/devices/platform/pwm-fan", "pwmfan")
    trips = (Trip("passive", 85_000), Trip("critical", 120_000))
    for number in range(4):
        ThermalZone(kernel, f"cpu{number}-thermal", 52_000 + 1000 * number, trips=trips, cooled_by=cooling)
    ThermalZone(kernel, "gpu-thermal", 50_000, trips=trips, cooled_by=[gpu_cooling])
    return kernel
