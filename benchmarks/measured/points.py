"""Measured tables: what a network took in time and power at each setting that somebody measured.

A table has *ladders*: a request is for one of them, and a policy chooses one of its points. Nothing is interpolated:
what was not measured can't be chosen.

| table | ladders | points of each |
|---|---|---|
| seven of `mlperf_ladders_power.csv`, one for each board and engine | one | 94 networks at the top clock |
| `tx2-cnv` | 8: a request is a batch of 1 to 128 pictures | 4 prunings in 2 data types, 3 power modes |
| `odroid-xu3` | 13 programs, which stand for networks of different activity | 2 clusters, each with its clocks |
| `odroid-xu3-steady` | the 7 of them whose time goes with the clock | the same |
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

from actors.measured_tables import measured_rows
from actors.odroid_power import TOP_MHZ, one_core, speeds_of_little

FULL_LOAD = 0.9
"""Share of the time that a point may be busy."""

MLPERF = (
    "raspberry-pi-4-armnn",
    "raspberry-pi-4-tflite",
    "odroid-n2-armnn",
    "odroid-n2-tflite",
    "odroid-n2-armnn-gpu",
    "jetson-agx-xavier-armnn",
    "jetson-agx-xavier-tflite",
)
"""The tables of MLPerf's ladders."""

_DONORS = {
    "raspberry-pi-4-armnn": "odroid-n2-armnn",
    "raspberry-pi-4-tflite": "odroid-n2-tflite",
    "odroid-n2-armnn": "raspberry-pi-4-armnn",
    "odroid-n2-tflite": "raspberry-pi-4-tflite",
    "odroid-n2-armnn-gpu": None,
    "jetson-agx-xavier-armnn": "raspberry-pi-4-armnn",
    "jetson-agx-xavier-tflite": "raspberry-pi-4-tflite",
}
_XU3_RUN_MS = 1000.0
"""Time of an Odroid XU3's programs on an A7 at 200 MHz: the table has times over that one alone (assumed)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One network at one setting, as measured.

    Attributes:
        network: the network.
        accuracy: its accuracy as a fraction; 1 where the table has none.
        unit: what it ran on.
        mhz: the clock of that.
        run_ms: how long a run takes.
        busy_w: power of the board, or of its clusters, meanwhile.
        idle_w: the same at this setting with no load.
        settings: what a search may vary, each about 0 to 1.
    """

    network: str
    accuracy: float
    unit: str
    mhz: float
    run_ms: float
    busy_w: float
    idle_w: float
    settings: tuple[float, ...]

    @property
    def above_w(self) -> float:
        """Power of a run above that of an idle board."""
        return self.busy_w - self.idle_w

    def energy_mj(self, period_ms: float) -> float:
        """Return the energy of a period with one run: idle power, and what a run takes above it.

        Idle at 2 W and busy at 5 W for 20 ms of 100 ms it is 2 · 100 + 3 · 20 = 260 mJ.
        """
        return self.idle_w * period_ms + self.above_w * self.run_ms


@dataclass(frozen=True, kw_only=True, slots=True)
class TableUnit:
    """What the points of a table run on.

    Attributes:
        name: its name.
        mhz: its clocks, rising.
        idle_w: its part of the idle power at each clock.
    """

    name: str
    mhz: tuple[float, ...]
    idle_w: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Measured points.

    Attributes:
        name: its name.
        data_set: who measured it, in a word.
        units: what its points run on; the first at its highest clock is where profiles are taken.
        ladders: the points by ladder.
        has_sensor: true if boards of that kind measure the power of what runs, so that a profile can have it too.
        donor: the table of another board from which a network's activity could be known; None for none.
    """

    name: str
    data_set: str
    units: tuple[TableUnit, ...]
    ladders: Mapping[str, tuple[Point, ...]]
    has_sensor: bool
    donor: str | None = None

    @property
    def top(self) -> tuple[str, float]:
        """The unit and the clock at which profiles are taken."""
        return self.units[0].name, self.units[0].mhz[-1]

    def at_top(self, ladder: str) -> list[Point]:
        """Return the points of a ladder at `top`, the quickest first."""
        points = [p for p in self.ladders[ladder] if (p.unit, p.mhz) == self.top]
        return sorted(points, key=lambda point: point.run_ms)


def tables() -> tuple[Table, ...]:
    """Return all tables."""
    steady = tuple(speeds_of_little())
    return (*map(mlperf, MLPERF), tx2_cnv(), odroid_xu3(), odroid_xu3("odroid-xu3-steady", steady))


@cache
def mlperf(name: str) -> Table:
    """Return the table of a board and engine of MLPerf's ladders; its idle power is the median before all runs."""
    rows = [row for row in measured_rows("mlperf_ladders_power.csv") if row["system"] == name]
    idle_w = median(float(row["idle_w"]) for row in rows)
    points = tuple(
        Point(
            network=row["network"],
            accuracy=float(row["top1_percent"]) / 100,
            unit="board",
            mhz=1.0,
            run_ms=float(row["mean_ms"]),
            busy_w=float(row["wall_w"]),
            idle_w=idle_w,
            settings=_settings_of(row["network"], float(row["top1_percent"]) / 100),
        )
        for row in rows
    )
    unit = TableUnit(name="board", mhz=(1.0,), idle_w=(idle_w,))
    return Table(
        name=name,
        data_set="MLPerf, Krai",
        units=(unit,),
        ladders={"94 networks": points},
        has_sensor=False,
        donor=_DONORS[name],
    )


def _settings_of(network: str, accuracy: float) -> tuple[float, ...]:
    """Return what a search can vary of a network: family, width, resolution, data type, and its known accuracy."""
    families = ("mobilenet-v1", "mobilenet-v2", "mobilenet-v3", "efficientnet-lite")
    family = [float(network.startswith(one)) for one in families]
    numbers = [float(number) for number in re.findall(r"-(\d+(?:\.\d+)?)(?=-)", network)]
    width = next((number for number in numbers if number < 10), 1.0)
    pixels = next((number for number in numbers if number >= 10), 224.0)
    return (*family, width / 1.4, pixels / 224, float(network.endswith("int8")), accuracy)


@cache
def tx2_cnv() -> Table:
    """Return the table of a pruned network on a Jetson TX2's GPU; a power mode counts as a clock of the GPU.

    One of its 192 points is left out, since it takes less than the idle board.
    """
    path = Path(__file__).parent / "tx2_cnv.csv"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    rows = list(csv.DictReader(lines))
    idle_w = {float(row["gpu_mhz"]): float(row["idle_w"]) for row in rows}
    mhz = tuple(sorted(idle_w))
    ladders: dict[str, list[Point]] = {}
    for row in rows:
        if float(row["full_w"]) <= float(row["idle_w"]):
            continue
        point = Point(
            network=f"{row['percent']}-{row['datatype']}",
            accuracy=float(row["top1_percent"]) / 100,
            unit="gpu",
            mhz=float(row["gpu_mhz"]),
            run_ms=float(row["run_ms"]),
            busy_w=float(row["full_w"]),
            idle_w=float(row["idle_w"]),
            settings=(
                float(row["percent"]) / 100,
                float(row["datatype"] == "FP32"),
                float(row["gpu_mhz"]) / mhz[-1],
                float(row["top1_percent"]) / 100,
            ),
        )
        ladders.setdefault(f"batch {row['batch']}", []).append(point)
    return Table(
        name="tx2-cnv",
        data_set="QuTiBench",
        units=(TableUnit(name="gpu", mhz=mhz, idle_w=tuple(idle_w[one] for one in mhz)),),
        ladders={name: tuple(points) for name, points in ladders.items()},
        has_sensor=True,
    )


@cache
def odroid_xu3(name: str = "odroid-xu3", programs: tuple[str, ...] | None = None) -> Table:
    """Return the table of an Odroid XU3's clusters; the one that nobody uses stands at its lowest clock.

    Args:
        name: name of the table.
        programs: the programs in it; None for all.
    """
    clusters = {name: one_core(name) for name in ("a15", "a7")}
    places = {unit: [i for i, mhz in enumerate(own.mhz) if mhz <= TOP_MHZ[unit]] for unit, own in clusters.items()}
    units = tuple(
        TableUnit(
            name=unit,
            mhz=tuple(float(own.mhz[place]) for place in places[unit]),
            idle_w=tuple(own.idle_w[place] for place in places[unit]),
        )
        for unit, own in clusters.items()
    )
    resting_w = {"a15": clusters["a7"].idle_w[0], "a7": clusters["a15"].idle_w[0]}
    ladders = {}
    for program in programs or clusters["a15"].workloads:
        points = []
        for unit, own in clusters.items():
            for place in places[unit]:
                idle_w = own.idle_w[place] + resting_w[unit]
                points.append(
                    Point(
                        network=program,
                        accuracy=1.0,
                        unit=unit,
                        mhz=float(own.mhz[place]),
                        run_ms=_XU3_RUN_MS * own.time[program][place],
                        busy_w=idle_w + own.above_idle_w[program][place],
                        idle_w=idle_w,
                        settings=(float(unit == "a15"), own.mhz[place] / TOP_MHZ["a15"]),
                    )
                )
        ladders[program] = tuple(points)
    return Table(name=name, data_set="PARTSim", units=units, ladders=ladders, has_sensor=True)
