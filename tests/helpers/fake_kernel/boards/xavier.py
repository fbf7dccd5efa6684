"""Jetson Xavier NX: under L4T 32 with the rules of Linux 4.9, under L4T 35 with those of 5.10.

Clocks: `scaling_available_frequencies` of the board; transition latency: drivers/cpufreq/tegra194-cpufreq.c.
"""

from __future__ import annotations

from ..cooling import cool_by_clock
from ..cpufreq import Cpufreq, Driver
from ..cpus import Core, Cpus
from ..kernel import FakeKernel

_CLUSTERS = ((0, 1), (2, 3), (4, 5))
_KHZ = (*range(115_200, 1_881_601, 76_800), 1_907_200)
_OLD_GOVERNORS = ("interactive", "conservative", "ondemand", "userspace", "powersave", "performance", "schedutil")
_GOVERNORS = _OLD_GOVERNORS[1:]


def xavier_nx_l4t32() -> FakeKernel:
    """Return the kernel of a Xavier NX with JetPack 4, in mode 15W_6CORE."""
    return _xavier(FakeKernel((4, 9)), "tegra_cpufreq", _OLD_GOVERNORS)


def xavier_nx_l4t35() -> FakeKernel:
    """Return the kernel of a Xavier NX with JetPack 5, in mode 15W_6CORE."""
    return _xavier(FakeKernel((5, 10)), "tegra194", _GOVERNORS)


def _xavier(kernel: FakeKernel, driver: str, governors: tuple[str, ...]) -> FakeKernel:
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
    for cluster in _CLUSTERS:
        policy = cpufreq.add(cluster, _KHZ, "schedutil")
        cool_by_clock(kernel, policy)
        kernel.write(f"{policy.base}/scaling_max_freq", "1420800")
        kernel.write(f"{policy.base}/scaling_min_freq", "1190400")
    return kernel
