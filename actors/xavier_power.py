"""Power of Jetson Xavier NX, fitted to what is public of it and its larger sister: hundreds of parameter sets, not one.

No voltage and no power coefficient is public for this board, and its CPU and GPU share a power rail. What is public are
wall powers under MLPerf's networks at known clocks, a few readings of rails, and the CPU rail of Jetson AGX Xavier,
whose cores and GPU are of the same kind (`actors.xavier_fit`). That module draws parameter sets that all agree with
that, and an energy on this board is reported as its interval over the sets. The packaged board has the median of each
parameter, and activity 1.

The model, at clock f of a unit whose lowest clock is L and whose top clock is F:

    u(f) = v + (1 - v) · (f - L) / (F - L)     its voltage, relative to that at F
    S · u²                                     power with no load
    D · u² · f / F                             what a busy core adds
    D · (p + (1 - p) · u² · f / F)             what a busy GPU adds, with a floor p that does not go with its clock

Power is counted at the wall, so the GPU's includes the memory traffic and the supply's losses that come with it. The
model does not know heat, the DLAs, or that units may share a voltage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from actors.cluster import packaged_board
from scheduler.board import Board, BoardUnit

FloatArray = NDArray[np.float64]
Draws = Mapping[str, FloatArray]
"""Parameters of many sets at once, by name."""

STOCK, UNCLAMPED = "jetson-xavier-nx", "jetson-xavier-nx-unclamped"

CPU_MHZ = (115.2, 1907.2)
GPU_MHZ = (114.75, 1109.25)
"""Lowest and highest clock of the hardware. The line of the voltages goes on above, for an AGX Xavier."""

_PUBLISHED_AT_MHZ = 1420.8
"""CPU clock at which the published CPU latencies hold: that of the 15 W mode (inferred)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class XavierPower:
    """One set of parameters of a Xavier NX. Powers are in watts at the wall, shares from 0 to 1.

    Attributes:
        cpu_dynamic_w: dynamic power of one busy core at 1907.2 MHz, of a network of activity 1.
        cpu_static_w: static power of one cluster of two cores at 1907.2 MHz.
        cpu_voltage_share: voltage at the lowest over that at the highest clock of the CPU.
        gpu_dynamic_w: dynamic power of the GPU at 1109.25 MHz, of a network of activity 1.
        gpu_static_w: static power of the GPU at 1109.25 MHz.
        gpu_voltage_share: voltage at the lowest over that at the highest clock of the GPU.
        gpu_floor_share: share of the GPU's dynamic power at its top clock that is there at every clock.
        base_w: power of everything that is neither a CPU cluster nor the GPU, with the memory at 1600 MHz at most.
        emc_w: what the memory at 1866 MHz adds to that.
        supply_share: share of a unit's power at the wall that its rail shows.
        host_cores: number of CPU cores that MLPerf's harness keeps busy beside the GPU.
        cpu_activity: activity of the network that this set is about, on the CPU.
        gpu_activity: the same on the GPU: that of one of MLPerf's runs.
        gpu_memory_share: share of an inference on the GPU that does not depend on its clock.
        cpu_memory_share: share of an inference on the CPU that does not depend on its clock.
        gpu_transition_us: time from asking for a clock of the GPU until it is in force, in µs.
    """

    cpu_dynamic_w: float
    cpu_static_w: float
    cpu_voltage_share: float
    gpu_dynamic_w: float
    gpu_static_w: float
    gpu_voltage_share: float
    gpu_floor_share: float
    base_w: float
    emc_w: float
    supply_share: float
    host_cores: float
    cpu_activity: float
    gpu_activity: float
    gpu_memory_share: float
    cpu_memory_share: float
    gpu_transition_us: float


# ---------------------------------------------------------------- the model


def cpu_voltage(draws: Draws, mhz: float) -> FloatArray:
    """Return the voltage of the CPU relative to that at its top clock."""
    return _voltage(draws["cpu_voltage_share"], mhz, CPU_MHZ)


def gpu_voltage(draws: Draws, mhz: float) -> FloatArray:
    """Return the voltage of the GPU relative to that at its top clock."""
    return _voltage(draws["gpu_voltage_share"], mhz, GPU_MHZ)


def cluster_w(draws: Draws, mhz: float) -> FloatArray:
    """Return the power of one cluster with no load."""
    return draws["cpu_static_w"] * cpu_voltage(draws, mhz) ** 2


def core_w(draws: Draws, mhz: float) -> FloatArray:
    """Return what one busy core adds, of a network of activity 1."""
    return draws["cpu_dynamic_w"] * cpu_voltage(draws, mhz) ** 2 * mhz / CPU_MHZ[1]


def idle_gpu_w(draws: Draws, mhz: float) -> FloatArray:
    """Return the power of the GPU with no load."""
    return draws["gpu_static_w"] * gpu_voltage(draws, mhz) ** 2


def gpu_scale(draws: Draws, mhz: float) -> FloatArray:
    """Return what the busy GPU adds at a clock, over what it adds at 1109.25 MHz."""
    floor = draws["gpu_floor_share"]
    return floor + (1 - floor) * gpu_voltage(draws, mhz) ** 2 * mhz / GPU_MHZ[1]


def _voltage(share: FloatArray, mhz: float, range_mhz: tuple[float, float]) -> FloatArray:
    low, high = range_mhz
    return share + (1 - share) * (mhz - low) / (high - low)


def draws_of(parameters: XavierPower) -> Draws:
    """Return one set in the shape of many."""
    return {name: np.array([getattr(parameters, name)]) for name in parameters.__dataclass_fields__}


# ---------------------------------------------------------------- boards


def board_of(parameters: XavierPower, name: str = STOCK) -> Board:
    """Return a packaged Xavier NX with the power of one set, and the speeds and the transition time that it says.

    Args:
        parameters: the set.
        name: name of the board, `STOCK` or `UNCLAMPED`.
    """
    return with_power(packaged_board(name), parameters)


def with_power(board: Board, parameters: XavierPower) -> Board:
    """Return a packaged board, in any of its modes, with the power, speeds and transition time of one set."""
    draws = draws_of(parameters)
    fast_memory = any(mode.name == board.mode and mode.emc_w for mode in board.modes)
    return replace(
        board,
        units=tuple((_gpu if unit.kind == "gpu" else _cluster)(unit, parameters, draws) for unit in board.units),
        base_w=parameters.base_w + (parameters.emc_w if fast_memory else 0.0),
        modes=tuple(replace(mode, emc_w=parameters.emc_w) if mode.emc_w else mode for mode in board.modes),
    )


def _cluster(unit: BoardUnit, one: XavierPower, draws: Draws) -> BoardUnit:
    return replace(
        unit,
        static_w=tuple(cluster_w(draws, mhz).item() for mhz in unit.mhz),
        dynamic_w=tuple(one.cpu_activity * core_w(draws, mhz).item() for mhz in unit.mhz),
        memory_share=one.cpu_memory_share,
        speed=one.cpu_memory_share + (1 - one.cpu_memory_share) * unit.mhz[-1] / _PUBLISHED_AT_MHZ,
    )


def _gpu(unit: BoardUnit, one: XavierPower, draws: Draws) -> BoardUnit:
    top_w = one.gpu_activity * one.gpu_dynamic_w
    return replace(
        unit,
        static_w=tuple(idle_gpu_w(draws, mhz).item() for mhz in unit.mhz),
        dynamic_w=tuple(top_w * gpu_scale(draws, mhz).item() for mhz in unit.mhz),
        memory_share=one.gpu_memory_share,
        # Published latencies are at the GPU's top clock.
        speed=1.0,
        transition_us=one.gpu_transition_us,
    )
