"""Lexicographic comparison of arrays of tuples, held as one array per level."""

from itertools import pairwise

import numpy as np

from scheduler.solver.tables import Bools, Floats, Ints


def least(levels: list[Floats], axis: int) -> list[Floats]:
    """Reduce along an axis to the lexicographically least tuples; infinite where it is empty."""
    result = [levels[0].min(axis=axis, initial=np.inf)]
    tied: Bools | None = None
    for above, level in pairwise(levels):
        equal = above == np.expand_dims(result[-1], axis)
        tied = equal if tied is None else tied & equal
        result.append(np.where(tied, level, np.inf).min(axis=axis, initial=np.inf))
    return result


def least_by_segment(levels: list[Floats], starts: Ints, segment: Ints) -> list[Floats]:
    """Reduce runs of entries to their least tuples.

    Args:
        levels: The entries, (entries,) each.
        starts: First entry of each run.
        segment: By entry, the run it belongs to.
    """
    tied = levels[0]
    result = [np.minimum.reduceat(tied, starts)]
    for level in levels[1:]:
        tied = np.where(tied == result[-1][segment], level, np.inf)
        result.append(np.minimum.reduceat(tied, starts))
    return result


def below(levels: list[Floats], cutoff: tuple[float, ...]) -> Bools:
    """Which tuples are lexicographically less than the cutoff."""
    result = levels[-1] < cutoff[-1]
    for level, bar in zip(levels[-2::-1], cutoff[-2::-1], strict=True):
        result = (level < bar) | ((level == bar) & result)
    return result


def order(levels: list[Floats]) -> Ints:
    """Indices that sort the tuples, ties by position."""
    return np.lexsort(levels[::-1])


def first(levels: list[Floats]) -> int:
    """The position of the least tuple, the first of equals."""
    tied = levels[0] == levels[0].min()
    for level in levels[1:]:
        tied &= level == level[tied].min()
    return int(tied.argmax())
