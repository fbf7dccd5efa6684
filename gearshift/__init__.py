"""gearshift: several dynamic DNNs on one board, for the least energy that meets all their targets.

    from gearshift import App, Mix, Periodic, run

    gate = App("gate", supernet="ofa-plates", arrivals=Periodic(hz=10), latency_ms=60, min_accuracy=0.8)
    summary = run(Mix("car-park", apps=[gate], duration_s=10), board="odroid-xu3", backend="sim")
    summary.apps["gate"].on_time

This package is the front door: it re-exports the public names and holds nothing else. A name is loaded when it is first
asked for, so that `import gearshift` costs nothing and a mix script needs neither Ray nor an engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.worker.results import RequestDroppedError, RequestFailedError, Result
    from scheduler.errors import InputError
    from scheduler.policies import Policy
    from scheduler.views import AppView, Gear, Plan, Snapshot, UnitView
    from supernets.camera import Camera
    from supernets.pictures.preparing import Images
    from workloads.mix.app import App, Family
    from workloads.mix.arrivals import External, Periodic, Poisson, Saturate, Trace
    from workloads.mix.errors import MixError
    from workloads.mix.events import at
    from workloads.mix.mix import Mix
    from workloads.results.summary import Summary
    from workloads.runs.failure import RunError
    from workloads.runs.launch import Deployment, deploy, run

__version__ = "0.1.0"

__all__ = [
    "App",
    "AppView",
    "Camera",
    "Deployment",
    "External",
    "Family",
    "Gear",
    "Images",
    "InputError",
    "Mix",
    "MixError",
    "Periodic",
    "Plan",
    "Poisson",
    "Policy",
    "RequestDroppedError",
    "RequestFailedError",
    "Result",
    "RunError",
    "Saturate",
    "Snapshot",
    "Summary",
    "Trace",
    "UnitView",
    "__version__",
    "at",
    "deploy",
    "run",
]

_HOMES = {
    "actors.worker.results": ("RequestDroppedError", "RequestFailedError", "Result"),
    "scheduler.errors": ("InputError",),
    "scheduler.policies": ("Policy",),
    "scheduler.views": ("AppView", "Gear", "Plan", "Snapshot", "UnitView"),
    "supernets.camera": ("Camera",),
    "supernets.pictures.preparing": ("Images",),
    "workloads.mix.app": ("App", "Family"),
    "workloads.mix.arrivals": ("External", "Periodic", "Poisson", "Saturate", "Trace"),
    "workloads.mix.errors": ("MixError",),
    "workloads.mix.events": ("at",),
    "workloads.mix.mix": ("Mix",),
    "workloads.results.summary": ("Summary",),
    "workloads.runs.failure": ("RunError",),
    "workloads.runs.launch": ("Deployment", "deploy", "run"),
}
"""The module that each name is loaded from."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
