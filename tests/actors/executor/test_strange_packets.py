"""Packets that are not of this protocol, or of another version of it, are answered and harm nobody."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgpack
import pytest

from actors.executor.client import ExecutorClient, ExecutorError
from actors.executor.packets import Held, Infer, Inferred, open_socket, receive, send
from actors.wire import encode
from helpers.fake_device import PATIENCE_S, A, Served, full, out, wait_for


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
