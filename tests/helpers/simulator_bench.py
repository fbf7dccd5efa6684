"""One simulated unit in virtual time, and requests for its cores."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from actors.requests.turns import mask_of
from helpers.virtual_clock import ScriptedClock
from scheduler.board import BoardUnit
from workloads.simulator.agenda import Agenda
from workloads.simulator.claim import CoreClaim
from workloads.simulator.unit import SimulatedUnit

UNIT = BoardUnit(
    name="big",
    kind="cpu",
    cpus=(4, 5),
    dvfs="emulated",
    mhz=(500.0, 1000.0, 2000.0),
    static_w=(0.1, 0.2, 0.4),
    dynamic_w=(0.5, 1.0, 3.0),
)
LONE = replace(UNIT, cpus=(4,))


@dataclass
class Job:
    """A request for cores, with the times at which it got them and was over, and what is explained of its service."""

    claim: CoreClaim | None = None
    start_s: float = math.nan
    end_s: float = math.nan
    known_ms: float = math.nan
    asked_s: list[float] = field(default_factory=list)
    agenda: Agenda | None = None
    wanted: bool = True

    def accepts(self) -> bool:
        self.asked_s.append(self.agenda.now_s)
        if self.wanted:
            self.start_s = self.agenda.now_s
        return self.wanted

    def ended(self) -> None:
        self.end_s = self.agenda.now_s
        self.known_ms = self.claim.known_ms()


class Bench:
    """One unit in virtual time."""

    def __init__(self, spec: BoardUnit = UNIT) -> None:
        self.agenda = Agenda(0.0)
        self.unit = SimulatedUnit(spec, self.agenda)

    def at(self, at_s: float, call: Callable[[], object]) -> None:
        self.agenda.at(at_s, lambda _: call())

    def run(self, until_s: float) -> None:
        self.agenda.run(until_s)

    def job(
        self,
        at_s: float,
        work_ms: float,
        *,
        cores: tuple[int, ...] = (0,),
        deadline_s: float = 9.0,
        slot: int = 0,
        wanted: bool = True,
        activity: float = 1.0,
    ) -> Job:
        job = Job(agenda=self.agenda, wanted=wanted)
        job.claim = CoreClaim(
            claimant=job,
            cores=cores,
            mask=mask_of(cores),
            deadline_s=deadline_s,
            slot=slot,
            work_ms=work_ms,
            active=activity * len(cores),
        )
        self.at(at_s, lambda: self.unit.take(job.claim))
        return job

    def clock(self, at_s: float, mhz: float) -> None:
        self.at(at_s, lambda: self.unit.set_clock(mhz, None))

    def limit(self, at_s: float, *, max_mhz=None, cpus_online=UNIT.cpus, other_load=0.0) -> None:
        self.at(at_s, lambda: self.unit.limit(max_mhz=max_mhz, cpus_online=cpus_online, other_load=other_load))


def moment(at_s: float) -> object:
    """Return that time with the tolerance within which two times are one moment."""
    return pytest.approx(at_s, abs=2e-9)


class AlertClock(ScriptedClock):
    """A scripted clock that wakes a sleeper whenever something happens; on real clocks sleepers look every 2 ms."""

    def sleep_until(self, at_s: float) -> None:
        super().sleep_until(min([at_s, *(moment_s for moment_s, _ in self.script)]))
