"""Simulated units and the servers of applications on them, in virtual time and without a manager."""

from __future__ import annotations

import numpy as np
import pytest

from actors.requests.records import Status
from scheduler.board import BoardUnit
from scheduler.profile import Profile, RungProfile, ServiceTime
from scheduler.views import Gear
from workloads import App, Periodic
from workloads.mix.mix import Target
from workloads.simulator.agenda import Agenda
from workloads.simulator.server import SimulatedServer
from workloads.simulator.unit import SimulatedUnit

CORES = 3
UNIT = BoardUnit(
    name="big",
    kind="cpu",
    cpus=tuple(range(CORES)),
    dvfs="emulated",
    mhz=(1000.0, 2000.0),
    static_w=None,
    dynamic_w=None,
)
ONE = Gear(subnet="net", unit="big", cores=1)


def make_profile(samples_ms: tuple[float, ...]) -> Profile:
    times = tuple(ServiceTime(kind="cpu", cores=cores, samples_ms=samples_ms) for cores in (1, 2, 3))
    rung = RungProfile(subnet="net", accuracy=None, accuracy_source="unknown", times=times)
    return Profile(supernet="net", machine="none", rungs=(rung,))


class Stage:
    """Units and servers in virtual time."""

    def __init__(self, *specs: BoardUnit) -> None:
        self.agenda = Agenda(0.0)
        self.units = {spec.name: SimulatedUnit(spec, self.agenda) for spec in specs}
        self.servers: list[SimulatedServer] = []

    def at(self, at_s: float, call) -> None:
        self.agenda.at(at_s, lambda _: call())

    def server(
        self,
        arrivals_s,
        *,
        samples_ms=(10.0,),
        profile=None,
        target_ms=1000.0,
        queue=100,
        drop="late",
        gear=ONE,
        cpus=(0,),
        wake_ms=0.0,
        seed=0,
        noise=0.0,
        arrivals=None,
        from_s=0.0,
        until_s=1e9,
    ) -> SimulatedServer:
        name = "abcdefgh"[len(self.servers)]
        app = App(name, "net", arrivals or Periodic(hz=1), latency_ms=target_ms, queue=queue, drop=drop)
        made = SimulatedServer(
            app,
            slot=len(self.servers),
            profile=profile or make_profile(samples_ms),
            targets=(Target(from_s=from_s, latency_ms=target_ms, min_accuracy=0.0, weight=1.0, slo=0.95),),
            arrivals_s=np.asarray(arrivals_s, dtype=float),
            until_s=until_s,
            seed=seed,
            noise=noise,
            wake_ms=wake_ms,
            units=self.units,
            agenda=self.agenda,
        )
        made.activate(gear, cpus, 0)
        self.servers.append(made)
        return made


def ends(server: SimulatedServer) -> dict[int, tuple[Status, float, float]]:
    return {
        int(row["index"]): (Status(row["status"]), float(row["start_s"]), float(row["end_s"]))
        for row in server.records()
        if row["status"] != Status.ARRIVED
    }


def same(figures: tuple[float, ...]) -> object:
    return pytest.approx(figures, abs=1e-7, nan_ok=True)
