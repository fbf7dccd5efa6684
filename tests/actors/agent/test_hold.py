"""The hold on a board, and its clocks at their highest for as long as something is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.agent.hold import Hold, at_top_clocks
from actors.board_schema import BoardError
from helpers.board_bed import fake_bed
from helpers.board_loop import board_of
from helpers.fake_kernel import boards


def test_clocks_are_at_their_highest_within_the_block_and_as_found_after_it(tmp_path: Path) -> None:
    bed = fake_bed(boards.ALL["odroid-xu3"](), tmp_path / "state")
    before = bed.knobs()
    board = board_of(bed)
    with at_top_clocks(board, bed.machine) as top:
        assert top.mhz == {unit.name: unit.mhz[-1] for unit in board.units}
        assert all(bed.khz(unit) == round(unit.mhz[-1] * 1000) for unit in bed.units)
    assert bed.knobs() == before


def test_a_cap_leaves_less_and_the_block_is_told(tmp_path: Path) -> None:
    bed = fake_bed(boards.ALL["odroid-xu3"](), tmp_path / "state")
    unit = bed.units[1]
    with bed.capped(unit, unit.mhz[3]), at_top_clocks(board_of(bed), bed.machine) as top:
        assert top.mhz[unit.name] == unit.mhz[3]


def test_a_knob_that_somebody_else_turns_in_the_block_is_told(tmp_path: Path) -> None:
    bed = fake_bed(boards.ALL["odroid-xu3"](), tmp_path / "state")
    governor = f"{bed.policy(bed.units[0])}/scaling_governor"
    faults: list[str] = []
    with at_top_clocks(board_of(bed), bed.machine, faults.extend):
        bed.write(governor, "powersave")
    assert faults == [f"left as it is, since somebody else has set it meanwhile: /{governor} = powersave"]


def test_an_interrupt_in_the_block_gives_the_board_back(tmp_path: Path) -> None:
    bed = fake_bed(boards.ALL["odroid-xu3"](), tmp_path / "state")
    before = bed.knobs()
    with pytest.raises(KeyboardInterrupt), at_top_clocks(board_of(bed), bed.machine):
        raise KeyboardInterrupt
    assert bed.knobs() == before
    Hold(bed.machine).give_back()


def test_a_board_that_another_has_is_one_clear_error(tmp_path: Path) -> None:
    bed = fake_bed(boards.ALL["odroid-xu3"](), tmp_path / "state")
    hold = Hold(bed.machine)
    refused = pytest.raises(BoardError, match="Board 'bed', another run is using this board")
    with refused, at_top_clocks(board_of(bed), bed.machine):
        pass
    hold.give_back()
