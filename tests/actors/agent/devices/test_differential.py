"""The stand-in for the kernel answers as the kernel does: random steps are played on both, every answer compared."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.agent.devices.sysfs import Tree
from helpers.board_bed import BoardBed
from helpers.board_steps import Board, Comparison, random_steps
from helpers.fake_kernel import FakeKernel, FakeTree, boards

_COPIES = {"x86_64": "bed-amd64", "aarch64": "bed-arm64"}
_SEEDS = 20
_STEPS = 60


@pytest.mark.parametrize("seed", range(_SEEDS))
def test_the_kernel_of_this_machine_answers_as_its_copy(
    seed: int, tmp_path: Path, real_board: Callable[[Path], BoardBed]
) -> None:
    real_board(tmp_path)
    model = FakeTree(boards.ALL[_COPIES[platform.machine()]]())
    board = Board(model)
    try:
        differences = Comparison(Tree(), model).differences(random_steps(board, seed, _STEPS))
        assert not differences, "\n".join(differences)
    finally:
        for step in board.reset():
            step.on(Tree())


def _limits_are_not_rounded(kernel: FakeKernel) -> None:
    kernel.policy(2).limits.release = (5, 10)


def _limits_are_fields(kernel: FakeKernel) -> None:
    kernel.policy(0).limits.release = (4, 9)


def _limits_come_late(kernel: FakeKernel) -> None:
    kernel.cpufreq.slow = True


def _there_is_a_state_too_many(kernel: FakeKernel) -> None:
    kernel.cooling[-1].most += 1


def _a_governor_is_not_there(kernel: FakeKernel) -> None:
    kernel.cpufreq.governors = kernel.cpufreq.governors[1:]


def _cpu_1_stays(kernel: FakeKernel) -> None:
    kernel.text("sys/devices/system/cpu/cpu1/online", "1", mode=0o644)


@pytest.mark.usefixtures("fake_boards")
@pytest.mark.parametrize("board", _COPIES.values())
@pytest.mark.parametrize(
    "change",
    [
        None,
        _limits_are_not_rounded,
        _limits_are_fields,
        _limits_come_late,
        _there_is_a_state_too_many,
        _a_governor_is_not_there,
        _cpu_1_stays,
    ],
)
def test_a_kernel_that_is_another_is_told_apart_and_no_other(
    board: str, change: Callable[[FakeKernel], None] | None
) -> None:
    found: list[str] = []
    for seed in range(_SEEDS):
        kernel, model = boards.ALL[board](), FakeTree(boards.ALL[board]())
        if change is not None:
            change(kernel)
        steps = random_steps(Board(model), seed, _STEPS)
        found += Comparison(FakeTree(kernel), model, patience_s=0.0).differences(steps)
        if found:
            break
    assert bool(found) is (change is not None), "\n".join(found)
