"""Small boards, profiles and mixes, by hand and at random, for the tests of hindsight."""

from __future__ import annotations

import random
from collections.abc import Sequence

from scheduler.board import Board, BoardUnit
from scheduler.profile import Profile, RungProfile, ServiceTime
from workloads import App, Mix, Periodic, Poisson, at
from workloads.mix.events import MixEvent
from workloads.runs.simulated import plan_simulation
from workloads.simulator import Costs, Simulated, SimulationPlan


def unit(name: str = "cpu", *, cores: int = 1, first_cpu: int = 0, **given: object) -> BoardUnit:
    figures: dict[str, object] = {"mhz": (1000.0,), "static_w": (1.0,), "dynamic_w": (2.0,), **given}
    cpus = tuple(range(first_cpu, first_cpu + cores))
    return BoardUnit(name=name, kind="cpu", cpus=cpus, dvfs="emulated", **figures)  # type: ignore[arg-type]


def board(*units: BoardUnit) -> Board:
    return Board(name="small", units=units, base_w=None, sensor="none", power_source="made up")


def profile(*rungs: tuple[str, float, Sequence[float]], cores: Sequence[int] = (1,)) -> Profile:
    """Return a profile of rungs given by name, accuracy and times on one core in ms.

    On n cores a rung takes 1 / n ** 0.8 as long.
    """
    return Profile(
        supernet="net",
        machine="made up",
        rungs=tuple(
            RungProfile(
                subnet=subnet,
                accuracy=accuracy,
                accuracy_source="measured",
                times=tuple(
                    ServiceTime(kind="cpu", cores=n, samples_ms=tuple(ms / n**0.8 for ms in samples_ms)) for n in cores
                ),
            )
            for subnet, accuracy, samples_ms in rungs
        ),
    )


def spread(mean_ms: float) -> tuple[float, ...]:
    """Return eleven times from 5 % below a mean to 10 % above it."""
    return tuple(mean_ms * (0.95 + 0.015 * place) for place in range(11))


LADDER = profile(
    ("small", 0.7, spread(5.0)), ("medium", 0.8, spread(9.0)), ("large", 0.9, spread(20.0)), cores=(1, 2, 4)
)


TEN_MS = profile(("net", 0.9, (10.0,)))


def planned(
    mix: Mix, on: Board, ladder: Profile = LADDER, *, policy: str = "joint", seed: int = 0, costs: Costs | None = None
) -> SimulationPlan:
    return plan_simulation(mix, on, policy=policy, seed=seed, profiles={"net": ladder}, costs=costs)


def app(
    name: str = "app", *, hz: float = 10.0, poisson: bool = False, latency_ms: float = 100.0, **given: object
) -> App:
    arrivals = Poisson(hz=hz) if poisson else Periodic(hz=hz)
    return App(name, supernet="net", arrivals=arrivals, latency_ms=latency_ms, **given)  # type: ignore[arg-type]


def random_board(rng: random.Random) -> Board:
    units: list[BoardUnit] = []
    for number in range(rng.randint(1, 2)):
        mhz = tuple(float(one) for one in sorted(rng.sample(range(200, 2001, 100), rng.randint(2, 4))))
        units.append(
            unit(
                f"u{number}",
                cores=rng.choice([1, 2, 4]),
                first_cpu=4 * number,
                mhz=mhz,
                static_w=tuple(sorted(rng.uniform(0.01, 0.5) for _ in mhz)),
                dynamic_w=tuple(rng.uniform(0.3, 1.0) * (one / 1000) ** 2.2 for one in mhz),
                speed=rng.uniform(0.3, 1.0),
                memory_share=rng.choice([0.0, 0.2]),
                transition_us=rng.choice([0.0, 500.0]),
                idle_share=rng.choice([1.0, 0.3]),
            )
        )
    return board(*units)


def random_mix(rng: random.Random, on: Board, *, duration_s: float = 4.0) -> Mix:
    apps = [
        app(
            f"a{number}",
            hz=rng.choice([5.0, 10.0]),
            poisson=rng.random() < 0.5,
            latency_ms=rng.choice([40.0, 80.0, 200.0]),
            min_accuracy=rng.choice([0.0, 0.75]),
            slo=rng.choice([0.8, 0.9]),
        )
        for number in range(rng.randint(1, 3))
    ]
    first = on.units[0]
    events: list[MixEvent] = [at(0.3 * duration_s, "a0", latency_ms=rng.choice([30.0, 100.0]))]
    if rng.random() < 0.5:
        events.append(at(0.5 * duration_s, unit=first.name, max_mhz=first.mhz[-2], busy=rng.choice([0.0, 0.3])))
    if first.cores > 1 and rng.random() < 0.5:
        events.append(at(0.5 * duration_s, unit=first.name, cores=first.cores - 1))
    if rng.random() < 0.5:
        events.append(at(0.6 * duration_s, add=app("late", poisson=True, hz=8.0)))
    if len(apps) > 1 and rng.random() < 0.5:
        events.append(at(0.6 * duration_s, remove="a1"))
    return Mix("random", apps=apps, events=events, duration_s=duration_s)


def units_j(simulated: Simulated) -> float:
    energy_j = simulated.summary.energy.units_j
    assert energy_j is not None
    return energy_j


def meets_every_slo(simulated: Simulated) -> bool:
    apps = simulated.summary.apps.values()
    return all(one.in_flight == 0 and (one.on_time is None or one.on_time >= one.slo) for one in apps)
