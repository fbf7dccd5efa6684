"""The car park's figures are those of its run, a disturbed run is discarded, and a series goes on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import bench_car_park
from benchmarks.bench_car_park import CAR_PARK, changes_after_events, outcome_of, run_seed
from helpers.synthetic_run import GEARS, MIX, make_run
from workloads.mix.loader import load_mix
from workloads.results.run_dir import read_run


def test_figures_are_those_of_the_run(tmp_path: Path) -> None:
    made = make_run()
    for kind, now_s, fields in made.entries:
        if kind == "epoch":
            fields["host"] = None if now_s == 0.0 else {"cores": [0.2, 0.3], "others": 0.5, "memory_used_mb": 100.0}
    found = outcome_of(read_run(made.write(tmp_path / "run")), MIX)
    apps = made.summary.apps
    assert {name: len(verdicts) for name, verdicts in found.segments.items()} == {"entrance": 3, "garage": 1, "yard": 1}
    assert found.count == 5
    assert found.met == 5 - len(found.short)
    # 30 requests of the yard are too few to show 95 %.
    assert any(
        text.startswith("yard from 25 s: ") and text.endswith(" of 30 on time, not shown") for text in found.short
    )
    assert found.least_on_time == min(s.on_time for app in apps.values() for s in app.segments)
    # At 20 s the entrance changed twice; the yard's first gear is no change.
    assert (found.changes, found.most_changes, found.most_where) == (6, 2, "entrance after 20 s")
    assert len([gear for gear in GEARS if gear[0] > 0]) == 7
    assert (found.others, found.void, found.stalled_share) == (0.5, False, 0.0)
    assert not found.reached


def test_the_aim_is_reached_by_all_met_and_one_change_an_event(tmp_path: Path) -> None:
    found = outcome_of(read_run(make_run().write(tmp_path / "run")), MIX)
    all_met = {name: ["met"] * len(verdicts) for name, verdicts in found.segments.items()}
    assert replace(found, segments=all_met, most_changes=1).reached
    assert not replace(found, segments=all_met, most_changes=2).reached
    assert not replace(found, segments={**all_met, "yard": ["not shown"]}, most_changes=1).reached
    assert found.others is None


def test_no_change_is_none_after_no_event() -> None:
    assert changes_after_events([], MIX) == (("", 0), 0)


def test_a_disturbed_run_is_run_again_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    mix = replace(load_mix(CAR_PARK), duration_s=2.0, events=())

    def disturbed(times: int) -> None:
        left = iter([True] * times + [False] * 9)
        monkeypatch.setattr(
            bench_car_park, "outcome_of", lambda stored, mix: replace(outcome_of(stored, mix), void=next(left))
        )

    for times, discarded, void in ((0, 0, False), (2, 2, False), (3, 2, True)):
        disturbed(times)
        found = run_seed(mix, "two-core-host", "joint", "sim", 0)
        assert (found.discarded, found.void) == (discarded, void)


def test_a_series_goes_on_where_it_was_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, out = tmp_path / "log", tmp_path / "out.json"
    command = ["--backend", "sim", "--log", str(log), "--json", str(out)]
    assert bench_car_park.main([*command, "--seeds", "1"]) == 0
    first = log.read_text()
    assert bench_car_park.main([*command, "--seeds", "2"]) == 0
    assert log.read_text().startswith(first)
    assert len(log.read_text().splitlines()) == 2
    seeds = json.loads(out.read_text())
    assert list(seeds) == ["0", "1"]
    assert [len(verdicts) for verdicts in seeds["1"]["segments"].values()] == [3, 1, 1]
    assert "undisturbed seeds" in capsys.readouterr().out


def test_a_seed_that_was_disturbed_each_time_is_shown_and_run_again_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--backend", "sim", "--seeds", "1", "--log", str(tmp_path / "log")]
    with monkeypatch.context() as patch:
        patch.setattr(bench_car_park, "outcome_of", lambda *run: replace(outcome_of(*run), void=True))
        assert bench_car_park.main(command) == 0
    assert "reached by 0 of 0 undisturbed seeds" in capsys.readouterr().out
    assert not (tmp_path / "log").exists()
    assert bench_car_park.main(command) == 0
    assert len((tmp_path / "log").read_text().splitlines()) == 1
