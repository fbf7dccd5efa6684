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

from actors.cluster import find_board
from actors.ownership import Claim
from actors.reaping import reap_dead_runs
from helpers.command_line import COMMAND
from helpers.live_runs import PATIENCE_S, wait_for
from helpers.run_processes import tagged
from helpers.summary_schema import SCHEMA
from helpers.tiny_networks import network

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


@pytest.mark.parametrize(
    ("number", "begun", "group"),
    [(signal.SIGINT, "gear ", True), (signal.SIGTERM, "starting Ray", False)],
    ids=["Ctrl-C in a run", "SIGTERM while Ray starts"],
)
def test_an_interrupted_command_leaves_nothing_behind(mix_file, tmp_path, number, begun, group):
    process = begin("run", mix_file(600), "--out", tmp_path / "out")
    read_until(process, begun)
    wait_for(lambda: "gcs_server" in tagged(process.pid))
    if group:  # as a terminal does, to all of the run's processes that share it
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert not tagged(process.pid)
    assert not directories(process.pid)
    assert stdout == ""
    assert stderr.splitlines()[-1] == "gearshift: interrupted; the board is as it was"
    assert "Traceback" not in stderr


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
