"""The tables that come with gearshift can be read, and say what the documentation says."""

from __future__ import annotations

from pathlib import Path

import pytest

from workloads.validation.power.errors import groups_of, predicted
from workloads.validation.power.packaged import ALL, lines_of, packaged_boards
from workloads.validation.power.rows import checked_rows
from workloads.validation.power.table import PowerTableError

ROOT = Path(__file__).parents[4]


def test_all_are_those_of_each_board() -> None:
    assert "odroid-xu3" in packaged_boards()
    assert lines_of(ALL) == [line for board in packaged_boards() for line in lines_of(board)]


@pytest.mark.parametrize("board", packaged_boards())
def test_the_rows_of_a_board_are_of_that_board_and_have_sources(board: str) -> None:
    rows = checked_rows(lines_of(board))
    assert {row.board.name.partition(":")[0] for row in rows} == {board}
    assert all(row.source for row in rows)


def test_of_an_odroid_idle_rows_are_the_figures_themselves_and_workloads_lie_about_them() -> None:
    fitted = [one for one in predicted(checked_rows(lines_of("odroid-xu3"))) if one.row.role == "fitted"]
    # 19 clocks of the A15 and 13 of the A7, each idle and with 13 workloads.
    assert len(fitted) == 32 * 14
    assert all(one.error == pytest.approx(0, abs=1e-9) for one in fitted if one.row.is_idle)
    below = sum(one.error < -1e-9 for one in fitted)
    assert below == sum(one.error > 1e-9 for one in fitted) == 32 * 6


def test_nothing_that_the_odroids_figures_were_made_from_is_held_out() -> None:
    rows = checked_rows(lines_of("odroid-xu3"))
    assert {row.source for row in rows if row.role == "fitted"} == {"one core, 13 workloads"}
    held_out = [row for row in rows if row.role == "held-out"]
    # 30 programs at three clocks; nine clocks of the A15, of which the tenth throttled, and seven of the A7; four rows
    # of another chip.
    assert len(held_out) == 90 + 9 + 7 + 4
    assert not any(row.mhz == {"big": 2000.0} and row.busy == {"big": 4.0} for row in held_out)


@pytest.mark.parametrize("board", packaged_boards())
def test_the_documentation_has_what_is_found(board: str) -> None:
    text = (ROOT / "docs" / "power.md").read_text(encoding="utf-8")
    of_board = [one for one in groups_of(predicted(checked_rows(lines_of(board)))) if one.role == "held-out"]
    for group in of_board:
        assert (
            f"| `{board}` | **held-out** | all | {group.errors.rows} | **{100 * group.errors.median:.1f} %** |" in text
        )
        for errors in group.by_source.values():
            assert f"| {errors.rows} | {100 * errors.median:.1f} % |" in text


def test_what_is_neither_a_file_nor_a_board_with_tables_is_refused() -> None:
    with pytest.raises(
        PowerTableError, match="--power 'odroid-xu4': there is no such file and no packaged table"
    ) as caught:
        lines_of("odroid-xu4")
    assert "Did you mean 'odroid-xu3'?" in str(caught.value)
    with pytest.raises(PowerTableError, match=r"none\.csv: can't be read"):
        lines_of("none.csv")
