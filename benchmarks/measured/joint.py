"""The points that `joint` chooses on a measured table, from what it could know: one clock of each network.

For each network it has

- a *profile*: its time at the table's top clock, as `gearshift profile` measures it;
- its *activity*: measured at that one clock where the board has sensors, else 1, or that of another board;
- the *board's figures*, made from all networks but this one: idle power at each clock, the median of what a busy core
  adds at each clock, the share of a run that the clock does not stretch, and how fast one unit is beside another. The
  last two may be the network's own, timed at the lowest and the highest clock of each unit: gearshift's profiles do not
  have that, and this shows what it would bring.

From these `operating_points` predicts every point of the table and `solve` chooses one. As in a run, a latency that was
observed then corrects the predictions of that application, a margin grows where that leads to lateness again
(`scheduler.feedback.Caution`), and it chooses anew until the choice stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import median

import numpy as np

from benchmarks.measured.points import Point, Table, mlperf
from benchmarks.measured.requests import Request
from scheduler.board import Board, BoardUnit
from scheduler.feedback import Caution
from scheduler.points import ArrivalModel, operating_points
from scheduler.problem import Demand, OperatingPoint, Problem, Unit
from scheduler.profile import Profile, RungProfile, ServiceTime
from scheduler.solver import solve

_ROUNDS = 24
"""Most corrections by observed latency for a request: enough for each step of the margin to be met twice."""

_APP = "app"
Activity = Callable[[Table, Point, float], float]
"""By table, a point at the top clock and the median power of other networks there, the activity of its network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Knowing:
    """What `joint` is given.

    Attributes:
        activity: how it knows a network's activity.
        timed_at_ends: true if each network was timed at the lowest and the highest clock of each unit.
        rounds: how often an observed latency corrects it; 0 for its first choice.
    """

    activity: Activity
    timed_at_ends: bool = False
    rounds: int = _ROUNDS


def activity_of_1(table: Table, point: Point, typical_w: float) -> float:
    """Return 1, what is assumed of a network of which no power was ever measured."""
    return 1.0


def measured_activity(table: Table, point: Point, typical_w: float) -> float:
    """Return the activity that a sensor shows while the network is profiled at the top clock."""
    return point.above_w / typical_w


def activity_elsewhere(table: Table, point: Point, typical_w: float) -> float:
    """Return the network's activity on another board; 1 where the table has no such board."""
    return _activities(table.donor).get(point.network, 1.0) if table.donor else 1.0


@cache
def _activities(name: str) -> Mapping[str, float]:
    """Return the activity of each network of one of MLPerf's tables: its power above idle over the median."""
    above_w = {point.network: point.above_w for points in mlperf(name).ladders.values() for point in points}
    typical_w = median(above_w.values())
    return {network: watts / typical_w for network, watts in above_w.items()}


@dataclass(frozen=True, slots=True)
class Known:
    """One network: the board that its points are predicted with, and its profile."""

    board: Board
    profile: Profile


def choices(table: Table, request: Request, knowing: Knowing) -> tuple[Point, ...]:
    """Return the points that `joint` chooses one after the other; it settles on the last.

    Args:
        table: the measured points, of which only what is said above is looked at.
        request: what is asked for.
        knowing: what it is given.
    """
    ratio, margin = 1.0, 0.0
    chosen: list[Point] = []
    for _ in range(knowing.rounds + 1):
        point, predicted_ms = _choice(table, request, knowing, ratio, margin)
        if chosen[-1:] == [point]:
            break
        if point in chosen and point.run_ms > request.target_ms:
            margin = min(margin + Caution.STEP, Caution.MOST)
        chosen.append(point)
        ratio *= point.run_ms / predicted_ms
    return tuple(chosen)


def _choice(table: Table, request: Request, knowing: Knowing, ratio: float, margin: float) -> tuple[Point, float]:
    """Return the point chosen with corrected service times and a margin, and the service that was predicted of it."""
    arrivals = ArrivalModel(kind="periodic", rate_hz=1000 / request.period_ms)
    measured = {(one.network, one.unit, one.mhz): one for one in table.ladders[request.ladder]}
    points: list[OperatingPoint] = []
    for known in _knowledge(table, request.ladder, knowing):
        points += operating_points(
            known.board, known.profile, app=_APP, arrivals=arrivals, slo=0.95, service_ratio=ratio, margin=margin
        )
    units = tuple(Unit(name=unit.name, kind="cpu", cores=1, mhz=unit.mhz, static_w=unit.idle_w) for unit in table.units)
    demand = Demand(
        app=_APP,
        rate_hz=1000 / request.period_ms,
        target_ms=request.target_ms,
        min_accuracy=request.min_accuracy,
        weight=1.0,
        points=tuple(p for p in points if (p.subnet, p.unit, p.mhz) in measured),
    )
    choice = solve(Problem(units=units, demands=(demand,), power_cap_w=request.cap_w)).choice[_APP]
    return measured[choice.subnet, choice.unit, choice.mhz], choice.busy_ms


_CACHE: dict[tuple[str, str, Knowing], tuple[Known, ...]] = {}


def _knowledge(table: Table, ladder: str, knowing: Knowing) -> tuple[Known, ...]:
    """Return what is known of each network of a ladder, worked out once."""
    key = (table.name, ladder, knowing)
    if key not in _CACHE:
        networks = dict.fromkeys(point.network for point in table.ladders[ladder])
        _CACHE[key] = tuple(known_of(table, ladder, network, knowing) for network in networks)
    return _CACHE[key]


def known_of(table: Table, ladder: str, network: str, knowing: Knowing) -> Known:
    """Return what `joint` knows of one network: its own rows at the top clock, and the other networks' rows.

    Args:
        table: the measured points.
        ladder: the ladder that the network is of.
        network: its name.
        knowing: what `joint` is given.
    """
    others = [(name, p) for name, points in table.ladders.items() for p in points if p.network != network]
    at_top_ms = {(name, p.network): p.run_ms for name, p in others if (p.unit, p.mhz) == table.top}
    units = tuple(
        _board_unit(table, place, [(name, p) for name, p in others if p.unit == unit.name], at_top_ms)
        for place, unit in enumerate(table.units)
    )
    assert units[0].dynamic_w is not None
    typical_w = units[0].dynamic_w[-1]
    (own,) = (p for p in table.at_top(ladder) if p.network == network)
    if knowing.timed_at_ends:
        rows = [p for p in table.ladders[ladder] if p.network == network]
        units = tuple(_timed_at_ends(unit, rows, own.run_ms) for unit in units)
    time = ServiceTime(kind="cpu", cores=1, samples_ms=(own.run_ms,), activity=knowing.activity(table, own, typical_w))
    rung = RungProfile(subnet=network, accuracy=own.accuracy, accuracy_source="published", times=(time,))
    return Known(
        board=Board(name=table.name, units=units, base_w=None, sensor="none", power_source="fitted: other networks"),
        profile=Profile(supernet=ladder, machine=table.name, rungs=(rung,)),
    )


def _board_unit(
    table: Table, place: int, others: list[tuple[str, Point]], at_top_ms: Mapping[tuple[str, str], float]
) -> BoardUnit:
    """Return a unit's figures from other networks' rows on it, and from theirs at the table's top clock: medians."""
    unit = table.units[place]
    top_mhz = unit.mhz[-1]
    own_top_ms = {(name, p.network): p.run_ms for name, p in others if p.mhz == top_mhz}
    return BoardUnit(
        name=unit.name,
        kind="cpu",
        cpus=(place,),
        dvfs="cpufreq",
        mhz=unit.mhz,
        static_w=unit.idle_w,
        dynamic_w=tuple(median(p.above_w for _, p in others if p.mhz == mhz) for mhz in unit.mhz),
        speed=median(at_top_ms[key] / run_ms for key, run_ms in own_top_ms.items()),
        memory_share=memory_share([(p, own_top_ms[name, p.network]) for name, p in others], top_mhz),
    )


def _timed_at_ends(unit: BoardUnit, rows: Sequence[Point], profiled_ms: float) -> BoardUnit:
    """Return a unit with the network's own speed and share, from its times at the lowest and highest clock there."""
    own = {p.mhz: p for p in rows if p.unit == unit.name}
    top = own[unit.mhz[-1]]
    share = memory_share([(own[min(own)], top.run_ms)], top.mhz)
    return replace(unit, speed=profiled_ms / top.run_ms, memory_share=share)


def memory_share(points: Sequence[tuple[Point, float]], top_mhz: float) -> float:
    """Return the share of a run at a unit's top clock that a lower clock does not stretch.

    The least-squares m of time(f) / time(F) = m + (1 - m) · F / f, within 0 and 1; 0 where there is but one clock.
    10 ms at 2000 MHz and 15 ms at 1000 MHz are a share of 0.5.

    Args:
        points: points on the unit, each with the time of its network at the top clock.
        top_mhz: the top clock F.
    """
    slower = np.array([top_mhz / point.mhz - 1 for point, _ in points])
    longer = np.array([point.run_ms / at_top_ms - 1 for point, at_top_ms in points])
    follows = float(slower @ longer / (slower @ slower)) if slower.any() else 1.0
    return min(1.0, max(0.0, 1 - follows))
