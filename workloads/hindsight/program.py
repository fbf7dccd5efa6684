"""A linear program, put together column by column and row by row, and solved by HiGHS through scipy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array


class _Rows:
    """Rows of one kind: a sparse matrix and its right side."""

    def __init__(self) -> None:
        self._row: list[int] = []
        self._column: list[int] = []
        self._value: list[float] = []
        self._side: list[float] = []

    def add(self, terms: Mapping[int, float], side: float, sign: float = 1.0) -> None:
        self._row += [len(self._side)] * len(terms)
        self._column += terms.keys()
        self._value += (sign * value for value in terms.values())
        self._side.append(sign * side)

    def matrix(self, columns: int) -> csr_array:
        return csr_array((self._value, (self._row, self._column)), shape=(len(self._side), columns))

    def sides(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array(self._side)


class Program:
    """Minimises a sum of costs over columns of at least 0."""

    def __init__(self) -> None:
        self._costs: list[float] = []
        self._most: list[float] = []
        self._equal = _Rows()
        self._at_most = _Rows()

    def column(self, cost: float, most: float) -> int:
        """Adds a column between 0 and `most` that costs so much for each 1 of it; returns its number."""
        self._costs.append(cost)
        self._most.append(most)
        return len(self._costs) - 1

    def equal(self, terms: Mapping[int, float], side: float) -> None:
        """Demands that a sum of columns, each times its factor, is so much."""
        self._equal.add(terms, side)

    def at_most(self, terms: Mapping[int, float], side: float) -> None:
        """Demands that it is at most so much."""
        self._at_most.add(terms, side)

    def at_least(self, terms: Mapping[int, float], side: float) -> None:
        """Demands that it is at least so much."""
        self._at_most.add(terms, side, sign=-1.0)

    def least(self) -> float | None:
        """The least cost; None where no columns keep to every row.

        Raises:
            RuntimeError: HiGHS gave up.
        """
        size = len(self._costs)
        found = linprog(
            self._costs,
            A_ub=self._at_most.matrix(size),
            b_ub=self._at_most.sides(),
            A_eq=self._equal.matrix(size),
            b_eq=self._equal.sides(),
            bounds=np.column_stack([np.zeros(size), self._most]),
            method="highs",
        )
        if found.status == 2:
            return None
        if found.status != 0:
            raise RuntimeError(f"lower bound: HiGHS gave up: {found.message}")
        return float(found.fun)
