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

    def use(self, cpus: Collection[int]) -> None:
        """Set the CPUs whose cores are online."""
        self.online = [core for core, cpu in zip(self.all, self._numbers, strict=True) if cpu in cpus]

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
