"""The machines in which the tests boot real kernels (Debian 6.1 under QEMU), for tests that compare both.

amd64: acpi-cpufreq over I/O ports with a table of ours, two clock domains; a module of ours caps the first one.
arm64: cpufreq-dt with two clusters over clocks that never change, and cooling devices.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..cooling import CoolingDevice, cool_by_clock
from ..cpufreq import Cpufreq, Driver, Policy
from ..cpus import Core, Cpus
from ..devfreq import Devfreq
from ..kernel import FakeKernel
from ..powercap import Zone
from ..texts import cpu_words, strict_signed, strict_unsigned
from ..thermal import ThermalZone

_GOVERNORS = ("conservative", "ondemand", "powersave", "userspace", "performance", "schedutil")
_THERMAL_POLICIES = ("power_allocator", "user_space", "step_wise", "bang_bang", "fair_share")
_PARAMETERS = "sys/module/gsboard/parameters"
_READERS: dict[str, Callable[[bytes], int]] = {
    "gpu_busy": strict_unsigned,
    "power_uw": partial(strict_unsigned, bits=64),
    "energy_uj": partial(strict_unsigned, bits=64),
    "temp_mc": strict_signed,
    "temp_errno": strict_signed,
    "cap_khz": strict_unsigned,
}
"""How the kernel reads each parameter: as an `int`, `uint` or `ulong`."""
_ENERGY_RANGE_UJ = 2**32 - 1
_ENERGY_FOUND_UJ = _ENERGY_RANGE_UJ - 2_000_000
_GPU_HZ = (114_750_000, 204_000_000, 306_000_000, 510_000_000, 803_250_000, 1_109_250_000)


def bed_amd64() -> FakeKernel:
    """Return the kernel of the amd64 machine: four CPUs, 0.8 to 2 GHz and 0.6 to 1.4 GHz."""
    kernel = FakeKernel((6, 1))
    Cpus(kernel, [Core((cpu,), core=cpu, cluster=cpu) for cpu in range(4)], fixed={0})
    # It is not known at which clock the processor runs; the driver guesses the highest (acpi_cpufreq_guess_freq).
    driver = Driver("acpi-cpufreq", latency_ns=10_000, gets=False)
    cpufreq = Cpufreq(kernel, driver, _GOVERNORS)
    for cpus, table_khz in (
        ((0, 1), (2_000_000, 1_600_000, 1_200_000, 800_000)),
        ((2, 3), (1_400_000, 1_000_000, 600_000)),
    ):
        _add_acpi_files(cpufreq.add(cpus, table_khz, "schedutil"))
    for _ in range(4):
        CoolingDevice(kernel, "Processor", 0, lambda state: None)
    _add_module(kernel, cpufreq.policies[0])
    return kernel


def bed_arm64() -> FakeKernel:
    """Return the kernel of the arm64 machine: two CPUs of 0.6 to 1.9072 GHz, two of 0.4 to 1.4 GHz."""
    kernel = FakeKernel((6, 1))
    capacities = (1024, 1024, 539 * 1_400_000 // 1_907_200, 539 * 1_400_000 // 1_907_200)
    Cpus(
        kernel,
        [Core((cpu,), core=cpu % 2, cluster=cpu // 2, capacity=capacity) for cpu, capacity in enumerate(capacities)],
    )
    driver = Driver("cpufreq-dt", latency_ns=300_000, keeps_clock=True)
    cpufreq = Cpufreq(kernel, driver, _GOVERNORS)
    big = cpufreq.add((0, 1), (600_000, 1_200_000, 1_907_200), "schedutil", hardware_khz=lambda khz: 1_907_200)
    little = cpufreq.add((2, 3), (400_000, 1_400_000), "schedutil", hardware_khz=lambda khz: 1_400_000)
    for policy in (big, little):
        cool_by_clock(kernel, policy)
    return kernel


def _add_acpi_files(policy: Policy) -> None:
    policy.file("freqdomain_cpus", lambda: cpu_words(policy.cpus))
    policy.file("bios_limit", lambda: str(policy.limits.most))


def _add_module(kernel: FakeKernel, policy: Policy) -> None:
    """Add what our module adds: a GPU, an energy counter near its wrap, a thermal zone, and a cap of a policy."""
    zone = ThermalZone(kernel, "CPU-therm", 45_000, policies=_THERMAL_POLICIES)
    gpu = Devfreq(
        kernel, "sys/devices/platform/17000000.gv11b", _GPU_HZ, ("simple_ondemand",), "simple_ondemand", polling_ms=25
    )
    gpu.load = 0.5
    kernel.gpu = gpu
    values = {"gpu_busy": 500, "power_uw": 0, "energy_uj": _ENERGY_FOUND_UJ}
    values |= {"temp_mc": 45_000, "temp_errno": 0, "cap_khz": 0}
    Zone(kernel, "intel-rapl:0", "package-0", lambda: values["energy_uj"], _ENERGY_RANGE_UJ, fixed_limit=True)

    def parameter(name: str, read: Callable[[bytes], int]) -> None:
        def store(content: bytes) -> None:
            values[name] = read(content)
            zone.temp_mc, zone.error = values["temp_mc"], values["temp_errno"] or None
            gpu.load = values["gpu_busy"] / 1000
            policy.cap("gsboard", values["cap_khz"] or None)

        kernel.file(f"{_PARAMETERS}/{name}", lambda: str(values[name]), store)

    for name in values:
        parameter(name, _READERS[name])
