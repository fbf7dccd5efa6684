"""The problem that a snapshot poses to the solver, and what any choice comes to in it.

What an application waits for others is a part of their services (`Demand.wait_share`). The model of contention says
which part at one choice of points, clocks and CPUs (`scheduler.policies.waiting`); elsewhere that is an approximation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import assert_never, cast

from scheduler.board import BoardUnit
from scheduler.policies.waiting import wait_shares_of
from scheduler.problem import Demand, Kind, OperatingPoint, Problem, Unit
from scheduler.solver import Evaluation, evaluate
from scheduler.views import Snapshot, UnitView


def unit_of(unit: UnitView | BoardUnit) -> Unit:
    """Return a unit as the solver sees it: with its cores online and the clocks allowed.

    Where its power is not known it counts as nothing, so that only violation (and accuracy) is weighed. Its power with
    no load is that of an idle unit: what a busy one takes on top is in the points (`scheduler.points`).
    """
    match unit:
        case UnitView():
            cores, mhz = unit.cores_online, unit.mhz_allowed
        case BoardUnit():
            cores, mhz = unit.cores, unit.mhz
        case _:
            assert_never(unit)
    static_w = unit.static_w or (0.0,) * len(mhz)
    if isinstance(unit, UnitView) and unit.paced:
        static_w = (static_w[0],) * len(mhz)  # whatever clock its requests get, it rests at its lowest
    return _unit(
        unit.name, cast(Kind, unit.kind), cores, mhz, tuple(unit.idle_share * watts for watts in static_w), unit.off_w
    )


@lru_cache(maxsize=64)
def _unit(
    name: str, kind: Kind, cores: int, mhz: tuple[float, ...], static_w: tuple[float, ...], off_w: float | None
) -> Unit:
    """Return a unit; one decision poses several problems with the same ones, and each is checked when it is made."""
    return Unit(name=name, kind=kind, cores=cores, mhz=mhz, static_w=static_w, off_w=off_w)


def problem_of(snapshot: Snapshot, shares: Mapping[str, float]) -> Problem:
    """Return the optimisation problem that a snapshot poses.

    Requests may have turned out to take less, and to wait for less, than foreseen. The target is then met where
    own_ratio · own + wait_ratio · waits <= target. The solver knows one factor, on waits, so both sides are divided by
    own_ratio: own + (wait_ratio / own_ratio) · waits <= target / own_ratio. A target of 80 ms with an own_ratio of 0.8
    and a wait_ratio of 0.4 becomes one of 100 ms, with half of the waiting counted.

    Args:
        snapshot: the snapshot.
        shares: by application, the part of others' services that it is foreseen to wait for.
    """
    demands = tuple(
        Demand(
            app=view.app,
            rate_hz=view.rate_hz,
            target_ms=view.target_ms / view.own_ratio,
            wait_share=shares[view.app] * view.wait_ratio / view.own_ratio,
            min_accuracy=view.min_accuracy,
            weight=view.weight,
            points=view.points,
        )
        for view in snapshot.apps
    )
    return Problem(
        units=tuple(unit_of(unit) for unit in snapshot.units),
        demands=demands,
        objective=snapshot.objective,
        power_cap_w=snapshot.power_cap_w,
        sharing="cpu",
    )


def evaluate_choice(
    snapshot: Snapshot,
    choice: Mapping[str, OperatingPoint],
    mhz: Mapping[str, float],
    cpus: Mapping[str, tuple[int, ...]],
    shares: Mapping[str, float] | None = None,
) -> Evaluation:
    """Evaluate a choice with the waiting that the model of contention foresees for it.

    Args:
        snapshot: the snapshot.
        choice: by application, the point taken.
        mhz: by unit, its clock.
        cpus: by application, its CPUs, counted from 0 on its unit; (0,) on a GPU.
        shares: what `wait_shares_of` returns for the choice, where that is known already.

    Returns:
        The evaluation; its `waits_ms` are what the model foresees, before what has been seen of waiting counts
        (`AppView.wait_ratio`).
    """
    shares = wait_shares_of(snapshot, choice, cpus) if shares is None else shares
    return evaluate_posed(problem_of(snapshot, shares), shares, choice, mhz, cpus)


def evaluate_posed(
    problem: Problem,
    shares: Mapping[str, float],
    choice: Mapping[str, OperatingPoint],
    mhz: Mapping[str, float],
    cpus: Mapping[str, tuple[int, ...]],
) -> Evaluation:
    """Evaluate a choice as `evaluate_choice` does, in a problem that was posed with its own waiting already.

    Args:
        problem: what `problem_of` returned for the shares.
        shares: what `wait_shares_of` returned for the choice.
        choice: by application, the point taken.
        mhz: by unit, its clock.
        cpus: by application, its CPUs.
    """
    found = evaluate(problem, choice, mhz, cpus)
    return replace(found, waits_ms={app: shares[app] * waits_ms for app, waits_ms in found.waits_ms.items()})
