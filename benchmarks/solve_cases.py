"""Boards and applications for `benchmarks.bench_solve`: what the manager is told, and what it shows its policy.

Everything up to a snapshot is the product's own code: a packaged board, a ladder made from packaged profiles, and
`scheduler.knowledge.Knowledge`, which builds operating points. Only rates, targets and floors are drawn here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from actors.cluster import packaged_board
from actors.stored_profiles import packaged_profile
from scheduler import contention
from scheduler.app_knowledge import AppSpec
from scheduler.board import Board, BoardUnit
from scheduler.knowledge import Knowledge
from scheduler.messages import TargetChanged
from scheduler.objectives import ObjectiveName
from scheduler.points import ArrivalModel, response_quantile_ms
from scheduler.policies import appraise
from scheduler.policies.posing import problem_of
from scheduler.policies.solving import FIRST_SHARES, Joint
from scheduler.problem import Problem, Sharing
from scheduler.profile import Profile, ServiceTime
from scheduler.views import Plan, Snapshot
from workloads.suite.generated import bounded_loads

BOARDS = ("jetson-xavier-nx", "odroid-xu3", "eight-units")
PARALLEL = 0.8
"""Share of an inference that more cores shorten, by Amdahl's law. Assumed: the packaged profiles are of one core, or of
networks too small to gain by a second one."""
GPU = 4.0
"""How many times as fast as one core a GPU is, each at the clock of its profile. Assumed: by the published figures of
Xavier NX it is 23 times, and then nearly every plan puts all on the GPU, which is soon found."""
MOST_CORES = 4
TIGHTER = 0.9
"""What becomes of a target at the event that calls for a decision."""
QUEUE_LOAD = 0.7
"""Most load at which a response time alone is asked for targets: beyond it a queue on one core has hardly an end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How much is asked of a board.

    Attributes:
        utilisation: share of the board's capacity that all applications take, each with the network of its floor.
        most: the most of one core of the fastest CPU unit that one application takes.
        slack: range of targets over the response time of an application alone on such a core at its top clock.
    """

    utilisation: float
    most: float
    slack: tuple[float, float]


LOADS: Mapping[str, Load] = {
    "light": Load(utilisation=0.15, most=0.3, slack=(2.0, 6.0)),
    "busy": Load(utilisation=0.5, most=0.6, slack=(1.25, 4.0)),
    "too much": Load(utilisation=0.9, most=0.85, slack=(0.8, 2.5)),
}


@cache
def board_of(name: str) -> Board:
    """Return a board: Xavier NX with all its clocks, the Odroid XU3, or two Xavier NX, one a fifth slower, as one."""
    if name == "odroid-xu3":
        return packaged_board(name)
    board = packaged_board("jetson-xavier-nx-unclamped")
    if name == "jetson-xavier-nx":
        return board
    cpus = sum(unit.cores for unit in board.units if unit.kind == "cpu")

    def second(unit: BoardUnit) -> BoardUnit:
        moved = tuple(cpu + cpus for cpu in unit.cpus)
        host = None if unit.host is None else f"{unit.host}b"
        return replace(unit, name=f"{unit.name}b", cpus=moved, speed=0.8 * unit.speed, host=host)

    return replace(board, name=name, units=(*board.units, *map(second, board.units)))


@cache
def ladder_of(name: str) -> Profile:
    """Return a ladder of seven networks for all units of a board.

    Times of one core are packaged: those of Dynamic-OFA on Xavier NX, of `ofa-plates` on the Odroid. On several cores
    they go by Amdahl's law, and a GPU is `GPU` times as fast.
    """
    board = board_of(name)
    base = packaged_profile("ofa-plates" if name == "odroid-xu3" else "dynamic-ofa-cpu")
    assert base is not None
    widest = max(unit.cores for unit in board.units if unit.kind == "cpu")
    rungs = []
    for rung in base.rungs:
        alone = _on_one_core(rung.times)
        times = [
            _shortened(alone, "cpu", cores, 1.0 - PARALLEL + PARALLEL / cores)
            for cores in range(1, min(MOST_CORES, widest) + 1)
        ]
        if any(unit.kind == "gpu" for unit in board.units):
            times.append(_shortened(alone, "gpu", 1, 1.0 / GPU))
        rungs.append(replace(rung, times=tuple(times)))
    return replace(base, rungs=tuple(rungs))


def _on_one_core(times: Sequence[ServiceTime]) -> ServiceTime:
    return next(time for time in times if (time.kind, time.cores) == ("cpu", 1))


def _shortened(alone: ServiceTime, kind: str, cores: int, share: float) -> ServiceTime:
    return replace(alone, kind=kind, cores=cores, samples_ms=tuple(share * ms for ms in alone.samples_ms))


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """What is drawn: applications on a board, an objective and a cap.

    Attributes:
        board: one of `BOARDS`.
        apps: number of applications.
        load: one of `LOADS`.
        objective: name of the objective.
        cap: power cap over what the plan of least power takes that there is without one; None for none.
        seed: seed of the applications, which are the same for all objectives and caps.
    """

    board: str
    apps: int
    load: str
    objective: ObjectiveName
    cap: float | None
    seed: int

    def specs(self) -> tuple[AppSpec, ...]:
        """Draw the applications as the manager is told of them; half are periodic, half Poisson."""
        rng = np.random.default_rng([self.seed, self.apps, tuple(LOADS).index(self.load)])
        load = LOADS[self.load]
        pace, capacity = _capacity(self.board)
        most = min(load.most, 0.9 * load.utilisation * capacity)
        total = min(load.utilisation * capacity, 0.9 * self.apps * most)
        low = min(0.01, 0.5 * total / self.apps)
        loads = bounded_loads(self.apps, total, low=low, high=most, rng=rng)
        return tuple(_spec(f"a{number}", self.board, pace, share, load, rng) for number, share in enumerate(loads))

    def knowledge(self, specs: Sequence[AppSpec]) -> Knowledge:
        """Return what a manager knows that has just been told of the applications."""
        return Knowledge(
            board=board_of(self.board),
            apps=specs,
            objective=self.objective,
            power_cap_w=self._cap_w(specs),
            grace_s=0.0,
            paces=True,
        )

    def _cap_w(self, specs: Sequence[AppSpec]) -> float | None:
        if self.cap is None:
            return None
        uncapped = shown(replace(self, objective="energy", cap=None).knowledge(specs), None)
        found = appraise(Joint().decide(uncapped), uncapped)
        assert found is not None  # `joint` sets clocks itself
        return self.cap * found.power_w


def shown(knowledge: Knowledge, plan: Plan | None) -> Snapshot:
    """Return what the manager shows its policy, with a plan in force; None before the first."""
    return knowledge.snapshot(
        knowledge.inputs(),
        epoch=0,
        now_s=0.0,
        gear=dict(plan.gears if plan else {}).get,
        cpus=plan.cpus if plan else {},
        events=(),
    )


def tightened(specs: Sequence[AppSpec]) -> tuple[AppSpec, ...]:
    """Return the applications after an event that calls for a decision: the first one's target is a tenth tighter."""
    first, *others = specs
    return replace(first, target_ms=TIGHTER * first.target_ms), *others


def tighten(knowledge: Knowledge, spec: AppSpec) -> None:
    """Tell a manager that the target of an application is a tenth tighter than `spec` says."""
    knowledge.retarget(
        TargetChanged(
            app=spec.app,
            target_ms=TIGHTER * spec.target_ms,
            min_accuracy=spec.min_accuracy,
            weight=spec.weight,
            slo=spec.slo,
        ),
        now_s=0.0,
    )


def posed(snapshot: Snapshot, sharing: Sharing) -> Problem:
    """Return the first problem that `joint` poses; under another `sharing`, all of others' services are waited for."""
    share = FIRST_SHARES[0] if sharing == "cpu" else 1.0
    return replace(problem_of(snapshot, {view.app: share for view in snapshot.apps}), sharing=sharing)


def forget() -> None:
    """Drop what was played of requests before, so that the next decision plays all anew.

    Tables of queues stay (`scheduler.queues`): they depend on profiles alone, and a run works them out once.
    """
    for kept in vars(contention).values():
        if hasattr(kept, "cache_clear"):
            kept.cache_clear()


@cache
def _capacity(name: str) -> tuple[float, float]:
    """Return the pace of the fastest CPU unit at its top clock, and the capacity of all units in cores of that one.

    A GPU counts as many cores as it is quicker with the middle network.
    """
    units, profile = board_of(name).units, ladder_of(name)
    pace = max(unit.pace(unit.mhz[-1]) for unit in units if unit.kind == "cpu")
    middle = profile.rungs[len(profile.rungs) // 2].times
    mean_ms = {time.kind: time.mean_ms for time in middle if time.cores == 1}
    works = [unit.cores * unit.pace(unit.mhz[-1]) / pace * mean_ms["cpu"] / mean_ms[unit.kind] for unit in units]
    return pace, math.fsum(works)


def _spec(app: str, board: str, pace: float, share: float, load: Load, rng: np.random.Generator) -> AppSpec:
    profile = ladder_of(board)
    rung = profile.rungs[int(rng.integers(len(profile.rungs)))]
    time = _on_one_core(rung.times)
    full_hz = 1000.0 * pace / time.mean_ms
    arrivals = ArrivalModel(kind="periodic" if rng.random() < 0.5 else "poisson", rate_hz=share * full_hz)
    calm = replace(arrivals, rate_hz=min(share, QUEUE_LOAD) * full_hz)
    alone_ms = float(response_quantile_ms(time, np.array([1.0 / pace]), arrivals=calm, slo=0.95)[0])
    return AppSpec(
        app=app,
        profile=profile,
        arrivals=arrivals,
        target_ms=float(rng.uniform(*load.slack)) * alone_ms,
        min_accuracy=(rung.accuracy or 0.0) if rng.random() < 0.8 else 0.0,
        weight=float(rng.choice([0.5, 1.0, 2.0])),
    )
