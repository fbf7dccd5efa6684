"""Power of two boards that were measured at the wall: a Raspberry Pi 4 and an Odroid N2+, each with whole ladders.

MLPerf Inference has for each of 94 networks its mean latency, its accuracy, the power at the wall while it ran at the
board's top clock, and the power before the run. On one board the median network's power above idle, shared by the cores
that it kept busy, is the `dynamic_w` of the top clock; the network's *activity* there is 1, and that of another network
its own power above idle over that. At a lower clock power follows what is known of the board: measured figures of one
core, or voltages. How many cores a network kept busy is inferred from its engine (`docs/boards.md`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from statistics import median
from types import MappingProxyType

import numpy as np

from actors.measured_tables import measured_rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One network on one board, one picture at a time for ten minutes.

    Attributes:
        network: its name.
        mean_ms: mean latency.
        p90_ms: latency that 90 % of the pictures do not exceed.
        top1: ImageNet top-1 accuracy as a fraction.
        wall_w: mean power of the whole board at the wall meanwhile.
        idle_w: median power at the wall before that.
    """

    network: str
    mean_ms: float
    p90_ms: float
    top1: float
    wall_w: float
    idle_w: float

    @property
    def above_idle_w(self) -> float:
        """Power that the network adds to that of the idle board."""
        return self.wall_w - self.idle_w

    @property
    def mean_mj(self) -> float:
        """Energy of one inference above that of the idle board."""
        return self.above_idle_w * self.mean_ms


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """A board with an engine, under which all networks of the table ran.

    Attributes:
        name: its name in the table.
        board: the packaged board that it is.
        engine: the execution engine.
        cores: threads of the engine, each on a core of its own (inferred); None where they were spread over clusters.
    """

    name: str
    board: str
    engine: str
    cores: int | None

    @property
    def runs(self) -> tuple[Run, ...]:
        """What was measured of it, by network."""
        return _runs(self.name)


SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        name: System(name=name, board=board, engine=engine, cores=cores)
        for name, board, engine, cores in (
            ("raspberry-pi-4-armnn", "raspberry-pi-4", "ArmNN v21.11 (Neon)", 4),
            ("raspberry-pi-4-tflite", "raspberry-pi-4", "TFLite v2.7.1 (ruy)", 4),
            # The library asks for as many threads as the smaller cluster has cores.
            ("odroid-n2-armnn", "odroid-n2", "ArmNN v21.11 (Neon)", 2),
            # Six threads on two clusters of unlike cores.
            ("odroid-n2-tflite", "odroid-n2", "TFLite v2.7.1 (ruy)", None),
        )
    }
)
"""The systems on the CPUs of boards that are packaged with power at the wall, by name."""

LADDERS: Mapping[str, str] = MappingProxyType(
    {
        "mlperf-armnn-pi4": "raspberry-pi-4-armnn",
        "mlperf-tflite-pi4": "raspberry-pi-4-tflite",
        "mlperf-armnn-n2": "odroid-n2-armnn",
    }
)
"""By packaged ladder, the name of the system that it was measured on."""

TOP_MHZ: Mapping[str, float] = MappingProxyType({"raspberry-pi-4": 1800, "odroid-n2": 2208})
"""By board, the clock at which the networks ran: its highest."""

N2_BIG_MV: Mapping[int, int] = MappingProxyType(
    {
        1000: 731,
        1200: 751,
        1398: 771,
        1512: 771,
        1608: 781,
        1704: 791,
        1800: 831,
        1908: 861,
        2016: 911,
        2108: 951,
        2208: 1011,
    }
)
"""Voltage of an Odroid N2+'s Cortex-A73 by MHz (Linux, arch/arm64/boot/dts/amlogic/meson-g12b-a311d.dtsi)."""

N2_LITTLE_MV: Mapping[int, int] = MappingProxyType(
    {1000: 761, 1200: 781, 1398: 811, 1512: 861, 1608: 901, 1704: 951, 1800: 1001}
)
"""The same of its Cortex-A53."""

A53_TO_A73 = 110 / 550
"""Dynamic power of a Cortex-A53 over that of a Cortex-A73 at the same clock and voltage.

`dynamic-power-coefficient` of both in Linux, arch/arm64/boot/dts/hisilicon/hi3660.dtsi: another chip.
"""


@cache
def _runs(system: str) -> tuple[Run, ...]:
    return tuple(
        Run(
            network=row["network"],
            mean_ms=float(row["mean_ms"]),
            p90_ms=float(row["p90_ms"]),
            top1=round(float(row["top1_percent"]) / 100, 5),
            wall_w=float(row["wall_w"]),
            idle_w=float(row["idle_w"]),
        )
        for row in measured_rows("mlperf_ladders_power.csv")
        if row["system"] == system
    )


def _on(board: str) -> list[tuple[Run, int]]:
    """Return the runs on a board of which it is known how many cores were busy, each with their number."""
    systems = [system for system in SYSTEMS.values() if system.board == board]
    return [(run, system.cores) for system in systems if system.cores is not None for run in system.runs]


def idle_w(board: str) -> float:
    """Return the power of a board at the wall with no load: the median over all runs."""
    return median(run.idle_w for run, _ in _on(board))


def busy_core_w(board: str) -> float:
    """Return what a busy core adds at the top clock: the median over all networks, whose activity is 1.

    A network that adds 1.3 W on four cores adds 0.325 W a core.
    """
    return median(run.above_idle_w / cores for run, cores in _on(board))


def activity(system: System, run: Run) -> float:
    """Return the activity of a network: what it adds a core, over `busy_core_w`."""
    assert system.cores is not None
    return run.above_idle_w / system.cores / busy_core_w(system.board)


# ---------------------------------------------------------------- over the clocks


def pi4_static_w(mhz: float) -> float:
    """Return the power of a Raspberry Pi 4 with no load that goes with its CPU clock.

    The slope of a straight line through the power of an idle board at ten clocks, 0.274 W for each GHz (residuals up to
    11 mW), times the clock. What is left at no clock is the rest of the board's, which no meter tells apart.
    """
    slope, _ = np.polyfit(*_pi4_one_core("idle_w"), 1)
    return float(slope) * mhz


def pi4_shape(mhz: float) -> float:
    """Return the power that one busy core of a Raspberry Pi 4 adds at a clock, over that at its top clock.

    Up to 1500 MHz the median of the measured workloads; beyond that a straight line through all ten clocks (residuals
    up to 4 % at the lowest clock, below 1 % from 700 MHz).
    """
    return _pi4_one_core_w(mhz) / _pi4_one_core_w(TOP_MHZ["raspberry-pi-4"])


def _pi4_one_core_w(mhz: float) -> float:
    clocks, watts = _pi4_one_core()
    if mhz <= clocks[-1]:
        return float(np.interp(mhz, clocks, watts))
    slope, start = np.polyfit(clocks, watts, 1)
    return float(start + slope * mhz)


def _pi4_one_core(column: str | None = None) -> tuple[list[float], list[float]]:
    """Return the measured clocks, and at each a column or the median over the workloads."""
    rows = measured_rows("raspberry_pi_4_one_core_power.csv")
    watts = [
        float(row[column])
        if column
        else median(float(value) for name, value in row.items() if name not in ("mhz", "idle_w"))
        for row in rows
    ]
    return [float(row["mhz"]) for row in rows], watts


def n2_shape(mhz: int, millivolts: Mapping[int, int] = N2_BIG_MV) -> float:
    """Return clock times voltage squared, over that of the Cortex-A73 at its top clock."""
    top = int(TOP_MHZ["odroid-n2"])
    return mhz * millivolts[mhz] ** 2 / (top * N2_BIG_MV[top] ** 2)
