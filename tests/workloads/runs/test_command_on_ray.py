"""`gearshift run` prints its summary and leaves nothing behind, also when it is interrupted or killed.

No test here looks at how fast anything was: only at what was done, counted and said.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import ray

from actors.cluster import find_board
from actors.ownership import Claim
from actors.reaping import reap_dead_runs
from actors.requests.records import read_records
from actors.session import RaySession
from helpers.command_line import COMMAND
from helpers.live_runs import PATIENCE_S, assert_sound, wait_for
from helpers.run_processes import tagged, tagged_processes
from helpers.summary_schema import SCHEMA
from helpers.tiny_networks import network
from scheduler.errors import InputError
from workloads.explaining.reading import explanation_of, moment_of
from workloads.mix.loader import load_mix
from workloads.report.run_report import write_report
from workloads.results.run_dir import read_run
from workloads.results.stored_requests import records_file
from workloads.runs.boards import open_board
from workloads.runs.failure import RunError
from workloads.runs.launch import deploy, run, run_plan
from workloads.runs.plan import plan_run

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[3]


def directories(pid: int) -> list[Path]:
    return [path for base in (Path("/dev/shm"), Path("/tmp")) for path in base.glob(f"gearshift-{pid}-*")]


@pytest.fixture
def mix_file(tmp_path: Path) -> Callable[[float], Path]:
    """A function that writes a mix of one app that serves two small networks for so many seconds."""
    models = [(network(tmp_path, "small").path, 0.6), (network(tmp_path, "large").path, 0.9)]

    def write(duration_s: float) -> Path:
        path = tmp_path / "mix.py"
        path.write_text(
            "from workloads import App, Family, Mix, Periodic\n\n\ndef mix():\n"
            f'    return Mix("small", duration_s={duration_s}, apps=[\n'
            f'        App("gate", supernet=Family({models}), arrivals=Periodic(hz=10), latency_ms=300)])\n'
        )
        return path

    return write


def begin(*arguments: object) -> subprocess.Popen[str]:
    """Start the command as a terminal does, in a process group of its own."""
    return subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=ROOT,
    )


def read_until(process: subprocess.Popen[str], text: str) -> None:
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return
    raise AssertionError(f"it ended without {text!r}: {''.join(lines)}")


def test_the_command_prints_json_and_leaves_nothing_behind(mix_file, tmp_path):
    out = tmp_path / "out"
    with Claim([find_board("two-core-host")], "another"):  # as a run beside this one has
        process = begin("run", mix_file(2), "--out", out, "--json", "--time-scale", "1.5", "--seed", "3", "--share")
        stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 0
    assert "Traceback" not in stderr
    assert "arning" not in stderr
    assert "small under joint (emulated): 100%" in stderr
    printed = json.loads(stdout)
    jsonschema.validate(printed, SCHEMA)
    assert printed == json.loads((out / "summary.json").read_text())
    assert (printed["time_scale"], printed["seed"], printed["duration_s"]) == (1.5, 3, 2)
    assert printed["apps"]["gate"]["submitted"] == 20
    assert sorted(path.name for path in out.iterdir()) == [
        "epochs.msgpack",
        "requests.npz",
        "summary.json",
        "trace.msgpack",
    ]
    assert f"run 'another' of process {os.getpid()}, for " in stderr
    assert "void    run 'another'" in stderr
    assert printed["host"]["void"]
    assert not tagged(process.pid)
    assert not directories(process.pid)


def test_a_command_that_is_terminated_while_ray_starts_leaves_nothing_behind(mix_file, tmp_path):
    process = begin("run", mix_file(600), "--out", tmp_path / "out")
    read_until(process, "starting Ray")
    wait_for(lambda: "gcs_server" in tagged(process.pid))
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    assert not tagged(process.pid)
    assert not directories(process.pid)
    assert stdout == ""
    assert stderr.splitlines()[-1] == "gearshift: interrupted (SIGTERM); the board is as it was"
    assert "Traceback" not in stderr


def test_an_interrupted_run_keeps_what_it_has_and_leaves_nothing_behind(mix_file, tmp_path):
    out = tmp_path / "out"
    process = begin("run", mix_file(600), "--out", out, "--json")
    read_until(process, "gear ")
    wait_for(lambda: read_records(records_file(out, "gate")).size > 3)
    (worker, *_) = [one for one in tagged_processes(process.pid) if "WorkerActor" in one.name()]
    worker.kill()  # Ray says so on the standard output of whoever started it
    read_until(process, "lost ")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of the run's processes that share it
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert not tagged(process.pid)
    assert not directories(process.pid)
    assert stderr.splitlines()[-1] == "gearshift: interrupted (Ctrl-C); the board is as it was"
    assert "Traceback" not in stderr
    printed = json.loads(stdout)
    jsonschema.validate(printed, SCHEMA)
    gate = printed["apps"]["gate"]
    assert gate["completed"] > 3
    assert gate["submitted"] == gate["completed"] + gate["dropped"] + gate["failed"] + gate["in_flight"]
    assert printed["duration_s"] < 600
    assert printed["host"]["void"]
    assert printed["energy"]["units_j"] > 0
    run = read_run(out)
    assert run.summary.to_dict() == printed
    assert (run.cut_short, run.missing) == ("interrupted", ())
    assert write_report(out).is_file()
    moment = moment_of(run, run.summary.duration_s)
    (side,) = explanation_of(moment).apps
    assert (side.view.app, side.view.target_ms, side.gear) == ("gate", 300, moment.plan.gears["gate"])


def kill_actors(*actors: str) -> None:
    for process in tagged_processes(os.getpid()):
        if any(actor in process.name() for actor in actors):
            process.kill()


def test_a_manager_and_a_board_agent_that_die_at_once_are_replaced_and_the_run_goes_on(mix_file, tmp_path, session):
    board = open_board(ROOT / "cluster.yaml")
    plan = plan_run(load_mix(mix_file(6)), board)
    deaths = []

    def kill_once(now_s: float) -> None:
        if now_s > 0.5 and not deaths:
            deaths.append(now_s)
            kill_actors("ManagerActor", "AgentActor")

    entries = []
    summary = run_plan(plan, session, tmp_path / "out", on_entry=entries.append, on_time=kill_once)
    assert_sound(summary)
    assert summary.apps["gate"].submitted == 60
    for part in ("manager", "agent"):
        told = [entry["kind"] for entry in entries if entry.get("part") == part]
        assert told == ["part_lost", "part_back"], part
    # All of the run's time is counted: 6 s of both units at rest at the least, and of both at their highest at most.
    least_w = sum(unit.static_w[0] for unit in board.units)
    most_w = sum(unit.static_w[-1] + unit.cores * unit.dynamic_w[-1] for unit in board.units)
    assert 6 * least_w * 0.99 <= summary.energy.units_j <= 6 * most_w
    run = read_run(tmp_path / "out")
    assert run.cut_short is None
    # It decides again, and numbers its epochs on; the app never left its gear.
    epochs = [entry["epoch"] for entry in entries if entry["kind"] == "epoch"]
    assert epochs == sorted(set(epochs))
    assert len(run.gears) == summary.apps["gate"].switches + 1


def test_a_run_whose_managers_keep_dying_keeps_what_it_has(mix_file, tmp_path, session, monkeypatch):
    monkeypatch.setattr("workloads.runs.manager_lives.MOST_MANAGERS", 1)
    plan = plan_run(load_mix(mix_file(600)), open_board(ROOT / "cluster.yaml"))
    failures = []

    def kill(now_s: float) -> None:
        if read_records(records_file(tmp_path / "out", "gate")).size:
            kill_actors("ManagerActor")

    with pytest.raises(RunError, match=r"^the manager died$") as caught:
        run_plan(plan, session, tmp_path / "out", on_time=kill, on_failure=failures.append)
    assert failures == [caught.value.failure]
    summary = caught.value.failure.summary
    assert summary is not None
    jsonschema.validate(summary.to_dict(), SCHEMA)
    assert summary.apps["gate"].completed > 0
    assert read_run(tmp_path / "out").cut_short == "the manager died"


def test_a_program_that_is_connected_to_a_ray_is_told_so_and_keeps_it(mix_file, session):
    mix = load_mix(mix_file(1))
    for start in (lambda: run(mix), lambda: deploy(mix).__enter__(), lambda: RaySession().__enter__()):
        with pytest.raises(InputError, match="this process is connected to a Ray already"):
            start()
    assert ray.is_initialized()


def test_what_a_killed_command_leaves_goes_with_the_next_start(mix_file, tmp_path, session):
    process = begin("run", mix_file(600), "--out", tmp_path / "out")
    read_until(process, "gear ")
    assert any("WorkerActor" in name for name in tagged(process.pid))
    process.kill()
    process.communicate()
    raylets_own = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}  # they stay as long as it does
    wait_for(lambda: not [name for name in tagged(process.pid) if name.startswith("ray::") and name not in raylets_own])
    assert directories(process.pid)
    reap_dead_runs()  # as every start does
    assert not tagged(process.pid)
    assert not directories(process.pid)
    assert session.directory.is_dir()
    assert {"raylet", "gcs_server"} <= set(tagged(os.getpid()))
