"""Runs a simulation and adds it up: the same summary, records and epoch log that a run on a board has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workloads.arrivals import FloatArray
from workloads.simulator.plan import SimulationPlan
from workloads.summary import Summary


@dataclass(frozen=True, kw_only=True, slots=True)
class Residency:
    """Where a unit's time went over the run, by clock: enough to price the run again under other power figures.

    Attributes:
        mhz: its clocks.
        time_s: at each clock, in all.
        idle_s: at each clock, while none of its cores was busy.
        busy_s: core time taken at each clock, summed over cores; other load and managing included.
        managing_s: of it, what managing took.
    """

    mhz: tuple[float, ...]
    time_s: tuple[float, ...]
    idle_s: tuple[float, ...]
    busy_s: tuple[float, ...]
    managing_s: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulated:
    """What came of a simulation.

    Attributes:
        summary: schema 1, with what a simulation has not null.
        records: for each app, of dtype `actors.records.RECORD`.
        arrivals_s: for each app, of all its requests.
        entries: the epoch log, each a map with `kind` and `now_s`; empty where it was not asked for.
        residency: by unit.
        managing_j: energy that managing took, of the units' energy; None where power is unknown.
        decisions: plans that the policy was asked for.
    """

    summary: Summary
    records: Mapping[str, NDArray[np.void]]
    arrivals_s: Mapping[str, FloatArray]
    entries: list[dict[str, Any]]
    residency: Mapping[str, Residency]
    managing_j: float | None
    decisions: int


def simulate(plan: SimulationPlan, *, log: bool = True) -> Simulated:
    """Runs a plan to its end.

    Args:
        plan: what to run.
        log: whether to keep the epoch log.

    Raises:
        SimulationError: if the policy raises, or asks for what can't be done.
    """
    raise NotImplementedError
