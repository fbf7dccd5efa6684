"""Whatever moment the process that turns the knobs is killed at, every knob comes back as it was found."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.agent.hold import recover
from helpers.board_bed import BoardBed, fake_bed
from helpers.board_uses import one_use, prepare
from helpers.fake_kernel import boards
from helpers.kill_points import Killed, KillPoints, MortalTree, mortal_journal

_FAKE_BOARDS = ("bed-arm64", "xavier-nx-l4t32", "xavier-nx-l4t35", "odroid-xu3")
_POINTS_OF_EACH = 250
_REAL_POINTS = 30


@pytest.mark.parametrize("board", _FAKE_BOARDS)
@pytest.mark.usefixtures("fake_boards")
def test_a_fake_board_comes_back_from_every_kill(board: str, tmp_path: Path) -> None:
    def die() -> None:
        raise Killed

    killed = 0
    kernel = boards.ALL[board]()
    for seed in range(_POINTS_OF_EACH):
        rng = random.Random(seed)
        bed = fake_bed(kernel, tmp_path / str(seed))
        by_limits = rng.random() < 0.3
        prepare(bed, rng, by_limits=by_limits)
        before = bed.knobs()
        points = KillPoints(die)
        tree = MortalTree(bed.tree, points)
        machine = replace(bed.machine, tree=tree)
        points.left = rng.randrange(60)
        with mortal_journal(points):
            try:
                one_use(rng, by_limits=by_limits)(bed, machine, rng)
            except Killed:
                killed += 1
                tree.bury()
                # The next one may be killed over it too.
                points.left = rng.randrange(12)
                try:
                    recover(machine)
                except Killed:
                    tree.bury()
        recovered = recover(bed.machine)
        assert recovered is not None
        assert not recovered.left_alone, (seed, recovered)
        assert bed.knobs() == before, (seed, recovered)
        assert not list(bed.machine.state.glob("journal-*"))
    assert killed > _POINTS_OF_EACH // 2


def test_the_kernel_of_this_machine_comes_back_from_every_kill(
    tmp_path: Path, real_board: Callable[[Path], BoardBed]
) -> None:
    killed = 0
    for seed in range(_REAL_POINTS):
        rng = random.Random(seed)
        bed = real_board(tmp_path / str(seed))
        by_limits = rng.random() < 0.3
        prepare(bed, rng, by_limits=by_limits)
        before = bed.knobs()
        child = os.fork()
        if child == 0:
            try:
                points = KillPoints(lambda: os.kill(os.getpid(), signal.SIGKILL))
                points.left = rng.randrange(60)
                with mortal_journal(points):
                    use = one_use(rng, by_limits=by_limits)
                    use(bed, replace(bed.machine, tree=MortalTree(bed.tree, points)), rng)
            finally:
                os._exit(0)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        recovered = recover(bed.machine)
        assert recovered is not None
        assert not recovered.left_alone, (seed, recovered)
        assert bed.knobs() == before, (seed, recovered)
    assert killed > _REAL_POINTS // 2
