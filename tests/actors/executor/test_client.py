"""Applications use an executor over its socket, and get their networks back in the next one after it ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from actors.clock import BoardClock
from actors.executor.client import ExecutorClient, ExecutorError, ExecutorLostError, own_executor
from actors.ledger.ledger import BoardLedger
from helpers.fake_device import PATIENCE_S, A, B, C, Network, Served, artifact, full, out, wait_for
from scheduler.board import Board, BoardUnit
from supernets.artifact import Artifact


def test_two_applications_each_get_their_own_answers(served):
    one, other = served.client().prepare(A), served.client().prepare(C)
    first, second = one(full(A, 2.0)), other(full(C, 3.0))
    assert (first.tolist(), second.tolist()) == ([out(A, 2.0)], [out(C, 3.0)])
    assert one(full(A, 5.0)).tolist() == [out(A, 5.0)]
    assert first.tolist() == [out(A, 2.0)]  # a result stays its owner's when the next is made
    assert one.memory_mb == 1.0


def test_inputs_arrive_as_they_are(served):
    network = served.client().prepare(A)
    x = np.random.default_rng(0).standard_normal(A.input_shape, dtype=np.float32)
    assert network(x)[0, 0] == x.sum()


def test_a_bad_input_or_a_failure_costs_only_its_request(served):
    one, other = served.client().prepare(A), served.client().prepare(B)
    with pytest.raises(ValueError, match=r"a takes an input of \(1, 1, 4, 4\), not \(2, 3\)"):
        one(np.zeros((2, 3), np.float32))
    with pytest.raises(ExecutorError, match="RuntimeError: no such kernel 2000"):
        one(full(A, Network.FAIL))
    assert other(full(B, 1.0)).tolist() == [out(B, 1.0)]
    assert one(full(A, 1.0)).tolist() == [out(A, 1.0)]
    assert not served.lost.is_set()


def test_a_broken_device_ends_the_process(served):
    network = served.client().prepare(A)
    with pytest.raises(ExecutorError, match="DeviceLostError: RuntimeError: no such kernel 3000"):
        network(full(A, Network.BREAK))
    assert served.lost.wait(PATIENCE_S)


def test_what_cannot_be_prepared_is_said(served):
    with pytest.raises(ExecutorError, match="OSError: no such file"):
        served.client().prepare(artifact("bad"))


def test_a_network_is_given_back_when_its_holder_lets_go(served):
    served.executor._bound_mb = 0.0
    client = served.client()
    kept, dropped = client.prepare(A), client.prepare(B)
    assert served.executor.ready == (A, B)
    del dropped
    gc.collect()
    wait_for(lambda: served.executor.ready == (A,))
    assert kept(full(A, 1.0)).tolist() == [out(A, 1.0)]


def test_a_killed_workers_networks_are_given_back(served):
    served.executor._bound_mb = 0.0
    code = f"""
        from pathlib import Path
        from actors.executor.client import ExecutorClient
        from supernets.artifact import Artifact
        held = ExecutorClient("gpu", Path({str(served.path)!r})).prepare({A!r})
        print("held", flush=True)
        input()
    """
    code = "\n".join(line.strip() for line in code.splitlines())
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        assert served.executor.ready == (A,)
        process.kill()
    wait_for(lambda: served.executor.ready == ())


def test_deadlines_order_the_requests_of_all_applications(device, served, tmp_path):
    """The ledger's token of the GPU decides who is next; the executor only keeps requests apart."""
    gpu = BoardUnit(
        name="gpu", kind="gpu", cpus=(), dvfs="fixed", mhz=(1000.0,), static_w=None, dynamic_w=None, host=None
    )
    board = Board(name="test", units=(gpu,), base_w=None, sensor="none", power_source="none")
    clock = BoardClock(time.monotonic())
    ledger = BoardLedger.create(tmp_path / "ledger", board, slots=3, clock=clock)
    queued = [threading.Event() for _ in range(3)]

    networks = {of: served.client().prepare(of) for of in (A, B, C)}
    device.ran.clear()  # what ran when they were prepared

    def serve(slot: int, of: Artifact, value: float, deadline_s: float) -> None:
        mine = BoardLedger.attach(ledger.path, board, clock)

        def give_up() -> bool:
            queued[slot].set()  # it is asked only when it has to wait
            return False

        lease = mine.take(slot, "gpu", (), deadline_s, give_up)
        networks[of](full(of, value))
        mine.release(lease)
        mine.close()

    with ThreadPoolExecutor(3) as pool:
        requests = [pool.submit(serve, 0, C, Network.WAIT, 900.0)]
        assert device.began.wait(PATIENCE_S)
        for slot, of, deadline_s in ((1, A, 300.0), (2, B, 200.0)):  # who comes first is due last
            requests.append(pool.submit(serve, slot, of, 1.0, deadline_s))
            assert queued[slot].wait(PATIENCE_S)
        device.go_on.set()
        for request in requests:
            request.result(PATIENCE_S)
    ledger.close()
    assert device.ran == ["c", "b", "a"]
    assert device.inside_at_most == 1


def test_after_an_executor_ends_its_networks_are_held_anew_in_the_next(device, tmp_path):
    path = tmp_path / "socket"
    first = Served(device, path)
    client = first.client()
    used, unused = client.prepare(A), client.prepare(B)
    first.server.close()
    with pytest.raises(ExecutorLostError, match="the executor of unit 'gpu' ended"):
        used(full(A, 1.0))
    with pytest.raises(ExecutorLostError, match="is being started again"):
        used(full(A, 1.0))
    second = Served(device, path)
    wait_for(lambda: set(second.executor.ready) == {A, B})
    wait_for(lambda: used.link and unused.link)
    assert used(full(A, 2.0)).tolist() == [out(A, 2.0)]
    assert unused(full(B, 2.0)).tolist() == [out(B, 2.0)]
    client.close()
    second.server.close()


def test_a_request_in_flight_fails_when_the_executor_is_killed(tmp_path):
    with own_executor("cpu") as client, pytest.raises(ExecutorError, match=r"executor|a\.onnx|program"):
        client.prepare(A)  # it is up, and this is no network
    with pytest.raises(ExecutorLostError, match="can't be reached"):
        client.prepare(A)


def test_an_executor_on_a_device_that_is_not_there_says_why():
    with (
        pytest.raises(ExecutorLostError, match=r"the executor on 'nowhere:0' does not start: .*nowhere"),
        own_executor("nowhere:0"),
    ):
        pass


def test_a_client_that_is_closed_waits_for_no_executor(tmp_path):
    client = ExecutorClient("gpu", tmp_path / "none")
    with ThreadPoolExecutor(1) as pool:
        network = pool.submit(client.prepare, A)
        client.close()
        with pytest.raises(ExecutorLostError, match="can't be reached"):
            network.result(PATIENCE_S)
