"""Power of Jetson Xavier NX, fitted to the few figures that are public: hundreds of parameter sets, not one.

No voltage table, no power coefficient and no power of the CPU alone is public for this board, and its CPU and GPU share
a power rail. The public figures leave much open, so `fit` draws parameter sets that all agree with them, and an energy
on this board is reported as its interval over the sets. The packaged board has the median of each parameter.

The model: at clock f of a unit with top clock F the voltage relative to its top is
u(f) = v + (1 - v) · (f - f_min) / (F - f_min). A busy core draws D · u² · f / F on top of the unit's static S · u².
Power is counted at the wall, so the GPU's includes the memory traffic and the supply's losses that come with it.
It does not know heat, the DLAs, or that units may share a voltage.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

import actors
from actors.cluster import packaged_board
from scheduler.board import Board, BoardUnit

FloatArray = NDArray[np.float64]
Quantity = TypeVar("Quantity", float, FloatArray)

STOCK, UNCLAMPED = "jetson-xavier-nx", "jetson-xavier-nx-unclamped"

TOLERANCE = 0.25
"""Share by which a set may miss a measured figure. The two MLPerf loads add powers to idle that differ by a factor of
1.5, of which their clocks explain 1.1. The loads themselves differ, so no set comes much nearer to both."""

BUDGET = (0.6, 1.5)
"""Range of the power of a fully loaded board over its mode's nominal budget (assumed). BERT at nearly the GPU clock of
the 10 W modes took 13 W at the wall with two cores on: a budget is a label and only keeps the CPU's power plausible."""

_CPU_MHZ = (115.2, 1907.2)
_GPU_MHZ = (114.75, 1109.25)
"""Lowest and highest clock of the hardware."""

_PUBLISHED_AT_MHZ = 1420.8
"""CPU clock at which the published CPU latencies hold: that of the 15 W mode (inferred)."""

_CLUSTERS = 3
_DATA = Path(actors.__file__).parent / "boards"


@dataclass(frozen=True, kw_only=True, slots=True)
class XavierPower:
    """One set of parameters of a Xavier NX. Powers are in watts, shares from 0 to 1.

    Attributes:
        cpu_dynamic_w: dynamic power of one busy core at 1907.2 MHz.
        gpu_dynamic_w: dynamic power of the GPU at 1109.25 MHz under MLPerf's load.
        cpu_static_w: static power of one cluster of two cores at 1907.2 MHz.
        gpu_static_w: static power of the GPU at 1109.25 MHz.
        voltage_share: lowest over highest voltage, the same for CPU and GPU.
        base_w: power of everything that is neither a CPU cluster nor the GPU.
        host_cores: number of CPU cores that MLPerf's single stream keeps busy.
        gpu_activity: dynamic power of the GPU under the published networks in eager PyTorch, which waits for its host
            in between, over that under MLPerf's load.
        gpu_memory_share: share of an inference on the GPU that does not depend on its clock.
        cpu_memory_share: share of an inference on the CPU that does not depend on its clock.
    """

    cpu_dynamic_w: float
    gpu_dynamic_w: float
    cpu_static_w: float
    gpu_static_w: float
    voltage_share: float
    base_w: float
    host_cores: float
    gpu_activity: float
    gpu_memory_share: float
    cpu_memory_share: float


PRIORS: dict[str, tuple[float, float]] = {
    "cpu_dynamic_w": (0.3, 3.0),  # assumed; no CPU-only figure is public
    "gpu_dynamic_w": (4.0, 24.0),  # assumed; wide enough for the measured loads to decide
    "cpu_static_w": (0.02, 0.4),  # assumed; the rail near idle decides
    "gpu_static_w": (0.02, 2.0),  # assumed; the same
    "voltage_share": (0.55, 0.8),  # assumed; device trees of other boards: 0.64 (HiKey960) to 0.71 (RK3399)
    "base_w": (3.0, 5.5),  # assumed; the measured idle powers decide
    "host_cores": (0.0, 1.0),  # assumed; one thread feeds the GPU
    "gpu_activity": (0.4, 1.0),  # assumed
    "gpu_memory_share": (0.39, 0.75),  # 43 ms at 1109, 50 at 803 MHz read by eye (±3 %) off the paper's motivation
    "cpu_memory_share": (0.0, 0.3),  # assumed
}
"""Range of each parameter, from which `fit` draws uniformly."""


def fit(seed: int = 0, n: int = 300) -> list[XavierPower]:
    """Return parameter sets that agree with every public figure.

    Args:
        seed: seed of the draws.
        n: number of sets.
    """
    # Rejection sampling: draw from the priors in large lots, and keep the sets that satisfy all figures.
    rng = np.random.default_rng(seed)
    figures = _figures()
    accepted: list[XavierPower] = []
    while len(accepted) < n:
        draws = {name: rng.uniform(low, high, 20_000) for name, (low, high) in PRIORS.items()}
        passed = np.ones(20_000, dtype=bool)
        for _, power_w, least_w, most_w in figures:
            passed &= (power_w(draws) >= least_w) & (power_w(draws) <= most_w)
        for place in np.flatnonzero(passed)[: n - len(accepted)]:
            accepted.append(XavierPower(**{name: float(values[place]) for name, values in draws.items()}))
    return accepted


def board_of(parameters: XavierPower, name: str = STOCK) -> Board:
    """Return a packaged Xavier NX with the power of one set, and the speeds that follow from its memory shares.

    Args:
        parameters: the set.
        name: name of the board, `STOCK` or `UNCLAMPED`.
    """
    return with_power(packaged_board(name), parameters)


def with_power(board: Board, parameters: XavierPower) -> Board:
    """Return a packaged board with the power and the speeds of one set."""
    return replace(board, units=tuple(_unit_of(unit, parameters) for unit in board.units), base_w=parameters.base_w)


def _unit_of(unit: BoardUnit, parameters: XavierPower) -> BoardUnit:
    share = parameters.voltage_share
    if unit.kind == "gpu":
        dynamic_w, static_w = parameters.gpu_dynamic_w * parameters.gpu_activity, parameters.gpu_static_w
        range_mhz, memory_share, at_mhz = _GPU_MHZ, parameters.gpu_memory_share, unit.mhz[-1]
    else:
        dynamic_w, static_w = parameters.cpu_dynamic_w, parameters.cpu_static_w
        range_mhz, memory_share, at_mhz = _CPU_MHZ, parameters.cpu_memory_share, _PUBLISHED_AT_MHZ
    volts = [_relative_voltage(mhz, range_mhz, share) for mhz in unit.mhz]
    return replace(
        unit,
        static_w=tuple(static_w * volt**2 for volt in volts),
        dynamic_w=tuple(dynamic_w * volt**2 * mhz / range_mhz[1] for volt, mhz in zip(volts, unit.mhz, strict=True)),
        memory_share=memory_share,
        speed=memory_share + (1 - memory_share) * unit.mhz[-1] / at_mhz,
    )


def _relative_voltage(mhz: float, range_mhz: tuple[float, float], share: Quantity) -> Quantity:
    low, high = range_mhz
    return share + (1 - share) * (mhz - low) / (high - low)


# ---------------------------------------------------------------- the public figures

_Draws = dict[str, FloatArray]
_Figure = tuple[str, Callable[[_Draws], FloatArray], float, float]


def _figures() -> list[_Figure]:
    """Return the name of each figure, its power as a function of the sets, and the range in which that must be."""
    return [*_idle_figures(), *_load_figures(), *_budget_figures()]


def _idle_figures() -> list[_Figure]:
    """Return the figures of the idle board: the shared rail, and the whole board, which differs from run to run."""
    rail_w = next(float(row["power_w"]) for row in _rows("xavier_nx_idle_rails.csv") if row["rail"] == "VDD_CPU_GPU_CV")
    idle_w = [float(row["idle_w_wall"]) for row in _rows("xavier_nx_mlperf_power.csv")]
    lowest_mhz = min(board.unit("cluster0").mhz[0] for board in _boards_in_modes())
    return [
        (
            "VDD_CPU_GPU_CV near idle",
            lambda draws: _static(draws, lowest_mhz, _GPU_MHZ[0]),
            rail_w * (1 - TOLERANCE),
            rail_w * (1 + TOLERANCE),
        ),
        (
            "wall power idle",
            lambda draws: draws["base_w"] + _static(draws, lowest_mhz, _GPU_MHZ[0]),
            min(idle_w),
            max(idle_w),
        ),
    ]


def _load_figures() -> list[_Figure]:
    """Return the figures of MLPerf: the power that a single stream adds to the idle power of the same set-up."""

    def increment(cpu_mhz: float, gpu_mhz: float) -> Callable[[_Draws], FloatArray]:
        return lambda draws: _gpu_dynamic(draws, gpu_mhz) + draws["host_cores"] * _core_dynamic(draws, cpu_mhz)

    figures: list[_Figure] = []
    for row in _rows("xavier_nx_mlperf_power.csv"):
        if "SingleStream" not in row["workload"]:
            continue
        measured_w = float(row["active_w_wall"]) - float(row["idle_w_wall"])
        power_w = increment(float(row["cpu_mhz"]), float(row["gpu_mhz"]))
        figures.append(
            (f"{row['workload']} above idle", power_w, measured_w * (1 - TOLERANCE), measured_w * (1 + TOLERANCE))
        )
    return figures


def _budget_figures() -> list[_Figure]:
    """Return the figures of the modes: the board fully loaded at the highest clocks, beside the nominal budget."""

    def loaded(cores: int, cpu_mhz: float, gpu_mhz: float) -> Callable[[_Draws], FloatArray]:
        return lambda draws: (
            draws["base_w"]
            + _static(draws, cpu_mhz, gpu_mhz)
            + cores * _core_dynamic(draws, cpu_mhz)
            + _gpu_dynamic(draws, gpu_mhz)
        )

    figures: list[_Figure] = []
    for board in _boards_in_modes():
        mode = str(board.mode)
        budget_w = float(mode.split("_")[1].removesuffix("W"))
        cores = sum(unit.cores for unit in board.units if unit.kind == "cpu")
        power_w = loaded(cores, board.unit("cluster0").mhz[-1], board.unit("gpu").mhz[-1])
        figures.append((f"{mode} fully loaded", power_w, budget_w * BUDGET[0], budget_w * BUDGET[1]))
    return figures


def _boards_in_modes() -> list[Board]:
    """Return the board in each of its stock modes."""
    return [packaged_board(STOCK, mode.name) for mode in packaged_board(STOCK).modes]


def _static(draws: _Draws, cpu_mhz: float, gpu_mhz: float) -> FloatArray:
    cpu = _CLUSTERS * draws["cpu_static_w"] * _relative_voltage(cpu_mhz, _CPU_MHZ, draws["voltage_share"]) ** 2
    gpu: FloatArray = draws["gpu_static_w"] * _relative_voltage(gpu_mhz, _GPU_MHZ, draws["voltage_share"]) ** 2
    return cpu + gpu


def _core_dynamic(draws: _Draws, mhz: float) -> FloatArray:
    volt = _relative_voltage(mhz, _CPU_MHZ, draws["voltage_share"])
    return draws["cpu_dynamic_w"] * volt**2 * mhz / _CPU_MHZ[1]


def _gpu_dynamic(draws: _Draws, mhz: float) -> FloatArray:
    volt = _relative_voltage(mhz, _GPU_MHZ, draws["voltage_share"])
    return draws["gpu_dynamic_w"] * volt**2 * mhz / _GPU_MHZ[1]


def _rows(file: str) -> list[dict[str, str]]:
    lines = (_DATA / file).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if line[0] != "#"))
