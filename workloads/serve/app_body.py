"""Applications in JSON: what a client says of one that it adds or changes, and what it is told. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduler.errors import did_you_mean, shown
from workloads.ladder.ladders import supernet_label
from workloads.mix.app import App
from workloads.mix.arrivals import External
from workloads.mix.errors import MixError
from workloads.mix.mix import Target
from workloads.runs.plan import AppPlan
from workloads.serve.refused import RefusedError

_FIELDS = ("supernet", "latency_ms", "min_accuracy", "weight", "slo", "queue", "drop", "like")


def app_of(name: str, given: Mapping[str, Any], apps: Mapping[str, AppPlan]) -> App:
    """Return the application that a client adds: `{"supernet": "ofa-plates", "latency_ms": 100}`.

    Its networks are named as a supernet, or by an application that has them: `{"like": "gate", "latency_ms": 100}`.

    Args:
        name: its name.
        given: the other fields of an `App`, as JSON.
        apps: all applications so far.

    Raises:
        RefusedError: for a field that is unknown, missing or out of range.
    """
    for key in given:
        if key not in _FIELDS:
            raise RefusedError(
                f"{shown(key)} is no field of an app; there are {', '.join(_FIELDS)}.{did_you_mean(key, _FIELDS)}"
            )
    fields = dict(given)
    if ("supernet" in fields) == ("like" in fields):
        raise RefusedError('give one of "supernet": "NAME" and "like": "APP", whose networks it is to have')
    if "latency_ms" not in fields:
        raise RefusedError('latency_ms is missing; give the latency target in milliseconds, as in "latency_ms": 100')
    like = fields.pop("like", None)
    if like is not None:
        if not isinstance(like, str) or like not in apps:
            raise RefusedError(f"like must be one of {', '.join(apps)}, not {shown(like)}")
        fields["supernet"] = apps[like].app.supernet
    try:
        return App(name, arrivals=External(), **fields)
    except MixError as error:
        raise RefusedError(str(error)) from None


def described(planned: AppPlan, target: Target, gear: tuple[str, str, int] | None, queue_len: int) -> dict[str, Any]:
    """Return what a client is told of an application.

    Args:
        planned: the application.
        target: its targets in force.
        gear: its sub-network, unit and cores; None while it has none.
        queue_len: how many of its requests clients have under way here.
    """
    return {
        "name": planned.app.name,
        "supernet": supernet_label(planned.app.supernet),
        "arrivals": type(planned.app.arrivals).__name__,
        "latency_ms": target.latency_ms,
        "min_accuracy": target.min_accuracy,
        "weight": target.weight,
        "slo": target.slo,
        "gear": None if gear is None else {"subnet": gear[0], "unit": gear[1], "cores": gear[2]},
        "under_way": queue_len,
    }
