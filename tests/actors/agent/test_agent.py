"""The board agent meters, caps and governs its units as worked out by hand, in virtual time and on the wall's clock."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.agent.agent import BoardAgent
from actors.agent.devices import DeviceError
from actors.agent.devices.common import UnitCondition
from actors.clock import BoardClock
from actors.ledger.ledger import LedgerError
from actors.pinning import PinError, allowed
from helpers.fake_kernel import FakeAffinity, FakeTree, boards
from helpers.virtual_clock import VirtualClock
from scheduler.board import Board, BoardUnit
from scheduler.messages import Repinned

BIG = BoardUnit(
    name="big",
    kind="cpu",
    cpus=(0, 1),
    dvfs="emulated",
    mhz=(500.0, 1000.0),
    static_w=(0.1, 0.4),
    dynamic_w=(0.5, 2.0),
)
LITTLE = replace(BIG, name="little", cpus=(2,), mhz=(100.0,), static_w=(0.01,), dynamic_w=(0.02,))
BOARD = Board(name="test", units=(BIG, LITTLE), base_w=1.5, sensor="none", power_source="made up")


@contextlib.contextmanager
def agent_of(path, board=BOARD, clock=None):
    with BoardAgent(board, apps=["a", "b"], path=path / "ledger", clock=clock or VirtualClock()) as agent:
        yield agent, agent._clock, agent.ledger


@pytest.fixture
def opened(tmp_path):
    with agent_of(tmp_path) as opened:
        yield opened


def test_telemetry_is_of_the_time_since_the_last_call(opened):
    agent, clock, ledger = opened
    lease = ledger.take(agent.slot("b"), "big", [1], 0.0)
    clock.sleep_until(1.0)
    ledger.release(lease)
    clock.sleep_until(4.0)
    agent.set_clock("big", 1000.0)
    big, little = agent.telemetry()
    assert (big.name, big.mhz_now, big.temp_c, little.name, little.busy) == ("big", 1000.0, None, "little", 0.0)
    assert big.busy == pytest.approx(1 / 8)  # one of two cores, one of four seconds
    clock.sleep_until(5.0)
    assert agent.telemetry()[0].busy == 0.0
    assert agent.telemetry()[0].busy == 0.0  # no time has passed


def test_load_of_others_and_cores_offline_count_as_the_unit_stands(opened):
    agent, clock, ledger = opened
    agent.limit("big", cpus_online=[1], other_load=0.25)
    clock.sleep_until(2.0)
    assert agent.telemetry()[0].busy == pytest.approx(0.25)
    ledger.take(0, "big", [1], 0.0)
    clock.sleep_until(4.0)
    assert agent.telemetry()[0].busy == pytest.approx(1.0)


def test_totals_are_those_since_the_mark(opened):
    agent, clock, ledger = opened
    agent.set_clock("big", 1000.0)
    lease = ledger.take(0, "big", [0, 1], 0.0)
    clock.sleep_until(10.0)
    agent.mark()
    clock.sleep_until(12.0)  # 2 s with both cores at 1000 MHz
    ledger.release(lease)
    agent.set_clock("big", 500.0)
    clock.sleep_until(20.0)  # 8 s idle at 500 MHz
    totals = agent.totals()
    big, little = totals.units
    assert big.busy == pytest.approx(0.2)
    assert big.mean_mhz == pytest.approx((2 * 1000 + 8 * 500) / 10)
    assert big.clock_changes == 1
    assert big.energy_j == pytest.approx(2 * (0.4 + 2 * 2.0) + 8 * 0.1)
    assert (little.busy, little.clock_changes) == (0.0, 0)
    assert little.energy_j == pytest.approx(0.1)
    assert totals.units_j == pytest.approx(9.7)
    assert totals.board_j == pytest.approx(9.7 + 15.0)
    assert (totals.duration_s, totals.source) == (10.0, "modelled")


def test_what_is_not_known_of_power_stays_unknown(tmp_path):
    no_base = replace(BOARD, base_w=None)
    no_unit = replace(BOARD, units=(BIG, replace(LITTLE, static_w=None, dynamic_w=None)))
    for number, (board, units_known) in enumerate([(no_base, True), (no_unit, False)]):
        with agent_of(tmp_path / str(number), board) as (agent, clock, _):
            clock.sleep_until(1.0)
            totals = agent.totals()
        assert (totals.units_j is not None) is units_known
        assert totals.board_j is None
        assert totals.source == ("modelled" if units_known else "unknown")
        assert totals.units[0].energy_j == pytest.approx(0.1)


def test_a_limit_caps_what_is_granted_and_what_a_governor_may_use(opened):
    agent, _, _ = opened
    agent.limit("big", max_mhz=700.0)
    assert agent.set_clock("big", 1000.0) == 500.0
    agent.limit("big")
    assert agent.telemetry()[0].mhz_now == 1000.0
    agent.limit("big", max_mhz=700.0)
    assert agent.set_clock("big", "performance") == "performance"
    assert agent.telemetry()[0].mhz_now == 500.0


def test_telemetry_carries_what_the_board_grants(opened, monkeypatch):
    agent, _, _ = opened
    (big, _) = agent.telemetry()
    assert (big.mhz_now, big.max_mhz, big.cpus_online, big.held_by) == (500.0, None, None, None)
    seen = UnitCondition(mhz_now=499.998, max_mhz=500.0, cpus_online=(1,), held_by="nvpmodel MODE_10W_2CORE")
    monkeypatch.setattr(agent._devices["big"], "condition", lambda: seen)
    (big, little) = agent.telemetry()
    assert (big.mhz_now, big.max_mhz, big.cpus_online) == (499.998, 500.0, (1,))
    assert (big.held_by, little.held_by) == ("nvpmodel MODE_10W_2CORE", None)


def test_a_condition_that_cannot_be_read_does_not_end_telemetry(opened, monkeypatch):
    agent, _, _ = opened

    def garbage():
        raise DeviceError("/sys/x: should hold a whole number, not 'x'")

    monkeypatch.setattr(agent._devices["big"], "condition", garbage)
    (big, _) = agent.telemetry()
    assert (big.mhz_now, big.max_mhz, big.cpus_online) == (500.0, None, None)
    assert big.held_by == "unknown: /sys/x: should hold a whole number, not 'x'"


def test_a_limit_that_a_unit_cannot_keep_is_refused(tmp_path):
    fixed = replace(BOARD, units=(replace(LITTLE, dvfs="fixed"),))
    with agent_of(tmp_path, fixed) as (agent, _, _), pytest.raises(DeviceError, match="unit 'little'"):
        agent.limit("little", max_mhz=50.0)


def test_reaping_frees_what_an_application_held(opened):
    agent, _, ledger = opened
    ledger.take(agent.slot("a"), "big", [0, 1], 0.0)
    agent.reap("a")
    assert ledger.take(agent.slot("b"), "big", [0, 1], 0.0)


def test_ticks_are_those_of_the_units_that_have_a_governor(opened):
    agent, clock, ledger = opened
    assert agent.tick() == float("inf")
    agent.set_clock("big", "ondemand")
    ledger.take(0, "big", [0], 0.0)
    assert agent.tick() == pytest.approx(0.010)
    clock.sleep_until(0.010)
    assert agent.tick() == pytest.approx(0.020)
    assert agent.telemetry()[0].mhz_now == 1000.0


def test_governors_run_on_their_own_thread_until_the_board_is_restored(tmp_path):
    with agent_of(tmp_path, clock=BoardClock(zero_s=time.monotonic())) as (agent, _, ledger):
        agent.start()
        ledger.take(0, "big", [0], 0.0)
        agent.set_clock("big", "schedutil")
        give_up_s = time.monotonic() + 20  # only keeps a failure from hanging
        while agent.telemetry()[0].mhz_now < 1000.0 and time.monotonic() < give_up_s:
            time.sleep(0.005)
        assert agent.telemetry()[0].mhz_now == 1000.0
        agent.restore()
        assert "governors" not in {thread.name for thread in threading.enumerate()}
        assert agent.telemetry()[0].mhz_now == 500.0
        agent.restore()


def test_closing_leaves_nothing_and_a_ledger_in_use_is_not_taken_over(tmp_path):
    with agent_of(tmp_path) as (agent, _, _):
        agent.start()
        with (
            pytest.raises(LedgerError, match="holds a ledger already"),
            agent_of(tmp_path),
        ):
            pass
        assert (tmp_path / "ledger").exists()
        agent.close()
        agent.close()
    assert not (tmp_path / "ledger").exists()


def test_a_worker_is_pinned_and_read_back(opened):
    agent, _, _ = opened
    cpu = min(os.sched_getaffinity(0))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert agent.pin("a", child.pid, [cpu]) == (cpu,)
        assert set(allowed(child.pid).values()) == {(cpu,)}
        with pytest.raises(KeyError):
            agent.pin("nobody", child.pid, [cpu])
    finally:
        child.kill()
        child.communicate()
    with pytest.raises(PinError, match="is gone"):
        agent.pin("a", child.pid, [cpu])


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

    with BoardAgent(BOARD, apps=["a", "b"], path=path / "ledger", clock=VirtualClock(), affinity=affinity) as agent:
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
        assert agent._pinned == {}


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
