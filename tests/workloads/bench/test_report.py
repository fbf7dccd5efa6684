"""A bench shows its tables on a page and in files."""

from dataclasses import replace
from html import unescape
from pathlib import Path

import polars
import pytest

from helpers.bench_results import COMMAND, app, result
from scheduler.board import Board, BoardUnit
from workloads.bench.policy_sheets import mix_sheets, policy_sheet
from workloads.bench.report import Bench, energy_sheets, policy_sheets, to_html
from workloads.bench.results import RunResult
from workloads.bench.rows import APP_COLUMNS, write_tables
from workloads.bench.sheets import (
    boards_sheet,
    energy_sheet,
    failure_sheet,
    matrix_sheet,
    networks_and_clocks,
    sensitivity_sheet,
    shortfall_sheet,
)
from workloads.bench.tasks import BenchTask


def test_the_energy_table_says_how_much_could_be_saved_at_all() -> None:
    results = [result("schedutil", units_j=10.0, lower_bound_j=9.0), result("joint", units_j=9.5, lower_bound_j=1.0)]
    sheet = energy_sheet(results, COMMAND, "schedutil", "written")
    assert (sheet.rows[-1][0], sheet.rows[-1][-2]) == ("relaxed lower bound", "−10.0 % (1 mix)")
    assert len(sheet.rows[-1]) == len(sheet.heads)


def test_a_policy_s_name_has_networks_and_clocks() -> None:
    assert networks_and_clocks("joint") == ("joint", "its own")
    assert networks_and_clocks("floor+schedutil") == ("floor", "schedutil")
    assert networks_and_clocks("ondemand") == ("largest", "ondemand")


def test_the_matrix_has_a_cell_for_what_was_run_only() -> None:
    sheet = matrix_sheet([result(policy) for policy in COMMAND.policies], COMMAND, "written")
    assert sheet is not None
    assert sheet.heads == ("networks", "clocks: its own", "clocks: schedutil")
    assert [row[0] for row in sheet.rows] == ["joint", "largest", "floor"]
    assert sheet.rows[1][1] == "–"


def test_the_energy_table_has_the_parity_run_and_the_like_mixes() -> None:
    results = [result(policy, units_j=5.0 if policy == "joint" else 10.0) for policy in COMMAND.policies]
    results.append(result("joint", parity="schedutil", units_j=9.0))
    sheet = energy_sheet(results, COMMAND, "schedutil", "written")
    like = sheet.heads.index("where both meet their slos")
    assert [(row[0], row[1], row[like]) for row in sheet.rows] == [
        ("joint", "−50.0 %", "−50.0 % (1 mix)"),
        ("floor", "0.0 %", "0.0 % (1 mix)"),
        ("joint at the accuracy of schedutil", "−10.0 %", "−10.0 % (1 mix)"),
    ]


def test_mixes_in_which_one_misses_its_slo_are_not_like() -> None:
    results = [result("joint"), result("schedutil", app(hits=10))]
    sheet = energy_sheet(results, COMMAND, "schedutil", "written")
    assert sheet.rows[0][sheet.heads.index("where both meet their slos")] == "no mix"


def test_each_policy_has_its_own_joules_share_on_time_and_accuracy_with_intervals() -> None:
    joules, shares = {"a": 4.0, "b": 8.0}, {"a": 90, "b": 100}
    results = [
        result("joint", app(hits=shares[mix], lost=2), mix=mix, seed=seed, units_j=joules[mix], board_j=20.0)
        for mix in joules
        for seed in (0, 1)
    ]
    results.append(result("schedutil", mix="a"))
    sheet = policy_sheet(results, COMMAND, "written")
    assert sheet.heads == ("policy", "runs", "units' energy", "board's energy", "on time", "accuracy", "lost")
    assert sheet.rows[0] == (
        "joint",
        "4",
        "6.00 J (4.00 to 8.00 J)",
        "20.00 J (20.00 to 20.00 J)",
        "95.0 % (90.0 to 100.0 %)",
        "0.800 (0.800 to 0.800)",
        "2.0",
    )
    assert sheet.rows[1] == ("schedutil", "1", "10.00 J", "unknown", "95.0 %", "0.800", "0.0")
    assert len(sheet.rows) == 2


def test_the_policies_table_says_how_far_each_is_from_its_lower_bound() -> None:
    results = [result("joint", units_j=10.0, lower_bound_j=8.0), result("joint", mix="b"), result("floor")]
    results.append(result("schedutil", units_j=12.0, lower_bound_j=8.0))
    sheet = policy_sheet(results, COMMAND, "written")
    assert sheet.notes[0].endswith(
        "that meet every slo: joint +25.0 % in 1 of 2 mixes; schedutil +50.0 % in 1 of 1 mix."
    )


def test_each_mix_has_the_bound_for_as_many_dropped_as_a_policy_did() -> None:
    results = [result("joint", lower_bound_j=8.0), result("schedutil", lower_bound_j=8.0)]
    results.append(result("floor", lower_bound_j=7.5))
    [sheet] = mix_sheets(results, COMMAND)
    assert sheet.notes == [
        "Relaxed lower bound on the units' energy, dropping no more than joint and schedutil: 8.00 J.",
        "Relaxed lower bound on the units' energy, dropping no more than floor: 7.50 J.",
    ]


def test_mixes_with_objective_accuracy_have_tables_of_their_own() -> None:
    results = [result(policy, units_j=5.0 if policy == "joint" else 10.0) for policy in COMMAND.policies]
    results += [replace(result(policy, mix="figure7"), seeks_accuracy=True) for policy in COMMAND.policies]
    bench = Bench(command=COMMAND, boards={}, results=results)
    assert [sheet.title for sheet in energy_sheets(bench)] == [
        "Against schedutil, 1 mix",
        "Against schedutil, 1 mix with objective accuracy",
    ]
    assert [sheet.rows[0][1] for sheet in energy_sheets(bench)] == ["−50.0 %", "0.0 %"]
    assert [sheet.title for sheet in policy_sheets(bench)] == ["Policies", "Policies, mixes with objective accuracy"]
    assert [sheet.title for sheet in mix_sheets(results, COMMAND)] == ["gate on host", "figure7 on host"]


def test_boards_that_share_their_power_figures_are_named_and_have_a_row_together() -> None:
    units = (BoardUnit(name="cpu", kind="cpu", cpus=(0,), dvfs="fixed", mhz=(1.0,), static_w=(1.0,), dynamic_w=(1.0,)),)
    table = "published: one table"
    boards = {
        name: Board(name=name, units=units, base_w=None, sensor="none", power_source=table) for name in ("big", "small")
    }
    results = [
        replace(result(policy, board=board, units_j=joules if policy == "joint" else 10.0), power_table=table)
        for policy in COMMAND.policies
        for board, joules in (("big", 2.0), ("small", 8.0))
    ]
    sheet = energy_sheet(results, COMMAND, "schedutil", "written")
    assert sheet.notes == ["big, small count as one board in each mean: they share their power figures."]
    rows = boards_sheet(results, COMMAND, boards, "written").rows
    assert [(row[0], row[1].partition(" (")[0]) for row in rows] == [
        ("big", "−80.0 %"),
        ("small", "−20.0 %"),
        ("big and small", "−60.0 %"),
    ]


def test_a_board_without_power_figures_is_named_and_not_compared() -> None:
    unit = BoardUnit(name="cpu", kind="cpu", cpus=(0,), dvfs="fixed", mhz=(1.0,), static_w=None, dynamic_w=None)
    board = Board(name="host", units=(unit,), base_w=None, sensor="none", power_source="unknown: nobody measured")
    results = [result(policy, units_j=None) for policy in COMMAND.policies]
    sheet = boards_sheet(results, COMMAND, {"host": board}, "written")
    assert sheet.rows[0][1].startswith("unknown")
    said = "board 'host': no power figures for cpu, so energy is unknown and not compared; give static_w and dynamic_w."
    assert sheet.notes == (said,)
    assert said in unescape(to_html(Bench(command=COMMAND, boards={"host": board}, results=results)))


def test_the_sensitivity_table_says_where_the_conclusion_does_not_hold() -> None:
    less, more = "idle power 0 % of static", "static power 50 % more"
    results = [
        result(policy, mix=mix, change=change, units_j=joules if policy == "joint" else 10.0)
        for mix in "abcde"
        for policy in ("joint", "schedutil")
        for change, joules in ((None, 6.0), (less, 5.0), (more, 12.0))
    ]
    # Another seed of the board as it is has no partner among the changed ones, and no part.
    results += [result("joint", mix="a", seed=1, units_j=99.0), result("schedutil", mix="a", seed=1)]
    sheet = sensitivity_sheet(results, replace(COMMAND, sensitivity=True))
    assert sheet is not None
    assert [row[0] for row in sheet.rows] == ["as they are", more, less]
    assert sheet.rows[0][1].startswith("−40.0 % (−40.0 to −40.0 %; on time 0.0; less")
    assert sheet.notes[0] == (f"Against schedutil, on the boards as they are: less. Otherwise with {more} (more).")
    assert sensitivity_sheet([result("joint")], COMMAND) is None


def test_a_conclusion_that_holds_under_every_change_is_said_to() -> None:
    results = [
        result(policy, mix=mix, change=change, units_j=11.0 if policy == "joint" else 10.0)
        for mix in "abcde"
        for policy in ("joint", "schedutil")
        for change in (None, "V/f exponent 0.25 less")
    ]
    sheet = sensitivity_sheet(results, replace(COMMAND, sensitivity=True))
    assert sheet is not None
    assert sheet.notes[0].endswith("more. The same under every change.")


def test_failures_are_told_with_their_seeds_together() -> None:
    failed = [
        RunResult(task=BenchTask(mix="a", board="host", policy="mine", seed=seed), error="it broke") for seed in (0, 1)
    ]
    sheet = failure_sheet([*failed, result("joint")])
    assert sheet is not None
    assert sheet.rows == [("a", "host", "mine", "", "0, 1", "it broke")]
    assert failure_sheet([result("joint")]) is None


def test_tables_have_the_public_columns_and_only_plain_runs(tmp_path: Path) -> None:
    failed = RunResult(task=BenchTask(mix="a", board="host", policy="mine", seed=0), error="it, broke")
    results = [result("joint", app(), app()), result("joint", change="idle power 0 % of static"), failed]
    write_tables(results, tmp_path)
    lines = (tmp_path / "results.csv").read_text().splitlines()
    assert lines[0] == (
        "mix,board,policy,seed,app,submitted,completed,dropped,failed,on_time,slo,p50_ms,p95_ms,p99_ms,target_ms,"
        "accuracy,min_accuracy,switches,units_j,board_j"
    )
    assert lines[1] == "gate,host,joint,0,app-0,100,100,0,0,0.95,0.9,1.0,2.0,3.0,50.0,0.8,0.0,1,10.0,"
    assert len(lines) == 3
    assert polars.read_parquet(tmp_path / "results.parquet").columns == list(APP_COLUMNS)
    of_runs = polars.read_csv(tmp_path / "runs.csv")
    assert of_runs["error"].to_list() == [None, None, "it, broke"]
    assert of_runs["j_per_on_time"].to_list()[0] == pytest.approx(10 / 190)


def test_the_report_shows_names_as_text_and_every_section_that_was_run() -> None:
    command = replace(COMMAND, scale=(1, 2), sensitivity=True)
    results = [
        result(policy, mix=mix, seed=seed, units_j=5.0 if policy == "joint" else 10.0)
        for mix in ("<b>", "gate", "c", "d", "e")
        for policy in command.policies
        for seed in (0, 1)
    ]
    results += [result(policy, clones=2) for policy in command.policies]
    results += [result(policy, change="idle power 0 % of static") for policy in command.policies]
    results += [result(policy, mix="made", utilisation=0.3) for policy in command.policies]
    html = to_html(Bench(command=command, boards={}, results=results, left_out=["x on y"]))
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    for words in ("over utilisation", "More apps", "whatever is assumed of the boards", "Networks × clocks", "x on y"):
        assert words in html
    assert "aim" not in html
    assert "Policies" in html


def test_a_bench_of_one_policy_has_a_report_without_comparisons() -> None:
    command = replace(COMMAND, policies=("joint",), against=())
    bench = Bench(command=command, boards={}, results=[result("joint")])
    assert energy_sheets(bench) == []
    assert "gate on host" in to_html(bench)
    assert shortfall_sheet(bench.results, command).rows == []
