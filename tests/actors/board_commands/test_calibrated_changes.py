"""A calibration measures changes of clock, and units that are off where their owner allows it; all is given back."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from actors.agent.checks import with_known_transitions
from actors.agent.hold import Hold
from actors.board_commands.board_text import board_text
from actors.board_commands.calibrate import calibrate
from actors.board_commands.calibrated_board import Calibrated, calibrated
from actors.board_commands.probe import probe
from actors.board_file import read_board
from actors.clock import Clock
from helpers.fake_bench import Silicon, fake_bench
from helpers.fake_kernel import FakeKernel, FakeTree, boards
from helpers.fake_kernel.cpufreq import Policy
from helpers.fake_kernel.files import snapshot
from helpers.network_rig import DYNAMIC_W, STATIC_W, Rig
from scheduler.board import Board


def small(board: Board, may_switch_off: str | None = "big") -> Board:
    """Return a board with the lowest and the highest clock of each unit, of which one may be switched off."""
    units = tuple(
        replace(
            unit,
            mhz=(unit.mhz[0], unit.mhz[-1]),
            static_w=None,
            dynamic_w=None,
            may_switch_off=unit.name == may_switch_off,
        )
        for unit in board.units
    )
    return replace(board, units=units, modes=())


def run(rig: Rig, board: Board) -> Calibrated:
    before = snapshot(rig.silicon.kernel)
    found = calibrated(board, calibrate(board, rig.bench, seconds=0.3), "2026-12-01")
    assert snapshot(rig.silicon.kernel) == before
    return found


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "state")
    rig.silicon.off_w = 0.015
    return rig


def switches(kernel: FakeKernel) -> set[str]:
    return {write.path.split("/")[-2] for write in kernel.writes if write.path.endswith("/online")}


def test_a_unit_that_is_off_is_measured_and_comes_back(rig: Rig, tmp_path: Path) -> None:
    found = run(rig, small(rig.board))
    assert switches(rig.silicon.kernel) == {"cpu4", "cpu5", "cpu6", "cpu7"}
    big, little = found.board.unit("big"), found.board.unit("little")
    assert big.off_w == pytest.approx(0.015, abs=0.02)
    assert big.off_ms > 0
    assert big.on_ms > 0
    assert (little.off_w, little.off_ms, little.on_ms) == (None, 0.0, 0.0)
    assert big.dynamic_w == pytest.approx([DYNAMIC_W["big"](mhz) for mhz in big.mhz], abs=0.03)
    assert found.sources["big.off_w"].startswith("measured: gearshift calibrate, 2026-12-01: static_w at the lowest")
    assert found.sources["big.off_ms"].endswith("the median of 3")
    assert "little.off_ms" not in found.sources
    assert any(one.startswith("big: it goes off in ") for one in found.findings)
    file = tmp_path / "board.yaml"
    file.write_text(board_text(found.board, sources=found.sources))
    assert read_board(str(file)) == found.board


def test_off_w_of_a_unit_on_a_shared_rail_is_its_part_less_what_is_saved(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "state")
    rig.silicon.off_w = 0.015
    rig.silicon.rails = {"A15": (("big", "little"), 0.2)}
    board = small(rig.board)
    shared = replace(board.sensors[0], covers=("big", "little"))
    found = run(rig, replace(board, sensors=(shared,)))
    big = found.board.unit("big")
    assert big.off_w is not None
    assert big.static_w is not None
    saved_w = STATIC_W["big"](big.mhz[0]) - 0.015
    assert big.static_w[0] - big.off_w == pytest.approx(saved_w, abs=0.02)


def test_a_unit_that_takes_as_much_while_it_is_off_has_its_idle_power(rig: Rig) -> None:
    rig.silicon.off_w = 5.0
    big = run(rig, small(rig.board)).board.unit("big")
    assert big.static_w is not None
    assert big.off_w == big.static_w[0]


def test_without_consent_nothing_is_switched_off(rig: Rig) -> None:
    board = small(rig.board, may_switch_off=None)
    found = run(rig, board)
    assert switches(rig.silicon.kernel) == set()
    assert not any("off" in key for key in found.sources)


def test_a_unit_that_cannot_go_is_said_and_the_rest_is_found(rig: Rig) -> None:
    kernel = rig.silicon.kernel
    switch = kernel.cpus.switch

    def stuck(cpu: int, on: bool) -> None:
        if cpu == 6 and not on:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        switch(cpu, on)

    kernel.cpus.switch = stuck  # type: ignore[method-assign]
    found = run(rig, small(rig.board))
    assert found.board.unit("big").off_w is None
    assert found.board.powered
    (said,) = [one for one in found.findings if "could not be switched off and on" in one]
    assert said.startswith("big: it could not be switched off and on (")
    assert kernel.cpus.online == frozenset(range(8))


def test_an_interrupt_while_a_unit_is_off_puts_it_back(rig: Rig) -> None:
    kernel = rig.silicon.kernel
    before = snapshot(kernel)
    switch = kernel.cpus.switch

    def interrupted(cpu: int, on: bool) -> None:
        switch(cpu, on)
        if cpu == 7 and not on:
            raise KeyboardInterrupt

    kernel.cpus.switch = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        calibrate(small(rig.board), rig.bench, seconds=0.1)
    assert kernel.cpus.online == frozenset(range(8))
    assert snapshot(kernel) == before
    Hold(rig.bench.machine).give_back()


class Late:
    """A measured clock that follows the true one 5 ms after that is looked at."""

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self.policy, self.clock = policy, clock
        self.shown = self.coming = policy.true_khz
        self.from_s = 0.0

    def __call__(self) -> int:
        now_s, true_khz = self.clock.now_s(), self.policy.true_khz
        if now_s >= self.from_s:
            self.shown = self.coming
        if true_khz != self.coming:
            self.coming, self.from_s = true_khz, now_s + 0.005
        return self.shown


def test_a_kernel_that_obeys_limits_later_is_timed(tmp_path: Path) -> None:
    kernel = boards.ALL["x86-hybrid-laptop"]()
    units = {cpu: "p-cores" if cpu < 4 else "e-cores" for cpu in range(8)}
    silicon = Silicon(kernel=kernel, unit_of=units, step_s=dict.fromkeys(units.values(), lambda mhz: 1.0 / mhz))
    bench, _ = fake_bench(silicon, tmp_path / "state")
    probed = probe(FakeTree(kernel))
    assert [unit.transition_us for unit in probed.board.units] == [0.0, 0.0]
    assert not any(unit.can_pace(1000.0) for unit in probed.board.units)
    board = small(replace(probed.board, sensors=()), may_switch_off=None)
    for policy in kernel.cpufreq.policies.values():
        policy.measured_khz = Late(policy, bench.clock)
    found = calibrated(board, calibrate(board, bench, seconds=0.1), "2026-12-01")
    for unit in found.board.units:
        assert 5000 <= unit.transition_us <= 1.15 * 5000
        assert not unit.can_pace(90.0)
        assert unit.can_pace(120.0)
        assert f"{unit.name}: a new clock is in force after up " in "\n".join(found.findings)
    assert "the slower way: up 5" in (found.sources.get("transition_us") or found.sources["p-cores.transition_us"])
    kept = with_known_transitions(found.board, found.sources, bench.machine)
    assert kept == found.board
    doubted = with_known_transitions(found.board, {"transition_us": "published: the kernel's"}, bench.machine)
    assert [unit.transition_us for unit in doubted.units] == [0.0, 0.0]


def test_what_is_said_of_a_clock_that_is_set_by_speed_is_believed(rig: Rig) -> None:
    units = tuple(replace(unit, transition_us=140.0) for unit in rig.board.units)
    board = replace(rig.board, units=units)
    assert with_known_transitions(board, {}, rig.bench.machine) == board
