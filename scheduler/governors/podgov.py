"""podgov: NVIDIA's governor for the GPU of a Jetson.

Source: `drivers/devfreq/governor_pod_scaling.c` (`nvhost_podgov`) and nvgpu's `scale.c` of NVIDIA's 4.9 kernel
(L4T 32). A timer runs it.
"""

from __future__ import annotations

from scheduler.governors.common import Sampler, at_least, at_most, whole

PERIOD_US = 25_000
"""Polling interval that nvgpu asks for (`polling_ms`), in µs: read in its public source, not on a board."""


class Podgov:
    """The governor podgov: it aims at a load of 70 % on average (`nvhost_podgov`).

    - Load is the busy share in thousandths. Above 900 in the last period, the request is the present clock plus a third
      of the highest allowed clock.
    - Else the request moves in proportion to the distance of the average load from 700, and is damped by an average of
      earlier requests.
    - The lowest clock of at least the request is set, and then kept for 50 ms.

    Left out: a GPU that is suspended goes to its lowest clock at once; a kernel may be configured to go by the highest
    load of the last 100 periods instead of the average (L4T's is not); and requests of user space.

    Args:
        period_us: time between two polls of the device, in µs.
    """

    hooked = False

    LOAD_MAX = 900
    """Load above which the clock rises by a third of the highest one, in thousandths."""
    LOAD_TARGET = 700
    """Load aimed at, in thousandths."""
    BIAS = 80
    """Per cent of the way to the load aimed at that a request goes."""
    SMOOTH = 10
    """Weight of the past in an average; a new value has the weight 1."""
    DAMP = 7
    """Tenths of a request that count; the average of requests makes up the rest."""
    BLOCK_US = 50_000
    """Time for which a clock is kept, in µs."""

    def __init__(self, *, period_us: int = PERIOD_US) -> None:
        self.period_us = period_us
        self._sampler = Sampler()
        self._scaled_us: float | None = None
        self._load_hz = 0  # average of clock · busy share
        self._asked_mhz = 0  # average of requests

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`."""
        shares = self._sampler.shares(now_us, busy_us)
        mhz = at_most(mhz, mhz_allowed)
        if self._scaled_us is None:
            self._scaled_us = now_us
        if shares is None:
            return mhz
        # All numbers are integers here and cut off where the driver's are.
        share, now_hz = max(shares), whole(mhz * 1e6)
        self._load_hz = (self._load_hz * self.SMOOTH + whole(now_hz * share)) // (self.SMOOTH + 1)
        if now_us - self._scaled_us < self.BLOCK_US:
            return mhz
        chosen_mhz = at_least(self._request_mhz(whole(1000 * share), now_hz, mhz_allowed[-1]), mhz_allowed)
        if chosen_mhz != mhz:
            self._scaled_us = now_us
        return chosen_mhz

    def _request_mhz(self, load: int, now_hz: int, max_mhz: float) -> int:
        now_mhz = now_hz // 1_000_000
        most = int(max_mhz / 3)
        if load > self.LOAD_MAX:
            boost, damp = most, 10
        else:
            average = 1000 * self._load_hz // now_hz
            # C's division cuts off towards 0, Python's // towards -∞.
            boost = min(most, int((average - self.LOAD_TARGET) * self.BIAS * now_mhz / (100 * self.LOAD_TARGET)))
            damp = self.DAMP
        asked_mhz = now_mhz + boost
        self._asked_mhz = (self._asked_mhz * self.SMOOTH + asked_mhz) // (self.SMOOTH + 1)
        return (damp * asked_mhz + (10 - damp) * self._asked_mhz) // 10
