"""The published results that `gearshift reproduce NAME` runs again, by name."""

from __future__ import annotations

from collections.abc import Callable, Collection

from scheduler.errors import InputError
from supernets.errors import known_options
from workloads.progress import Progress
from workloads.report.outcome import Options, Outcome
from workloads.reproduce import dynamic_ofa_outcome, dynamic_transformer_outcome, energy_outcome, figure7
from workloads.reproduce.dynamic_transformer import OURS

REPRODUCTIONS: dict[str, Callable[[Options, Progress], Outcome]] = {
    "dynamic-ofa": dynamic_ofa_outcome.reproduce,
    "dynamic-transformer": dynamic_transformer_outcome.reproduce,
    "energy": energy_outcome.reproduce,
    "figure7": figure7.reproduce,
}

TAKES_WEIGHTS = {"dynamic-transformer": OURS}
"""The supernet of which a reproduction takes trained weights, of those that do."""


def check_weights(name: str, weights: Collection[str]) -> None:
    """Check that a reproduction uses the weights that are given.

    Args:
        name: the reproduction.
        weights: supernets of which weights are given.

    Raises:
        InputError: if it uses none of one of them.
    """
    for supernet in weights:
        if supernet != TAKES_WEIGHTS.get(name):
            takes = f"only {TAKES_WEIGHTS[name]!r}" if name in TAKES_WEIGHTS else "none"
            raise InputError(f"--weights are given for {supernet!r}, but {name} takes {takes}; leave them out")


def reproduction(name: str) -> Callable[[Options, Progress], Outcome]:
    """Return the function that runs a result again.

    Raises:
        InputError: if the name is unknown.
    """
    if name not in REPRODUCTIONS:
        raise InputError(f"reproduction {name!r} is unknown. {known_options(name, REPRODUCTIONS)}")
    return REPRODUCTIONS[name]
