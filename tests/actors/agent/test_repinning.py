"""The board agent pins workers again when CPUs have gone and come."""

import contextlib
import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.agent.agent import BoardAgent
from actors.agent.machine import Machine
from actors.pinning import PinError
from helpers.agent_board import BOARD
from helpers.fake_kernel import FakeAffinity, FakeTree, boards
from helpers.virtual_clock import VirtualClock
from scheduler.messages import Repinned


@pytest.fixture
def worker():
    """A process with one thread, which can be pinned."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.communicate()


@contextlib.contextmanager
def agent_on_a_fake_kernel(path):
    """Give an agent whose workers' masks are a fake kernel's with four CPUs, those masks, and a switch of CPUs."""
    kernel = boards.bed_amd64()
    affinity, tree = FakeAffinity(kernel), FakeTree(kernel)

    def switch(cpu, on):
        tree.knob(f"sys/devices/system/cpu/cpu{cpu}/online").write(int(on))

    machine = Machine(tree=tree, affinity=affinity, state=path / "state")
    with BoardAgent(BOARD, apps=["a", "b"], path=path / "ledger", clock=VirtualClock(), machine=machine) as agent:
        yield agent, affinity, switch


def test_a_worker_whose_cpu_goes_and_comes_back_is_put_back_where_it_was_pinned(tmp_path, worker):
    with agent_on_a_fake_kernel(tmp_path) as (agent, affinity, switch):
        assert agent.pin("a", worker.pid, [1]) == (1,)
        assert agent.repin() == ()
        switch(1, False)
        assert set(affinity.get(worker.pid)) == {0, 2, 3}  # the kernel lets it run anywhere
        assert agent.repin() == ()  # there is nowhere else to put it
        switch(1, True)
        assert agent.repin() == (Repinned(app="a", before=(0, 1, 2, 3), cpus=(1,)),)
        assert set(affinity.get(worker.pid)) == {1}
        assert agent.repin() == ()


def test_a_cpu_that_goes_and_comes_back_between_two_looks_is_noticed(tmp_path, worker):
    with agent_on_a_fake_kernel(tmp_path) as (agent, affinity, switch):
        agent.pin("a", worker.pid, [1])
        switch(1, False)
        switch(1, True)
        assert set(affinity.get(worker.pid)) == {0, 1, 2, 3}
        assert agent.repin() == (Repinned(app="a", before=(0, 1, 2, 3), cpus=(1,)),)
        assert set(affinity.get(worker.pid)) == {1}


def test_a_thread_that_works_aside_is_left_there(tmp_path):
    with agent_on_a_fake_kernel(tmp_path) as (agent, affinity, _):
        agent.pin("a", os.getpid(), [1])
        ended = threading.Event()
        aside = threading.Thread(target=ended.wait)
        aside.start()
        affinity.set(aside.native_id, {2})
        assert agent.repin() == ()
        assert set(affinity.get(aside.native_id)) == {2}
        ended.set()
        aside.join()


def test_a_worker_stays_where_it_was_pinned_last_and_not_where_it_could_not_be(tmp_path, worker):
    with agent_on_a_fake_kernel(tmp_path) as (agent, affinity, switch):
        switch(3, False)
        assert agent.pin("a", worker.pid, [2, 3]) == (2,)
        switch(3, True)
        assert agent.repin() == ()  # the manager was told of CPU 2 alone
        agent.pin("a", worker.pid, [1, 2])
        switch(1, False)
        assert agent.repin() == ()  # CPU 2 is left, and the kernel keeps the mask
        switch(1, True)
        assert agent.repin() == ()
        assert set(affinity.get(worker.pid)) == {1, 2}
        switch(1, False)
        with pytest.raises(PinError, match=r"CPUs \[1\]: they are offline"):
            agent.pin("a", worker.pid, [1])
        assert set(affinity.get(worker.pid)) == {2}


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["off", "on", "pin"]), st.integers(1, 3)), max_size=15))
def test_whatever_goes_and_comes_a_worker_is_where_it_was_pinned(tmp_path_factory, steps):
    """CPU 0 can't go here, so there is always one. This process plays the worker: the masks are not real."""
    with agent_on_a_fake_kernel(tmp_path_factory.mktemp("agent")) as (agent, affinity, switch):
        pid = os.getpid()
        pinned = agent.pin("a", pid, [0, 1])
        for step, cpu in steps:
            if step == "pin":
                with contextlib.suppress(PinError):
                    pinned = agent.pin("a", pid, [cpu, (cpu + 1) % 4])
            else:
                switch(cpu, step == "on")
            agent.repin()
            wanted = affinity.online() & set(pinned)
            assert not wanted or set(affinity.get(pid)) == wanted


def test_a_worker_that_is_gone_is_forgotten(tmp_path, worker):
    with agent_on_a_fake_kernel(tmp_path) as (agent, _, switch):
        agent.pin("a", worker.pid, [1])
        worker.kill()
        worker.wait()
        switch(2, False)
        assert agent.repin() == ()
        assert agent.pinned() == {}


def test_a_worker_that_cannot_be_put_back_is_told_of(tmp_path, worker, monkeypatch):
    with agent_on_a_fake_kernel(tmp_path) as (agent, affinity, switch):
        agent.pin("a", worker.pid, [1])
        switch(1, False)
        agent.repin()
        switch(1, True)

        def refuse(tid, cpus):
            raise OSError(22, "Invalid argument")

        monkeypatch.setattr(affinity, "set", refuse)
        (moved,) = agent.repin()
        assert (moved.app, moved.cpus) == ("a", ())
        assert "cannot be moved to CPUs [1]" in moved.fault
        assert agent.repin() == (), "it was told"
