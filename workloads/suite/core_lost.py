"""A core is lost and regained: another program gets one of the two for itself, as a nightly backup would.

Two cameras take 15 and 10 pictures a second. Each answer is due before the next picture (66 and 100 ms), with the
floors of a gate and of a yard. From 15 s to 35 s there is one core for both, half of this board. The networks that the
floors allow take 4 to 25 ms on it, so both cameras can still be served.
"""

from workloads import App, Mix, Periodic, at


def mix() -> Mix:
    """Return the mix."""
    return Mix(
        name="core_lost",
        duration_s=50,
        apps=[
            App("gate", "ofa-plates", arrivals=Periodic(hz=15), latency_ms=66, min_accuracy=0.80, weight=2),
            App("yard", "ofa-plates", arrivals=Periodic(hz=10), latency_ms=100, min_accuracy=0.77),
        ],
        events=[at(15, unit="cpu", cores=1), at(35, unit="cpu", cores=None)],
        boards=["one-unit-host"],
    )
