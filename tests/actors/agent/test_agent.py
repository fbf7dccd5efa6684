"""The board agent meters, caps and governs its units as worked out by hand, in virtual time and on the wall's clock."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from actors.agent.agent import BoardAgent
from actors.agent.devices import DeviceError
from actors.agent.devices.common import UnitCondition
from actors.clock import BoardClock
from actors.ledger.ledger import LedgerError
from actors.pinning import PinError, allowed
from helpers.agent_board import BIG, BOARD, LITTLE
from helpers.virtual_clock import VirtualClock
from scheduler.messages import SwitchUnit, UnitSwitched


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
    lease = ledger.take(agent.slots["b"], "big", [1], 0.0)
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
    assert (totals.duration_s, totals.units_source, totals.board_source) == (10.0, "modelled", "modelled")


def test_what_is_not_known_of_power_stays_unknown(tmp_path):
    no_base = replace(BOARD, base_w=None)
    no_unit = replace(BOARD, units=(BIG, replace(LITTLE, static_w=None, dynamic_w=None)))
    for number, (board, units_known) in enumerate([(no_base, True), (no_unit, False)]):
        with agent_of(tmp_path / str(number), board) as (agent, clock, _):
            clock.sleep_until(1.0)
            totals = agent.totals()
        assert (totals.units_j is not None) is units_known
        assert totals.board_j is None
        assert totals.units_source == ("modelled" if units_known else "unknown")
        assert totals.board_source == "unknown"
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
    assert (big.mhz_now, big.max_mhz, big.cpus_online, big.held_by) == (500.0, None, (0, 1), None)
    seen = UnitCondition(mhz_now=499.998, max_mhz=500.0, held_by="nvpmodel MODE_10W_2CORE")
    monkeypatch.setattr(agent._devices["big"], "condition", lambda: seen)
    (big, _) = agent.telemetry()
    assert (big.mhz_now, big.max_mhz, big.cpus_online) == (499.998, 500.0, (0, 1))
    assert big.held_by == "nvpmodel MODE_10W_2CORE"


def test_a_condition_that_cannot_be_read_does_not_end_telemetry(opened, monkeypatch):
    agent, _, _ = opened

    def garbage():
        raise DeviceError("/sys/x: should hold a whole number, not 'x'")

    monkeypatch.setattr(agent._devices["big"], "condition", garbage)
    (big, _) = agent.telemetry()
    assert (big.mhz_now, big.max_mhz, big.cpus_online) == (500.0, None, (0, 1))
    assert big.held_by == "unknown: /sys/x: should hold a whole number, not 'x'"


def test_a_limit_that_a_unit_cannot_keep_is_refused(tmp_path):
    fixed = replace(BOARD, units=(replace(LITTLE, dvfs="fixed"),))
    with agent_of(tmp_path, fixed) as (agent, _, _), pytest.raises(DeviceError, match="unit 'little'"):
        agent.limit("little", max_mhz=50.0)


def test_an_emulated_unit_is_slowed_down_until_the_board_is_restored(opened):
    agent, clock, ledger = opened
    lease = ledger.take(agent.slots["a"], "big", [0], 0.0)
    agent.slow("big", 4.0)
    clock.sleep_until(1.0)
    now = ledger.progress(lease)
    assert now.known_ms == pytest.approx(4 * now.done_ms)
    # What it is asked to limit leaves it as slow as it is, and telemetry knows nothing of it.
    agent.limit("big", max_mhz=700.0, other_load=0.25)
    assert ledger.progress(lease).pace == pytest.approx(ledger.progress(lease).known_pace / 4)
    (big, _) = agent.telemetry()
    assert big.busy == pytest.approx(0.5)
    agent.restore()
    assert ledger.progress(lease).pace == ledger.progress(lease).known_pace


def test_a_unit_that_does_real_work_is_not_slowed_down(tmp_path):
    fixed = replace(BOARD, units=(replace(LITTLE, dvfs="fixed"),))
    with (
        agent_of(tmp_path, fixed) as (agent, _, _),
        pytest.raises(DeviceError, match=r"unit 'little' does real work: it can't be slowed down \(1\.5 times\)"),
    ):
        agent.slow("little", 1.5)


def test_reaping_frees_what_an_application_held(opened):
    agent, _, ledger = opened
    ledger.take(agent.slots["a"], "big", [0, 1], 0.0)
    agent.reap("a")
    assert ledger.take(agent.slots["b"], "big", [0, 1], 0.0)


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


def test_an_emulated_unit_that_is_off_has_no_cpu_in_the_ledger_and_is_still_there_for_plans(opened):
    agent, _, ledger = opened
    gone = agent.switch(SwitchUnit(unit="big", on=False, plan=1))
    assert gone == UnitSwitched(unit="big", on=False, took_ms=0.0, plan=1)
    assert ledger.read("big").cpus_online == ()
    agent.limit("big")
    assert ledger.read("big").cpus_online == ()
    (big, _) = agent.telemetry()
    assert (big.cpus_online, big.held_by) == ((0, 1), None)
    agent.switch(SwitchUnit(unit="big", on=True, plan=2))
    assert ledger.read("big").cpus_online == (0, 1)


def test_a_unit_does_not_go_off_under_a_request(opened):
    agent, _, ledger = opened
    lease = ledger.take(0, "big", [0, 1], 0.0)
    refused = agent.switch(SwitchUnit(unit="big", on=False, plan=1))
    assert refused.fault == "unit 'big': a request still runs there"
    assert ledger.read("big").cpus_online == (0, 1)
    ledger.release(lease)
    assert agent.switch(SwitchUnit(unit="big", on=False, plan=1)).fault is None
