"""Figures are kept case by case, and nothing is measured twice; a line that was cut off is measured again."""

import json
import os
from pathlib import Path

import pytest

from benchmarks import bench_stability
from benchmarks.figure_log import FigureLog, measure_beside

CASES = [{"a": a, "b": b} for a in (1, 2, 3) for b in ("x", "y")]


def process_of(a: int, b: str) -> dict[str, object]:
    """Stand for a measurement that fails in one case."""
    if a == 3:
        raise ValueError("this one can't be measured")
    return {"text": f"{b}{a}", "process": os.getpid()}


def test_figures_are_found_again_whatever_the_order_of_names(tmp_path: Path) -> None:
    path = tmp_path / "made" / "log"
    log = FigureLog(path)
    assert log.get({"a": 1, "b": "x"}) is None
    log.keep({"a": 1, "b": "x"}, {"ms": 1.5, "apps": (1, 2)})
    for kept in (log, FigureLog(path)):
        assert kept.get({"b": "x", "a": 1}) == {"ms": 1.5, "apps": [1, 2]}
        assert kept.get({"a": 1, "b": "y"}) is None


def test_without_a_file_figures_are_kept_in_memory() -> None:
    log = FigureLog(None)
    log.keep({"a": 1}, {"ms": 2})
    assert log.get({"a": 1}) == {"ms": 2}


def test_a_line_that_was_cut_off_is_dropped_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = FigureLog(path)
    for case in CASES[:3]:
        log.keep(case, {"ms": 1})
    text = path.read_text()
    for end in range(len(text)):
        path.write_text(text[:end])
        again = FigureLog(path)
        whole = text[:end].count("\n")
        assert [again.get(case) is not None for case in CASES[:3]] == [place < whole for place in range(3)]
        again.keep(CASES[3], {"ms": 4})
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["case"] for line in lines] == [*CASES[:whole], CASES[3]]


def test_only_what_is_not_known_is_measured_in_other_processes(tmp_path: Path) -> None:
    log = FigureLog(tmp_path / "log")
    log.keep(CASES[1], {"text": "known", "process": os.getpid()})
    found = measure_beside(CASES[:4], process_of, log, 2)
    assert [one["text"] for one in found] == ["x1", "known", "x2", "y2"]
    assert {one["process"] for one in found} > {os.getpid()}
    lines = (tmp_path / "log").read_text()
    assert measure_beside(CASES[:4], process_of, FigureLog(tmp_path / "log"), 2) == found
    assert (tmp_path / "log").read_text() == lines


def test_what_was_measured_before_a_failure_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can't be measured"):
        measure_beside(CASES, process_of, FigureLog(tmp_path / "log"), 1)
    log = FigureLog(tmp_path / "log")
    assert [log.get(case) is not None for case in CASES] == [True] * 4 + [False] * 2


def test_stability_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "out.json"
    command = ["--seconds", "6", "--mixes", "1", "--boards", "two-core-host", "--jobs", "1"]
    command += ["--log", str(log), "--json", str(out)]
    assert bench_stability.main(command) == 0
    kept, rows = log.read_text(), json.loads(out.read_text())
    assert [row["noise"] for row in rows] == ["none", "independent", "drifting"]
    assert len(kept.splitlines()) == 3
    assert bench_stability.main(command) == 0
    assert (log.read_text(), json.loads(out.read_text())) == (kept, rows)
