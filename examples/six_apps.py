"""Six applications on two cores: they come and go, so most of the time cores are shared."""

from gearshift import App, Mix, Periodic, Poisson, at


def mix() -> Mix:
    return Mix(
        name="six-apps",
        duration_s=40,
        apps=[
            App("entrance", supernet="ofa-plates", arrivals=Periodic(hz=8), latency_ms=80, min_accuracy=0.80, weight=2),
            App("exit", supernet="ofa-plates", arrivals=Periodic(hz=8), latency_ms=80, min_accuracy=0.70),
            App("garage", supernet="ofa-plates", arrivals=Poisson(hz=4), latency_ms=200, min_accuracy=0.70),
            App("ramp", supernet="ofa-plates", arrivals=Poisson(hz=3), latency_ms=250),
        ],
        events=[
            at(8, add=App("yard", supernet="ofa-plates", arrivals=Periodic(hz=5), latency_ms=200, min_accuracy=0.75)),
            at(14, add=App("street", supernet="ofa-plates", arrivals=Poisson(hz=4), latency_ms=300)),
            at(22, "entrance", latency_ms=60),
            at(28, remove="ramp"),
            at(32, remove="exit"),
        ],
    )
