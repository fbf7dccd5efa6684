"""Targets and floors that tighten and relax: a speed camera and a parking attendant's scanner on one small board.

The camera takes ten pictures a second. By day, with little traffic, 150 ms is enough. In the rush hour a car is gone
sooner, so the target is 60 ms. At dusk plates are harder to read and a fine must hold, so the floor rises to 89 %. At
night both relax. A person points the scanner at plates now and then (Poisson, four a second while at work), waits no
longer than a quarter of a second, and needs 86 % while writing tickets.
"""

from workloads import App, Mix, Periodic, Poisson, at


def mix() -> Mix:
    """Return the mix."""
    return Mix(
        name="tightening",
        duration_s=60,
        apps=[
            App("camera", "ofa-plates", arrivals=Periodic(hz=10), latency_ms=150, min_accuracy=0.77),
            App("scanner", "ofa-plates", arrivals=Poisson(hz=4), latency_ms=250, min_accuracy=0.62),
        ],
        events=[
            at(12, "camera", latency_ms=60),
            at(20, "scanner", min_accuracy=0.86),
            at(30, "camera", min_accuracy=0.89),
            at(42, "camera", latency_ms=150, min_accuracy=0.77),
            at(50, "scanner", min_accuracy=0.62),
        ],
        boards=["odroid-xu3", "one-unit-host"],
    )
