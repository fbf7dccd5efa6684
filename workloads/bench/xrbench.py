"""XRBench's score of a run: one figure from deadlines, energy and dropped frames.

The formula is that of XRBench (MLSys 2023, arXiv 2211.08675). Its accuracy term is left out, and so accuracy stands
beside the score wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

K_PER_MS = 15.0
"""Steepness of the real-time score at the deadline; the paper's k. It is not verified that its unit is 1/ms."""

MOST_J = 1.5
"""Energy of an inference from which on the score is 0; the paper's default from memory, not verified."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Frames:
    """The requests of one app.

    Attributes:
        overrun_ms: end minus deadline of each completed request in ms, shape (n,).
        asked: number of completed, dropped and failed requests.
        lost: number of dropped and failed requests.
    """

    overrun_ms: NDArray[np.float64]
    asked: int
    lost: int


def xrbench_score(apps: Sequence[Frames], energy_j: float | None) -> float | None:
    """Return the score of a run, from 0 to 100: 100 · mean over apps of (Σ rt · en / frames · QoE).

    rt = 1 / (1 + e^(k · overrun)), en = 1 - energy of an inference / `MOST_J`, not below 0, and QoE = 1 - share lost.
    The energy of an inference is the run's energy over all its completed requests, since one meter serves all apps.

    Args:
        apps: the requests of each app; apps without any do not count.
        energy_j: energy of the whole run in joules; None if unknown.

    Returns:
        None if the energy is unknown, or if there is no request.
    """
    asked = [app for app in apps if app.asked]
    completed = sum(app.overrun_ms.size for app in asked)
    if energy_j is None or not asked:
        return None
    energy = max(0.0, 1 - energy_j / completed / MOST_J) if completed else 0.0
    scores = []
    for app in asked:
        # Beyond ±50 the exponential neither adds nor takes a visible share, and would overflow.
        in_time = 1 / (1 + np.exp(np.clip(K_PER_MS * app.overrun_ms, -50, 50)))
        scores.append(float(in_time.sum()) * energy / app.asked * (1 - app.lost / app.asked))
    return 100 * sum(scores) / len(scores)
