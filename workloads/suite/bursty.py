"""Bursts of requests: a camera behind a traffic light sees little for a while and then a platoon of cars.

The light is green for 8 s of every 20 s (assumed). Cars then pass at one every two seconds and lane, the saturation
flow of a lane (some 1800 an hour), on two lanes; each is in 24 pictures, 1.6 s at 15 a second (assumed). That makes 24
requests a second. In the red phase there are two a second, of cars that turn in from the side. The times are drawn once
with a seed of their own, so they are the same for every seed of a run, like recorded ones. 150 ms opens the next gate
in time, and ten waiting pictures are half a car. Beside it a camera that counts passers-by takes five pictures a
second, with a target of a fifth of a second for each.
"""

import numpy as np

from workloads import App, Mix, Periodic, Trace

DURATION_S = 60.0


def mix() -> Mix:
    """Return the mix."""
    return Mix(
        name="bursty",
        duration_s=DURATION_S,
        apps=[
            App("light", "ofa-plates", arrivals=Trace(platoons_s()), latency_ms=150, min_accuracy=0.82, queue=10),
            App("passers-by", "ofa-plates", arrivals=Periodic(hz=5), latency_ms=200, min_accuracy=0.77),
        ],
        boards=["odroid-xu3", "two-core-host"],
    )


def platoons_s(
    *, cycle_s: float = 20.0, green_s: float = 8.0, green_hz: float = 24.0, red_hz: float = 2.0
) -> list[float]:
    """Return the times in seconds of a Poisson process whose rate follows the light, by thinning.

    The method is that of Lewis and Shedler (1979): draw times at the highest rate, then keep each with a probability of
    the rate at that time over the highest.
    """
    rng = np.random.default_rng(0)
    times_s = np.sort(rng.uniform(0, DURATION_S, rng.poisson(green_hz * DURATION_S)))
    rate_hz = np.where(times_s % cycle_s < green_s, green_hz, red_hz)
    kept: list[float] = times_s[rng.uniform(0, green_hz, times_s.size) < rate_hz].tolist()
    return kept
