"""Odroid XU3 and XU4: the little cluster comes first.

Clocks, capacities and latency: exynos5420.dtsi, exynos5422-cpus.dtsi and exynos5422-odroid-core.dtsi of Linux.
"""

from __future__ import annotations

from ..cooling import cool_by_clock
from ..cpufreq import Cpufreq, Driver
from ..cpus import Core, Cpus
from ..kernel import FakeKernel

_LITTLE, _BIG = (0, 1, 2, 3), (4, 5, 6, 7)
_LITTLE_KHZ = tuple(range(200_000, 1_400_001, 100_000))
_BIG_KHZ = tuple(range(200_000, 2_000_001, 100_000))
_GOVERNORS = ("conservative", "ondemand", "userspace", "powersave", "performance", "schedutil")


def odroid_xu3() -> FakeKernel:
    """Return the kernel of an Odroid XU3 on mainline Linux."""
    return _odroid()


def odroid_xu4() -> FakeKernel:
    """Return the kernel of an Odroid XU4 on mainline Linux: as the XU3, without sensors."""
    return _odroid()


def _odroid() -> FakeKernel:
    kernel = FakeKernel((6, 1))
    # The kernel scales capacity-dmips-mhz by the highest clock: 539 · 1400 / 2000.
    capacities = {cpu: 539 * _LITTLE_KHZ[-1] // _BIG_KHZ[-1] if cpu in _LITTLE else 1024 for cpu in _LITTLE + _BIG}
    cores = []
    for cpu in _LITTLE + _BIG:
        cluster = _LITTLE if cpu in _LITTLE else _BIG
        cores.append(
            Core(
                (cpu,),
                core=cpu % 4,
                package=int(cpu in _BIG),
                capacity=capacities[cpu],
                caches=((1, "Data", (cpu,)), (1, "Instruction", (cpu,)), (2, "Unified", cluster)),
            )
        )
    Cpus(kernel, cores)
    cpufreq = Cpufreq(kernel, Driver("cpufreq-dt", latency_ns=140_000, keeps_clock=True), _GOVERNORS)
    for cluster, table_khz in ((_LITTLE, _LITTLE_KHZ), (_BIG, _BIG_KHZ)):
        cool_by_clock(kernel, cpufreq.add(cluster, table_khz, "ondemand"))
    return kernel
