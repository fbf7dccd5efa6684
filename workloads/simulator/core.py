"""The cores of a simulated unit: who has each, how long it was busy, and which are online."""

from __future__ import annotations

from collections.abc import Collection

from scheduler.board import BoardUnit
from workloads.simulator.claim import CoreClaim


class SimulatedCore:
    """A core: which claim has it since when, how long it was busy before, and since when it has been idle."""

    __slots__ = ("busy_s", "claim", "idle_since_s", "since_s")

    def __init__(self, now_s: float) -> None:
        self.claim: CoreClaim | None = None
        self.since_s = now_s
        self.busy_s = 0.0
        self.idle_since_s = now_s


class UnitCores:
    """All cores of a unit.

    Args:
        spec: the unit.
        now_s: present time.

    Attributes:
        all: the cores, in the order of their CPUs.
        online: those of them that can be used.
    """

    def __init__(self, spec: BoardUnit, now_s: float) -> None:
        self.all = [SimulatedCore(now_s) for _ in range(spec.cores)]
        self.online = self.all
        self._numbers = spec.numbers
        self._idle_states = [(1e-6 * state.residency_us, state.exit_us) for state in spec.idle_states]

    def use(self, cpus: Collection[int]) -> None:
        """Set the CPUs whose cores are online."""
        self.online = [core for core, cpu in zip(self.all, self._numbers, strict=True) if cpu in cpus]

    def give(self, claim: CoreClaim, now_s: float) -> float:
        """Give a claim its cores; return the longest time, in µs, that one of them takes to wake up."""
        exit_us = 0.0
        for place in claim.cores:
            core = self.all[place]
            core.claim, core.since_s = claim, now_s
            for residency_s, core_exit_us in self._idle_states:
                if now_s - core.idle_since_s >= residency_s:
                    exit_us = max(exit_us, core_exit_us)
        return exit_us

    def free(self, claim: CoreClaim, now_s: float) -> None:
        """Take a claim's cores back."""
        for place in claim.cores:
            core = self.all[place]
            core.busy_s += now_s - core.since_s
            core.claim, core.idle_since_s = None, now_s

    def idlest(self, count: int) -> list[SimulatedCore]:
        """Return so many cores online for work that is no request: idle ones, then the last online again and again."""
        online = self.online or self.all[:1]
        idle = [core for core in online if core.claim is None][:count]
        return idle + [online[-1]] * (count - len(idle))

    def pass_others_time(self, span_s: float, load: float) -> int:
        """Let others use their share of every core online that no request has; return how many cores those are."""
        free = [core for core in self.online if core.claim is None]
        for core in free:
            core.busy_s += span_s * load
        return len(free)

    def busy_s(self, now_s: float) -> list[float]:
        """Return the time so far that each core was taken, or used by others while it was not."""
        return [core.busy_s + (now_s - core.since_s if core.claim is not None else 0.0) for core in self.all]
