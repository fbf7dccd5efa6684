"""Boards without power sensors: RK3588 and Raspberry Pi.

Clocks: rk3588-opp.dtsi of Linux; the Raspberry Pi 5's clock that lies: raspberrypi/linux issue 5876.
"""

from __future__ import annotations

from collections.abc import Callable

from ..cooling import cool_by_clock, cool_device_by_clock
from ..cpufreq import Cpufreq, Driver
from ..cpus import Core, Cpus
from ..devfreq import Devfreq
from ..kernel import FakeKernel
from ..thermal import ThermalZone, Trip

_GOVERNORS = ("conservative", "ondemand", "userspace", "powersave", "performance", "schedutil")
_A55_KHZ = (1_008_000, 1_200_000, 1_416_000, 1_608_000, 1_800_000)
_A76_KHZ = (1_200_000, 1_416_000, 1_608_000, 1_800_000, 2_016_000, 2_208_000, 2_400_000)
_RK3588_CLUSTERS = ((0, 1, 2, 3), (4, 5), (6, 7))
_MALI_HZ = tuple(mhz * 1_000_000 for mhz in (300, 400, 500, 600, 700, 800, 900, 1000))
_PI5_LEAST_KHZ = 1_500_000
"""The firmware does not go below, whatever the kernel believes."""


def rk3588() -> FakeKernel:
    """Return the kernel of a board with RK3588; clusters of different binning have tables of their own."""
    kernel = FakeKernel((6, 6))
    kernel.text("proc/device-tree/model", "Radxa ROCK 5B")
    cores = []
    for package, cluster in enumerate(_RK3588_CLUSTERS):
        for cpu in cluster:
            capacity = 530 * _A55_KHZ[-1] // _A76_KHZ[-1] if package == 0 else 1024
            caches = ((2, "Unified", (cpu,)), (3, "Unified", tuple(range(8))))
            cores.append(Core((cpu,), core=cpu, cluster=package, capacity=capacity, caches=caches))
    Cpus(kernel, cores)
    cpufreq = Cpufreq(kernel, Driver("cpufreq-dt", latency_ns=40_000, keeps_clock=True), _GOVERNORS)
    tables = (_A55_KHZ, _A76_KHZ, _A76_KHZ[:-1])
    cooling = [
        cool_by_clock(kernel, cpufreq.add(cluster, table_khz, "schedutil"))
        for cluster, table_khz in zip(_RK3588_CLUSTERS, tables, strict=True)
    ]
    governors = ("userspace", "powersave", "performance", "simple_ondemand")
    gpu = Devfreq(kernel, "sys/devices/platform/fb000000.gpu", _MALI_HZ, governors, "simple_ondemand", node="gpu")
    kernel.gpu = gpu
    kernel.file(f"{gpu.base}/load", lambda: f"{round(gpu.load * 100)}@{gpu.cur_hz}Hz")
    for name, table_hz in (
        ("dmc", (528_000_000, 1_068_000_000, 2_112_000_000)),
        ("fdab0000.npu", (300_000_000, 600_000_000, 1_000_000_000)),
    ):
        node = name.partition(".")[2] or name
        Devfreq(kernel, f"sys/devices/platform/{name}", table_hz, governors, "simple_ondemand", node=node)
    trips = (Trip("passive", 85_000), Trip("critical", 115_000))
    ThermalZone(kernel, "soc-thermal", 48_000, trips=trips, cooled_by=cooling)
    ThermalZone(kernel, "gpu-thermal", 46_000, trips=trips, cooled_by=[cool_device_by_clock(kernel, gpu)])
    return kernel


def rpi5(*, belief_is_wrong: bool = True) -> FakeKernel:
    """Return the kernel of a Raspberry Pi 5.

    Args:
        belief_is_wrong: True if the clock stays at 1500 MHz where the kernel believes in less; `Policy.true_khz` says.
    """
    truth = (lambda khz: max(khz, _PI5_LEAST_KHZ)) if belief_is_wrong else None
    kernel = FakeKernel((6, 6))
    kernel.text("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0")
    _add_four(kernel, tuple(range(1_000_000, 2_400_001, 100_000)), truth)
    return kernel


def rpi4() -> FakeKernel:
    """Return the kernel of a Raspberry Pi 4."""
    kernel = FakeKernel((6, 1))
    kernel.text("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.5")
    _add_four(kernel, tuple(range(600_000, 1_800_001, 100_000)), None)
    return kernel


def _add_four(kernel: FakeKernel, table_khz: tuple[int, ...], truth: Callable[[int], int] | None) -> None:
    cpus = (0, 1, 2, 3)
    Cpus(kernel, [Core((cpu,), core=cpu, caches=((2, "Unified", (cpu,)), (3, "Unified", cpus))) for cpu in cpus])
    cpufreq = Cpufreq(kernel, Driver("cpufreq-dt", latency_ns=0, keeps_clock=True), _GOVERNORS)
    policy = cpufreq.add(cpus, table_khz, "ondemand", truth_khz=truth)
    trips = (Trip("passive", 80_000), Trip("critical", 110_000))
    ThermalZone(kernel, "cpu-thermal", 51_000, trips=trips, cooled_by=[cool_by_clock(kernel, policy)])
