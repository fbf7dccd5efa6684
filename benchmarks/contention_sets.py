"""Random sets of applications that share CPUs, and what the simulator makes of them at constant gears.

A set is one unit of one, two or four CPUs with two to six applications, which get their CPUs from the manager's own
placement. `python -m benchmarks.bench_contention` compares models of contention with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from actors.requests.records import Status
from scheduler.board import Board, BoardUnit
from scheduler.contention import Sharer
from scheduler.placement import spread
from scheduler.points import ArrivalModel
from scheduler.policies.scripted import Scripted
from scheduler.problem import FULL_LOAD
from scheduler.profile import Profile, RungProfile, ServiceTime
from scheduler.views import Gear, Plan
from workloads import App, Mix, Periodic, Poisson, Saturate, at
from workloads.mix.arrivals import Arrivals
from workloads.runs.simulated import plan_simulation
from workloads.simulator import simulate

_UNIT = "u"
_ROUND_HZ = np.array([1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 25, 30, 40, 50, 60])
"""Rates of cameras and sensors: in half of the sets periodic rates are among them, so that phases stay."""

REQUESTS, MOST = 1200, 15_000
"""Requests of the rarest application that are simulated, unless those of all are more than `MOST`."""

_SETTLED_S = 3.0
"""From then on requests count: all applications are there and in gear."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentionSet:
    """A set of applications on one unit.

    Attributes:
        cpus: number of CPUs.
        sharers: the applications, with the phases of their periodic arrivals.
        load: of all CPUs together, closed loops left out.
        rounded: True if periodic rates are round figures.
        seed: seed of its simulation.
    """

    cpus: int
    sharers: tuple[Sharer, ...]
    load: float
    rounded: bool
    seed: int


def draw_set(part: str, number: int) -> ContentionSet:
    """Return a set, the same for a number and part: `tuning`, or `held out` for what nothing was tuned on."""
    rng = np.random.default_rng([*part.encode(), number])
    while True:
        drawn = _drawn(rng, number)
        if drawn is not None:
            return drawn


def _drawn(rng: np.random.Generator, number: int) -> ContentionSet | None:
    cpus = int(rng.choice([1, 1, 1, 2, 4]))
    count = int(rng.integers(2, 7))
    load = float(rng.uniform(0.1, 0.9))
    parts = rng.dirichlet(np.full(count, 2.0)) * load * cpus
    rounded, together, looped = rng.uniform() < 0.5, rng.uniform() < 0.5, rng.uniform() < 0.1
    sharers = []
    for place in range(count):
        cores = int(rng.choice([1, 1, 1, 2])) if cpus > 1 else 1
        service_ms = math.exp(rng.uniform(math.log(3), math.log(60)))
        rate_hz = 1000 * parts[place] / cores / service_ms
        kind = str(rng.choice(["periodic", "periodic", "jittered", "poisson", "poisson"]))
        if rounded and kind == "periodic":
            rate_hz = float(_ROUND_HZ[np.argmin(abs(np.log(_ROUND_HZ / rate_hz)))])
            service_ms = 1000 * parts[place] / cores / rate_hz
        jitter_ms = float(rng.uniform(0, 1.2)) * 1000 / rate_hz if kind == "jittered" else 0.0
        kind = {"jittered": "periodic"}.get(kind, kind)
        if looped and place == 0:
            kind = "saturate"
        spread = float(rng.choice([0.0, rng.uniform(0.05, 0.2), rng.uniform(0.05, 0.2), rng.uniform(0.3, 0.6)]))
        joins_ms = 0.0 if together else 1000 * float(rng.uniform())
        sharers.append(
            Sharer(
                time=_service_time(service_ms, spread, cores, rng),
                stretch=1.0,
                arrivals=ArrivalModel(kind=kind, rate_hz=rate_hz, jitter_ms=jitter_ms),  # type: ignore[arg-type]
                target_ms=service_ms * math.exp(rng.uniform(math.log(1.5), math.log(10))),
                slo=float(rng.uniform(0.9, 0.99)),
                phase_ms=joins_ms,
            )
        )
    rates = [one.rate_hz for one in sharers]
    if max(rates) > 20 * min(rates) or not all(2 <= one.time.mean_ms <= 100 for one in sharers):
        return None
    if sum(one.time.cores for one in sharers) <= cpus or most_loaded(sharers, cpus) > FULL_LOAD:
        return None  # nobody waits for anybody, or somebody waits for ever
    return ContentionSet(cpus=cpus, sharers=tuple(sharers), load=load, rounded=bool(rounded), seed=number)


def most_loaded(sharers: Sequence[Sharer], cpus: int) -> float:
    """Return the load of the most loaded CPU as the manager places the applications, closed loops left out."""
    open_loops = [one for one in placed(sharers, cpus) if one.arrivals.kind != "saturate"]
    return max(sum(_load(one) for one in open_loops if cpu in one.cpus) for cpu in range(cpus))


def placed(sharers: Sequence[Sharer], cpus: int) -> list[Sharer]:
    """Return the applications on the CPUs that the manager gives them."""
    cores = {str(place): one.time.cores for place, one in enumerate(sharers)}
    loads = {str(place): _load(one) for place, one in enumerate(sharers)}
    found = spread(range(cpus), cores, loads, dict.fromkeys(cores, ()))
    return [replace(one, cpus=found[str(place)]) for place, one in enumerate(sharers)]


def _load(sharer: Sharer) -> float:
    return sharer.rate_hz * sharer.time.mean_ms * sharer.stretch / 1000


def _service_time(mean_ms: float, spread: float, cores: int, rng: np.random.Generator) -> ServiceTime:
    """Return gamma-distributed samples with that coefficient of variation, as many as a profile has."""
    samples_ms = np.full(1, 1.0) if spread == 0 else np.sort(rng.gamma(spread**-2, 1.0, int(rng.integers(50, 200))))
    return ServiceTime(kind="cpu", cores=cores, samples_ms=tuple((samples_ms * mean_ms / samples_ms.mean()).tolist()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """What the simulator makes of a set.

    Attributes:
        sharers: the applications, with the CPUs that they got.
        latencies_ms: by application, the latencies of its requests in order of arrival; infinite where none ended.
    """

    sharers: tuple[Sharer, ...]
    latencies_ms: tuple[np.ndarray[Any, np.dtype[np.float64]], ...]

    def quantiles_ms(self, begin: float = 0.0, end: float = 1.0) -> list[float]:
        """Return each application's slo quantile over a part of its requests."""
        found = []
        for sharer, all_ms in zip(self.sharers, self.latencies_ms, strict=True):
            some_ms = np.sort(all_ms[int(begin * len(all_ms)) : int(end * len(all_ms))])
            found.append(float(some_ms[math.ceil(sharer.slo * len(some_ms)) - 1]))
        return found


def play(drawn: ContentionSet, *, requests: int = REQUESTS, most: int = MOST) -> Played:
    """Simulate a set at constant gears and one clock; no request is dropped, so that each has a latency.

    Args:
        drawn: the set.
        requests: how many requests of the rarest application.
        most: how many of all together at most.
    """
    names = [f"a{place}" for place in range(len(drawn.sharers))]
    rates = [sharer.rate_hz for sharer in drawn.sharers]
    duration_s = _SETTLED_S + min(requests / min(rates), most / sum(rates))
    apps = [_app(name, sharer) for name, sharer in zip(names, drawn.sharers, strict=True)]
    joins_s = [(sharer.phase_ms or 0.0) / 1000 for sharer in drawn.sharers]
    mix = Mix(
        "set",
        duration_s=duration_s,
        apps=[app for app, joins in zip(apps, joins_s, strict=True) if not joins],
        events=[at(joins, add=app) for app, joins in zip(apps, joins_s, strict=True) if joins],
    )
    unit = BoardUnit(
        name=_UNIT,
        kind="cpu",
        cpus=tuple(range(drawn.cpus)),
        dvfs="emulated",
        mhz=(1000.0,),
        static_w=None,
        dynamic_w=None,
    )
    board = Board(name="bench", units=(unit,), base_w=None, sensor="none", power_source="unknown")
    profiles = {name: _profile(name, sharer.time) for name, sharer in zip(names, drawn.sharers, strict=True)}
    gears = {
        name: Gear(subnet=name, unit=_UNIT, cores=sharer.time.cores)
        for name, sharer in zip(names, drawn.sharers, strict=True)
    }
    plan = plan_simulation(mix, board, policy="floor", seed=drawn.seed, epoch_ms=1000.0, profiles=profiles)
    scripted = [(0.0, Plan(gears=gears, clocks={_UNIT: 1000.0}))]
    run = simulate(replace(plan, policy="scripted", make_policy=lambda: Scripted(scripted)))
    cpus = [entry for entry in run.entries if entry["kind"] == "plan"][-1]["cpus"]
    return Played(
        sharers=tuple(
            replace(sharer, cpus=tuple(cpus[name])) for name, sharer in zip(names, drawn.sharers, strict=True)
        ),
        latencies_ms=tuple(_latencies_ms(run.records[name], duration_s) for name in names),
    )


def _app(name: str, sharer: Sharer) -> App:
    arrivals: Arrivals
    match sharer.arrivals.kind:
        case "periodic":
            arrivals = Periodic(hz=sharer.arrivals.rate_hz, jitter_ms=sharer.arrivals.jitter_ms)
        case "poisson":
            arrivals = Poisson(hz=sharer.arrivals.rate_hz)
        case "saturate":
            arrivals = Saturate()
    return App(
        name,
        supernet=name,
        arrivals=arrivals,
        latency_ms=sharer.target_ms,
        slo=sharer.slo,
        drop="newest",
        queue=100_000,
    )


def _profile(name: str, time: ServiceTime) -> Profile:
    rung = RungProfile(subnet=name, accuracy=0.9, accuracy_source="measured", times=(time,))
    return Profile(supernet=name, machine="bench", rungs=(rung,))


def _latencies_ms(records: Any, duration_s: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    arrived = {
        int(index): float(arrival_s) for index, arrival_s in zip(records["index"], records["arrival_s"], strict=True)
    }
    done = records[records["status"] == Status.COMPLETED]
    ended = dict(zip(done["index"].tolist(), done["end_s"].tolist(), strict=True))
    counted = sorted(index for index, arrival_s in arrived.items() if _SETTLED_S <= arrival_s < duration_s - 1)
    return np.array([1000 * (ended.get(index, math.inf) - arrived[index]) for index in counted])
