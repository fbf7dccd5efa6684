"""Ratios of the energies of paired runs, at the stated power figures and under each set that fits equally well.

A ratio is of two runs on the same board under the same set, so that errors common to both cancel out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from workloads.bench.results import RunResult
from workloads.bench.rows import on_time_counts
from workloads.bench.statistics import ConfidenceInterval, geometric_mean, ratio_interval, ratio_range_over_sets
from workloads.results.summary import EnergySource

Place: TypeAlias = tuple[str, str]
"""A mix and a board."""

RunKey: TypeAlias = tuple[str, str, int]
"""A mix, a board and a seed."""


@dataclass(frozen=True, slots=True)
class EnergyFigure:
    """An energy, or a ratio of two.

    Attributes:
        stated: its value at the board's stated power figures.
        by_set: its value under each set of power figures, shape (sets,); (1,) if only the stated figures are known.
        source: where an energy comes from; of two sources no ratio is taken.
    """

    stated: float
    by_set: NDArray[np.float64]
    source: EnergySource = "modelled"

    @classmethod
    def of(
        cls, stated: float | None, by_set: Sequence[float] = (), source: EnergySource = "modelled"
    ) -> EnergyFigure | None:
        """Return a quantity; None if it is unknown or 0, because no ratio can be taken of those."""
        return cls(stated, np.asarray(by_set or [stated]), source) if stated is not None and stated > 0 else None

    def over(self, other: EnergyFigure | float) -> EnergyFigure:
        """Return the ratio of both, set by set."""
        if isinstance(other, EnergyFigure):
            return EnergyFigure(self.stated / other.stated, self.by_set / other.by_set, self.source)
        return EnergyFigure(self.stated / other, self.by_set / other, self.source)


def units_j(result: RunResult) -> EnergyFigure | None:
    """Return the energy of the managed units; None if unknown."""
    if result.summary is None:
        return None
    energy = result.summary.energy
    return EnergyFigure.of(energy.units_j, result.by_set.units_j if result.by_set else (), energy.units_source)


def board_j(result: RunResult) -> EnergyFigure | None:
    """Return the energy of the whole board; None if unknown."""
    if result.summary is None:
        return None
    energy = result.summary.energy
    return EnergyFigure.of(energy.board_j, result.by_set.board_j if result.by_set else (), energy.board_source)


def j_per_on_time(result: RunResult) -> EnergyFigure | None:
    """Return the energy of the managed units per request on time; None if it is unknown or no request was on time."""
    energy, (hits, _) = units_j(result), on_time_counts(result)
    return energy.over(hits) if energy is not None and hits else None


class Ratios:
    """Ratios of paired quantities, by mix and board."""

    def __init__(self) -> None:
        self._found: dict[Place, list[tuple[int, EnergyFigure]]] = defaultdict(list)

    def add(self, key: RunKey, mine: EnergyFigure | None, other: EnergyFigure | None) -> None:
        """Add a pair if both are known, and from one source."""
        if mine is not None and other is not None and mine.source == other.source:
            mix, board, seed = key
            self._found[mix, board].append((seed, mine.over(other)))

    def by_place(self) -> dict[Place, float]:
        """Return the geometric mean over seeds by mix and board, at the stated power figures."""
        return {place: geometric_mean([one.stated for _, one in own]) for place, own in sorted(self._found.items())}

    def interval(self) -> ConfidenceInterval | None:
        """Return the geometric mean over mixes with its interval and its range over sets; None if there is no pair."""
        of_mix: dict[str, list[EnergyFigure]] = defaultdict(list)
        for (mix, _), own in sorted(self._found.items()):
            of_mix[mix] += [ratio for _, ratio in sorted(own, key=lambda seeded: seeded[0])]
        interval = ratio_interval({mix: [one.stated for one in own] for mix, own in of_mix.items()})
        if interval is None:
            return None
        over_sets = ratio_range_over_sets({mix: [one.by_set for one in own] for mix, own in of_mix.items()})
        return replace(interval, over_sets=over_sets)
