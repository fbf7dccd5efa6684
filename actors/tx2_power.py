"""Power of a Jetson TX2 from what its rails took: VGG19 at each clock of the GPU, and the board without load.

The GPU's dynamic power is everything that its work causes: what the module took beside its CPU (`VDD_IN` less the
CPU's rail) above the same without load. At 1300.5 MHz that is 11.5 W: 7.6 W on the GPU's own rail, 2.3 W on the
memory's, 0.7 W on the SoC's, and losses. VGG19 takes more than most networks. Wall powers of four others, each in two
precisions, in a mode of nvpmodel tell their activity, and the board's figures are at the median of the nine.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from statistics import median

import numpy as np

from actors.measured_tables import measured_rows

WALL_W = 1.8
"""What the supply and the carrier board alone take at the wall."""

SUPPLY_SHARE = 0.9
"""Share of what the module adds at the wall that reaches it (assumed)."""

CPU_RANGE_MHZ = (345.6, 2035.2)
"""Lowest and highest clock of the CPUs; the logs of rails are at the highest."""

FULL_EMC_MHZ = 1866
"""Clock of the memory in the sweep of the GPU's clocks."""

CPU_VOLTAGE_SHARE = 0.7
"""Voltage of the CPUs at their lowest clock over that at their highest (assumed), linear in between."""

TOLD_BY = "MAXP"
"""The mode whose wall powers tell activities. It is MAXP_CORE_ALL (inferred): where the host limits, the smallest
network is 1.34 to 1.40 times as fast in MAXN, and 0.89 to 0.95 times in MAXQ, as the CPUs' clocks go."""

_TOLD_AT_MHZ, _TOLD_AT_EMC_MHZ, _TOLD_AT_CPU_MHZ = 1122.0, 1600, 1420.8
"""Clocks of the GPU, the memory and the CPUs in that mode."""

Workload = tuple[str, str, str, str]
"""Network, precision, what pruning kept of it in percent, batch."""


# ---------------------------------------------------------------- without load


@cache
def _idle() -> dict[float, dict[str, float]]:
    """Return the rails without load, by clock of the memory."""
    rails = ("vdd_in_w", "gpu_w", "cpu_w")
    rows = [row for row in measured_rows("jetson_tx2_idle.csv") if row["emc_mhz"]]
    return {float(row["emc_mhz"]): {rail: float(row[rail]) for rail in rails} for row in rows}


def gpu_static_w() -> dict[float, float]:
    """Return the GPU's rail without load, by clock: 0.152 W up to 1122 MHz, 0.228 W at 1300.5 MHz."""
    rows = [row for row in measured_rows("jetson_tx2_idle.csv") if row["gpu_mhz"]]
    return {float(row["gpu_mhz"]): float(row["gpu_w"]) for row in rows}


def cpu_static_w() -> float:
    """Return the CPUs' rail without load, both clusters on, at 2035.2 MHz."""
    return _idle()[FULL_EMC_MHZ]["cpu_w"]


def base_w() -> float:
    """Return what the module takes beside its units without load, with the memory at 1866 MHz."""
    idle = _idle()[FULL_EMC_MHZ]
    return idle["vdd_in_w"] - idle["gpu_w"] - idle["cpu_w"]


def emc_w(emc_mhz: float) -> float:
    """Return what the module takes more without load with the memory at another clock; below 0 for a slower one."""
    return _idle()[emc_mhz]["vdd_in_w"] - _idle()[FULL_EMC_MHZ]["vdd_in_w"]


# ---------------------------------------------------------------- at work


def core_w() -> float:
    """Return what one busy Cortex-A57 adds to the CPUs' rail at 2035.2 MHz, 0.85 W; a second one added 0.44 W."""
    rows = measured_rows("jetson_tx2_cores.csv")
    idle, one = (min(rows, key=lambda row: abs(float(row["busy_cores"]) - busy)) for busy in (0, 1))
    return (float(one["cpu_w"]) - float(idle["cpu_w"])) / (float(one["busy_cores"]) - float(idle["busy_cores"]))


def cpu_scale(mhz: float) -> float:
    """Return the square of a CPU's voltage over that at 2035.2 MHz."""
    low, high = CPU_RANGE_MHZ
    return (CPU_VOLTAGE_SHARE + (1 - CPU_VOLTAGE_SHARE) * (mhz - low) / (high - low)) ** 2


@cache
def vgg19_w() -> dict[float, float]:
    """Return what VGG19 on the GPU causes, by clock of the GPU."""
    static_w = gpu_static_w()
    found = {}
    for row in measured_rows("jetson_tx2_gpu_clocks.csv"):
        mhz = float(row["gpu_mhz"])
        found[mhz] = float(row["vdd_in_w"]) - float(row["cpu_w"]) - base_w() - static_w[mhz]
    return found


def module_w(wall_w: float) -> float:
    """Return what the module takes when the board takes so much at the wall."""
    return (wall_w - WALL_W) * SUPPLY_SHARE


@cache
def over_vgg19() -> Mapping[Workload, float]:
    """Return what each workload causes over what VGG19 does, by its wall power in the mode that tells activities.

    One core is taken to feed the GPU, and the GPU to be busy all the time.
    """
    cpu_w = cpu_scale(_TOLD_AT_CPU_MHZ) * (cpu_static_w() + core_w() * _TOLD_AT_CPU_MHZ / CPU_RANGE_MHZ[1])
    rest_w = base_w() + emc_w(_TOLD_AT_EMC_MHZ) + gpu_static_w()[_TOLD_AT_MHZ] + cpu_w
    return {
        (row["network"], row["datatype"], row["kept_percent"], row["batch"]): (
            (module_w(float(row["wall_w"])) - rest_w) / vgg19_w()[_TOLD_AT_MHZ]
        )
        for row in measured_rows("jetson_tx2_wall.csv")
        if row["mode"] == TOLD_BY and row["network"] != "idle"
    }


def networks_over_vgg19() -> dict[tuple[str, str], float]:
    """Return the same of whole networks by precision: the median over batches."""
    found: dict[tuple[str, str], list[float]] = {}
    for (network, datatype, kept, _), ratio in over_vgg19().items():
        if kept == "100":
            found.setdefault((network, datatype), []).append(ratio)
    return {key: median(ratios) for key, ratios in found.items()}


@cache
def vgg19_activity() -> float:
    """Return the activity of VGG19: activity 1 is the median of it and the other networks."""
    return 1 / median([1.0, *networks_over_vgg19().values()])


def gpu_dynamic_w() -> dict[float, float]:
    """Return what the busy GPU causes with a network of activity 1, by clock."""
    return {mhz: power_w / vgg19_activity() for mhz, power_w in vgg19_w().items()}


def memory_share() -> float:
    """Return the share of VGG19's latency at the top clock that does not go with the GPU's clock.

    Least squares of relative errors; a latency is missed by 6 % at most, in the middle it is longer by 5 %.
    """
    rows = measured_rows("jetson_tx2_gpu_clocks.csv")
    latency = np.array([float(row["latency_ms"]) for row in rows])
    slower = np.array([float(rows[-1]["gpu_mhz"]) / float(row["gpu_mhz"]) for row in rows])
    (fixed, scaled), *_ = np.linalg.lstsq(np.c_[1 / latency, slower / latency], np.ones(len(rows)), rcond=None)
    return float(fixed / (fixed + scaled))
