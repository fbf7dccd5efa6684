"""The smallest mix: one camera, one target, one floor."""

from gearshift import App, Mix, Periodic


def mix() -> Mix:
    return Mix(
        name="one-app",
        duration_s=20,
        apps=[App("gate", supernet="ofa-plates", arrivals=Periodic(hz=10), latency_ms=50, min_accuracy=0.75)],
    )
