"""`gearshift reproduce` prints and writes its figures, and knows its names."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.command_line import COMMAND, assert_refused, gearshift
from helpers.html_page import Page
from workloads.reproduce import REPRODUCTIONS
from workloads.reproduce.dynamic_ofa import published_points


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_published_figures_are_printed_beside_the_papers(here: Path):
    ended = gearshift("reproduce", "dynamic-ofa", "--published-only", "--out", "out")
    assert ended.code == 0
    lines = [line.split() for line in ended.out.splitlines()]
    for figures in (["2.40x", "2.40x", "2.4x"], ["3.47x", "3.47x", "3.5x"]):
        (line,) = (words for words in lines if words[-4:-1] == figures)
        assert line[-1] == "digitised"
    for figures in ("+5.14 % +5.23 % +5.1 %", "+3.80 % +3.64 % +3.8 %"):
        (line,) = (words for words in lines if words[-7:-1] == figures.split())
        assert line[-1] == "digitised"
    assert "figure's" in ended.out  # which of the two sets of latencies
    assert "Networks measured" not in ended.out
    assert max(map(len, ended.out.splitlines())) <= 110
    assert Path("out/report.html").exists()


def test_json_is_one_object_and_the_same_as_in_the_directory(here: Path):
    ended = gearshift("reproduce", "dynamic-ofa", "--published-only", "--out", "out", "--json")
    data = json.loads(ended.out)
    assert data == json.loads(Path("out/results.json").read_text())
    assert data["reproduction"] == "dynamic-ofa"
    assert data["measurement"] is None
    assert [(one["quantity"], one["theirs"]["device"], one["claim"]) for one in data["headlines"]] == [
        ("latency ratio", "xavier-nx-gpu", 2.4),
        ("latency ratio", "xavier-nx-cpu", 3.5),
        ("top-1 gain", "xavier-nx-gpu", 0.051),
        ("top-1 gain", "xavier-nx-cpu", 0.038),
    ]


def test_results_and_report_are_written(here: Path):
    gearshift("reproduce", "dynamic-ofa", "--published-only", "--out", "out")
    with open("out/results.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(published_points())
    assert list(rows[0]) == [
        *("system", "subnet", "device", "cores", "latency_ms", "p10_ms", "p90_ms", "n"),
        *("top1", "latency_source", "accuracy_source"),
    ]
    page = Page(Path("out/report.html").read_text())
    assert "svg" in page.tags
    assert len(page.tables) == 3
    assert len(page.tables[-1]) == 1 + len(rows)


def test_the_installed_command_leaves_stdout_to_the_result(here: Path):
    command = [COMMAND, "reproduce", "dynamic-ofa", "--published-only", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert len(json.loads(ended.stdout)["points"]) == len(published_points())
    (directory,) = Path("runs").iterdir()
    assert directory.name.startswith("dynamic-ofa-")
    assert str(directory) in ended.stderr


def test_nothing_published_needs_torch(here: Path):
    script = (
        "import sys; from typer.testing import CliRunner; from workloads.cli.command import app; "
        "result = CliRunner().invoke(app, ['reproduce', 'dynamic-ofa', '--published-only']); "
        "sys.exit(result.exit_code or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


def test_an_unknown_name_is_answered_with_the_known_ones(here: Path):
    ended = gearshift("reproduce", "dynamic_ofa")
    assert_refused(ended, "'dynamic_ofa'", "Did you mean 'dynamic-ofa'", *REPRODUCTIONS)
    assert not Path("runs").exists()


def test_an_unknown_engine_is_found_before_anything_is_exported(here: Path):
    ended = gearshift("reproduce", "dynamic-ofa", "--engine", "onnxrunt")
    assert_refused(ended, "engine 'onnxrunt'", "Did you mean 'onnxruntime'")
    assert_refused(gearshift("reproduce", "dynamic-ofa", "--engine", "auto"), "engine 'auto'", "onnxruntime")
    assert not Path("runs").exists()


def test_a_directory_in_use_is_refused(here: Path):
    Path("out").mkdir()
    Path("out/mine").touch()
    assert_refused(
        gearshift("reproduce", "dynamic-ofa", "--published-only", "--out", "out"), "--out 'out'", "not empty"
    )


def test_at_least_one_inference():
    assert gearshift("reproduce", "dynamic-ofa", "--samples", "0").code == 2
