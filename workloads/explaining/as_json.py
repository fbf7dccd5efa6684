"""An explanation as plain values, for one JSON object: what the sentences say, and the sentences."""

from __future__ import annotations

import json
from typing import Any

from scheduler.explaining import AppSide, Choice, Cost, Explanation
from scheduler.points import planned_share
from workloads.explaining.reading import Moment, weighs
from workloads.explaining.words import sections


def to_json(moment: Moment, explained: Explanation) -> str:
    """Return the JSON object as text; a figure that is not known is null."""
    return json.dumps(to_plain(moment, explained), indent=2, allow_nan=False)


def to_plain(moment: Moment, explained: Explanation) -> dict[str, Any]:
    """Return the explanation as plain values."""
    chosen, summary, powered = explained.chosen, moment.run.summary, explained.powered
    return {
        "mix": summary.mix,
        "board": summary.board,
        "policy": summary.policy,
        "seed": summary.seed,
        "at_s": moment.at_s,
        "plan": {
            "number": moment.number,
            "decided_s": moment.decided_s,
            "confirmed_s": moment.decision.now_s,
            "why": list(moment.why),
            "proven": chosen.proven,
            "within": chosen.within,
            "kept": explained.kept,
            **_figures(chosen, powered),
        },
        "objective": explained.objective,
        "power_cap_w": explained.power_cap_w,
        "power_source": moment.grounds.board.power_source,
        "weighs_power": weighs(moment),
        "apps": {side.view.app: _app(moment, side) for side in explained.apps},
        "units": {name: _unit(explained, name, clock) for name, clock in chosen.clocks.items()},
        "binds": [_constraint(cost) for cost in explained.costs if cost.binds],
        "costs": [_cost(cost) for cost in explained.costs],
        "runner_up": None if explained.runner_up is None else _choice(explained.runner_up, powered),
        "best": _choice(explained.best, powered),
        "sentences": [sentence for part in sections(moment, explained).values() for sentence in part],
    }


def _figures(choice: Choice, powered: bool) -> dict[str, Any]:
    figures = choice.figures
    return {
        "power_w": figures.power_w if figures and powered else None,
        "violation": figures.violation if figures else None,
    }


def _choice(choice: Choice, powered: bool) -> dict[str, Any]:
    return {
        "gears": {app: gear.plain() for app, gear in choice.gears.items()},
        "clocks": dict(choice.clocks),
        "proven": choice.proven,
        **_figures(choice, powered),
    }


def _app(moment: Moment, side: AppSide) -> dict[str, Any]:
    view, gear = side.view, side.gear
    behind = moment.behind.get(view.app)
    return {
        "gear": gear.plain(),
        "cpus": list(moment.cpus.get(view.app, ())),
        "clock_for_each_request": view.app in moment.paced,
        "carried_out": view.app not in moment.behind,
        "gear_then": behind.plain() if behind else None if view.app in moment.behind else gear.plain(),
        "latency_ms": side.latency_ms,
        "latency_share": planned_share(view.slo),
        "waits_ms": side.waits_ms,
        "target_ms": view.target_ms,
        "slo": view.slo,
        "late": None if side.latency_ms is None else side.late,
        "accuracy": side.accuracy,
        "min_accuracy": view.min_accuracy,
        "rate_hz": view.rate_hz,
        "weight": view.weight,
        "quickest_ms": side.quickest_ms,
    }


def _unit(explained: Explanation, name: str, clock: float | str) -> dict[str, Any]:
    figures, limits = explained.chosen.figures, explained.limits.get(name)
    return {
        "clock": clock,
        "load": figures.rho[name] if figures else None,
        "overloaded": None if figures is None else name in explained.full,
        "max_mhz": limits.max_mhz if limits else None,
        "held_by": (limits.capped_by or "the mix") if limits and limits.max_mhz is not None else None,
        "cpus_online": list(limits.cpus_online) if limits else None,
        "other_load": limits.other_load if limits else 0.0,
    }


def _constraint(cost: Cost) -> dict[str, Any]:
    return {"kind": cost.constraint.kind, "name": cost.constraint.name}


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        **_constraint(cost),
        "binds": cost.binds,
        "gains": cost.gains.name.lower() if cost.gains else None,
        "amount": cost.amount,
        "saves_w": cost.saves_w,
        "on_time": list(cost.on_time),
    }
