"""A simulated request's claim to cores of one unit, and who makes it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from workloads.simulator.progress import Progress


class Claimant(Protocol):
    """The maker of a claim: it is asked when its cores are free, and told when the service is over."""

    def accepts(self) -> bool:
        """Return true to take the cores that are free now, or false to let the claim go."""
        ...

    def ended(self) -> None:
        """Learn that the service is over and the cores are given back."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """The work that all requests of one size are to a network on its cores.

    Attributes:
        samples_ms: profiled service times, rising.
        memory_share: the network's own (`ServiceTime.memory_share`); None for the unit's.
    """

    samples_ms: tuple[float, ...] = ()
    memory_share: float | None = None


_UNKNOWN = Work()


@dataclass(slots=True, eq=False)  # neither frozen nor by keyword: one is made for each request
class CoreClaim:
    """One request's claim to cores: it waits for them, then holds them until its service is over.

    Attributes:
        claimant: who makes it.
        cores: places of the cores in their unit.
        mask: the same cores with a bit for each.
        deadline_s: when the result is due; an earlier deadline is served first.
        slot: number of the application, which has one claim to a unit at a time; at equal deadlines the lower is first.
        work_ms: profiled time that the service takes; once it has begun, with what came on top.
        active: its cores times the factor on the unit's `dynamic_w` while it has them.
        arrival_s: when the request arrived.
        work: the times that a request of its size may take.
        end_s: when the service will be over, if nothing changes; below 0 while it has no cores.
        next_deadline_s: when the result of the request behind it is due; infinite where none waits. Once it has begun.
        mhz: the clock that it wants; 0 until it has begun.
        woke_ms: part of `work_ms` in which a core woke up. This and what follows is known once it has begun.
        start_s: when it got its cores.
        progress: how far it gets.
        goal_ms: progress by which its service is over.
        hidden_from_ms: `Progress.hidden_ms` from which it counts: when it began, waking up left out.
    """

    claimant: Claimant
    cores: tuple[int, ...]
    mask: int
    deadline_s: float
    slot: int
    work_ms: float
    active: float
    arrival_s: float = 0.0
    work: Work = _UNKNOWN
    end_s: float = field(default=-1.0, init=False)
    next_deadline_s: float = field(default=math.inf, init=False)
    mhz: float = field(default=0.0, init=False)
    woke_ms: float = field(init=False)
    start_s: float = field(init=False)
    progress: Progress = field(init=False)
    goal_ms: float = field(init=False)
    hidden_from_ms: float = field(init=False)

    def begin(self, now_s: float, progress: Progress, exit_us: float) -> None:
        """Begin the service, with a core that takes so long to wake up."""
        self.start_s, self.progress = now_s, progress
        # The exit latency is wall time, so it is turned into the profiled time that passes in it at the present clock.
        self.woke_ms = woke_ms = 1e-6 * exit_us * progress.pace
        self.work_ms += woke_ms
        self.goal_ms = progress.done_ms + self.work_ms
        self.hidden_from_ms = progress.hidden_ms + woke_ms * (progress.slowdown - 1)

    def known_ms(self) -> float:
        """Return what clocks and load explain of the time that its service took, in profiled ms, once it is over.

        A worker measures from when its thread runs, so waking up is no part of it. 20 ms that were slowed down 1.5
        times without anybody being told are 30.
        """
        return self.work_ms - self.woke_ms + (self.progress.hidden_ms - self.hidden_from_ms)
