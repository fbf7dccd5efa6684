"""The random draw of each request: where in the distribution of service times it falls, emulated or simulated.

The draw depends on the seed, the application and the request's number alone, so a request has the same luck under every
policy, in every gear and in every run. Nothing here knows what is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

_MASK = (1 << 64) - 1


class Draws:
    """The draws of one application.

    Args:
        seed: the run's seed.
        app: name of the application.
    """

    def __init__(self, seed: int, app: str) -> None:
        self._key = int.from_bytes(blake2b(f"{seed}/{app}".encode(), digest_size=8).digest(), "little")

    def share(self, index: int) -> float:
        """Return the number in [0, 1) of the request of that number, uniform and independent over requests."""
        # SplitMix64 at place `index` of its sequence (Steele, Lea and Flood, OOPSLA 2014): random access, no state.
        bits = (self._key + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
        bits = ((bits ^ bits >> 30) * 0xBF58476D1CE4E5B9) & _MASK
        bits = ((bits ^ bits >> 27) * 0x94D049BB133111EB) & _MASK
        return ((bits ^ bits >> 31) >> 11) / (1 << 53)

    def shares(self, count: int) -> list[float]:
        """Return `share` of the first so many requests, all at once."""
        bits = np.uint64(self._key) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ bits >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ bits >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        shares: list[float] = (((bits ^ bits >> np.uint64(31)) >> np.uint64(11)) / (1 << 53)).tolist()
        return shares

    def of(self, samples: Sequence[float], index: int) -> float:
        """Return one of rising samples for the request of that number: the same quantile of any samples."""
        return at_share(samples, self.share(index))


def at_share(samples: Sequence[float], share: float) -> float:
    """Return the sample at a share in [0, 1) of rising samples: a share of 0.5 takes the third of four."""
    return samples[int(share * len(samples))]
