"""Our own aims are judged from a bench's directory: met, missed or not shown, by how much and where."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.aims import aim_rows, aim_verdict, main
from helpers.bench_results import result
from workloads.bench.statistics import ConfidenceInterval
from workloads.bench.store import Store


def interval(
    value: float, low: float | None = None, high: float | None = None, scenarios: int = 5
) -> ConfidenceInterval:
    return ConfidenceInterval(value=value, low=low, high=high, scenarios=scenarios, n=9)


def test_an_aim_is_met_or_missed_only_by_the_whole_interval() -> None:
    assert aim_verdict(interval(0.6, 0.5, 0.7), 0.7) == "met"
    assert aim_verdict(interval(0.8, 0.71, 0.9), 0.7) == "missed"
    assert aim_verdict(interval(0.7, 0.6, 0.8), 0.7) == "not shown"
    assert aim_verdict(interval(0.5), 0.7) == "not shown"
    assert aim_verdict(interval(0.6, 0.5, 0.7, scenarios=4), 0.7) == "not shown"


def test_an_aim_is_judged_by_the_power_sets_too() -> None:
    seen = interval(0.6, 0.5, 0.65)
    assert aim_verdict(seen, 0.7) == "met"
    assert aim_verdict(replace(seen, over_sets=(0.4, 0.8)), 0.7) == "not shown"


def test_the_aims_say_by_how_much_and_where_they_are_missed() -> None:
    took_j = {"a": 9.0, "b": 6.0, "c": 6.0, "d": 10.5, "e": 9.0}
    results = [result("schedutil", mix=mix, seed=seed) for mix in took_j for seed in (0, 1)]
    results += [result("joint", mix=mix, seed=seed, units_j=took_j[mix]) for mix in took_j for seed in (0, 1)]
    results += [result("floor", mix=mix) for mix in took_j]
    rows = aim_rows(results, "written")
    [row] = rows  # there is no aim against floor with its own clocks
    assert row[:2] == ("schedutil", "−30.0 %")
    assert row[2].startswith("−21.1 % (")
    assert row[3:] == (
        "not shown",
        "+8.9 points",
        "3 of 5",
        "d on host (+5.0 %), a on host (−10.0 %), e on host (−10.0 %)",
    )


def test_an_aim_that_is_met_is_missed_nowhere() -> None:
    results = [
        result(policy, mix=mix, units_j=joules)
        for mix in "abcde"
        for policy, joules in (("schedutil", 10), ("joint", 5))
    ]
    rows = aim_rows(results, "written")
    assert [row[3:] for row in rows] == [("met", "none", "0 of 5", "nowhere")]


def test_a_baseline_without_an_aim_is_told_as_it_is() -> None:
    took_j = {"a": 12.0, "b": 9.0, "c": 9.0, "d": 9.0, "e": 9.0}
    results = [result("floor+lavd", mix=mix) for mix in took_j]
    results += [result("joint", mix=mix, units_j=joules) for mix, joules in took_j.items()]
    [row] = aim_rows(results, "written")
    assert (row[0], row[1], row[3], row[4]) == ("floor+lavd", "none", "no aim", "none")
    assert row[5:] == ("1 of 5", "a on host (+20.0 %)")  # where joint takes more


def test_there_are_no_aims_without_joint() -> None:
    assert aim_rows([result("floor"), result("schedutil")], "written") == []


def test_an_aim_is_judged_under_each_change_of_the_boards_by_itself() -> None:
    more = "static power 50 % more"
    results = [
        result(policy, mix=mix, change=change, units_j=joules if policy == "joint" else 10.0)
        for mix in "abcde"
        for policy in ("joint", "schedutil")
        for change, joules in ((None, 6.0), (more, 8.0))
    ]
    assert [row[3] for row in aim_rows(results, "written")] == ["met"]
    assert [row[3] for row in aim_rows(results, "written", change=more)] == ["missed"]


def test_the_command_reads_a_bench_s_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "out", {})
    for one in [result("joint", mix=mix, units_j=5.0) for mix in "abcde"] + [
        result("schedutil", mix=m) for m in "abcde"
    ]:
        store.add(one)
    assert main([str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "Aims of joint, written mixes" in printed
    assert "met" in printed
    assert "generated" not in printed


def test_a_directory_without_a_bench_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "holds no runs of a bench" in capsys.readouterr().err
