"""The executor: one device, many applications' networks. In one process, over its socket, and killed."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from actors.clock import BoardClock
from actors.executor.client import ExecutorClient, ExecutorError, ExecutorLostError, own_executor
from actors.executor.packets import Held, Infer, Inferred, open_socket, receive, send
from actors.executor.server import DeviceLostError, Executor, ExecutorServer
from actors.ledger.ledger import BoardLedger
from actors.wire import encode
from scheduler.board import Board, BoardUnit
from supernets.artifact import Artifact

PATIENCE_S = 30.0
"""A stalled machine gets this long; nothing here takes long by itself."""


def artifact(subnet: str, side: int = 4) -> Artifact:
    return Artifact(subnet=subnet, path=f"/none/{subnet}.onnx", input_shape=(1, 1, side, side), weights_hash=subnet)


A, B, C = artifact("a"), artifact("b"), artifact("c", side=2)


class Network:
    """Sums its input and adds its own number. Some inputs do something else."""

    WAIT, FAIL, BREAK = 1000.0, 2000.0, 3000.0

    def __init__(self, device: Device, of: Artifact) -> None:
        self.memory_mb = device.memory_mb
        self._device = device
        self._subnet = of.subnet

    def __call__(self, x: np.ndarray) -> np.ndarray:
        device, first = self._device, float(x.flat[0])
        device.inside += 1
        device.inside_at_most = max(device.inside_at_most, device.inside)
        try:
            if first == self.WAIT:
                device.began.set()
                assert device.go_on.wait(PATIENCE_S)
            if first == self.BREAK:
                device.broken = True
            if device.broken or first == self.FAIL:
                raise RuntimeError(f"no such kernel {first:g}")
            device.ran.append(self._subnet)
            return np.array([[x.sum(), ord(self._subnet)]], np.float32)
        finally:
            device.inside -= 1


class Device:
    """What loads such networks, and what became of them."""

    def __init__(self, memory_mb: float = 1.0) -> None:
        self.memory_mb = memory_mb
        self.loaded: list[str] = []
        self.ran: list[str] = []
        self.inside = self.inside_at_most = 0
        self.began, self.go_on = threading.Event(), threading.Event()
        self.slow: threading.Event | None = None
        self.broken = False

    def load(self, of: Artifact) -> Network:
        if of.subnet == "bad":
            raise OSError("no such file")
        if self.slow is not None:
            assert self.slow.wait(PATIENCE_S)
        self.loaded.append(of.subnet)
        return Network(self, of)


def full(of: Artifact, value: float) -> np.ndarray:
    return np.full(of.input_shape, value, np.float32)


def out(of: Artifact, value: float) -> list[float]:
    return [value * np.prod(of.input_shape), ord(of.subnet)]


@pytest.fixture
def device() -> Device:
    return Device()


def wait_for(what: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline_s, "it never came to be so"
        time.sleep(0.01)


# ---------------------------------------------------------------- in one process


def test_a_network_is_made_once_for_all_who_hold_it(device):
    executor = Executor(device.load)
    first, second = executor.hold(A), executor.hold(A)
    assert first == second == Held(output_shape=(1, 2), memory_mb=1.0)
    assert executor.run(A, full(A, 2.0)).tolist() == [out(A, 2.0)]
    assert device.loaded == ["a"]


def test_two_who_want_the_same_at_once_get_one(device):
    executor = Executor(device.load, bound_mb=0.0)
    device.slow = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        holds = [pool.submit(executor.hold, A) for _ in range(4)]
        device.slow.set()
        assert len({hold.result(PATIENCE_S) for hold in holds}) == 1
    assert device.loaded == ["a"]
    for _ in range(3):
        executor.release(A)
    assert executor.ready == (A,)
    executor.release(A)
    assert executor.ready == ()


def test_what_nobody_holds_goes_when_memory_is_short_and_the_least_recently_held_first(device):
    executor = Executor(device.load, bound_mb=2.0)
    for one in (A, B):
        executor.hold(one)
        executor.release(one)
    executor.hold(A)
    executor.release(A)
    assert executor.ready == (B, A)  # they fit, and may be wanted again
    executor.hold(C)
    assert executor.ready == (A, C)
    assert device.loaded == ["a", "b", "c"]


def test_what_is_held_stays_whatever_it_takes(device):
    executor = Executor(device.load, bound_mb=0.5)
    for one in (A, B, C):
        executor.hold(one)
    assert executor.ready == (A, B, C)
    executor.release(B)
    assert executor.ready == (A, C)
    assert executor.run(A, full(A, 1.0)).tolist() == [out(A, 1.0)]


def test_one_request_runs_at_a_time(device):
    executor = Executor(device.load)
    for one in (A, B):
        executor.hold(one)
    with ThreadPoolExecutor(2) as pool:
        waits = pool.submit(executor.run, A, full(A, Network.WAIT))
        assert device.began.wait(PATIENCE_S)
        second = pool.submit(executor.run, B, full(B, 1.0))
        time.sleep(0.05)
        assert not second.done()
        device.go_on.set()
        waits.result(PATIENCE_S)
        second.result(PATIENCE_S)
    assert device.ran[-2:] == ["a", "b"]
    assert device.inside_at_most == 1


def test_requests_run_while_a_network_is_prepared(device):
    executor = Executor(device.load)
    executor.hold(A)
    device.slow = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        hold = pool.submit(executor.hold, B)
        assert executor.run(A, full(A, 1.0)).tolist() == [out(A, 1.0)]
        assert executor.hold(A)  # nor does what is ready wait for it
        assert not hold.done()
        device.slow.set()
        hold.result(PATIENCE_S)
    assert executor.ready == (A, B)


def test_a_request_that_fails_costs_itself_and_a_broken_device_says_so(device):
    executor = Executor(device.load)
    executor.hold(A)
    with pytest.raises(RuntimeError, match="no such kernel 2000"):
        executor.run(A, full(A, Network.FAIL))
    assert executor.run(A, full(A, 1.0)).tolist() == [out(A, 1.0)]
    with pytest.raises(DeviceLostError, match="no such kernel 3000"):
        executor.run(A, full(A, Network.BREAK))


def test_what_cannot_be_prepared_leaves_nothing(device):
    executor = Executor(device.load)
    with pytest.raises(OSError, match="no such file"):
        executor.hold(artifact("bad"))
    assert executor.ready == ()
    executor.hold(A)


# ---------------------------------------------------------------- over its socket


class Served:
    """An executor behind its socket, here."""

    def __init__(self, device: Device, path: Path, bound_mb: float = 100.0) -> None:
        self.executor = Executor(device.load, bound_mb)
        self.path = path
        self.lost = threading.Event()
        self.server = ExecutorServer(self.executor, path, on_lost=self.lost.set)

    def client(self) -> ExecutorClient:
        return ExecutorClient("gpu", self.path)


@pytest.fixture
def served(device: Device, tmp_path: Path) -> Iterator[Served]:
    one = Served(device, tmp_path / "socket")
    yield one
    one.server.close()


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


# ---------------------------------------------------------------- what is not our protocol


@pytest.fixture
def stranger(served: Served) -> Iterator[socket.socket]:
    with open_socket() as connection:
        connection.connect(str(served.path))
        connection.settimeout(PATIENCE_S)
        yield connection


def aged(message: object) -> bytes:
    """A message as a later version would send it."""
    return msgpack.packb({**msgpack.unpackb(encode(message)), "schema": 1000})


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        (encode(A)[:-3], "not a gearshift message"),
        (b"GET / HTTP/1.1", "not a gearshift message"),
        (bytes(1 << 17), "more than 65536 bytes"),
        (aged(A), "schema 1000"),
        (encode(Infer()), "must be a Artifact, not 'Infer'"),
    ],
    ids=["cut short", "not ours", "too long", "another version", "out of turn"],
)
def test_a_strange_first_packet_is_answered_and_ends_the_connection(served, stranger, packet, says):
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    stranger.send(packet)
    held, _ = receive(stranger, Held)
    assert says in held.error
    with pytest.raises(ConnectionError):
        receive(stranger, Held)
    assert served.client().prepare(A)(full(A, 1.0)).tolist() == [out(A, 1.0)]


@pytest.mark.parametrize("packet", [encode(Infer())[:-3], aged(Infer()), encode(A)])
def test_a_strange_later_packet_runs_nothing(served, device, stranger, packet):
    send(stranger, A)
    held, files = receive(stranger, Held, files_at_most=1)
    os.close(files[0])
    assert held.error is None
    before = list(device.ran)
    stranger.send(packet)
    ran, _ = receive(stranger, Inferred)
    assert ran.error
    assert device.ran == before
    send(stranger, Infer())
    assert receive(stranger, Inferred)[0] == Inferred()


def test_one_who_says_nothing_disturbs_nobody(served, stranger):
    assert served.client().prepare(A)(full(A, 1.0)).tolist() == [out(A, 1.0)]


def test_files_from_strangers_are_not_kept_open(served, stranger):
    before = len(os.listdir("/proc/self/fd"))
    file = os.memfd_create("x")
    send(stranger, Infer(), *[file] * 20)
    os.close(file)
    receive(stranger, Held)
    wait_for(lambda: len(os.listdir("/proc/self/fd")) <= before)


@pytest.mark.parametrize("answer", [aged(Held()), b"\xc1", encode(Inferred())])
def test_an_executor_of_another_version_is_refused_at_once(tmp_path, answer):
    with open_socket() as listener, ThreadPoolExecutor(1) as pool:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        network = pool.submit(ExecutorClient("gpu", tmp_path / "socket").prepare, A)
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.send(answer)
            with pytest.raises(ExecutorError, match="the executor of unit 'gpu' speaks another language"):
                network.result(PATIENCE_S)


# ---------------------------------------------------------------- the end of an executor, and the next


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
