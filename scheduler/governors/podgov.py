"""podgov: NVIDIA's governor for the GPU of a Jetson.

Source: `drivers/devfreq/governor_pod_scaling.c` (`nvhost_podgov`) and nvgpu's `scale.c` of NVIDIA's 4.9 kernel
(L4T 32). A timer runs it.
"""

from __future__ import annotations

from scheduler.governors.common import Sampler, at_least, at_most, whole

PERIOD_US = 25_000
"""nvgpu asks to be polled every 25 ms (`polling_ms`): read in its public source, not on a board."""


class Podgov:
    """A clock for 70 % of load, by averages, in steps of at most a third of the highest clock up (`nvhost_podgov`).

    Load is the busy share in thousandths. Above 900 in the last period the request is a third of the highest allowed
    clock above the present one; else it is in proportion to how far the average load is from 700, and damped by an
    average of requests. The lowest clock of at least the request is set, and then kept for 50 ms. Integers are cut off
    where the driver's are.

    Left out: a GPU that is suspended goes to its lowest clock at once; a kernel may be configured to go by the highest
    load of the last 100 periods instead of the average (L4T's is not); and user space's own requests.

    Args:
        period_us: how often the device is polled.
    """

    hooked = False

    LOAD_MAX = 900
    LOAD_TARGET = 700
    BIAS = 80
    """Per cent of the way to the load aimed at."""
    SMOOTH = 10
    """Weight of an average's past against 1 of what is new."""
    DAMP = 7
    """Tenths of a request that count; its average makes up the rest."""
    BLOCK_US = 50_000

    def __init__(self, *, period_us: int = PERIOD_US) -> None:
        self.period_us = period_us
        self._sampler = Sampler()
        self._scaled_us: float | None = None
        self._load_hz = 0
        """Average of clock · busy share."""
        self._asked_mhz = 0
        """Average of requests."""

    def step(self, now_us: float, busy_us: tuple[float, ...], mhz: float, mhz_allowed: tuple[float, ...]) -> float:
        """See `Governor.step`."""
        shares = self._sampler.shares(now_us, busy_us)
        mhz = at_most(mhz, mhz_allowed)
        if self._scaled_us is None:
            self._scaled_us = now_us
        if shares is None:
            return mhz
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
