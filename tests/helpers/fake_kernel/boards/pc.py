"""x86 machines: a hybrid laptop, a desktop, and the virtual machine in which this was written.

Ranges of energy counters and names of domains: published dumps. The machines are made up of them.
"""

from __future__ import annotations

from ..cooling import CoolingDevice
from ..cpufreq import Cpufreq, Driver, Policy
from ..cpus import CPU, Core, Cpus
from ..kernel import FakeKernel
from ..power import constant
from ..powercap import Counter, Zone
from ..pstate import IntelPstate, add_amd_pstate, add_boost, add_preference
from ..texts import cpu_ranges, cpu_words
from ..thermal import ThermalZone, Trip

_CHOOSERS = ("performance", "powersave")
_GOVERNORS = ("conservative", "ondemand", "userspace", "powersave", "performance", "schedutil")
_BIG, _SMALL = (0, 1, 2, 3), (4, 5, 6, 7)
_BIG_KHZ, _SMALL_KHZ = (400_000, 4_700_000), (400_000, 3_500_000)
_INTEL_RANGE_UJ = 262_143_328_850
_AMD_RANGE_UJ = 65_532_610_987


def x86_hybrid_laptop(*, passive: bool = False) -> FakeKernel:
    """Return the kernel of a laptop with two fast cores of two threads each, and four slow ones.

    Args:
        passive: True if intel_pstate leaves the choice of the clock to governors.
    """
    kernel = FakeKernel((6, 1))
    cores = [Core((cpu // 2 * 2, cpu // 2 * 2 + 1), core=cpu // 2 * 4) for cpu in _BIG]
    cores += [Core((cpu,), core=4 + cpu, cluster=8, caches=((2, "Unified", _SMALL),)) for cpu in _SMALL]
    Cpus(kernel, cores, fixed={0})
    if passive:
        driver = Driver(
            "intel_cpufreq", latency_ns=20_000, gets=False, measures=True, step_khz=100_000, io_is_busy=True
        )
        cpufreq = Cpufreq(kernel, driver, _GOVERNORS)
    else:
        driver = Driver("intel_pstate", latency_ns=0, gets=False, measures=True, chooses=True)
        cpufreq = Cpufreq(kernel, driver, _CHOOSERS)
    for cpu in _BIG + _SMALL:
        ends_khz = _BIG_KHZ if cpu in _BIG else _SMALL_KHZ
        policy = cpufreq.add((cpu,), ends_khz, "schedutil" if passive else "powersave")
        add_preference(policy)
        CoolingDevice(kernel, "Processor", 10, lambda state: None)
    base_khz = {cpu: 2_100_000 if cpu in _BIG else 1_500_000 for cpu in _BIG + _SMALL}
    IntelPstate(kernel, "passive" if passive else "active", base_khz)
    for name, cpus in (("cpu_core", _BIG), ("cpu_atom", _SMALL)):
        kernel.text(f"sys/devices/{name}/cpus", cpu_ranges(cpus))
    rails = {"package-0": 6.0, "core": 3.0, "uncore": 0.5, "psys": 11.0}
    kernel.rails.update({rail: constant(watts) for rail, watts in rails.items()})
    package = _rapl(kernel, "intel-rapl:0", "package-0", _INTEL_RANGE_UJ)
    _rapl(kernel, "intel-rapl:0:0", "core", _INTEL_RANGE_UJ, parent=package)
    _rapl(kernel, "intel-rapl:0:1", "uncore", _INTEL_RANGE_UJ, parent=package)
    _rapl(kernel, "intel-rapl:1", "psys", _INTEL_RANGE_UJ)
    # The same counter once more, through memory.
    _rapl(kernel, "intel-rapl-mmio:0", "package-0", _INTEL_RANGE_UJ)
    ThermalZone(kernel, "acpitz", 45_000, trips=(Trip("critical", 105_000),))
    ThermalZone(kernel, "x86_pkg_temp", 47_000)
    return kernel


def amd_desktop(*, acpi: bool = False) -> FakeKernel:
    """Return the kernel of a desktop with four cores of two threads each, and an energy counter near its wrap.

    Args:
        acpi: True if the driver is acpi-cpufreq with three clocks, not amd-pstate.
    """
    kernel = FakeKernel((6, 1))
    cores = [Core((cpu % 4, cpu % 4 + 4), core=cpu % 4) for cpu in range(8)]
    Cpus(kernel, cores, fixed={0})
    if acpi:
        driver = Driver("acpi-cpufreq", latency_ns=0, measures=True)
        cpufreq = Cpufreq(kernel, driver, _GOVERNORS)
        for cpu in range(8):
            policy = cpufreq.add((cpu,), (3_800_000, 2_800_000, 2_200_000), "schedutil")
            _add_acpi_files(policy, cores[cpu].siblings)
    else:
        driver = Driver("amd-pstate-epp", latency_ns=0, gets=False, measures=True, chooses=True)
        cpufreq = Cpufreq(kernel, driver, _CHOOSERS)
        for cpu in range(8):
            policy = cpufreq.add((cpu,), (400_000, 4_463_000), "powersave")
            add_preference(policy)
            policy.file("amd_pstate_max_freq", lambda: "4463000")
            policy.file("amd_pstate_lowest_nonlinear_freq", lambda: "1114000")
        add_amd_pstate(kernel, "active")
    add_boost(cpufreq, None if acpi else 3_800_000)
    kernel.rails.update({"package-0": constant(25.0), "core": constant(4.0)})
    package = _rapl(kernel, "intel-rapl:0", "package-0", _AMD_RANGE_UJ, start_uj=_AMD_RANGE_UJ - 10_000_000)
    _rapl(kernel, "intel-rapl:0:0", "core", _AMD_RANGE_UJ, parent=package)
    ThermalZone(kernel, "acpitz", 16_800)
    return kernel


def this_vm() -> FakeKernel:
    """Return the kernel of a virtual machine with two CPUs and nothing that could be set or measured."""
    kernel = FakeKernel((6, 1))
    Cpus(kernel, [Core((cpu,), core=cpu) for cpu in range(2)], fixed={0})
    for path in (f"{CPU}/cpufreq", "sys/class/thermal", "sys/class/hwmon", "sys/class/powercap"):
        kernel.directory(path)
    return kernel


def _rapl(
    kernel: FakeKernel, name: str, domain: str, range_uj: int, *, start_uj: int = 0, parent: Zone | None = None
) -> Zone:
    return Zone(kernel, name, domain, Counter(kernel, domain, range_uj, start_uj), range_uj, parent=parent)


def _add_acpi_files(policy: Policy, siblings: tuple[int, ...]) -> None:
    policy.file("freqdomain_cpus", lambda: cpu_words(siblings))
    policy.file("bios_limit", lambda: str(policy.limits.most))
