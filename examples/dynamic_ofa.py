"""The full Once-for-all network twice: two cameras on one board, one of which has a tighter target for a while.

Without the official weights (`--weights ofa-mbv3-w1.2=FILE`) the networks run with random ones: latency and energy are
those of the real networks and the accuracies are the published ones, but the answers mean nothing.
"""

from gearshift import App, Mix, Periodic, Poisson, at


def mix() -> Mix:
    return Mix(
        name="dynamic-ofa",
        duration_s=60,
        apps=[
            App("gate", supernet="ofa-mbv3-w1.2", arrivals=Periodic(hz=1.5), latency_ms=600, min_accuracy=0.77),
            App("shelf", supernet="ofa-mbv3-w1.2:gpu7", arrivals=Poisson(hz=0.5), latency_ms=2500, min_accuracy=0.73),
        ],
        events=[
            at(20, "gate", latency_ms=300, min_accuracy=0.74),
            at(40, "gate", latency_ms=600, min_accuracy=0.77),
        ],
    )
