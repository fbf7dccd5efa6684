"""What a mix means to those who run it, on a board or simulated: what its manager is told."""

from __future__ import annotations

from scheduler.manager import AppSpec
from scheduler.points import ArrivalModel
from scheduler.profile import Profile
from workloads.mix.arrivals import Arrivals, Periodic, Saturate
from workloads.mix.mix import Presence

DRAIN_S = 2.0
"""Most board time that requests left at an app's end may still take."""


def app_spec(presence: Presence, profile: Profile) -> AppSpec:
    """One app as the manager is told of it before the run."""
    first = presence.targets[0]
    return AppSpec(
        app=presence.app.name,
        profile=profile,
        arrivals=arrival_model(presence.app.arrivals),
        target_ms=first.latency_ms,
        min_accuracy=first.min_accuracy,
        weight=first.weight,
        slo=first.slo,
        present=presence.from_s <= 0,
    )


def arrival_model(arrivals: Arrivals) -> ArrivalModel:
    """How an app's requests arrive, as the scheduler models it; an unknown rate is learned."""
    if isinstance(arrivals, Saturate):
        return ArrivalModel(kind="saturate", rate_hz=0.0)
    if isinstance(arrivals, Periodic):
        return ArrivalModel(kind="periodic", rate_hz=arrivals.hz, jitter_ms=arrivals.jitter_ms)
    return ArrivalModel(kind="poisson", rate_hz=arrivals.rate_hz or 0.0)


def drained_s(presence: Presence, end_s: float) -> float:
    """Until when requests that an app has left at its end may still take: two targets, and two seconds at most."""
    return end_s + min(DRAIN_S, 2 * presence.targets[-1].latency_ms / 1000)
