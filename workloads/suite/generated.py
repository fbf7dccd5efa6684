"""Mixes made at random, any number of them, so that no result rests on scenarios made by hand.

The load of an application is the share of one of the fastest cores, at its top clock, that its largest network takes:
its rate times the mean service there. The utilisation of a mix is the load of all its applications over the capacity of
the board, counted in such cores. Where every network takes several cores of a unit, so many count as one. At 0.9 the
board is nearly full with networks that were chosen at design time, but not overloaded from the outset. Where a board
has networks for CPU and GPU, each of the two gets the utilisation.

The loads are drawn by UUniFast (Bini and Buttazzo, Real-Time Systems 30, 2005), none above what one core, or a camera
of 60 Hz, can do: an application is served one request at a time. Nothing here knows about policies or energy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from actors.stored_profiles import packaged_profile
from scheduler.board import Board
from scheduler.points import ArrivalModel, response_quantile_ms
from scheduler.problem import FULL_LOAD
from scheduler.profile import Profile, ServiceTime
from workloads.mix.app import App
from workloads.mix.arrivals import Periodic, Poisson
from workloads.mix.errors import MixError, whole
from workloads.mix.events import MixEvent, at
from workloads.mix.mix import Mix

MAX_APPS = 8
MAX_HZ = 60.0
"""Rate of a fast camera, the highest of an application."""
MIN_LOAD = 0.05
"""Lowest load of an application, so that each has some requests in a run."""
MIN_DURATION_S = 60.0
DURATION_SERVICES = 160
"""Length of a run in services of the slowest network. An application with a load of 0.5 then has more than the 73
requests that are needed to show 95 % on time."""
UTILISATION = (0.1, 0.9)
SLACK = (1.25, 4.0)
"""Targets over the response time of an application alone. A slack of 1 would leave no time to wait for others; with 4
most applications can use a slower unit."""

_LADDERS = ("ofa-plates", "dynamic-ofa-cpu", "dynamic-ofa-gpu", "mlperf-tflite-pi4", "mlperf-armnn-n2")
"""The supernets of generated mixes. The other packaged ones are rivals or variants, or take seconds for an answer."""
_SLO = 0.95
_EVENTFUL = 0.5
"""Share of the mixes in which something changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Generated:
    """A mix that was made at random.

    Attributes:
        mix: the mix, made for one board.
        utilisation: share of each kind of unit that the largest networks need while all applications are there.
    """

    mix: Mix
    utilisation: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """CPU or GPU units of a board, and the ladder of the applications there.

    Attributes:
        name: `cpu` or `gpu`.
        profile: the profile of the ladder.
        cores: cores that each of its networks takes.
        pace: pace of the fastest unit at its top clock.
        capacity: capacity of all cores at their top clocks, so many at a time, in those of the fastest unit.
    """

    name: str
    profile: Profile
    cores: int
    pace: float
    capacity: float

    def service(self, place: int) -> ServiceTime:
        """Return the service time of the network at that place in the ladder."""
        return self.profile.service(self.profile.rungs[place].subnet, self.name, self.cores)

    @property
    def largest_s(self) -> float:
        """Mean service time in seconds of the largest network on the fastest unit at its top clock."""
        return self.service(-1).mean_ms / self.pace / 1000

    @property
    def most_load(self) -> float:
        """The highest load of an application."""
        return min(FULL_LOAD, MAX_HZ * self.largest_s)


def generated_mix(seed: int, board: Board, *, duration_s: float | None = None) -> Generated:
    """Make a mix for a board, of networks with a packaged profile that fits it.

    Args:
        seed: seed of all that is drawn here, at least 0; the arrival times have the seed of the run.
        board: a board with at least one kind of unit that such networks can load.
        duration_s: length of the run in seconds; None for a minute, or longer for slow networks (`DURATION_SERVICES`).

    Raises:
        MixError: if the seed is not a whole number of at least 0, or there are no such networks for the board.
    """
    rng = np.random.default_rng(whole("seed", seed, low=0))
    kinds = _kinds(board)
    if not kinds:
        raise MixError(
            f"board {board.name!r}: no mix can be generated. Of the packaged profiles {', '.join(_LADDERS)} none has "
            f"times that its speeds are relative to (speed_of {board.speed_of!r}), or its cores are too many or too "
            f"fast for {MAX_APPS} applications to load; use another board."
        )
    if duration_s is None:
        duration_s = max(MIN_DURATION_S, DURATION_SERVICES * max(kind.largest_s for kind in kinds))
    utilisation, slack = float(rng.uniform(*UTILISATION)), float(rng.uniform(*SLACK))
    floors = [int(rng.integers(len(kind.profile.rungs))) for kind in kinds]
    apps: list[App] = []
    for kind, floor, count in zip(kinds, floors, _counts(kinds, utilisation, rng), strict=True):
        loads = bounded_loads(count, utilisation * kind.capacity, low=MIN_LOAD, high=kind.most_load, rng=rng)
        apps += [_app(f"{kind.name}-{number}", kind, floor, load, slack, rng) for number, load in enumerate(loads)]
    stay, events = _changes(apps, duration_s, rng) if rng.random() < _EVENTFUL else (apps, [])
    return Generated(
        mix=Mix(f"generated-{seed}", apps=stay, events=events, duration_s=duration_s, boards=(board.name,)),
        utilisation=utilisation,
    )


def uunifast(n: int, total: float, rng: np.random.Generator) -> list[float]:
    """Draw n numbers of at least 0 with a total, uniformly over all such (UUniFast, Bini and Buttazzo 2005)."""
    numbers, left = [], total
    for others in range(n - 1, 0, -1):
        rest = left * rng.random() ** (1 / others)
        numbers.append(left - rest)
        left = rest
    return [*numbers, left]


def bounded_loads(n: int, total: float, *, low: float, high: float, rng: np.random.Generator) -> list[float]:
    """Draw n numbers within bounds with a total, uniformly over all such.

    Draws of `uunifast` with a number above its bound are discarded (Davis and Burns, Real-Time Systems 47, 2011). If
    the total is nearer to n · high, the differences to `high` are drawn instead: that is as uniform, and fewer draws
    are discarded.

    Args:
        n: number of numbers, at least 1.
        total: their total, from n · low to n · high.
        low: lower bound of each.
        high: upper bound of each.
        rng: the generator to draw with.
    """
    room = high - low
    from_above = total > n * (low + high) / 2
    drawn = max(0.0, n * high - total if from_above else total - n * low)
    while max(numbers := uunifast(n, drawn, rng)) > room:
        pass
    return [high - number if from_above else low + number for number in numbers]


def _kinds(board: Board) -> list[_Kind]:
    """Return the kinds of units that can be loaded, each with the first ladder that was profiled for it."""
    found: dict[str, _Kind] = {}
    for ladder in _LADDERS:
        profile = packaged_profile(ladder)
        if profile is None or profile.speed_of != board.speed_of:
            continue
        for name in dict.fromkeys(time.kind for time in profile.rungs[0].times):
            cores = min(time.cores for time in profile.rungs[0].times if time.kind == name)
            paces = [
                (unit.pace(unit.mhz[-1]), unit.cores // cores)
                for unit in board.units
                if unit.kind == name and unit.cores >= cores
            ]
            if not paces:
                continue
            fastest = max(pace for pace, _ in paces)
            capacity = math.fsum(places * pace / fastest for pace, places in paces)
            kind = _Kind(name=name, profile=profile, cores=cores, pace=fastest, capacity=capacity)
            # One application is kept for the other kind of unit.
            if kind.most_load > MIN_LOAD and UTILISATION[1] * capacity <= (MAX_APPS - 1) * kind.most_load:
                found.setdefault(name, kind)
    return list(found.values())


def _counts(kinds: Sequence[_Kind], utilisation: float, rng: np.random.Generator) -> list[int]:
    """Draw the number of applications of each kind: enough for its load, and at most `MAX_APPS` in all."""
    loads = [utilisation * kind.capacity for kind in kinds]
    counts = [math.ceil(load / kind.most_load) for load, kind in zip(loads, kinds, strict=True)]
    for _ in range(int(rng.integers(sum(counts), MAX_APPS + 1)) - sum(counts)):
        wide = [place for place, load in enumerate(loads) if (counts[place] + 1) * MIN_LOAD <= load]
        if wide:
            counts[wide[rng.integers(len(wide))]] += 1
    return counts


def _app(name: str, kind: _Kind, floor: int, load: float, slack: float, rng: np.random.Generator) -> App:
    hz = load / kind.largest_s
    periodic = bool(rng.random() < 0.5)
    model = ArrivalModel(kind="periodic" if periodic else "poisson", rate_hz=hz)
    alone_ms = response_quantile_ms(kind.service(floor), np.array([1 / kind.pace]), arrivals=model, slo=_SLO)
    return App(
        name,
        supernet=kind.profile.supernet,
        arrivals=Periodic(hz=hz) if periodic else Poisson(hz=hz),
        latency_ms=slack * float(alone_ms[0]),
        min_accuracy=kind.profile.rungs[floor].accuracy or 0.0,
        slo=_SLO,
    )


def _changes(apps: Sequence[App], duration_s: float, rng: np.random.Generator) -> tuple[list[App], list[MixEvent]]:
    """Let each application but the first stay as it is, come later, leave early, or get a target for a while.

    No change makes an application need more than before, so the utilisation is the highest of the run.
    """
    stay, events = [apps[0]], list(_target_for_a_while(apps[0], duration_s, rng))
    for app in apps[1:]:
        change = rng.choice(["none", "comes", "leaves", "target"])
        if change == "comes":
            events.append(at(float(rng.uniform(0.1, 0.5)) * duration_s, add=app))
            continue
        stay.append(app)
        if change == "leaves":
            events.append(at(float(rng.uniform(0.5, 0.9)) * duration_s, remove=app.name))
        elif change == "target":
            events += _target_for_a_while(app, duration_s, rng)
    return stay, events


def _target_for_a_while(app: App, duration_s: float, rng: np.random.Generator) -> Iterator[MixEvent]:
    """Yield the events of a target up to twice as long, from a time in the first half until one in the second."""
    longer_ms = app.latency_ms * float(rng.uniform(1.25, 2.0))
    yield at(float(rng.uniform(0.1, 0.5)) * duration_s, app.name, latency_ms=longer_ms)
    yield at(float(rng.uniform(0.5, 0.9)) * duration_s, app.name, latency_ms=app.latency_ms)
