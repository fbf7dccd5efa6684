"""A core of a simulated unit."""

from __future__ import annotations

from workloads.simulator.claim import CoreClaim


class SimulatedCore:
    """A core: which claim has it since when, how long it was busy before, and since when it has been idle."""

    __slots__ = ("busy_s", "claim", "idle_since_s", "since_s")

    def __init__(self, now_s: float) -> None:
        self.claim: CoreClaim | None = None
        self.since_s = now_s
        self.busy_s = 0.0
        self.idle_since_s = now_s
