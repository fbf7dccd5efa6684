"""Workloads: mixes of applications, and what is done with them. Users import their names from `gearshift`.

A name is loaded when it is first asked for: a mix script needs neither Ray nor an engine, and the command wants to
answer a Ctrl-C before anything slow is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.worker.results import RequestDroppedError, RequestFailedError
    from workloads.mix.app import App, Family
    from workloads.mix.arrivals import External, Periodic, Poisson, Saturate, Trace
    from workloads.mix.events import at
    from workloads.mix.mix import Mix
    from workloads.runs.launch import Deployment, deploy, run

__all__ = [
    "App",
    "Deployment",
    "External",
    "Family",
    "Mix",
    "Periodic",
    "Poisson",
    "RequestDroppedError",
    "RequestFailedError",
    "Saturate",
    "Trace",
    "at",
    "deploy",
    "run",
]

_HOMES = {
    "actors.worker.results": ("RequestDroppedError", "RequestFailedError"),
    "workloads.mix.app": ("App", "Family"),
    "workloads.mix.arrivals": ("External", "Periodic", "Poisson", "Saturate", "Trace"),
    "workloads.mix.events": ("at",),
    "workloads.mix.mix": ("Mix",),
    "workloads.runs.launch": ("Deployment", "deploy", "run"),
}
"""The module that each name is loaded from."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
