"""What is lessened, as one tuple: whole answers are compared by it, most important first."""

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.grid import TICKS

Key = tuple[float, float, float, float, float]
"""What is lessened, most important first: cores beyond a unit's own where they must not be shared, the largest term
where it counts, ticks of violation, negative ticks of weight * accuracy, watts."""


@compiled
def add(one: Key, other: Key) -> Key:
    """Return what two units come to together."""
    return (
        one[0] + other[0],
        max(one[1], other[1]),
        one[2] + other[2],
        one[3] + other[3],
        one[4] + other[4],
    )


@compiled
def cap_ticks(power_w: float, cap_w: float) -> float:
    """Return the cap's term in ticks; 0 where the cap is infinite."""
    return float(np.rint(max(power_w / cap_w - 1.0, 0.0) * TICKS))


@compiled
def key_of(total: Key, cap_w: float, fair: bool) -> Key:
    """Return what is lessened, from what all units come to."""
    over = cap_ticks(total[4], cap_w)
    return total[0], max(total[1], over) if fair else 0.0, total[2] + over, total[3], total[4]


@compiled
def less(one: Key, other: Key) -> bool:
    """Return True if a key is less than another one; power counts as equal to 1e-12 of itself."""
    if one[:4] != other[:4]:
        return one[:4] < other[:4]
    return one[4] < other[4] - 1e-12 * abs(other[4])
