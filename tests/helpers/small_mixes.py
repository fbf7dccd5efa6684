"""Applications and mixes for tests: a test names only the fields that matter to it."""

from typing import Any

from workloads.mix.app import App
from workloads.mix.arrivals import Periodic
from workloads.mix.events import MixEvent
from workloads.mix.mix import Mix


def app(name: str = "gate", **fields: Any) -> App:
    return App(name, **{"supernet": "ofa-plates", "arrivals": Periodic(hz=5), "latency_ms": 60, **fields})


def mix(*events: MixEvent, **fields: Any) -> Mix:
    apps = [app("entrance"), app("garage")]
    return Mix("park", **{"apps": apps, "events": events, "duration_s": 40, **fields})
