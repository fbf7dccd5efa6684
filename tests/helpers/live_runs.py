"""Live runs with made-up service times, and functions to watch them, wait for them and count in them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema

from helpers.summary_schema import SCHEMA
from scheduler.board import Board
from scheduler.profile import Profile, RungProfile, ServiceTime
from workloads.mix.mix import Mix
from workloads.results.summary import AppSummary, Summary
from workloads.runs.live import Listener, LiveRun
from workloads.runs.plan import RunPlan, plan_run

PATIENCE_S = 60.0
"""The longest that a test waits for what takes a second or two; it needs this only where the machine stalls."""


def assert_counts_add_up(app: AppSummary) -> None:
    """Check that every request of an application is counted once."""
    assert app.submitted == app.completed + app.dropped + app.failed + app.in_flight
    assert sum(app.subnets.values()) == app.completed
    assert app.submitted - app.in_flight <= app.counted <= app.submitted


def assert_sound(summary: Summary) -> None:
    """Check what holds of every run on an emulated board."""
    jsonschema.validate(json.loads(summary.to_json()), SCHEMA)
    for app in summary.apps.values():
        assert_counts_add_up(app)
    assert summary.energy.source == "modelled"
    assert summary.energy.units_j is not None
    assert summary.energy.units_j > 0


def wait_for(what: Callable[[], Any]) -> Any:
    """Wait until that is true, and return it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"after {PATIENCE_S:g} s it is still not so")


def tiny_plan(directory: Path, board: Board, mix: Mix, **service_ms: tuple[float, float]) -> RunPlan:
    """Return a plan with given service times, by sub-network: on one core and on two.

    The networks themselves take no time at all, so that all of a service is the emulated board's.
    """
    plan = plan_run(mix, board)
    profile = Profile(
        supernet="tiny",
        machine="none",
        rungs=tuple(
            RungProfile(
                subnet=rung.subnet,
                accuracy=rung.accuracy,
                accuracy_source=rung.accuracy_source,
                times=tuple(
                    ServiceTime(kind="cpu", cores=cores, samples_ms=(service_ms[rung.subnet][cores - 1],))
                    for cores in range(1, max(unit.cores for unit in board.units) + 1)
                ),
            )
            for rung in next(iter(plan.apps.values())).profile.rungs
        ),
    )
    return replace(plan, apps={name: replace(app, profile=profile) for name, app in plan.apps.items()})


class Watched:
    """A run that goes on until its test has seen enough of it."""

    def __init__(self, live: LiveRun) -> None:
        self.live = live
        self.entries: list[dict[str, Any]] = []

    def poll(self) -> None:
        self.live.poll(Listener(on_entry=self.entries.append))

    def of(self, kind: str, app: str) -> list[dict[str, Any]]:
        self.poll()
        return [entry for entry in self.entries if entry["kind"] == kind and entry["app"] == app]
