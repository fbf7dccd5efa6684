"""A run on Ray replaces a killed worker, pins its threads, changes gears at once and serves clients.

No test here looks at how fast anything was: only at what was done, counted and said.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray

from actors.cluster import packaged_board
from actors.pinning import allowed
from actors.requests.records import Status
from actors.session import RaySession
from actors.worker.gearbox import Form
from helpers.live_runs import Watched, assert_sound, tiny_plan, wait_for
from helpers.tiny_networks import network
from supernets.pictures import plates
from workloads.mix.app import App, Family
from workloads.mix.arrivals import External, Periodic, Poisson, Trace
from workloads.mix.events import at
from workloads.mix.mix import Mix
from workloads.results.run_dir import read_run
from workloads.runs.boards import open_board
from workloads.runs.launch import RequestDroppedError, RequestFailedError, deploy_plan, run_plan
from workloads.runs.live import Listener, LiveRun
from workloads.runs.plan import RunPlan, plan_run

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[3]


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


def test_a_killed_and_a_stopped_worker_come_back_and_the_others_go_on(tmp_path, tiny, watch):
    mix = Mix(
        "kill",
        duration_s=600,
        apps=[
            App("a", supernet=tiny, arrivals=Periodic(hz=20), latency_ms=400),
            App("b", supernet=tiny, arrivals=Poisson(hz=20), latency_ms=400),
            App("c", supernet=tiny, arrivals=Periodic(hz=20), latency_ms=100),
        ],
    )
    plan = tiny_plan(tmp_path, packaged_board("two-core-host"), mix, small=(0.2, 0.2), large=(0.3, 0.3))
    watched = watch(plan)
    wait_for(lambda: watched.of("gear", "a") and watched.live.clock.now_s() > 1)
    pid = watched.live.pids["a"]
    killed_s = watched.live.clock.now_s()
    os.kill(pid, signal.SIGKILL)
    os.kill(watched.live.pids["c"], signal.SIGSTOP)
    (lost,) = wait_for(lambda: watched.of("lost", "a"))
    back = wait_for(lambda: [gear for gear in watched.of("gear", "a") if gear["now_s"] > lost["now_s"]])[0]
    wait_for(lambda: watched.live.clock.now_s() > back["now_s"] + 1)
    status = ray.get(watched.live.worker("a").begin.remote())
    assert status.pid != pid
    # The stopped one was ended, on its cores or not, and its reason is known.
    (ended,) = wait_for(lambda: watched.of("lost", "c"))
    assert "stopped" in ended["reason"]
    assert watched.of("stuck", "c") or watched.of("fenced", "c")
    wait_for(lambda: [gear for gear in watched.of("gear", "c") if gear["now_s"] > ended["now_s"]])
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
        # At the highest clock one core takes 44 ms and two take 31; loose, one core costs less, and the change pays.
        events=[at(1.5, "a", latency_ms=35), at(5, "a", latency_ms=400)],
    )
    plan = tiny_plan(tmp_path, board, mix, small=(2.0, 1.4), large=(9.0, 6.3))
    watched = watch(plan)
    worker, pid = watched.live.worker("a"), watched.live.pids["a"]
    cpus = board.units[0].cpus

    def settled(cores: int) -> Callable[[], tuple[int, ...] | None]:
        """Return a look at the kernel: the CPUs of all threads, once they are so many and the unit's; else None."""

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
        events=[at(0.6, "a", min_accuracy=0.8), at(0.8, unit=unit.name, slowdown=1.2)],
    )
    plan = tiny_plan(tmp_path, replace(two_cores, units=(unit,)), mix, small=(3500.0, 3500.0), large=(4000.0, 4000.0))
    summary = run_plan(plan, session, tmp_path / "out")
    assert_sound(summary)
    run = read_run(tmp_path / "out")
    (record,) = run.records["a"]
    assert [change.after.subnet for change in run.gears] == ["small", "large"]
    assert record["start_s"] < 0.6 < run.gears[1].now_s < record["end_s"]
    # Slowed down in its midst, 3.5 s take 3.5 + 0.2 · 2.9 s, less what the order took on its way.
    assert record["service_ms"] > 3700
    assert [event.text for event in run.events if "as long" in event.text] == [
        f"{unit.name}: requests take 1.2 times as long (the manager is not told)"
    ]
    # The request ends in the gear in which it began.
    assert summary.apps["a"].subnets == {"small": 1}
    assert summary.apps["a"].switches == 1


def test_a_deployment_serves_clients(session, tmp_path, caplog):
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
        wait_for(lambda: deployment.admissions.keys() == plan.apps.keys())
        assert {answer.outlook.verdict for answer in deployment.admissions.values()} == {"accepted"}
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
            worker = psutil.Process(deployment._live.pids["narrow"])
            worker.suspend()
            lost = clients.submit(deployment.infer, "narrow", drawn.pictures[0])
            time.sleep(0.5)  # Ray sends it meanwhile
            worker.kill()
            with pytest.raises(RequestFailedError, match="its worker died with this request"):
                lost.result()
        wait_for(lambda: any("lost    narrow" in record.getMessage() for record in caplog.records))
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
