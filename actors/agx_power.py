"""Power of a Jetson AGX Xavier at the wall: its cores and GPU are those of a Xavier NX, more of them, at higher clocks.

Cores and clusters have the medians that `actors.xavier_fit` finds, which come from this board. The GPU has its own runs
of MLPerf, between 829 and 1033 MHz, and its rail in modes of nvpmodel tells how its power goes with the clock: 8 mW for
each MHz at 676 and 905 MHz, 13 at 1377 MHz, a line in between; below 676 MHz the voltage is taken to stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from statistics import median

import numpy as np

from actors.measured_tables import measured_rows
from actors.xavier_fit import Run, fit, gpu_runs, runs, stated
from actors.xavier_power import Draws, cluster_w, core_w, draws_of

NAME = "jetson-agx-xavier"

GPU_TOP_MHZ = 1377.0

_HARNESS_MHZ = 1190.4
"""CPU clock of MLPerf's runs, of one cluster; the others were offline."""

_RAIL_MHZ = (675.75, 905.25, GPU_TOP_MHZ)


@cache
def medians() -> Draws:
    """Return the median parameters of the Xaviers."""
    return draws_of(stated(fit()))


def static_w(mhz: float) -> float:
    """Return the power of a cluster of two cores with no load."""
    return cluster_w(medians(), mhz).item()


def dynamic_w(mhz: float) -> float:
    """Return what a busy core adds: eight at 2265.6 MHz take what the median float network took."""
    return core_w(medians(), mhz).item()


def wall_w(row: Mapping[str, str]) -> float:
    """Return what the board takes at the wall where its rails took so much together, by the supply's share.

    Idle they took 7.63 W, so 8.8 W at the wall, as MLPerf's idle boards did.
    """
    rails = ("cpu_w", "gpu_w", "soc_w", "ddr_w", "sys5v_w")
    return float(sum(float(row[rail]) for rail in rails) / medians()["supply_share"].item())


def idle_gpu_w() -> float:
    """Return the power of the idle GPU at its lowest clock: its rail in an idle board, over the supply's share."""
    idle = next(row for row in measured_rows("agx_xavier_rails.csv") if row["load"] == "idle")
    return float(idle["gpu_w"]) / medians()["supply_share"].item()


@cache
def _w_per_mhz() -> tuple[float, ...]:
    """Return the GPU's rail under one network over its clock, at three clocks; what it takes idle is taken off."""
    rows = [row for row in measured_rows("agx_xavier_rails.csv") if row["load"] == "yolov3"]
    idle_w = next(float(row["gpu_w"]) for row in measured_rows("agx_xavier_rails.csv") if row["load"] == "idle")
    return tuple(
        (median(float(row["gpu_w"]) for row in rows if float(row["gpu_mhz"]) == mhz) - idle_w) / mhz
        for mhz in _RAIL_MHZ
    )


def gpu_voltage_squared(mhz: float) -> float:
    """Return the square of the GPU's voltage over that at 1377 MHz."""
    return float(np.interp(mhz, _RAIL_MHZ, _w_per_mhz())) / _w_per_mhz()[-1]


def gpu_scale(mhz: float) -> float:
    """Return what the busy GPU adds at a clock, over what it adds at 1377 MHz."""
    return gpu_voltage_squared(mhz) * mhz / GPU_TOP_MHZ


def gpu_static_w(mhz: float) -> float:
    """Return the power of the GPU with no load."""
    return idle_gpu_w() * gpu_voltage_squared(mhz) / gpu_voltage_squared(114.75)


def base_w() -> float:
    """Return what the board takes beside its units: the median idle board of MLPerf's runs, less one idle cluster."""
    idle_w = median(run.idle_w for run in runs() if run.board == NAME)
    return idle_w - static_w(_HARNESS_MHZ) - gpu_static_w(114.75)


def top_gpu_w(run: Run) -> float:
    """Return what the GPU would add at 1377 MHz with the network of a run, by what the run took above idle."""
    host_w = medians()["host_cores"].item() * dynamic_w(_HARNESS_MHZ)
    resting_w = gpu_static_w(run.gpu_mhz) - gpu_static_w(114.75)
    return (run.active_w - run.idle_w - host_w - resting_w) / gpu_scale(run.gpu_mhz)


@cache
def top_gpu_dynamic_w() -> float:
    """Return what the busy GPU adds at 1377 MHz with a network of activity 1: the median of its eight runs."""
    return median(top_gpu_w(run) for run in gpu_runs(NAME))
