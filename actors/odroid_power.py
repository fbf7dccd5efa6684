"""Power and speed of an Odroid XU3's clusters, from measured tables: the packaged figures, and sets that vary them.

A cluster's `static_w` is its measured idle power at that clock. `dynamic_w` is what one task on one core adds to it,
the median of 13 workloads: at 1000 MHz of the A15 those are 0.26 to 0.54 W, the median 0.425 W. More busy cores are
taken to add as much each (`docs/boards.md` says how near that is to a table with all cores busy).

A network is none of those workloads, and no two chips leak alike. So energies are priced over sets: each workload's
power, each with the idle power of this chip and of a hotter one that was measured too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from statistics import median

import numpy as np

from actors.measured_tables import measured_rows
from scheduler.board import Board, BoardUnit

BOARDS = ("odroid-xu3", "two-core-host", "one-unit-host")
"""The packaged boards with these figures."""

CLUSTER_OF: Mapping[str, str] = {"big": "a15", "cpu": "a15", "little": "a7"}
"""The cluster that a unit of those boards is, or plays."""

TOP_MHZ: Mapping[str, int] = {"a15": 2000, "a7": 1400}
"""The highest clock of each cluster in the kernel's device tree; the tables have one more of the A7."""

_FOLLOWS_CLOCK = 0.95
"""Share of a workload's time that has to go with the clock for it to count as one that waits for no memory. Those of
seven workloads are 0.97 or more on both clusters, those of the other six 0.66 or less."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OneCore:
    """What was measured of one cluster with no task and with one.

    Attributes:
        mhz: its clocks, rising.
        idle_w: its power with no load, at each clock.
        above_idle_w: what one task on one core adds, by workload, at each clock.
        time: how long that task takes, by workload, at each clock; over its time on an A7 at 200 MHz.
    """

    mhz: tuple[int, ...]
    idle_w: tuple[float, ...]
    above_idle_w: Mapping[str, tuple[float, ...]]
    time: Mapping[str, tuple[float, ...]]

    @property
    def workloads(self) -> tuple[str, ...]:
        """Names of the workloads."""
        return tuple(self.above_idle_w)


@dataclass(frozen=True, kw_only=True, slots=True)
class OdroidPower:
    """One set of power figures of an Odroid XU3.

    Attributes:
        workload: the workload whose power a busy core has.
        hotter: true for the idle power of the A15 cluster of a hotter chip. Of its A7 cluster none was measured.
    """

    workload: str
    hotter: bool


@cache
def one_core(cluster: str) -> OneCore:
    """Return what was measured of a cluster, `a15` or `a7`."""
    power = [row for row in measured_rows("odroid_xu3_one_core_power.csv") if row["cluster"] == cluster]
    time = [row for row in measured_rows("odroid_xu3_one_core_time.csv") if row["cluster"] == cluster]
    workloads = [column for column in time[0] if column not in ("cluster", "mhz")]
    return OneCore(
        mhz=tuple(int(row["mhz"]) for row in power),
        idle_w=tuple(float(row["idle_w"]) for row in power),
        above_idle_w={name: tuple(float(row[name]) for row in power) for name in workloads},
        time={name: tuple(float(row[name]) for row in time) for name in workloads},
    )


# ---------------------------------------------------------------- the packaged figures


def static_w(cluster: str) -> dict[int, float]:
    """Return the idle power of a cluster in watts, by clock in MHz."""
    table = one_core(cluster)
    return dict(zip(table.mhz, table.idle_w, strict=True))


def dynamic_w(cluster: str) -> dict[int, float]:
    """Return the power that a busy core of a cluster adds in watts, by clock in MHz: the median of the workloads."""
    table = one_core(cluster)
    return {mhz: median(own[place] for own in table.above_idle_w.values()) for place, mhz in enumerate(table.mhz)}


def clock_share(cluster: str, workload: str) -> float:
    """Return the share of a workload's time at the cluster's top clock that goes with the clock.

    The least-squares s of time(f) / time(top) = 1 - s + s · top / f: 1 for a task that waits for no memory.
    """
    table, top_mhz = one_core(cluster), TOP_MHZ[cluster]
    top = table.mhz.index(top_mhz)
    longer = np.array(table.time[workload][:top]) / table.time[workload][top] - 1
    slower = top_mhz / np.array(table.mhz[:top]) - 1
    return float(longer @ slower / (slower @ slower))


def speeds_of_little() -> dict[str, float]:
    """Return the speed of an A7 core at its top clock over that of an A15 core at its own, by workload.

    Only of workloads whose time goes with the clock on both clusters, as a network's is taken to do: 0.40 to 0.57.
    """
    big, little = one_core("a15"), one_core("a7")
    big_top, little_top = big.mhz.index(TOP_MHZ["a15"]), little.mhz.index(TOP_MHZ["a7"])
    return {
        name: big.time[name][big_top] / little.time[name][little_top]
        for name in big.workloads
        if min(clock_share(cluster, name) for cluster in TOP_MHZ) >= _FOLLOWS_CLOCK
    }


def speed_of_little() -> float:
    """Return the median of `speeds_of_little`."""
    return median(speeds_of_little().values())


# ---------------------------------------------------------------- sets


def power_sets() -> tuple[OdroidPower, ...]:
    """Return every set: each workload, each with the idle power of either chip."""
    return tuple(
        OdroidPower(workload=workload, hotter=hotter)
        for hotter in (False, True)
        for workload in one_core("a15").workloads
    )


def with_power(board: Board, one: OdroidPower) -> Board:
    """Return a packaged board with the power of one set."""
    return replace(board, units=tuple(_unit_of(unit, one) for unit in board.units))


def _unit_of(unit: BoardUnit, one: OdroidPower) -> BoardUnit:
    cluster = CLUSTER_OF[unit.name]
    table = one_core(cluster)
    places = [table.mhz.index(int(mhz)) for mhz in unit.mhz]
    factors = leakage_of_other_chip(table) if one.hotter and cluster == "a15" else (1.0,) * len(table.mhz)
    return replace(
        unit,
        static_w=tuple(factors[place] * table.idle_w[place] for place in places),
        dynamic_w=tuple(table.above_idle_w[one.workload][place] for place in places),
    )


def leakage_of_other_chip(table: OneCore) -> tuple[float, ...]:
    """Return the idle power of the hotter chip's A15 cluster over this one's, at each clock.

    It was measured at 1000 and 2000 MHz: 1.77 and 2.13 times as much. In between it is taken to go with the clock, and
    below 1000 MHz to be as at 1000 MHz (assumed).
    """
    idle = [row for row in measured_rows("odroid_xu3_other_chip.csv") if row["busy_cores"] == "0"]
    at_mhz = [int(row["mhz"]) for row in idle]
    factors = [
        float(row["power_w"]) / table.idle_w[table.mhz.index(mhz)] for row, mhz in zip(idle, at_mhz, strict=True)
    ]
    return tuple(np.interp(table.mhz, at_mhz, factors).tolist())
