"""Which of the simulated choices to take for each stretch: a small integer program (HiGHS through scipy)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from workloads.hindsight.judge import Share

_DEAR = 1e5
"""What a violation of 1 costs where all that can be saved costs 1: one request in ten thousand outweighs it all."""


def select(shares: Sequence[Sequence[Share]], weights: Mapping[str, float]) -> list[int]:
    """Takes one share of each stretch: least violation, then least cost.

    An application's requests on time may come from any stretch; only its whole run counts.

    Args:
        shares: of each stretch, those to choose from; at least one.
        weights: by application, what one request that it owes at the end costs.

    Returns:
        The place of the share taken, for each stretch.
    """
    flat = [share for options in shares for share in options]
    apps = list(weights)
    of_stretch = np.repeat(np.arange(len(shares)), [len(options) for options in shares])
    least = np.array([min(share.cost for share in options) for options in shares])
    costs = np.array([share.cost for share in flat]) - least[of_stretch]
    most = math.fsum(max(share.cost for share in options) for options in shares) - float(least.sum())
    over_cap = np.array([share.over_cap for share in flat])
    debts = np.array([[share.debts[app] for share in flat] for app in apps])
    size, owing = len(flat), -np.eye(len(apps))
    one_each = (of_stretch == np.arange(len(shares))[:, np.newaxis]).astype(float)
    found = milp(
        np.concatenate([costs / max(most, 1e-9) + _DEAR * over_cap, [_DEAR * weights[app] for app in apps]]),
        integrality=np.concatenate([np.ones(size), np.zeros(len(apps))]),
        bounds=Bounds(0, np.concatenate([np.ones(size), np.full(len(apps), np.inf)])),
        constraints=[
            LinearConstraint(np.hstack([debts, owing]), -np.inf, 1e-7),
            LinearConstraint(np.hstack([one_each, np.zeros((len(shares), len(apps)))]), 1, 1),
        ],
        options={"mip_rel_gap": 1e-6},
    )
    if found.x is None:
        raise RuntimeError(f"hindsight: HiGHS gave up: {found.message}")
    taken = np.flatnonzero(found.x[:size] > 0.5)
    first = np.searchsorted(of_stretch, np.arange(len(shares)))
    return [int(place) for place in taken - first]
