"""The public figures of Jetson Xavier NX and AGX Xavier, and the parameter sets that agree with all of them.

MLPerf's runs that use the GPU alone decide its power: a run's wall power, less that of the same board idle just before
and of the host's core, is activity times dynamic power at the run's clock. Activity 1 is the median run, so these runs
fit by themselves. In the same way the median of 49 networks on all eight cores of an AGX Xavier decides a core's power.
What is left open is how power falls with the clock. The other figures narrow that, and the split of idle power; a set
that misses one of them is drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from statistics import median

import numpy as np

from actors.measured_tables import measured_rows
from actors.xavier_power import (
    GPU_MHZ,
    STOCK,
    Draws,
    FloatArray,
    XavierPower,
    cluster_w,
    core_w,
    draws_of,
    gpu_scale,
    idle_gpu_w,
)

PRIORS: dict[str, tuple[float, float]] = {
    "cpu_static_w": (0.05, 0.4),  # assumed; the CPU rail of the AGX Xavier decides
    "cpu_voltage_share": (0.4, 0.85),  # assumed; the same
    "gpu_static_w": (0.02, 1.0),  # assumed; the shared rail near idle decides
    "gpu_voltage_share": (0.6, 0.95),  # assumed; the GPU rail of the AGX Xavier in three modes decides
    "gpu_floor_share": (0.0, 0.1),  # assumed; a Jetson TX2 has 0.04, memory included, and none shows on an AGX Xavier
    "supply_share": (0.8, 0.95),  # assumed
    "host_cores": (0.0, 1.0),  # assumed; one thread feeds the GPU
    "cpu_activity": (0.6, 1.3),  # mlperf_ladders_power.csv in TFLite: 5 % of the quantised; the program on the rail
    "gpu_memory_share": (0.39, 0.75),  # 43 ms at 1109, 50 at 803 MHz read by eye (±3 %) off the paper's motivation
    "cpu_memory_share": (0.0, 0.3),  # assumed
    "emc_w": (0.3, 1.5),  # 0.9 W by least squares over measured modes (second-hand); 1.8 W in all in the stress test
    "gpu_transition_us": (5_000.0, 20_000.0),  # published for an Orin Nano, second-hand; drawn evenly in its logarithm
}
"""Range of each parameter that `fit` draws, uniformly unless it says otherwise; the rest follows from the figures."""

CPU_RAIL = 0.16
"""Root mean square by which the CPU rail of the AGX Xavier may be missed, relative. The best set misses it by 0.12."""

RAIL = 0.25
"""Share by which another single reading of a rail may be missed."""

CLOCKS = 0.10
"""Share by which the ratio of the GPU rail at two clocks may be missed."""

STRESS = 0.15
"""Share by which the fully loaded board may leave the range between the least and the most active network."""

DLAS_W = (0.0, 10.0)
"""Range of the power of two DLAs at work (assumed)."""

_HARNESS_MHZ = 1190.4
"""CPU clock of MLPerf's runs, of one cluster; the others were offline."""

_LOT = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One of MLPerf's runs.

    Attributes:
        board: name of the board.
        network: name of the network.
        scenario: `single` stream or `offline`.
        gpu_mhz: clock of the GPU.
        dlas: true if both DLAs worked beside the GPU.
        idle_w: wall power just before, in watts.
        active_w: wall power of the run.
    """

    board: str
    network: str
    scenario: str
    gpu_mhz: float
    dlas: bool
    idle_w: float
    active_w: float


@cache
def runs() -> tuple[Run, ...]:
    """Return the distinct runs of MLPerf Inference v1.1 on both boards."""
    return tuple(
        Run(
            board=row["board"],
            network=row["network"],
            scenario=row["scenario"],
            gpu_mhz=float(row["gpu_mhz"]),
            dlas=bool(row["dla_mhz"]),
            idle_w=float(row["idle_w"]),
            active_w=float(row["active_w"]),
        )
        for row in measured_rows("xavier_mlperf_power.csv")
    )


def gpu_runs(board: str = STOCK) -> list[Run]:
    """Return the runs of a board that use its GPU alone."""
    return [run for run in runs() if run.board == board and not run.dlas]


# ---------------------------------------------------------------- sets


def fit(seed: int = 0, n: int = 300) -> list[XavierPower]:
    """Return parameter sets that agree with every public figure.

    Args:
        seed: seed of the draws.
        n: number of sets.
    """
    # Rejection sampling: draw in large lots, solve for what MLPerf's runs say, and keep the sets that satisfy the rest.
    rng = np.random.default_rng(seed)
    accepted: list[XavierPower] = []
    while len(accepted) < n:
        draws = _solved(_drawn(rng), rng)
        passed = np.ones(_LOT, dtype=bool)
        for figure in figures():
            value = figure.value(draws)
            passed &= (value >= figure.least) & (value <= figure.most)
        for place in np.flatnonzero(passed)[: n - len(accepted)]:
            accepted.append(
                XavierPower(**{name: float(draws[name][place]) for name in XavierPower.__dataclass_fields__})
            )
    return accepted


def _drawn(rng: np.random.Generator) -> dict[str, FloatArray]:
    draws = {name: rng.uniform(low, high, _LOT) for name, (low, high) in PRIORS.items()}
    low, high = PRIORS["gpu_transition_us"]
    draws["gpu_transition_us"] = low * (high / low) ** rng.uniform(0, 1, _LOT)
    return draws


def _solved(drawn: dict[str, FloatArray], rng: np.random.Generator) -> Draws:
    """Return the draws with what follows: cores, base from one idle board, GPU from all runs, one run's activity."""
    drawn = {**drawn, "cpu_dynamic_w": np.ones(_LOT)}
    drawn["cpu_dynamic_w"] = eight_cores_w() / (8 * core_w(drawn, 2265.6))
    idle_w = np.array([run.idle_w for run in runs() if run.board == STOCK])
    resting_w = cluster_w(drawn, _HARNESS_MHZ) + idle_gpu_w(drawn, GPU_MHZ[0])
    top_w = np.array([top_gpu_w(drawn, run) for run in gpu_runs()])
    dynamic_w = np.median(top_w, axis=0)
    of_run = rng.integers(0, len(top_w), _LOT)
    return {
        **drawn,
        "base_w": rng.choice(idle_w, _LOT) - resting_w,
        "gpu_dynamic_w": dynamic_w,
        "gpu_activity": top_w[of_run, np.arange(_LOT)] / dynamic_w,
    }


@cache
def eight_cores_w() -> float:
    """Return what eight busy cores of an AGX Xavier add at 2265.6 MHz with the median float network in TFLite.

    That all eight were busy is inferred: TFLite's threads wait for each other without going to sleep.
    """
    return median(
        float(row["wall_w"]) - float(row["idle_w"])
        for row in measured_rows("mlperf_ladders_power.csv")
        if row["system"] == "jetson-agx-xavier-tflite" and row["network"].endswith("float32")
    )


def top_gpu_w(draws: Draws, run: Run) -> FloatArray:
    """Return what the GPU would add at 1109.25 MHz with the network of a run, by what the run took above idle."""
    return (run.active_w - run.idle_w - _beside_w(draws, run)) / gpu_scale(draws, run.gpu_mhz)


def _beside_w(draws: Draws, run: Run) -> FloatArray:
    """Return what a run adds beside the GPU's dynamic power: the host's core, and static power at a higher clock."""
    host_w = draws["host_cores"] * core_w(draws, _HARNESS_MHZ)
    return host_w + idle_gpu_w(draws, run.gpu_mhz) - idle_gpu_w(draws, GPU_MHZ[0])


def stated(sets: list[XavierPower]) -> XavierPower:
    """Return the set of the packaged board: the median of each parameter, and activity 1.

    The memory's clock and the GPU's transition have the middle of their range: no figure here tells anything of them.
    """
    medians = {name: median(getattr(one, name) for one in sets) for name in XavierPower.__dataclass_fields__}
    least_us, most_us = PRIORS["gpu_transition_us"]
    middles = {"emc_w": sum(PRIORS["emc_w"]) / 2, "gpu_transition_us": (least_us * most_us) ** 0.5}
    return XavierPower(**medians | middles | {"cpu_activity": 1.0, "gpu_activity": 1.0})


# ---------------------------------------------------------------- the figures that a set must agree with


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A public figure.

    Attributes:
        name: words for it.
        value: what a set says of it.
        least: the least that agrees.
        most: the most that agrees.
    """

    name: str
    value: Callable[[Draws], FloatArray]
    least: float
    most: float


@cache
def figures() -> tuple[Figure, ...]:
    """Return the figures beside those runs of MLPerf that use the GPU alone."""
    return tuple([*_cpu_figures(), *_idle_figures(), *_gpu_figures(), *_stress_figures(), *_dla_figures()])


def _cpu_figures() -> Iterator[Figure]:
    """Yield the CPU rail of the AGX Xavier in seven modes and idle.

    The activity of the program there is unknown; for each set it is the one that fits best.
    """
    rails = measured_rows("agx_xavier_rails.csv")

    def missed_by(draws: Draws) -> FloatArray:
        resting, busy = [], []
        for row in rails:
            mhz, rail_w = float(row["cpu_mhz"]), float(row["cpu_w"])
            resting.append(draws["supply_share"] * int(row["cpu_cores"]) / 2 * cluster_w(draws, mhz) / rail_w)
            busy.append(draws["supply_share"] * float(row["busy_cores"]) * core_w(draws, mhz) / rail_w)
        rest, work = np.array(resting), np.array(busy)
        activity = (work * (1 - rest)).sum(axis=0) / (work * work).sum(axis=0)
        rms: FloatArray = np.sqrt(np.mean(np.square(rest + activity * work - 1), axis=0))
        return rms

    yield Figure(name="CPU rail of AGX Xavier, root mean square", value=missed_by, least=0.0, most=CPU_RAIL)


def _idle_figures() -> Iterator[Figure]:
    row = next(row for row in measured_rows("xavier_nx_rails.csv") if row["load"] == "idle")
    rail_w, cpu_mhz, gpu_mhz = float(row["vdd_cpu_gpu_cv_w"]), 1907.2, float(row["gpu_mhz"])

    def rail(draws: Draws) -> FloatArray:
        cpu_w = int(row["cpu_cores"]) / 2 * cluster_w(draws, cpu_mhz) + float(row["busy_cores"]) * core_w(
            draws, cpu_mhz
        )
        return draws["supply_share"] * (cpu_w + idle_gpu_w(draws, gpu_mhz))

    yield Figure(name="VDD_CPU_GPU_CV idle", value=rail, least=rail_w * (1 - RAIL), most=rail_w * (1 + RAIL))


def _gpu_figures() -> Iterator[Figure]:
    """Yield how the AGX Xavier's GPU rail grows with its clock: modes with the whole GPU, within the NX's clocks."""
    rails = [row for row in measured_rows("agx_xavier_rails.csv") if row["load"] == "yolov3"]
    by_mhz = {
        mhz: median(float(row["gpu_w"]) for row in rails if float(row["gpu_mhz"]) == mhz) for mhz in (675.75, 905.25)
    }
    ratio = by_mhz[905.25] / by_mhz[675.75]
    yield Figure(
        name="GPU rail of AGX Xavier, 905 over 675 MHz",
        value=lambda draws: gpu_scale(draws, 905.25) / gpu_scale(draws, 675.75),
        least=ratio * (1 - CLOCKS),
        most=ratio * (1 + CLOCKS),
    )


def _stress_figures() -> Iterator[Figure]:
    """Yield the fully loaded board: its load on the GPU is unknown, and taken to lie among MLPerf's networks."""
    row = next(row for row in measured_rows("xavier_nx_rails.csv") if row["mode"] == "MODE_15W_6CORE")
    board_w = float(row["board_w"])

    def loaded(draws: Draws, pick: Callable[..., FloatArray]) -> FloatArray:
        cpu_w = 3 * cluster_w(draws, 1420.8) + 6 * core_w(draws, 1420.8)
        gpu_w = idle_gpu_w(draws, GPU_MHZ[1]) + pick([top_gpu_w(draws, run) for run in gpu_runs()], axis=0)
        return draws["base_w"] + cpu_w + gpu_w

    yield Figure(
        name="MODE_15W_6CORE, all loaded, least active network",
        value=lambda draws: loaded(draws, np.min),
        least=0.0,
        most=board_w * (1 + STRESS),
    )
    yield Figure(
        name="MODE_15W_6CORE, all loaded, most active network",
        value=lambda draws: loaded(draws, np.max),
        least=board_w * (1 - STRESS),
        most=np.inf,
    )


def _dla_figures() -> Iterator[Figure]:
    """Yield what the runs with DLAs leave for those, the GPU as active as in the network's single stream."""
    alone = {run.network: run for run in gpu_runs() if run.scenario == "single"}
    for run in runs():
        if run.dlas and run.board == STOCK:
            yield Figure(
                name=f"two DLAs in {run.network}",
                value=lambda draws, run=run: (  # type: ignore[misc]
                    gpu_scale(draws, run.gpu_mhz) * (top_gpu_w(draws, run) - top_gpu_w(draws, alone[run.network]))
                ),
                least=DLAS_W[0],
                most=DLAS_W[1],
            )


# ---------------------------------------------------------------- each run predicted without it


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A run, and its wall power as predicted from all other runs.

    Attributes:
        run: the run.
        unknown_w: predicted for a network of which nothing is known: activity 1.
        known_w: predicted for the activity that this network had on an AGX Xavier.
        activity: that activity.
    """

    run: Run
    unknown_w: float
    known_w: float
    activity: float


def left_out(parameters: XavierPower) -> list[LeftOut]:
    """Predict each run on a Xavier NX without that run.

    The GPU's dynamic power is the median of the other seven. The network's activity is its power on the AGX Xavier,
    over what the other seven networks took there for each watt that they take here.

    Args:
        parameters: the set whose other parameters are used.
    """
    draws = draws_of(parameters)
    here = {(run.network, run.scenario): run for run in gpu_runs()}
    top_w = {key: top_gpu_w(draws, run).item() for key, run in here.items()}
    there_w = {(run.network, run.scenario): top_gpu_w(draws, run).item() for run in gpu_runs("jetson-agx-xavier")}
    found = []
    for key, run in here.items():
        others = [other for other in here if other != key]
        idle_w = median(other.idle_w for other in runs() if other.board == STOCK and other is not run)
        dynamic_w = median(top_w[other] for other in others)
        known_w = there_w[key] / median(there_w[other] / top_w[other] for other in others)
        rest_w = idle_w + _beside_w(draws, run).item()
        at_clock = gpu_scale(draws, run.gpu_mhz).item()
        found.append(
            LeftOut(
                run=run,
                unknown_w=rest_w + at_clock * dynamic_w,
                known_w=rest_w + at_clock * known_w,
                activity=known_w / dynamic_w,
            )
        )
    return found
