"""An executor that hangs or is stopped is killed by whoever waits for it, and nobody waits for longer than a bound."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actors.executor.client import ExecutorClient, ExecutorError, ExecutorHungError, ExecutorLostError
from helpers.executor_process import ExecutorProcess, executor_process
from helpers.fake_device import PATIENCE_S, A, B, Network, full, out, wait_for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "socket"


@pytest.fixture
def process(path: Path) -> Iterator[ExecutorProcess]:
    with executor_process(path) as one:
        yield one


def test_an_inference_past_its_bound_ends_the_executor_and_its_neighbours_go_on_in_the_next(path, process):
    client, neighbour = ExecutorClient("gpu", path), ExecutorClient("gpu", path)
    hanging, other = client.prepare(A, 0.3), neighbour.prepare(B, 5.0)
    says = r"the executor of unit 'gpu' hung: this request took .*, more than 0\.3 s, and is started again"
    with pytest.raises(ExecutorHungError, match=says) as hung:
        hanging(full(A, Network.WAIT))
    assert hung.value.hang.bound_s == 0.3
    wait_for(lambda: process.status == -signal.SIGKILL)
    with pytest.raises(ExecutorLostError, match="the executor of unit 'gpu' ended"):
        other(full(B, 1.0))
    with executor_process(path):
        wait_for(lambda: hanging.link and other.link)
        assert other(full(B, 2.0)).tolist() == [out(B, 2.0)]
        assert hanging(full(A, 2.0)).tolist() == [out(A, 2.0)]
    client.close()
    neighbour.close()


def test_what_a_dead_worker_left_hanging_is_ended_by_the_next_who_waits_and_not_held_against_him(path, process):
    left, other = ExecutorClient("gpu", path).prepare(A, 0.3), ExecutorClient("gpu", path).prepare(B, 5.0)
    ended = threading.Event()
    left.link._is_stopped = lambda: ended.wait(PATIENCE_S)  # the dead do not look
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(left, full(A, Network.WAIT))
        wait_for(lambda: other.link._underway.read().number % 2)
        with pytest.raises(ExecutorLostError, match="hung: another network took") as hung:
            other(full(B, 1.0))
        assert not isinstance(hung.value, ExecutorHungError)
        wait_for(lambda: process.status == -signal.SIGKILL)
        ended.set()
        waiting.exception(PATIENCE_S)


def test_a_network_that_is_to_be_prepared_behind_a_hung_one_ends_the_executor(device, served):
    with ThreadPoolExecutor(2) as pool:
        served.executor.hold(A)
        hung = pool.submit(served.executor.run, A, full(A, Network.WAIT), bound_s=0.3)
        assert device.began.wait(PATIENCE_S)
        waiting = pool.submit(served.client().prepare, B)
        assert served.lost.wait(PATIENCE_S)
        device.go_on.set()
        hung.result(PATIENCE_S)
        assert waiting.result(PATIENCE_S)(full(B, 2.0)).tolist() == [out(B, 2.0)]


def test_a_network_whose_first_run_hangs_is_refused_and_ends_the_executor(device, served, monkeypatch):
    monkeypatch.setattr("actors.executor.server._TRIAL_S", 0.2)
    monkeypatch.setattr("actors.executor.server._blank", lambda of: full(of, Network.WAIT))
    with pytest.raises(ExecutorError, match="its first run on the device did not end within 0 s"):
        served.client().prepare(A)
    assert served.lost.wait(PATIENCE_S)
    device.go_on.set()


def test_a_stopped_executor_is_ended(path, process):
    network = ExecutorClient("gpu", path).prepare(A, 1000.0)
    process.send(signal.SIGSTOP)
    with pytest.raises(ExecutorLostError, match="the executor of unit 'gpu' was stopped, and is started again"):
        network(full(A, 1.0))
    wait_for(lambda: process.status == -signal.SIGKILL)


def test_an_executor_that_is_stopped_while_a_network_is_prepared_is_ended_and_the_next_one_asked(path, process):
    process.send(signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        prepared = pool.submit(ExecutorClient("gpu", path).prepare, A)
        wait_for(lambda: process.status == -signal.SIGKILL)
        with executor_process(path):
            assert prepared.result(PATIENCE_S)(full(A, 2.0)).tolist() == [out(A, 2.0)]


def test_a_long_inference_within_its_bound_is_left_alone(path, process):
    network = ExecutorClient("gpu", path).prepare(A, 1000.0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(network, full(A, Network.WAIT))
        time.sleep(0.5)
        assert not waiting.done()
        assert process.status is None
        process.send(signal.SIGKILL)
        with pytest.raises(ExecutorLostError, match="ended"):
            waiting.result(PATIENCE_S)
