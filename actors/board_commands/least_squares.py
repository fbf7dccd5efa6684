"""Least squares whose solution has no negative figure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def non_negative_least_squares(matrix: Floats, side: Floats) -> Floats:
    """Return the x of no negative figure for which matrix · x is nearest to a side.

    It is the active-set method of Lawson and Hanson, "Solving Least Squares Problems" (1974), chapter 23: figures are
    let off zero one after another, the one first that lowers the error most steeply, and go back to zero where the
    others would push them below it.

    Args:
        matrix: (rows, columns).
        side: (rows,).

    Returns:
        x, (columns,).
    """
    x, free = np.zeros(matrix.shape[1]), np.zeros(matrix.shape[1], dtype=bool)
    # What rounding leaves of a slope that is zero.
    flat = (
        10 * np.finfo(float).eps * max(matrix.shape) * np.abs(matrix).sum(axis=0).max() * max(1.0, np.abs(side).max())
    )
    tried: set[int] = set()  # figures that went back to zero at once, since the error was last lowered
    for _ in range(10 * len(x)):
        slopes = matrix.T @ (side - matrix @ x)
        falling = [index for index in np.flatnonzero(~free & (slopes > flat)).tolist() if index not in tried]
        if not falling:
            break
        steepest = max(falling, key=lambda index: float(slopes[index]))
        free[steepest] = True
        if _solved(matrix, side, free)[steepest] <= 0:  # only by rounding; it would go back and forth for ever
            free[steepest] = False
            tried.add(steepest)
            continue
        tried.clear()
        x = _within(matrix, side, free, x)
    return x


def _solved(matrix: Floats, side: Floats, free: NDArray[np.bool_]) -> Floats:
    """Return the least-squares solution with all figures zero that are not free."""
    solved = np.zeros(len(free))
    solved[free] = np.linalg.lstsq(matrix[:, free], side, rcond=None)[0]
    return solved


def _within(matrix: Floats, side: Floats, free: NDArray[np.bool_], x: Floats) -> Floats:
    """Go from x towards the solution, and hold at zero what would fall below it; `free` loses those."""
    while True:
        solved = _solved(matrix, side, free)
        below = np.flatnonzero(free & (solved <= 0))
        if not len(below):
            return solved
        reach = x[below] / (x[below] - solved[below])
        x = x + reach.min() * (solved - x)
        x[below[reach == reach.min()]] = 0.0
        x[~free] = 0.0
        free &= x > 0
