"""`gearshift ladder`: what it refuses, and one search from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import supernets
from helpers.accuracy_rows import accuracy_row
from supernets import weights_file
from supernets.ofa.space import Space
from supernets.ofa.spaces import OFA_PLATES
from supernets.search.evolution import Encoding
from supernets.search.find import SearchPlan
from workloads.cli.command import app
from workloads.ladder import search as ladder_search
from workloads.runs.boards import open_board

BOARD = """
name: one-unit
units:
  - {name: cpu, kind: cpu, cpus: [0], dvfs: emulated, speed: 0.5, mhz: [1000, 2000]}
power: {sensor: none, base_w: null, source: unknown}
"""


@pytest.fixture
def board(tmp_path: Path) -> Path:
    file = tmp_path / "board.yaml"
    file.write_text(BOARD)
    return file


def command(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["ladder", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ofa-plate"], "supernet 'ofa-plate' is unknown. Did you mean 'ofa-plates'?"),
        (["ofa-plates", "--unit", "cpus"], "--unit 'cpus' is not on board 'one-unit'. Did you mean 'cpu'?"),
        (["ofa-plates", "--cores", 2], "--cores 2: unit 'cpu' of 'one-unit' has 1"),
        (["ofa-plates", "--engine", "onnxrun"], "engine 'onnxrun' is unknown. Did you mean 'onnxruntime'?"),
        (["ofa-plates", "--accuracy", "guess"], "--accuracy 'guess' must be one of predictor:FILE, table:FILE, data"),
        (["ofa-plates", "--accuracy", "table:none.csv"], "table 'none.csv' can't be read"),
        (["ofa-plates", "--accuracy", "predictor:none.pth"], "'none.pth'"),
        (["ofa-plates", "--latency-ms", "5,x"], "--latency-ms '5,x' must be positive numbers"),
        (["ofa-plates", "--resolutions", "20"], "--resolutions 20 is none of ofa-plates"),
        (["ofa-plates", "--write", "ladder.txt"], "must be a file that ends in .safetensors"),
        (["ofa-mbv3-w1.2"], "--accuracy is needed: one of predictor:FILE"),
        (["ofa-mbv3-w1.2", "--accuracy", "data"], "must be a folder of ImageNet pictures"),
    ],
)
def test_bad_input_is_refused_before_anything_is_measured(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[object], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, output, error = command(*arguments, "--board", board)
    assert (code, output) == (2, "")
    assert message in error
    assert "Traceback" not in error
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    (tmp_path / "gpu.yaml").write_text(
        BOARD.replace("power:", "  - {name: gpu, kind: gpu, host: cpu, dvfs: emulated, mhz: [1000]}\npower:")
    )
    code, _, error = command("ofa-plates", "--board", tmp_path / "gpu.yaml", "--unit", "gpu")
    assert code == 2
    assert "CUDA" in error


def test_a_search_from_end_to_end(board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among three listed networks, of which one is beaten; the predictor's measurements are in the work file."""
    monkeypatch.chdir(tmp_path)
    space = OFA_PLATES
    rows = [
        accuracy_row(space.smallest, 16, 0.6),
        accuracy_row(space.largest, 32, 0.9, source="measured"),
        accuracy_row(space.largest, 48, 0.5),
    ]
    (tmp_path / "table.json").write_text(json.dumps(rows))
    _measured_before(board, tmp_path / "work", networks=10, held_out=3)
    arguments = [
        "ofa-plates", "--board", board, "--accuracy", "table:table.json", "--networks", 10, "--held-out", 3,
        "--work", "work", "--write", "new.safetensors", "--calibration-pictures", 64,
    ]  # fmt: skip
    code, output, error = command(*arguments, "--json")
    assert code == 0, error
    found = json.loads(output)
    assert [(rung["resolution"], rung["accuracy"]["value"]) for rung in found["rungs"]] == [(16, 0.6), (32, 0.9)]
    assert [rung["accuracy"]["source"] for rung in found["rungs"]] == ["published", "measured"]
    assert found["latency_predictor"]["n"] == 3
    assert "emulated" in found["clock"]
    # The work file keeps this machine's milliseconds; the unit has half its speed.
    kept = json.loads((tmp_path / "work" / "work.json").read_text())["chosen_latency_ms"]
    ((names, times_ms),) = kept.items()
    by_name = dict(zip(names.split(), times_ms, strict=True))
    assert [rung["latency_ms"] for rung in found["rungs"]] == pytest.approx(
        [2 * by_name[rung["subnet"]] for rung in found["rungs"]], abs=1e-4
    )
    # As `gearshift run` takes it: with statistics of the rungs' own.
    net = supernets.load("ofa-plates:new.safetensors")
    assert [rung.id for rung in net.ladder()] == [rung["subnet"] for rung in found["rungs"]]
    assert all(net.calibrated(rung) for rung in net.ladder())
    # Again: nothing is measured, and the ladder is the same.
    first = _content(tmp_path / "new.safetensors")
    before = (tmp_path / "work" / "work.json").stat().st_mtime_ns
    code, output, error = command(*arguments)
    assert code == 0, error
    again = _content(tmp_path / "new.safetensors")
    assert again[0] == first[0]
    assert again[1].keys() == first[1].keys()
    assert all(torch.equal(again[1][name], first[1][name]) for name in first[1])
    assert (tmp_path / "work" / "work.json").stat().st_mtime_ns == before
    assert "3 held-out sub-networks within 5 %" in " ".join(output.split())
    # Limits are the board's milliseconds, as the table's are.
    code, _, error = command(*arguments, "--latency-ms", 0.01)
    assert code == 2
    fastest_ms = min(rung["predicted_ms"] for rung in found["rungs"])
    assert f"no sub-network is within 0.01 ms: the fastest takes {fastest_ms:.4g} ms" in error


def _content(file: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    return weights_file.read_metadata(file), load_file(file)


def _measured_before(board: Path, directory: Path, networks: int, held_out: int) -> None:
    """A work file as an interrupted command leaves it: all is measured but the ladder itself."""
    where = ladder_search.place(open_board(board), None, 1)
    net = ladder_search.open_supernet("ofa-plates", None)
    work = ladder_search.work_file(net, where, ladder_search.bench_of(where, "auto"), directory, fresh=False)
    plan = SearchPlan(training_networks=networks, held_out_networks=held_out)
    relative = work.section("relative_latency")
    for subnet in _sample(net.space, plan):
        relative[subnet.id] = 0.1 + subnet.macs_m / 20
    work.section("reference")["latency_ms"] = [0.9, 1.0, 1.1]


def _sample(space: Space, plan: SearchPlan) -> list[supernets.SubNet]:
    from supernets.search.latency import sample_networks

    encoding = Encoding(space)
    rng = np.random.default_rng(0)
    training = sample_networks(encoding, plan.training_networks, rng)
    rows = [*training, *encoding.random(plan.held_out_networks, rng)]
    return [space.subnet(*encoding.decoded(one)) for one in rows]
