"""The description of a mix's apps that the manager gets before a run, on a board or simulated."""

from __future__ import annotations

from scheduler.manager import AppSpec
from scheduler.points import ArrivalModel
from scheduler.profile import Profile
from workloads.mix.arrivals import Periodic, Saturate
from workloads.mix.mix import Presence

DRAIN_S = 2.0
"""Most board time, in seconds, that requests left at an app's end may still take."""


def app_spec(presence: Presence, profile: Profile) -> AppSpec:
    """Return an app as the manager is told of it before the run: with its first targets."""
    first = presence.targets[0]
    return AppSpec(
        app=presence.app.name,
        profile=profile,
        arrivals=arrival_model(presence),
        target_ms=first.latency_ms,
        min_accuracy=first.min_accuracy,
        weight=first.weight,
        slo=first.slo,
        present=presence.from_s <= 0,
    )


def arrival_model(presence: Presence) -> ArrivalModel:
    """Return the scheduler's model of an app's arrivals while it is in the mix.

    A rate that is not known is 0, and is learned in the run.
    """
    arrivals = presence.app.arrivals
    if isinstance(arrivals, Saturate):
        return ArrivalModel(kind="saturate", rate_hz=0.0)
    if isinstance(arrivals, Periodic):
        return ArrivalModel(kind="periodic", rate_hz=arrivals.hz, jitter_ms=arrivals.jitter_ms)
    return ArrivalModel(kind="poisson", rate_hz=arrivals.rate_hz(presence.length_s) or 0.0)


def drained_s(presence: Presence, end_s: float) -> float:
    """Return the time until which an app's last requests may still be served: two targets after its end, at most 2 s.

    An app with a last target of 60 ms that ends at 40 s has until 40.12 s.

    Args:
        presence: The app while it is in the mix.
        end_s: The end of the app, in seconds from the start of the run.
    """
    return end_s + min(DRAIN_S, 2 * presence.targets[-1].latency_ms / 1000)
