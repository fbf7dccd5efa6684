"""The agent of a board tells who took CPUs away: itself, somebody else, or a kernel that does not give them back."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from actors.agent.agent import BoardAgent
from actors.agent.checks import check_clocks
from actors.agent.devices import DeviceError
from actors.agent.hold import Hold
from helpers.board_bed import BoardBed, fake_bed
from helpers.board_loop import board_of
from helpers.fake_kernel import FakeKernel, boards
from helpers.virtual_clock import VirtualClock
from scheduler.messages import SwitchUnit, UnitTelemetry


@pytest.fixture
def kernel() -> FakeKernel:
    return boards.ALL["bed-amd64"]()


@pytest.fixture
def amd64(kernel: FakeKernel, tmp_path: Path) -> BoardBed:
    return fake_bed(kernel, tmp_path / "state")


def agent_of(amd64: BoardBed, directory: Path) -> BoardAgent:
    board = board_of(amd64, [amd64.units[1].name])
    return BoardAgent(board, apps=["a"], path=directory / "ledger", clock=VirtualClock(), machine=amd64.machine)


class Stuck:
    """A kernel that switches no CPU, while it is told so."""

    def __init__(self, kernel: FakeKernel) -> None:
        self.is_so = False
        self._switch, kernel.cpus.switch = kernel.cpus.switch, self._switch_or_not

    def _switch_or_not(self, cpu: int, on: bool) -> None:
        if self.is_so:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self._switch(cpu, on)


def order(amd64: BoardBed, on: bool) -> SwitchUnit:
    return SwitchUnit(unit=amd64.units[1].name, on=on, plan=1)


def seen(agent: BoardAgent) -> UnitTelemetry:
    return agent.telemetry()[1]


def test_a_unit_that_does_not_come_on_is_reported_away_until_it_does(
    kernel: FakeKernel, amd64: BoardBed, tmp_path: Path
) -> None:
    unit, stuck = amd64.units[1], Stuck(kernel)
    with agent_of(amd64, tmp_path) as agent:
        assert agent.switch(order(amd64, on=False)).fault is None
        assert (seen(agent).cpus_online, seen(agent).offline_by) == (unit.cpus, None)
        stuck.is_so = True
        assert agent.switch(order(amd64, on=True)).fault
        assert seen(agent).cpus_online == ()
        assert "switched off, and did not come back: " in str(seen(agent).offline_by)
        stuck.is_so = False
        assert agent.switch(order(amd64, on=True)).fault is None
        assert (seen(agent).cpus_online, seen(agent).offline_by) == (unit.cpus, None)
        # A fault of the past explains nothing that happens later.
        amd64.switch(unit.cpus[1], False)
        assert (seen(agent).cpus_online, seen(agent).offline_by) == (unit.cpus[:1], "hotplug by somebody")


def test_a_unit_that_does_not_go_off_is_on(kernel: FakeKernel, amd64: BoardBed, tmp_path: Path) -> None:
    unit, stuck = amd64.units[1], Stuck(kernel)
    with agent_of(amd64, tmp_path) as agent:
        stuck.is_so = True
        assert agent.switch(order(amd64, on=False)).fault
        stuck.is_so = False
        assert (seen(agent).cpus_online, seen(agent).offline_by) == (unit.cpus, None)
        assert agent.ledger.read(unit.name).cpus_online == unit.cpus


def test_a_unit_that_cannot_go_off_is_refused_before_a_run(amd64: BoardBed) -> None:
    first, second = amd64.units[:2]
    check_clocks(board_of(amd64, [second.name]), amd64.machine)
    with pytest.raises(DeviceError, match=rf"unit '{first.name}': CPU 0 can't be switched off .*may_switch_off"):
        check_clocks(board_of(amd64, [first.name]), amd64.machine)


def test_the_last_unit_that_is_online_may_not_go(tmp_path: Path) -> None:
    arm64 = fake_bed(boards.ALL["bed-arm64"](), tmp_path / "state")
    board = board_of(arm64, [arm64.units[0].name])
    check_clocks(board, arm64.machine)
    for cpu in arm64.units[1].cpus:
        arm64.switch(cpu, False)
    first = replace(board, units=board.units[:1])
    with pytest.raises(DeviceError, match="has all CPUs that are online"):
        check_clocks(first, arm64.machine)


def test_an_agent_that_cannot_begin_lets_the_board_go(amd64: BoardBed, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        agent_of(amd64, tmp_path / "file")
    Hold(amd64.machine).give_back()
