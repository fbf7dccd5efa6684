"""A linear program that is put together variable by variable and row by row, and solved by HiGHS through scipy."""

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
        """Append a row: factors by variable, and the right side; a sign of -1 turns "at least" into "at most"."""
        self._row += [len(self._side)] * len(terms)
        self._column += terms.keys()
        self._value += (sign * value for value in terms.values())
        self._side.append(sign * side)

    def matrix(self, columns: int) -> csr_array:
        """Return the rows as a matrix of that many columns."""
        return csr_array((self._value, (self._row, self._column)), shape=(len(self._side), columns))

    def sides(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Return the right sides."""
        return np.array(self._side)


class LinearProgram:
    """A linear program: minimises a sum of costs over variables of at least 0."""

    def __init__(self) -> None:
        self._costs: list[float] = []
        self._upper: list[float] = []
        self._equal = _Rows()
        self._at_most = _Rows()

    def variable(self, cost: float, upper: float) -> int:
        """Add a variable between 0 and `upper`, of that cost for each 1 of it, and return its number."""
        self._costs.append(cost)
        self._upper.append(upper)
        return len(self._costs) - 1

    def equal(self, terms: Mapping[int, float], side: float) -> None:
        """Require Σ factor · variable = side; `terms` has the factors by variable."""
        self._equal.add(terms, side)

    def at_most(self, terms: Mapping[int, float], side: float) -> None:
        """Require Σ factor · variable ≤ side."""
        self._at_most.add(terms, side)

    def at_least(self, terms: Mapping[int, float], side: float) -> None:
        """Require Σ factor · variable ≥ side."""
        self._at_most.add(terms, side, sign=-1.0)

    def minimum(self) -> float | None:
        """Return the least cost; None where no values fulfil every row.

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
            bounds=np.column_stack([np.zeros(size), self._upper]),
            method="highs",
        )
        if found.status == 2:
            return None
        if found.status != 0:
            raise RuntimeError(f"lower bound: HiGHS gave up: {found.message}")
        return float(found.fun)
