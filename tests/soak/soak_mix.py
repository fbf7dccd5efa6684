"""The mix of the soak: three apps of ten requests a second, and a change every twenty seconds, so that gears switch."""

import os
from itertools import cycle

from gearshift import App, Mix, Periodic, at

_EVERY_S = 20


def mix() -> Mix:
    duration_s = float(os.environ["SOAK_SECONDS"])
    apps = [
        App(name, supernet="ofa-plates", arrivals=Periodic(hz=10), latency_ms=150, min_accuracy=0.6)
        for name in ("entrance", "garage", "yard")
    ]
    changes = cycle(
        (
            lambda at_s: at(at_s, "entrance", latency_ms=60),
            lambda at_s: at(at_s, unit="big", max_mhz=1400),
            lambda at_s: at(at_s, "garage", min_accuracy=0.8),
            lambda at_s: at(at_s, unit="big", max_mhz=None),
            lambda at_s: at(at_s, "garage", min_accuracy=0.6),
            lambda at_s: at(at_s, "entrance", latency_ms=150),
        )
    )
    times_s = range(_EVERY_S, int(duration_s), _EVERY_S)
    return Mix("soak", duration_s=duration_s, apps=apps, events=[next(changes)(at_s) for at_s in times_s])
