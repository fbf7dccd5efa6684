"""Whole runs on Ray: the examples, a killed worker, pinning, clients, and what the command leaves behind.

No test here looks at how fast anything was: only at what was done, counted and said.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import jsonschema
import numpy as np
import psutil
import pytest
import ray

from actors.cluster import packaged_board
from actors.pinning import allowed
from actors.requests.records import Status
from actors.session import RaySession, reap_dead_runs
from actors.worker.gearbox import Form
from helpers.live_runs import PATIENCE_S, Watched, assert_counts_add_up, tiny_plan, wait_for
from helpers.summary_schema import SCHEMA
from helpers.tiny_networks import network
from supernets.pictures import plates
from workloads.mix.app import App, Family
from workloads.mix.arrivals import External, Periodic, Poisson, Trace
from workloads.mix.events import AppAddition, AppRemoval, at
from workloads.mix.loader import load_mix
from workloads.mix.mix import Mix
from workloads.results.run_dir import StoredRun, read_run
from workloads.results.summary import Summary
from workloads.runs.boards import open_board
from workloads.runs.launch import RequestDroppedError, deploy_plan, run_plan
from workloads.runs.live import Listener, LiveRun
from workloads.runs.plan import RunPlan, plan_run

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[3]
COMMAND = Path(sys.executable).with_name("gearshift")


def assert_sound(summary: Summary) -> None:
    """What holds of every run on an emulated board."""
    jsonschema.validate(json.loads(summary.to_json()), SCHEMA)
    for app in summary.apps.values():
        assert_counts_add_up(app)
    assert summary.energy.source == "modelled"
    assert summary.energy.units_j is not None
    assert summary.energy.units_j > 0


# ---------------------------------------------------------------- the examples


def shortened(mix: Mix, duration_s: float) -> Mix:
    """The same mix in less time: everything happens at the same share of it."""
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
    """Runs an example, shortened, under a policy; each once."""

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
    ("car_park", "floor+schedutil"),
    ("six_apps", "joint"),
    ("own_models", "joint"),
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
    assert {trouble.kind for trouble in run.troubles} <= {"unhealthy"}  # a machine that stalls answers late
    arrivals_s = mix.arrivals_s(0)
    assert summary.apps.keys() == arrivals_s.keys()
    for name_, app in summary.apps.items():
        assert app.submitted == len(arrivals_s[name_])
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
    made = example("six_apps", "joint")
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


def test_the_same_seed_gives_every_policy_the_same_arrivals(example):
    joint, floor = (example("car_park", policy).run for policy in ("joint", "floor+schedutil"))
    assert joint.arrivals_s.keys() == floor.arrivals_s.keys()
    for name, arrivals_s in joint.arrivals_s.items():
        np.testing.assert_array_equal(arrivals_s, floor.arrivals_s[name])
        assert len(arrivals_s) > 0


def test_a_governor_sets_the_clock_where_the_policy_says_so(example):
    assert {change.after for change in example("car_park", "floor+schedutil").run.clocks} == {"schedutil"}
    assert all(isinstance(change.after, float) for change in example("car_park", "joint").run.clocks)


# ---------------------------------------------------------------- runs made for what they show


@pytest.fixture
def tiny(tmp_path: Path) -> Family:
    return Family([(network(tmp_path, "small").path, 0.6), (network(tmp_path, "large").path, 0.9)])


@pytest.fixture
def watch(session: RaySession, tmp_path: Path) -> Iterator[Callable[[RunPlan], Watched]]:
    started = []

    def start(plan: RunPlan) -> Watched:
        out = tmp_path / "run"
        out.mkdir()
        live = LiveRun(plan, session, out, endless=True)
        started.append(live)
        live.start()
        return Watched(live)

    yield start
    for live in started:
        live.kill()


def test_a_killed_worker_comes_back_and_the_others_go_on(tmp_path, tiny, watch):
    mix = Mix(
        "kill",
        duration_s=600,
        apps=[
            App("a", supernet=tiny, arrivals=Periodic(hz=20), latency_ms=400),
            App("b", supernet=tiny, arrivals=Poisson(hz=20), latency_ms=400),
        ],
    )
    plan = tiny_plan(tmp_path, packaged_board("two-core-host"), mix, small=(0.2, 0.2), large=(0.3, 0.3))
    watched = watch(plan)
    wait_for(lambda: watched.of("gear", "a") and watched.live.clock.now_s() > 1)
    pid = watched.live.pids["a"]
    killed_s = watched.live.clock.now_s()
    os.kill(pid, signal.SIGKILL)
    (lost,) = wait_for(lambda: watched.of("lost", "a"))
    back = wait_for(lambda: [gear for gear in watched.of("gear", "a") if gear["now_s"] > lost["now_s"]])[0]
    wait_for(lambda: watched.live.clock.now_s() > back["now_s"] + 1)
    status = ray.get(watched.live.worker("a").begin.remote())
    assert status.pid != pid
    summary = watched.live.finish(Listener(on_entry=watched.entries.append))
    assert_sound(summary)
    a, b = summary.apps["a"], summary.apps["b"]
    assert len(watched.of("lost", "a")) == 1
    assert not watched.of("lost", "b")
    records = read_run(tmp_path / "run").records
    failed, served = (records["a"][records["a"]["status"] == status] for status in (Status.FAILED, Status.COMPLETED))
    # What arrived while nobody was there failed, and nothing else did.
    assert a.failed == len(failed) > 0
    assert failed["arrival_s"].min() > killed_s - 1
    assert failed["arrival_s"].max() < back["now_s"]
    assert served["end_s"].max() > back["now_s"]
    assert served["end_s"].min() < killed_s
    # Each request has one end, in the old worker's life or in the new one's.
    assert len(np.unique(records["a"]["index"])) == len(records["a"])
    assert b.failed == 0
    assert ((records["b"]["end_s"] > killed_s) & (records["b"]["end_s"] < back["now_s"])).any()


def test_every_thread_of_a_worker_is_on_the_cpus_of_its_gear(tmp_path, tiny, watch):
    board = packaged_board("one-unit-host")
    mix = Mix(
        "pins",
        duration_s=600,
        apps=[App("a", supernet=tiny, arrivals=Periodic(hz=2), latency_ms=400)],
        # At the highest clock one core takes 44 ms and two take 25; loose, one core costs less.
        events=[at(1.5, "a", latency_ms=35), at(5, "a", latency_ms=400)],
    )
    plan = tiny_plan(tmp_path, board, mix, small=(2.0, 1.1), large=(9.0, 5.0))
    watched = watch(plan)
    worker, pid = watched.live.worker("a"), watched.live.pids["a"]
    cpus = board.units[0].cpus

    def settled(cores: int) -> Callable[[], tuple[int, ...] | None]:
        """Reads from the kernel whether all threads have come to be on so many CPUs, and those are the unit's."""

        def look() -> tuple[int, ...] | None:
            status = ray.get(worker.begin.remote())
            masks = set(allowed(pid).values())
            if status.gear is None or status.gear.cores != cores or len(masks) != 1:
                return None
            # The engine that serves has as many threads as the gear has cores.
            assert Form(status.gear.subnet, "cpu", cores) in status.prepared
            (mask,) = masks
            return mask if len(mask) == cores and set(mask) <= set(cpus) else None

        return look

    for cores in (1, 2, 1):
        mask = wait_for(settled(cores))
        assert allowed(pid)[ray.get(worker.begin.remote()).thread] == mask
    gears = [gear["to"][2] for gear in watched.of("gear", "a")]
    assert [cores for place, cores in enumerate(gears) if place == 0 or gears[place - 1] != cores] == [1, 2, 1]
    summary = watched.live.finish(Listener())
    assert_sound(summary)
    records = read_run(tmp_path / "run").records["a"]
    assert set(records[records["status"] == Status.COMPLETED]["cores"]) == {1, 2}


def test_a_change_of_gear_is_acknowledged_while_an_inference_runs(tmp_path, tiny, session):
    two_cores = packaged_board("two-core-host")
    unit = replace(two_cores.units[0], speed=1.0, mhz=(1000.0,), static_w=(0.1,), dynamic_w=(0.5,))
    mix = Mix(
        "long",
        duration_s=4,
        apps=[App("a", supernet=tiny, arrivals=Trace([0.2]), latency_ms=9000)],
        events=[at(0.6, "a", min_accuracy=0.8)],
    )
    plan = tiny_plan(tmp_path, replace(two_cores, units=(unit,)), mix, small=(3500.0, 3500.0), large=(4000.0, 4000.0))
    summary = run_plan(plan, session, tmp_path / "out")
    assert_sound(summary)
    run = read_run(tmp_path / "out")
    (record,) = run.records["a"]
    assert [change.after.subnet for change in run.gears] == ["small", "large"]
    assert record["start_s"] < 0.6 < run.gears[1].now_s < record["end_s"]
    # The request ends in the gear in which it began.
    assert summary.apps["a"].subnets == {"small": 1}
    assert summary.apps["a"].switches == 1


def test_a_deployment_serves_clients(session, tmp_path):
    mix = Mix(
        "clients",
        duration_s=600,
        apps=[
            # What waits is never given up for being late: this machine may stall.
            App("gate", supernet="ofa-plates", arrivals=External(), latency_ms=2000, min_accuracy=0.7, drop="newest"),
            App("narrow", supernet="ofa-plates", arrivals=External(), latency_ms=2000, queue=1, drop="newest"),
            App("file", supernet="ofa-plates", arrivals=Periodic(hz=5), latency_ms=2000),
        ],
    )
    plan = plan_run(mix, open_board(ROOT / "cluster.yaml"))
    drawn = plates.draw(25, seed=7, held_out=True)
    flood, dropped = 12, 0
    sent = 0
    with deploy_plan(plan, session, tmp_path / "out") as deployment:
        results = [deployment.infer("gate", picture) for picture in drawn.pictures]
        with pytest.raises(KeyError, match="no app 'gat' in this deployment; there are gate, narrow, file"):
            deployment.infer("gat", drawn.pictures[0])

        def ask(number: int) -> bool:
            try:
                deployment.infer("narrow", drawn.pictures[number])
            except RequestDroppedError:
                return False
            return True

        with ThreadPoolExecutor(flood) as clients:
            while not dropped:  # at once, unless the machine holds the clients up
                answers = list(clients.map(ask, range(flood)))
                sent += flood
                dropped += answers.count(False)
        assert deployment.summary is None
    summary = deployment.summary
    assert summary is not None
    assert_sound(summary)
    texts = [plates.read(result.output)[0] for result in results]
    assert sum(text == truth for text, truth in zip(texts, drawn.texts, strict=True)) > 10  # of 36^4, chance reads none
    ladder = plan.apps["gate"].profile
    assert all((ladder.rung(result.subnet).accuracy or 0) >= 0.7 for result in results)
    gate, narrow, own = (summary.apps[name] for name in ("gate", "narrow", "file"))
    assert (gate.submitted, gate.completed) == (25, 25)
    assert (narrow.submitted, narrow.dropped) == (sent, dropped)
    assert narrow.completed == sent - dropped
    # Its mix would have gone on; it counts what arrived until the deployment ended.
    assert 0 < own.submitted < 5 * 600
    assert own.in_flight <= 10


# ---------------------------------------------------------------- the command


def tagged(pid: int) -> list[str]:
    """Names of the processes of that driver's runs."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("GEARSHIFT_RUN", "").startswith(f"{pid}-"):
                found.append(process.name())
        except psutil.Error:
            continue
    return found


def directories(pid: int) -> list[Path]:
    return [path for base in (Path("/dev/shm"), Path("/tmp")) for path in base.glob(f"gearshift-{pid}-*")]


@pytest.fixture
def mix_file(tmp_path: Path) -> Callable[[float], Path]:
    """Writes a mix of one app that reads plates for so many seconds."""

    def write(duration_s: float) -> Path:
        path = tmp_path / "mix.py"
        path.write_text(
            "from workloads import App, Mix, Periodic\n\n\ndef mix():\n"
            f'    return Mix("plates", duration_s={duration_s}, apps=[\n'
            '        App("gate", supernet="ofa-plates", arrivals=Periodic(hz=10), latency_ms=300)])\n'
        )
        return path

    return write


def begin(*arguments: object) -> subprocess.Popen[str]:
    """Starts the command as a terminal does, in a process group of its own."""
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
    process = begin("run", mix_file(2), "--out", out, "--json", "--time-scale", "1.5", "--seed", "3")
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 0
    assert "Traceback" not in stderr
    assert "arning" not in stderr
    assert "plates under joint (emulated): 100%" in stderr
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
