"""A file is written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

import pytest

from actors.whole_file import whole
from helpers.file_limit import longest_file


def test_a_file_that_is_not_finished_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "page"
    path.write_text("before")
    with contextlib.suppress(ZeroDivisionError), whole(path) as fresh:
        fresh.write_text("half")
        _ = 1 / 0
    assert [one.name for one in tmp_path.iterdir()] == ["page"]
    assert path.read_text() == "before"
    with whole(path) as fresh:
        fresh.write_text("after")
    assert path.read_text() == "after"


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "page"
    with longest_file(10), pytest.raises(OSError, match="page") as caught, whole(path) as fresh:
        fresh.write_text("x" * 100)
    assert (caught.value.filename, caught.value.errno) == (str(path), errno.EFBIG)
    assert list(tmp_path.iterdir()) == []
