"""A mix to serve: `gearshift serve examples/served.py`. Clients send the requests, and a third app has its own load."""

from gearshift import App, External, Mix, Poisson


def mix() -> Mix:
    return Mix(
        "served",
        duration_s=3600,
        apps=[
            App("gate", supernet="ofa-plates", arrivals=External(), latency_ms=150, min_accuracy=0.75, queue=8),
            App("yard", supernet="ofa-plates", arrivals=External(), latency_ms=300, queue=8),
            App("street", supernet="ofa-plates", arrivals=Poisson(hz=2), latency_ms=500),
        ],
    )
