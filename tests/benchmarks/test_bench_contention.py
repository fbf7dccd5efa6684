"""The benchmark of contention draws what it says, and the model is near the simulator on sets of its own."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench_contention
from benchmarks.contention_sets import draw_set, play
from scheduler.contention import response_quantiles_ms
from scheduler.problem import FULL_LOAD


def test_sets_are_the_same_again_and_differ_between_parts() -> None:
    assert draw_set("tuning", 3) == draw_set("tuning", 3)
    assert draw_set("tuning", 3) != draw_set("held out", 3)
    for number in range(50):
        drawn = draw_set("a test's own", number)
        assert sum(sharer.time.cores for sharer in drawn.sharers) > drawn.cpus
        assert 2 <= len(drawn.sharers) <= 6
        assert drawn.load <= FULL_LOAD


def test_the_model_is_near_the_simulator() -> None:
    near = []
    for number in range(5):
        played = play(draw_set("a test's own", number), requests=600, most=4000)
        predicted_ms = np.array(response_quantiles_ms(played.sharers))
        near += list(abs(predicted_ms / played.quantiles_ms() - 1) < 0.15)
    assert np.mean(near) >= 0.8


@pytest.mark.parametrize("jobs", ["1"])
def test_the_benchmark_writes_a_row_for_each_application(
    jobs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.json"
    assert bench_contention.main(["--sets", "2", "--part", "tuning", "--jobs", jobs, "--json", str(out)]) == 0
    rows = json.loads(out.read_text())
    assert len(rows) == sum(len(draw_set("tuning", number).sharers) for number in range(2))
    for row in rows:
        # The worst case of the linear form is never below the likely one, and nobody is below being alone.
        assert row["predicted_ms"]["old, worst"] >= row["predicted_ms"]["old, likely"] > 0
        assert row["simulated_ms"] > 0
    assert "2 sets" in capsys.readouterr().out


def test_the_linear_form_is_exact_at_its_point_and_measured_beside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_contention, "_NEAR_BY", {"same": 1.0, "clock +1": 1400 / 1500})
    rows = [row for number in range(4) for row in bench_contention._share_rows(("tuning", number))]
    assert all(abs(row["error"]) < 1e-9 for row in rows if row["change"] == "same")
    assert any(abs(row["error"]) > 1e-3 for row in rows if row["change"] == "clock +1")
    assert bench_contention.main(["--sets", "4", "--part", "tuning", "--shares"]) == 0
    assert "clock +1" in capsys.readouterr().out
