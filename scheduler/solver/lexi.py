"""Lexicographic comparison of many tuples at once, held as one array per level.

Tuples (1, 5) and (1, 3) are held as levels [[1, 1], [5, 3]]; the second is less. A later level decides only where all
before it are equal.
"""

from itertools import pairwise

import numpy as np

from scheduler.solver.tables import Bools, Floats, Ints


def least(levels: list[Floats], axis: int) -> list[Floats]:
    """Reduce along an axis to the least tuples; infinite where the axis is empty."""
    # Level by level: the least value among the entries that equal the result in all levels above.
    result = [levels[0].min(axis=axis, initial=np.inf)]
    tied: Bools | None = None
    for above, level in pairwise(levels):
        equal = above == np.expand_dims(result[-1], axis)
        tied = equal if tied is None else tied & equal
        result.append(np.where(tied, level, np.inf).min(axis=axis, initial=np.inf))
    return result


def least_by_segment(levels: list[Floats], starts: Ints, segment: Ints) -> list[Floats]:
    """Reduce runs of entries to the least tuple of each run.

    Args:
        levels: the entries, shape (entries,) for each level.
        starts: index of the first entry of each run.
        segment: by entry, the run that it belongs to.
    """
    # As in `least`; an entry that has lost on a level is infinite on the next, so that it stays behind.
    tied = levels[0]
    result = [np.minimum.reduceat(tied, starts)]
    for level in levels[1:]:
        tied = np.where(tied == result[-1][segment], level, np.inf)
        result.append(np.minimum.reduceat(tied, starts))
    return result


def below(levels: list[Floats], cutoff: tuple[float, ...]) -> Bools:
    """Return a mask of the tuples that are less than the cutoff."""
    # From the last level up: less here, or equal here and less in the levels after.
    result = levels[-1] < cutoff[-1]
    for level, bar in zip(levels[-2::-1], cutoff[-2::-1], strict=True):
        result = (level < bar) | ((level == bar) & result)
    return result


def order(levels: list[Floats]) -> Ints:
    """Return the indices that sort the tuples; of equal tuples the first comes first."""
    return np.lexsort(levels[::-1])  # which takes the most important key last


def first(levels: list[Floats]) -> int:
    """Return the position of the least tuple, the first of equals."""
    tied = levels[0] == levels[0].min()
    for level in levels[1:]:
        tied &= level == level[tied].min()
    return int(tied.argmax())
