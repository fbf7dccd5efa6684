"""The car park: two cameras read number plates, a third joins, and targets, floors and the board change on the way."""

from gearshift import App, Mix, Periodic, Poisson, at


def mix() -> Mix:
    return Mix(
        name="car-park",
        duration_s=40,
        apps=[
            App(
                "entrance",
                supernet="ofa-plates",
                arrivals=Periodic(hz=15),
                latency_ms=60,
                min_accuracy=0.80,
                weight=2,
            ),
            App("garage", supernet="ofa-plates", arrivals=Poisson(hz=5), latency_ms=150, min_accuracy=0.70),
        ],
        events=[
            at(10, "entrance", latency_ms=30),
            at(20, unit="big", max_mhz=1400),
            # Ten a second, so that fifteen seconds are enough to show whether it meets its slo.
            at(25, add=App("yard", supernet="ofa-plates", arrivals=Periodic(hz=10), latency_ms=200)),
            at(30, "entrance", min_accuracy=0.70),
            at(35, remove="garage"),
        ],
    )
