"""The examples run on Ray, are served in their time and keep to their accuracy floors.

No test here looks at how fast anything was: only at what was done, counted and said.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from actors.requests.records import Status
from actors.session import RaySession
from helpers.live_runs import assert_sound
from workloads.mix.events import AppAddition, AppRemoval
from workloads.mix.loader import load_mix
from workloads.mix.mix import Mix
from workloads.results.run_dir import StoredRun, read_run
from workloads.results.summary import Summary
from workloads.runs.boards import open_board
from workloads.runs.launch import run_plan
from workloads.runs.plan import RunPlan, plan_run

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[3]


def shortened(mix: Mix, duration_s: float) -> Mix:
    """Return the same mix in less time: everything happens at the same share of it."""
    factor = duration_s / mix.duration_s
    return replace(
        mix,
        duration_s=duration_s,
        events=[replace(event, at_s=event.at_s * factor) for event in mix.events],
    )


@dataclass(frozen=True)
class Made:
    plan: RunPlan
    summary: Summary
    run: StoredRun


@pytest.fixture(scope="module")
def example(session: RaySession, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Made]:
    """A function that runs an example, shortened, under a policy; each once."""

    @cache
    def made(name: str, policy: str) -> Made:
        out = tmp_path_factory.mktemp(name)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(
                "tempfile.tempdir", str(tmp_path_factory.mktemp("models"))
            )  # where an example writes its own
            mix = shortened(load_mix(ROOT / "examples" / f"{name}.py"), duration_s=4)
        plan = plan_run(mix, open_board(ROOT / "cluster.yaml"), policy=policy)
        summary = run_plan(plan, session, out)
        return Made(plan, summary, read_run(out))

    return made


EXAMPLES = [
    ("one_app", "joint"),
    ("car_park", "joint"),
    ("own_models", "joint"),
    pytest.param("six_apps", "joint", marks=pytest.mark.slow),
    pytest.param("interpreter", "joint", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "policy"), EXAMPLES)
def test_an_example_runs(example, name, policy):
    made = example(name, policy)
    mix, summary, run = made.plan.mix, made.summary, made.run
    assert_sound(summary)
    assert (summary.mix, summary.policy, summary.backend) == (mix.name, policy, "ray")
    assert run.summary.to_json() == summary.to_json()
    assert [event.text for event in run.events] == [event.text for _, event in made.plan.events]
    assert not run.losses
    assert {trouble.kind for trouble in run.troubles} <= {"slow"}  # a machine that stalls answers late
    arrivals_s = mix.arrivals_s(0)
    assert summary.apps.keys() == arrivals_s.keys()
    for name_, app in summary.apps.items():
        assert app.submitted == len(arrivals_s[name_])
        np.testing.assert_allclose(run.arrivals_s[name_], arrivals_s[name_])  # whatever the policy, they are the mix's
        assert app.completed > 0
        assert app.failed == 0
    assert summary.units.keys() == {"big", "little"}
    assert any(unit.busy > 0 for unit in summary.units.values())


@pytest.mark.parametrize(("name", "policy"), EXAMPLES)
def test_the_floors_in_force_are_kept_to(example, name, policy):
    made = example(name, policy)
    for name_, plan in made.plan.apps.items():
        ladder = plan.profile.rungs
        accuracy = np.array([rung.accuracy for rung in ladder])
        records = made.run.records[name_]
        served = records[records["status"] == Status.COMPLETED]
        for target in made.plan.mix.targets_of(name_):
            # A raised floor is kept to from the change of gear on that follows it.
            changes_s = [change.now_s for change in made.run.gears if change.app == name_]
            next_s = min((at_s for at_s in changes_s if at_s >= target.from_s), default=target.from_s)
            later = [other for other in made.plan.mix.targets_of(name_) if other.from_s > target.from_s]
            until_s = min((other.from_s for other in later), default=np.inf)
            under = served[(served["start_s"] >= max(target.from_s, next_s)) & (served["start_s"] < until_s)]
            assert (accuracy[under["subnet"]] >= target.min_accuracy).all()
        lowest = min(target.min_accuracy for target in made.plan.mix.targets_of(name_))
        assert (accuracy[served["subnet"]] >= lowest).all()


def test_apps_are_served_in_their_time_only(example):
    made = example("car_park", "joint")
    came = {event.app.name: event.at_s for event in made.plan.mix.events if isinstance(event, AppAddition)}
    left = {event.app: event.at_s for event in made.plan.mix.events if isinstance(event, AppRemoval)}
    assert came
    assert left
    for name, arrivals_s in made.run.arrivals_s.items():
        assert arrivals_s.min() >= came.get(name, 0.0)
        assert arrivals_s.max() < left.get(name, made.plan.mix.duration_s)
    for epoch in made.run.epochs:
        gone = {name for name, at_s in left.items() if at_s < epoch.now_s}
        assert not gone & epoch.apps.keys()


def test_the_client_example(tmp_path):
    ended = subprocess.run(
        [sys.executable, ROOT / "examples" / "client.py", "8"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert not list(tmp_path.glob("gearshift*"))
    assert (ended.returncode, ended.stderr) == (0, "")
    first, *_ = ended.stdout.splitlines()
    right, total, dropped = (int(word) for word in first.replace(",", "").split() if word.isdigit())
    assert total == 8
    assert right + dropped > 0
    assert "sub-networks: " in ended.stdout
