"""The machines of the kernel test bed, in which real kernels (Debian 6.1) are booted: for tests that compare both.

amd64: acpi-cpufreq over I/O ports; power meters whose registers tests fill; and what the module gsboard adds: a GPU, an
energy counter, a thermal zone, and a cap on the clock of CPU 0.
arm64: cpufreq-dt with two clusters over clocks that never change, and cooling devices.
"""

from __future__ import annotations

from collections.abc import Callable

from kernel.boards import (
    AMD64,
    ARM64,
    CHIPS,
    ENERGY_FOUND_UJ,
    ENERGY_RANGE_UJ,
    GPU_HZ,
    GPU_NAME,
    ZONE_MC,
    ZONE_NAME,
    Board,
    Chip,
)

from ..cooling import CoolingDevice, cool_by_clock
from ..cpufreq import Cpufreq, Driver, Policy
from ..cpus import Core, Cpus
from ..devfreq import Devfreq
from ..ina2xx import Ina2xx
from ..ina3221 import Channel, Ina3221
from ..kernel import FakeKernel
from ..power import constant
from ..powercap import Zone
from ..texts import cpu_words, strict_signed, strict_unsigned
from ..thermal import ThermalZone

_GOVERNORS = ("conservative", "ondemand", "powersave", "userspace", "performance", "schedutil")
_THERMAL_POLICIES = ("power_allocator", "user_space", "step_wise", "bang_bang", "fair_share")
_PARAMETERS = "sys/module/gsboard/parameters"
_ADAPTER = "sys/devices/virtual/i2c"


def bed_amd64(*, i2c_bus: int = 0) -> FakeKernel:
    """Return the kernel of the amd64 machine.

    Args:
        i2c_bus: number of the bus with the power meters; in the real one it is found out.
    """
    kernel = FakeKernel((6, 1))
    # No register tells the clock at which the processor runs; the driver guesses the highest (acpi_cpufreq_guess_freq).
    driver = Driver(AMD64.driver, latency_ns=10_000, gets=False, io_is_busy=True)
    cpufreq = _add_cpus(kernel, AMD64, driver, fixed={0})
    for cluster in AMD64.clusters:
        policy = cpufreq.add(cluster.cpus, cluster.khz[::-1], "schedutil")
        _add_acpi_files(policy)
    for _ in kernel.cpus.possible:
        CoolingDevice(kernel, "Processor", 0, lambda state: None)
    for chip in CHIPS:
        _add_chip(kernel, i2c_bus, chip)
    _add_module(kernel)
    return kernel


def bed_arm64() -> FakeKernel:
    """Return the kernel of the arm64 machine."""
    kernel = FakeKernel((6, 1))
    cpufreq = _add_cpus(kernel, ARM64, Driver(ARM64.driver, latency_ns=300_000, keeps_clock=True))
    for cluster in ARM64.clusters:
        policy = cpufreq.add(cluster.cpus, cluster.khz, "schedutil", hardware_khz=_always(cluster.khz[-1]))
        cool_by_clock(kernel, policy)
    return kernel


def _always(khz: int) -> Callable[[int], int]:
    return lambda believed_khz: khz


def _add_cpus(kernel: FakeKernel, board: Board, driver: Driver, fixed: set[int] | None = None) -> Cpufreq:
    speeds = [(cluster.dmips_per_mhz or 0) * cluster.khz[-1] for cluster in board.clusters]
    cores = []
    for number, (cluster, speed) in enumerate(zip(board.clusters, speeds, strict=True)):
        # A device tree counts the cores of each cluster from 0; without one each CPU is a cluster of its own.
        for index, cpu in enumerate(cluster.cpus):
            if speed:
                cores.append(Core((cpu,), core=index, cluster=number, capacity=1024 * speed // max(speeds)))
            else:
                cores.append(Core((cpu,), core=cpu, cluster=cpu))
    Cpus(kernel, cores, fixed=fixed or ())
    return Cpufreq(kernel, driver, _GOVERNORS)


def _add_acpi_files(policy: Policy) -> None:
    policy.file("freqdomain_cpus", lambda: cpu_words(policy.cpus))
    policy.file("bios_limit", lambda: str(policy.limits.most))


def _add_chip(kernel: FakeKernel, bus: int, chip: Chip) -> None:
    rails = [f"{chip.driver}-{chip.address:02x}-{number}" for number in range(len(chip.channels))]
    for rail, (mv, ma) in zip(rails, chip.channels, strict=True):
        kernel.rails[rail] = constant(mv * ma / 1e6)
    volts = [mv / 1000 for mv, _ in chip.channels]
    # Registers of limits are empty, and no device tree names rails or shunts.
    if chip.driver == "ina3221":
        channels = [Channel(None, rail, volts=volt, shunt_uohm=10_000) for rail, volt in zip(rails, volts, strict=True)]
        for channel in channels:
            channel.limits = {"max": 0, "crit": 0}
        Ina3221(kernel, bus, chip.address, channels, adapter=_ADAPTER)
    else:
        Ina2xx(kernel, bus, chip.address, rails[0], volts=volts[0], name=chip.driver, adapter=_ADAPTER)


def _add_module(kernel: FakeKernel) -> None:
    zone = ThermalZone(kernel, ZONE_NAME, ZONE_MC, policies=_THERMAL_POLICIES)
    gpu = Devfreq(
        kernel, f"sys/devices/platform/{GPU_NAME}", GPU_HZ, ("simple_ondemand",), "simple_ondemand", polling_ms=25
    )
    kernel.gpu = gpu
    values = {
        "gpu_busy": 500,
        "temp_mc": ZONE_MC,
        "temp_errno": 0,
        "cap_khz": 0,
        "energy_uj": ENERGY_FOUND_UJ,
        "power_uw": 0,
    }
    counted_since_s = 0.0

    def apply() -> None:
        zone.temp_mc, zone.error = values["temp_mc"], values["temp_errno"] or None
        gpu.load = values["gpu_busy"] / 1000
        kernel.policy(0).cap("gsboard", values["cap_khz"] or None)

    def energy_uj() -> int:
        if not values["power_uw"]:
            return values["energy_uj"]
        ran_s = kernel.now_s() - counted_since_s
        return int(values["energy_uj"] + ran_s * values["power_uw"]) % (ENERGY_RANGE_UJ + 1)

    def add_parameter(name: str) -> None:
        def store(content: bytes) -> None:
            nonlocal counted_since_s
            if name.startswith("temp"):
                value = strict_signed(content, any_base=True)
            else:
                value = strict_unsigned(content, 32 if name in ("gpu_busy", "cap_khz") else 64, any_base=True)
            values["energy_uj"], counted_since_s = energy_uj(), kernel.now_s()
            values[name] = value
            apply()

        show = energy_uj if name == "energy_uj" else lambda: values[name]
        kernel.file(f"{_PARAMETERS}/{name}", lambda: str(show()), store)

    for name in values:
        add_parameter(name)
    apply()
    Zone(kernel, "intel-rapl:0", "package-0", energy_uj, ENERGY_RANGE_UJ, settable=False)
