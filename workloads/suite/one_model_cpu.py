"""One model on the CPU: a camera at a gate reads number plates.

15 pictures a second is a common rate of such cameras, and a car at walking pace is in view for a second or two. The
answer is due before the next picture (66 ms), so within 60 ms. The floor of 80 % is for one picture; a car is in a
dozen.
"""

from workloads import App, Mix, Periodic


def mix() -> Mix:
    """Return the mix."""
    return Mix(
        name="one_model_cpu",
        duration_s=40,
        apps=[App("gate", supernet="ofa-plates", arrivals=Periodic(hz=15), latency_ms=60, min_accuracy=0.80)],
        boards=["odroid-xu3", "one-unit-host", "two-core-host"],
    )
