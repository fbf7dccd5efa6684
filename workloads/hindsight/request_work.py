"""The profiled work of requests that the lower bound treats alike, in the networks that may serve them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from actors.requests.draws import at_share
from scheduler.profile import ServiceTime

_QUANTILE_GROUPS = 12
"""Most parts into which similar requests are cut by their work. All requests of a part count as its fastest one, which
can only lower the bound; more parts make it tighter and the program larger."""

Draw = tuple[float, float, float]
"""A request's share in the distribution of the service times of its size, its size, and its noise."""


def parts_of(draws: Sequence[Draw]) -> list[Sequence[Draw]]:
    """Return the draws in at most `_QUANTILE_GROUPS` parts, one after another; their lengths differ by one at most."""
    parts = np.array_split(np.arange(len(draws)), min(_QUANTILE_GROUPS, len(draws)))
    return [draws[part[0] : part[-1] + 1] for part in parts]


def work_ms(time: ServiceTime, draw: Draw) -> float:
    """Return the profiled time of a request of that share and size, with its noise."""
    share, size, noise = draw
    return at_share(time.samples_at_ms(size), share) * noise


def least_work_s(times: Sequence[ServiceTime], draws: Iterable[Draw]) -> float:
    """Return the profiled seconds of the request that has the least work, in the network that is fastest for it."""
    # Of two of the same size, the one of the lower share and the lower noise is faster in every network.
    front: list[Draw] = []
    least: dict[float, float] = {}
    for share, size, noise in sorted(draws):
        if noise < least.get(size, math.inf):
            least[size] = noise
            front.append((share, size, noise))
    return min(work_ms(time, draw) for time in times for draw in front) / 1000


def most_work_s(times: Sequence[ServiceTime], draws: Iterable[Draw]) -> float:
    """Return the profiled seconds of the request that has the most work, in the network that is fastest for it."""
    front: list[Draw] = []
    most: dict[float, float] = {}
    for share, size, noise in sorted(draws, reverse=True):
        if noise > most.get(size, 0.0):
            most[size] = noise
            front.append((share, size, noise))
    return max(min(work_ms(time, draw) for time in times) for draw in front) / 1000
