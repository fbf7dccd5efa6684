"""The published results that `gearshift reproduce NAME` runs again, by name."""

from __future__ import annotations

from collections.abc import Callable

from scheduler.errors import InputError
from supernets.errors import known_options
from workloads.progress import Progress
from workloads.report.outcome import Options, Outcome
from workloads.reproduce import dynamic_ofa_outcome, energy_outcome, figure7

REPRODUCTIONS: dict[str, Callable[[Options, Progress], Outcome]] = {
    "dynamic-ofa": dynamic_ofa_outcome.reproduce,
    "energy": energy_outcome.reproduce,
    "figure7": figure7.reproduce,
}


def reproduction(name: str) -> Callable[[Options, Progress], Outcome]:
    """Return the function that runs a result again.

    Raises:
        InputError: if the name is unknown.
    """
    if name not in REPRODUCTIONS:
        raise InputError(f"reproduction {name!r} is unknown. {known_options(name, REPRODUCTIONS)}")
    return REPRODUCTIONS[name]
