"""Least squares without negative figures, against SciPy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from actors.board_commands.least_squares import non_negative_least_squares


def test_a_figure_that_would_be_negative_is_zero() -> None:
    """Unbounded it is (2, -1); with the second at zero, the first is the mean of 2 and 1."""
    matrix = np.array([[1.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(non_negative_least_squares(matrix, np.array([2.0, 1.0])), [1.5, 0.0])


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 12),
    columns=st.integers(1, 8),
    whole=st.booleans(),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
@settings(max_examples=300)
def test_it_is_as_near_as_scipys(seed: int, rows: int, columns: int, whole: bool, scale: float) -> None:
    """Small whole numbers make columns that depend on each other, where the solution is not the only one."""
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 3, (rows, columns)).astype(float) if whole else rng.normal(size=(rows, columns))
    side = scale * rng.normal(size=rows)
    made = non_negative_least_squares(matrix, side)
    assert (made >= 0).all()
    _, least = nnls(matrix, side)
    assert np.linalg.norm(matrix @ made - side) <= least + 1e-7 * scale
