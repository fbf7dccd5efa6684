"""An executor runs one request at a time, and keeps the networks that are held or fit in memory."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.executor.packets import Held
from actors.executor.server import DeviceLostError, Executor
from helpers.fake_device import PATIENCE_S, A, B, C, Network, artifact, full, out


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
