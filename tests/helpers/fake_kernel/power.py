"""Power of a fake kernel's rails over time, which its sensors measure."""

from __future__ import annotations

from collections.abc import Callable

from .kernel import FakeKernel

_MOST_STEPS = 2000
"""Most steps of one integral."""
_STEP_S = 0.01
"""Length of a step, where that makes fewer than the most: power is to change more slowly than that."""


def power_w(kernel: FakeKernel, rail: str, now_s: float) -> float:
    """Return the power of a rail in watts; 0 if nobody set it."""
    flow = kernel.rails.get(rail)
    return flow(now_s) if flow else 0.0


def mean_w(kernel: FakeKernel, rail: str, begin_s: float, end_s: float, points: int) -> float:
    """Return the mean of so many samples, evenly spread, as a converter takes them."""
    step_s = (end_s - begin_s) / points
    return sum(power_w(kernel, rail, begin_s + (point + 0.5) * step_s) for point in range(points)) / points


def energy_j(kernel: FakeKernel, rail: str, begin_s: float, end_s: float) -> float:
    """Return the energy of a rail between two times, in joules (midpoint rule; exact for constant power)."""
    steps = max(1, min(_MOST_STEPS, round((end_s - begin_s) / _STEP_S)))
    return mean_w(kernel, rail, begin_s, end_s, steps) * (end_s - begin_s)


def constant(watts: float) -> Callable[[float], float]:
    """Return a power that stays the same."""
    return lambda now_s: watts
