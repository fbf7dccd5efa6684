"""Compiled code is kept where a directory can be written, and never outlives the source that it was made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.compiled import directory_for


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "caller.py", tmp_path / "called.py"]
    for path in paths:
        path.write_text("x = 1")
    return paths


def test_a_change_of_any_source_leaves_the_old_code_behind(sources: list[Path], tmp_path: Path) -> None:
    roots = [tmp_path / "beside", tmp_path / "home"]
    first = directory_for(sources, roots)
    assert first is not None
    assert first.parent == roots[0]
    assert directory_for(sources, roots) == first
    sources[1].write_text("x = 2")
    second = directory_for(sources, roots)
    assert second is not None
    assert second != first
    assert [second] == list(roots[0].iterdir())


def test_where_nothing_can_be_written_beside_the_source_it_is_kept_at_home(sources: list[Path], tmp_path: Path) -> None:
    beside, home = tmp_path / "beside", tmp_path / "home"
    beside.write_text("no directory")
    kept = directory_for(sources, [beside, home])
    assert kept is not None
    assert kept.parent == home
    sources[0].write_text("x = 3")
    directory_for(sources, [beside, home])
    assert kept.exists()  # another user of this directory may have that source
    assert directory_for(sources, [beside, beside]) is None
