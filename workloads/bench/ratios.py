"""Ratios of the energies of paired runs, at the stated power figures and under each set that fits equally well.

A ratio is of two runs on the same board under the same set, so that errors common to both cancel out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

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

Value = TypeVar("Value")


def key_of(result: RunResult) -> RunKey:
    """Return the mix, the board and the seed of a run."""
    return result.task.mix, result.task.board, result.task.seed


def table_of(result: RunResult) -> str:
    """Return the power table that a run's board stands for: words on its source, or the name of a board of its own."""
    return result.power_table or result.task.board


def shared_tables(results: Iterable[RunResult]) -> list[list[str]]:
    """Return the boards that share a power table, by table; none for a table of one board."""
    boards: dict[str, set[str]] = defaultdict(set)
    for result in results:
        boards[table_of(result)].add(result.task.board)
    return sorted(sorted(names) for names in boards.values() if len(names) > 1)


def by_mix(
    values: Sequence[tuple[RunResult, Value]], mean: Callable[[Sequence[Value]], Value]
) -> dict[str, list[Value]]:
    """Return values of runs by mix, those of boards with one power table and of one seed as one, their mean.

    A mix that ran with one seed on three boards, two of which share a power table, has two values. So a table counts
    once, however many boards stand for it. The order does not depend on that of the runs.
    """
    alike: dict[tuple[str, str, int], list[tuple[RunKey, Value]]] = defaultdict(list)
    for result, value in values:
        mix, _, seed = key = key_of(result)
        alike[mix, table_of(result), seed].append((key, value))
    found: dict[str, list[Value]] = defaultdict(list)
    for (mix, _, _), own in sorted(alike.items(), key=lambda item: item[0]):
        found[mix].append(mean([value for _, value in sorted(own, key=lambda keyed: keyed[0])]))
    return found


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

    @classmethod
    def mean(cls, figures: Sequence[EnergyFigure], mean: Callable[[Sequence[float]], float]) -> EnergyFigure:
        """Return the mean of figures that are known under as many sets, set by set; some may know one set only."""
        if len(figures) == 1:
            return figures[0]
        sets = max(one.by_set.size for one in figures)
        by_set = zip(*(np.broadcast_to(one.by_set, (sets,)).tolist() for one in figures), strict=True)
        return cls(mean([one.stated for one in figures]), np.array([mean(own) for own in by_set]), figures[0].source)

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
    """Ratios of paired quantities."""

    def __init__(self) -> None:
        self._found: list[tuple[RunResult, EnergyFigure]] = []

    def add(self, result: RunResult, mine: EnergyFigure | None, other: EnergyFigure | None) -> None:
        """Add the pair of a run if both are known, and from one source."""
        if mine is not None and other is not None and mine.source == other.source:
            self._found.append((result, mine.over(other)))

    def by_place(self) -> dict[Place, float]:
        """Return the geometric mean over seeds by mix and board, at the stated power figures."""
        found: dict[Place, list[float]] = defaultdict(list)
        for result, ratio in self._found:
            found[result.task.mix, result.task.board].append(ratio.stated)
        return {place: geometric_mean(own) for place, own in sorted(found.items())}

    def interval(self) -> ConfidenceInterval | None:
        """Return the geometric mean over mixes with its interval and its range over sets; None if there is no pair."""
        of_mix: Mapping[str, Sequence[EnergyFigure]] = by_mix(
            self._found, lambda own: EnergyFigure.mean(own, geometric_mean)
        )
        interval = ratio_interval({mix: [one.stated for one in own] for mix, own in of_mix.items()})
        if interval is None:
            return None
        over_sets = ratio_range_over_sets({mix: [one.by_set for one in own] for mix, own in of_mix.items()})
        return replace(interval, over_sets=over_sets)
