"""Measured energies are shown beside modelled ones, in the table and in the report, and what is not known says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from helpers.html_page import Page
from helpers.sensed_run import WHY, sensed_run
from helpers.synthetic_run import Made, make_run
from workloads.report.run_report import ReportError, write_report
from workloads.report.table import sensor_lines, summary_table
from workloads.results.run_dir import EnergyNote, read_energy_note
from workloads.results.summary import Summary

BASE = make_run().summary


def report(tmp_path: Path, made: Made) -> str:
    return write_report(made.write(tmp_path / "run")).read_text(encoding="utf-8")


# ---------------------------------------------------------------- the table


def sensed(tmp_path: Path, **known: Any) -> tuple[Summary, EnergyNote | None]:
    made = sensed_run(**known)
    return made.summary, read_energy_note(made.write(tmp_path / "run"))


def test_measured_energy_stands_beside_what_the_power_table_says(tmp_path: Path) -> None:
    summary, note = sensed(tmp_path)
    assert sensor_lines(summary, note) == [
        "units: measured 41.2 J; the board's power table says 38.0 J (0.92 of it)",
        "board: measured 60.0 J; the board's file has no power table to compare that with",
    ]
    console = Console(width=110, color_system=None)
    with console.capture() as capture:
        console.print(summary_table([summary, BASE], notes=[note, None]))
    lines = [line.strip() for line in capture.get().splitlines()]
    assert "Energy of the units:" in lines
    # Measured and modelled joules are not compared with each other.
    assert "joint     41.2 J  measured" in lines
    assert "joint     53.2 J  modelled" in lines
    assert "units: measured 41.2 J; the board's power table says 38.0 J (0.92 of it)" in lines


def test_what_could_not_be_measured_says_why(tmp_path: Path) -> None:
    long = "/sys/class/powercap/intel-rapl:0/energy_uj: Permission denied; " + "a udev rule of many words " * 8
    summary, note = sensed(tmp_path, units_j=None, why_board=long)
    assert sensor_lines(summary, note) == [f"rail VDD_CPU_GPU_CV: {WHY}", f"rail VDD_IN: {long}"]
    console = Console(width=110, color_system=None)
    with console.capture() as capture:
        console.print(summary_table([summary], notes=[note]))
    assert "Energy of the units, modelled:" in capture.get()
    assert max(len(line.rstrip()) for line in capture.get().splitlines()) <= 110


def test_a_run_without_sensors_says_nothing_of_them(tmp_path: Path) -> None:
    assert sensor_lines(BASE, None) == []
    assert read_energy_note(make_run().write(tmp_path / "run")) is None


# ---------------------------------------------------------------- the report


def test_a_run_with_sensors_shows_its_rails_and_whose_part_is_attributed(tmp_path: Path) -> None:
    html = report(tmp_path, sensed_run())
    assert "Energy" in Page(html).headings
    for words in (
        "power measured",
        "units: measured 41.2 J; the board&#x27;s power table says 38.0 J (0.92 of it).",
        "VDD_CPU_GPU_CV",
        "big, little",
        "the board",
        "attributed",
        "each unit's share is in proportion to its modelled energy",
        "measured together, split as modelled",
        "and is measured. Power figures",
    ):
        assert words in html, words


def test_a_rail_that_failed_shows_why(tmp_path: Path) -> None:
    html = report(tmp_path, sensed_run(units_j=None, modelled_j=None, why_board="<Permission denied>"))
    assert "power unknown" in html
    assert WHY in html
    assert "&lt;Permission denied&gt;" in html
    assert "Board: unknown." in html


def test_a_board_measured_beside_modelled_units_says_both(tmp_path: Path) -> None:
    html = report(tmp_path, sensed_run(units_j=None))
    assert "and is modelled. Power figures" in html
    assert "Board: 60.0 J, measured." in html
    assert "board: measured 60.0 J; the board&#x27;s file has no power table to compare that with." in html


def test_a_run_without_sensors_has_no_section_on_them(tmp_path: Path) -> None:
    assert "Energy" not in Page(report(tmp_path, make_run())).headings


def test_a_damaged_note_on_energies_is_named(tmp_path: Path) -> None:
    made = sensed_run()
    made.entries[-1][2]["units"]["big"]["source"] = "guessed"
    with pytest.raises(ReportError, match=r"entry 0 of kind 'energy': units\.big\.source"):
        write_report(made.write(tmp_path / "run"))
