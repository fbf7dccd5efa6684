"""The random draws of each request: where in the distribution of service times it falls, and the noise on that time.

They depend on the seed, the application and the request's number alone, so a request has the same luck under every
policy, in every gear and in every run, emulated or simulated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from statistics import NormalDist

import numpy as np

_MASK = (1 << 64) - 1

_NORMAL = NormalDist()


class Draws:
    """The draws of one application.

    Args:
        seed: the run's seed.
        app: name of the application.
        noise: coefficient of variation of the factor on service times (`Mix.noise`).
    """

    def __init__(self, seed: int, app: str, noise: float = 0.0) -> None:
        self._key = int.from_bytes(blake2b(f"{seed}/{app}".encode(), digest_size=8).digest(), "little")
        # Its own draws: a request that is slow by the profile is not the more likely to be slow by noise.
        self._noises = Draws(seed, f"{app} noise") if noise else None
        self._sigma = math.sqrt(math.log1p(noise * noise))

    @property
    def noisy(self) -> bool:
        """True if `factor` is not always 1."""
        return self._noises is not None

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

    def factor(self, index: int) -> float:
        """Return the factor that noise puts on the service time of the request of that number; 1 without noise.

        It is lognormal with mean 1 and coefficient of variation c: exp(s · z - s² / 2), where s² = ln(1 + c²) and z is
        a standard normal draw. With c = 0.1 two of three factors lie between 0.90 and 1.10.
        """
        if self._noises is None:
            return 1.0
        # In the middle of the draw's 2^-53, since a share may be 0.
        z = _NORMAL.inv_cdf(self._noises.share(index) + 2**-54)
        # The last bits of exp and log may differ between machines, and a simulation's bytes must not.
        return float(f"{math.exp(self._sigma * (z - self._sigma / 2)):.9g}")

    def of(self, samples: Sequence[float], index: int) -> float:
        """Return one of rising samples for the request of that number, the same quantile of any, with its noise."""
        return at_share(samples, self.share(index)) * self.factor(index)


def at_share(samples: Sequence[float], share: float) -> float:
    """Return the sample at a share in [0, 1) of rising samples: a share of 0.5 takes the third of four."""
    return samples[int(share * len(samples))]
