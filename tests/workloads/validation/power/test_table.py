"""Tables of measured power are read line by line; what can't be read is one message with its place and the fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workloads.validation.power.table import PowerTableError, read_table


def test_comments_and_empty_lines_count_as_lines_of_the_file(table: Callable[..., Path]) -> None:
    lines = read_table(table("# who", "", "board, power_w,note", "a,1.5,", "# more", 'b, 2,"one, two"'))
    assert [(line.where, dict(line.cells)) for line in lines] == [
        ("measured.csv, row 4", {"board": "a", "power_w": "1.5"}),
        ("measured.csv, row 6", {"board": "b", "power_w": "2", "note": "one, two"}),
    ]
    assert (lines[0].number("power_w"), lines[0].number("mhz"), lines[0].cell("note")) == (1.5, None, "")


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("\ufeffpower_w\n1\n".encode())
    assert read_table(path)[0].number("power_w") == 1.0


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["power_w"], "measured.csv: has no rows"),
        (["# nothing"], "has no rows"),
        (["board,mhz", "a,1"], "has no column 'power_w'"),
        (["power_w,powr", "1,2"], "the column 'powr' is unknown. Did you mean 'power_w'?"),
        (["power_w,mhz:", "1,2"], "the column 'mhz:' is unknown"),
        (["power_w,board:gpu", "1,2"], "the column 'board:gpu' is unknown"),
        (["board;power_w", "a;1"], "Separate columns by commas"),
        (["power_w,mhz,mhz", "1,2,3"], "the column 'mhz' is there twice"),
        (["power_w,mhz", "1"], "measured.csv, row 2: has 1 cells, and there are 2 columns"),
        (["power_w,note", "1,a,b"], "row 2: has 3 cells"),
    ],
)
def test_a_table_of_another_shape_is_refused(table: Callable[..., Path], lines: list[str], says: str) -> None:
    with pytest.raises(PowerTableError) as caught:
        read_table(table(*lines))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("1.2 W", "row 2, power_w '1.2 W': is no number; write it as 1.25, without a unit."),
        ("nan", "power_w 'nan': is no figure"),
        ("inf", "power_w 'inf': is no figure"),
        ("-1", "power_w '-1': is below 0"),
    ],
)
def test_a_cell_that_is_no_figure_is_refused(table: Callable[..., Path], cell: str, says: str) -> None:
    (line,) = read_table(table("power_w", cell))
    with pytest.raises(PowerTableError) as caught:
        line.number("power_w")
    assert says in str(caught.value)


def test_files_that_are_not_there_or_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PowerTableError, match=r"none.csv: can't be read \(No such file or directory\)"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(PowerTableError, match="can't be read"):
        read_table(tmp_path)
    (tmp_path / "photo.csv").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(PowerTableError, match="not UTF-8 text"):
        read_table(tmp_path / "photo.csv")
