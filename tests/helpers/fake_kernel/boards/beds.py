"""The machines in which the tests boot real kernels (Debian 6.1 under QEMU), for tests that compare both.

amd64: acpi-cpufreq over I/O ports with a table of ours, two clock domains; a module of ours caps the first one.
arm64: cpufreq-dt with two clusters over clocks that never change, and cooling devices.
"""

from __future__ import annotations

from ..cooling import CoolingDevice, cool_by_clock
from ..cpufreq import Cpufreq, Driver, Policy
from ..cpus import Core, Cpus
from ..devfreq import Devfreq
from ..kernel import FakeKernel
from ..powercap import Zone
from ..texts import cpu_words, strict_unsigned
from ..thermal import ThermalZone

_PARAMETERS = "sys/module/gsboard/parameters"
_GPU_HZ = (114_750_000, 204_000_000, 306_000_000, 510_000_000, 803_250_000, 1_109_250_000)


def bed_amd64() -> FakeKernel:
    """Return the kernel of the amd64 machine: four CPUs, 0.8 to 2 GHz and 0.6 to 1.4 GHz."""
    kernel = FakeKernel((6, 1))
    Cpus(kernel, [Core((cpu,), core=cpu, cluster=cpu) for cpu in range(4)], fixed={0})
    # It is not known at which clock the processor runs; the driver guesses the highest (acpi_cpufreq_guess_freq).
    driver = Driver("acpi-cpufreq", latency_ns=10_000, gets=False)
    governors = ("conservative", "ondemand", "powersave", "userspace", "performance", "schedutil")
    cpufreq = Cpufreq(kernel, driver, governors)
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
    Cpus(kernel, [Core((cpu,), core=cpu, capacity=capacity) for cpu, capacity in enumerate(capacities)])
    driver = Driver("cpufreq-dt", latency_ns=300_000, keeps_clock=True)
    cpufreq = Cpufreq(kernel, driver, ("ondemand", "powersave", "userspace", "performance", "schedutil"))
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
    zone = ThermalZone(kernel, "CPU-therm", 45_000)
    gpu = Devfreq(
        kernel, "sys/devices/platform/17000000.gv11b", _GPU_HZ, ("simple_ondemand",), "simple_ondemand", polling_ms=25
    )
    gpu.load = 0.5
    kernel.gpu = gpu
    values = {"busy": 500, "energy_step": 1000, "temp_mc": 45_000, "temp_err": 0, "cap_khz": 0}
    energy_uj = 0xFFF00000

    def read_energy() -> int:
        nonlocal energy_uj
        energy_uj = (energy_uj + values["energy_step"] * 1000) % (1 << 32)
        return energy_uj

    Zone(kernel, "intel-rapl:0", "package-0", read_energy, 262_143_328_850 % (1 << 32), fixed_limit=True)

    def parameter(name: str) -> None:
        def store(content: bytes) -> None:
            values[name] = strict_unsigned(content)
            zone.temp_mc, zone.error = values["temp_mc"], values["temp_err"] or None
            gpu.load = values["busy"] / 1000
            policy.cap("gsboard", values["cap_khz"] or None)

        kernel.file(f"{_PARAMETERS}/{name}", lambda: str(values[name]), store)

    for name in values:
        parameter(name)
