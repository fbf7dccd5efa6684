"""Whole runs on Ray serve from a board with a GPU, whose executor computes on this machine's CPU."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import ray

from actors.cluster import packaged_board
from actors.requests.records import Status
from actors.session import RaySession
from helpers.live_runs import Watched, assert_counts_add_up, wait_for
from helpers.summary_schema import SCHEMA
from helpers.tiny_networks import SCALES, gpu_times, network, with_gpu, with_program
from scheduler.board import Board
from scheduler.profile import Profile, RungProfile, ServiceTime
from workloads.mix.app import App, Family
from workloads.mix.arrivals import Periodic
from workloads.mix.mix import Mix
from workloads.report.run_report import write_report
from workloads.results.run_dir import read_run
from workloads.runs.launch import run_plan
from workloads.runs.live import Listener, LiveRun
from workloads.runs.plan import RunPlan, plan_run

pytestmark = pytest.mark.ray


def board(dvfs: str) -> Board:
    """A slow and thirsty core, and a GPU."""
    core = replace(
        packaged_board("two-core-host").units[0],
        dvfs=dvfs,
        mhz=(500.0, 1000.0) if dvfs == "emulated" else (1000.0,),
        static_w=(0.1, 0.2) if dvfs == "emulated" else (0.2,),
        dynamic_w=(1.0, 4.0) if dvfs == "emulated" else (4.0,),
        speed=1.0,
    )
    return with_gpu(replace(packaged_board("two-core-host"), name=f"{dvfs}-gpu", units=(core,)), dvfs, speed=1.0)


def plan_of(mix: Mix, on: Board) -> RunPlan:
    """A plan with made-up service times: on the core they are ten times as long and take 200 times the energy.

    The models of each family have a torch program besides, as a supernet's have.
    """
    plan = plan_run(mix, on, devices={"gpu": "cpu"})
    apps = {}
    for name, app in plan.apps.items():
        ladder = [(with_program(artifact), accuracy, source) for artifact, accuracy, source in app.ladder]
        cpu = Profile(
            supernet="tiny",
            machine="none",
            rungs=tuple(
                RungProfile(
                    subnet=artifact.subnet,
                    accuracy=accuracy,
                    accuracy_source=source,
                    times=(ServiceTime(kind="cpu", cores=1, samples_ms=(40.0,), engine="onnxruntime"),),
                )
                for artifact, accuracy, source in ladder
            ),
        )
        profile = gpu_times(cpu, **{artifact.subnet: 4.0 for artifact, _, _ in ladder})
        apps[name] = replace(app, ladder=ladder, profile=profile)
    return replace(plan, apps=apps)


@pytest.fixture
def apps(tmp_path: Path) -> list[App]:
    """Two applications with one model each, which write down every result."""

    def app(name: str, subnet: str, hz: float) -> App:
        model = network(tmp_path, subnet)
        results = tmp_path / f"results-{name}"

        def note(request: object, output: np.ndarray) -> None:
            with open(results, "a") as file:
                file.write(f"{request.index} {float(output[0])}\n")

        return App(
            name,
            supernet=Family([(model.path, 0.9)]),
            arrivals=Periodic(hz=hz),
            latency_ms=2000,  # a machine may stall for a second
            source=lambda index: np.full(model.input_shape, index, np.float32),
            on_result=note,
        )

    return [app("a", "small", 20), app("b", "large", 10)]


def results(directory: Path, app: str) -> dict[int, float]:
    lines = (directory / f"results-{app}").read_text().splitlines()
    return {int(index): float(value) for index, value in map(str.split, lines)}


def test_two_applications_share_the_gpu(session, tmp_path, apps):
    plan = plan_of(Mix("share", duration_s=5, apps=apps), board("emulated"))
    summary = run_plan(plan, session, tmp_path / "out")
    run = read_run(tmp_path / "out")
    jsonschema.validate(json.loads(summary.to_json()), SCHEMA)
    assert not run.losses
    assert {trouble.kind for trouble in run.troubles} <= {"slow"}  # a machine that stalls answers late
    assert {change.after.unit for change in run.gears} == {"gpu"}
    for name, subnet in (("a", "small"), ("b", "large")):
        app = summary.apps[name]
        assert_counts_add_up(app)
        assert app.failed == 0
        assert app.completed > 0
        right = results(tmp_path, name)
        assert len(right) == app.completed
        assert right == {index: SCALES[subnet] * index for index in right}
    gpu, core = summary.units["gpu"], summary.units["big"]
    assert 0 < gpu.busy < 1
    assert core.busy == 0
    served_s = sum(
        float(records["service_ms"][records["status"] == Status.COMPLETED].sum()) / 1e3
        for records in run.records.values()
    )
    assert gpu.busy * summary.duration_s == pytest.approx(served_s, abs=0.05)
    mhz = plan.board.unit("gpu").mhz
    assert mhz[0] <= gpu.mean_mhz <= mhz[-1]
    assert summary.energy.source == "modelled"
    # In the table of all changes, since on a busy machine the first gears may come seconds after the start.
    assert "<td>a</td><td>none</td><td>small on gpu, 1 core</td>" in write_report(tmp_path / "out").read_text()
    # One token: no two requests were at the GPU at once.
    spans = sorted(
        (float(row["start_s"]), float(row["end_s"]))
        for records in run.records.values()
        for row in records[records["status"] == Status.COMPLETED]
    )
    assert all(end_s <= start_s for (_, end_s), (start_s, _) in pairwise(spans))


@pytest.fixture
def watched(session: RaySession, tmp_path: Path, apps: list[App]) -> Iterator[Watched]:
    plan = plan_of(Mix("kill", duration_s=600, apps=apps), board("fixed"))
    (tmp_path / "run").mkdir()
    live = LiveRun(plan, session, tmp_path / "run", endless=True)
    live.start()
    yield Watched(live)
    live.kill()


def test_an_executor_that_is_stopped_is_killed_comes_back_and_requests_are_served_again(watched, tmp_path):
    live = watched.live
    wait_for(lambda: (tmp_path / "results-a").exists() and (tmp_path / "results-b").exists())
    pid = ray.get(live.executor("gpu").pid.remote())
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: all(watched.of("fault", name) for name in live.plan.apps))
    again = wait_for(lambda: _pid(live))
    assert again != pid
    back_s = live.clock.now_s()
    lines = {name: len(results(tmp_path, name)) for name in live.plan.apps}
    wait_for(lambda: all(len(results(tmp_path, name)) > lines[name] + 5 for name in lines))
    for name in live.plan.apps:
        assert all("the executor of unit 'gpu'" in fault["text"] for fault in watched.of("fault", name))
    summary = live.finish(Listener(on_entry=watched.entries.append))
    assert not [entry for entry in watched.entries if entry["kind"] == "lost"]  # no worker was
    assert 0 < summary.units["gpu"].busy < 1
    assert summary.units["gpu"].mean_mhz == 1000
    assert {change.after.unit for change in read_run(tmp_path / "run").gears} == {"gpu"}
    for name, app in summary.apps.items():
        assert_counts_add_up(app)
        assert app.failed > 0
        records = read_run(tmp_path / "run").records[name]
        assert records["end_s"][records["status"] == Status.COMPLETED].max() > back_s
    assert results(tmp_path, "b") == {index: 2.0 * index for index in results(tmp_path, "b")}


def _pid(live: LiveRun) -> int | None:
    try:
        return ray.get(live.executor("gpu").pid.remote())
    except ray.exceptions.RayActorError:
        return None
