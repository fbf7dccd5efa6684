"""`gearshift validate --power` prints and writes what it found, and writes nothing where a row is wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.command_line import assert_refused, gearshift

Written = Callable[..., Path]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_table_is_told_row_by_row(here: Path, table: Written, board: Path) -> None:
    measured = table(
        "rail,mhz,busy,power_w,role,source,note",
        "big,500,1,0.56,held-out,lab,cold",
        "big,1000,1,2.0,held-out,lab,",
        "big,500,0,0.2,fitted,lab,<b>",
    )
    ended = gearshift("validate", "--power", measured, "--board", board, "--out", here / "out")
    assert ended.code == 0
    assert "hand" in ended.out
    # 0.7 W and 2.4 W are predicted: 25 % and 20 % too much.
    for words in ("22.5 %", "+22.5 %", "+25.0 %", "✗ missed", "not judged", "measured.csv, row 2", "0.56 W", "0.7 W"):
        assert words in ended.out, words
    with open(here / "out" / "results.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["row"], row["mhz"], row["busy"], float(row["error"])) for row in rows] == [
        ("measured.csv, row 2", "500", "1", 0.25),
        ("measured.csv, row 3", "1000", "1", 0.2),
        ("measured.csv, row 4", "500", "0", 0.0),
    ]
    html = (here / "out" / "report.html").read_text()
    assert "<svg" in html
    assert "&lt;b&gt;" in html


def test_the_json_has_the_groups_and_all_rows(here: Path) -> None:
    ended = gearshift("validate", "--power", "odroid-xu3", "--json", "--out", "out")
    assert ended.code == 0
    found = json.loads(ended.out)
    assert found["power"] == {"schema_version": 1, "aim": 0.1}
    held_out, fitted = found["boards"]
    assert (held_out["board"], held_out["role"], held_out["rows"]) == ("odroid-xu3", "held-out", 110)
    assert held_out["met"] == (held_out["median_error"] <= 0.1)
    assert fitted["met"] is None
    assert len(found["rows"]) == held_out["rows"] + fitted["rows"]
    assert json.loads((here / "out" / "results.json").read_text()) == found


def test_of_a_long_table_the_worst_twenty_are_printed(here: Path, table: Written, board: Path) -> None:
    lines = [f"big,{1 + place / 100}" for place in range(25)]
    ended = gearshift("validate", "--power", table("rail,power_w", *lines), "--board", board, "--out", "out")
    assert "The 20 held-out rows that are furthest off" in ended.out
    assert ended.out.count("measured.csv, row") == 20
    assert "results.csv has all 25 rows" in ended.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--power", "none.csv"], ["none.csv", "can't be read"]),
        (["--power", "odroid-xu33"], ["--power 'odroid-xu33'", "Did you mean 'odroid-xu3'?"]),
        (["mix.py", "--power", "all"], ["mix.py and --power", "leave one of both out"]),
        (["--power", "all", "--policy", "joint"], ["--policy is for a mix", "leave it out"]),
        (["--power", "all", "--epoch-ms", "50"], ["--epoch-ms is for a mix"]),
        ([], ["nothing to validate", "--power FILE"]),
    ],
)
def test_bad_arguments_are_one_message(here: Path, arguments: list[str], says: list[str]) -> None:
    assert_refused(gearshift("validate", *arguments), *says)
    assert list(here.iterdir()) == []


def test_a_row_that_is_wrong_leaves_nothing_half_done(here: Path, table: Written, board: Path) -> None:
    measured = table("mhz:gpu,busy:gpu,power_w", "300,1,4", "300,1,4000")
    before = set(here.iterdir())
    ended = gearshift("validate", "--power", measured, "--board", board, "--out", here / "out")
    assert_refused(ended, "measured.csv, row 3, power_w '4000'", "mW")
    assert set(here.iterdir()) == before


def test_a_directory_that_is_taken_is_refused(here: Path, table: Written, board: Path) -> None:
    measured = table("power_w", "1")
    assert_refused(gearshift("validate", "--power", measured, "--board", board, "--out", here), "not empty")
