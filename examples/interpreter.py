"""A camera that reads plates and an interpreter share two slow cores, while what is asked of them changes."""

from gearshift import App, Mix, Periodic, Poisson, at


def mix() -> Mix:
    return Mix(
        name="interpreter",
        duration_s=60,
        apps=[
            App("camera", supernet="ofa-plates", arrivals=Periodic(hz=10), latency_ms=120, min_accuracy=0.80),
            # Sentences differ in length, so one translation takes ten times as long as another.
            App(
                "interpreter", supernet="translator-en-de", arrivals=Poisson(hz=1.5), latency_ms=2500, min_accuracy=0.50
            ),
        ],
        events=[
            at(15, "interpreter", latency_ms=1200),
            at(30, "camera", latency_ms=60),
            at(40, "interpreter", latency_ms=2500, min_accuracy=0.57),
            at(50, unit="big", max_mhz=1400),
        ],
    )
