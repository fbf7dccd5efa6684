"""Workloads: mixes of applications, and what is done with them. Users import their names from `gearshift`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workloads.mix.app import App, Family
from workloads.mix.arrivals import External, Periodic, Poisson, Saturate, Trace
from workloads.mix.events import at
from workloads.mix.mix import Mix

if TYPE_CHECKING:
    from actors.worker.serving import RequestDroppedError
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
    "Saturate",
    "Trace",
    "at",
    "deploy",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import `run` and `deploy` only when they are asked for: a mix script needs neither Ray nor an engine."""
    if name in {"Deployment", "RequestDroppedError", "deploy", "run"}:
        from workloads.runs import launch

        return getattr(launch, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
