"""`gearshift ladder`: its accuracy sources, what it refuses, and one search from end to end."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import supernets
from supernets import SupernetError, weights_file
from supernets.ofa.space import Architecture, Space
from supernets.ofa.spaces import OFA_MBV3_W12, OFA_PLATES
from supernets.search.accuracy_source import TUTORIAL_RESOLUTIONS, AccuracyTable, Predictor
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


def ofa_module(name: str) -> ModuleType:
    """A module of the package, without its neighbours: those need more packages, for data sets and notebooks."""
    [root] = importlib.util.find_spec("ofa").submodule_search_locations  # type: ignore[union-attr,misc]
    spec = importlib.util.spec_from_file_location(name.replace("/", "_"), Path(root) / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_percent_of_one(layers: torch.nn.Sequential) -> None:
    """Scales a random predictor's answers to some percent, as its base is 0.7."""
    with torch.no_grad():
        for parameter in list(layers.parameters())[-1:]:
            parameter *= 0.1


def sampled(space: Space, resolutions: tuple[int, ...], count: int) -> list[tuple[Architecture, int]]:
    rng = np.random.default_rng(0)
    return [(space.random(rng), int(rng.choice(resolutions))) for _ in range(count)]


def as_ofa_has_it(architecture: Architecture, resolution: int) -> dict[str, list[int] | int]:
    return {
        "ks": list(architecture.kernel),
        "e": list(architecture.expand),
        "d": list(architecture.depth),
        "image_size": resolution,
    }


# ---------------------------------------------------------------- the predictor, against the ofa package's


@pytest.mark.parametrize("resolutions", [(160, 176, 192, 208, 224), OFA_MBV3_W12.resolutions])
def test_predictions_are_the_ofa_packages(tmp_path: Path, resolutions: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    encoder = ofa_module("nas/accuracy_predictor/arch_encoder").MobileNetArchEncoder(image_size_list=list(resolutions))
    peer = ofa_module("nas/accuracy_predictor/acc_predictor").AccuracyPredictor(encoder, hidden_size=60, device="cpu")
    in_percent_of_one(peer.layers)
    with torch.no_grad():
        peer.base_acc += 0.7
    torch.save(peer.state_dict(), tmp_path / "predictor.pth")
    predictor = Predictor(tmp_path / "predictor.pth", OFA_MBV3_W12, resolutions)
    points = sampled(OFA_MBV3_W12, resolutions, 60)
    with torch.no_grad():
        expected = peer.predict_acc([as_ofa_has_it(*point) for point in points]).numpy()
    actual = predictor.scores(np.array([predictor.encoding.encoded(*point) for point in points]))
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert np.ptp(expected) > 1e-3


def test_predictions_are_the_ofa_tutorials(tmp_path: Path) -> None:
    torch.manual_seed(2)
    peer = ofa_module("tutorial/accuracy_predictor").AccuracyPredictor(pretrained=False, device="cpu")
    in_percent_of_one(peer.model)
    with torch.no_grad():
        peer.model[-1].bias.fill_(0.7)
    torch.save({"state_dict": peer.model.state_dict()}, tmp_path / "predictor.pth")
    predictor = Predictor(tmp_path / "predictor.pth", OFA_MBV3_W12)
    # Those of its 112, 128, … 224 pixels that the space has too.
    assert predictor.encoding.resolutions == tuple(r for r in TUTORIAL_RESOLUTIONS if r >= 128)
    points = sampled(OFA_MBV3_W12, predictor.encoding.resolutions, 60)
    samples = [{**as_ofa_has_it(architecture, r), "r": [r]} for architecture, r in points]
    expected = peer.predict_accuracy(samples)[:, 0].numpy()
    actual = predictor.scores(np.array([predictor.encoding.encoded(*point) for point in points]))
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert np.ptp(expected) > 1e-3
    chosen = OFA_MBV3_W12.subnet(*points[0])
    final = predictor.final(chosen)
    assert (final.accuracy, final.accuracy_source) == (pytest.approx(expected[0], abs=1e-4), "predicted")


def perceptron(*widths: int) -> dict[str, torch.Tensor]:
    layers = {}
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        layers |= {f"{2 * number}.weight": torch.zeros(outputs, inputs), f"{2 * number}.bias": torch.zeros(outputs)}
    layers[f"{2 * (len(widths) - 2)}.bias"] += 0.7
    return layers


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (perceptron(100, 8, 1), "takes 100 features; the knobs of ofa-mbv3-w1.2 alone are 120"),
        (perceptron(123, 8, 1), "made for 3 resolutions, and does not say which.*--resolutions with 3 numbers"),
        (perceptron(128, 8, 2), "it has 2 outputs, not 1"),
        (perceptron(128, 8, 1) | {"2.weight": torch.zeros(1, 9)}, r"2\.weight has shape \(1, 9\).*8 outputs"),
        (perceptron(128, 8, 1) | {"0.weight": torch.zeros(8, 1, 2, 2)}, "'0' is no linear layer"),
        (perceptron(128, 8, 1) | {"2.bias": torch.full((1,), 76.0)}, "an accuracy of 76; it must be between 0 and 1"),
        ({}, "it has 0 outputs"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, state: Mapping[str, torch.Tensor], message: str) -> None:
    torch.save(dict(state), tmp_path / "predictor.pth")
    with pytest.raises(SupernetError, match=message):
        Predictor(tmp_path / "predictor.pth", OFA_MBV3_W12)


# ---------------------------------------------------------------- tables


def row(architecture: Architecture, resolution: int, accuracy: float, **more: str) -> dict[str, object]:
    return {
        "kernel": list(architecture.kernel),
        "expand": list(architecture.expand),
        "depth": list(architecture.depth),
        "resolution": resolution,
        "accuracy": accuracy,
        **more,
    }


def test_tables_in_csv_and_json_say_the_same(tmp_path: Path) -> None:
    points = sampled(OFA_PLATES, OFA_PLATES.resolutions, 5)
    rows = [row(*point, 0.5 + number / 100) for number, point in enumerate(points)]
    (tmp_path / "table.json").write_text(json.dumps(rows))
    lines = ["kernel,expand,depth,resolution,accuracy,source"]
    for one in rows:
        knobs = [" ".join(map(str, one[knob])) for knob in ("kernel", "expand", "depth")]  # type: ignore[call-overload]
        lines.append(",".join([*knobs, str(one["resolution"]), str(one["accuracy"]), ""]))
    (tmp_path / "table.csv").write_text("\n".join(lines))
    finals = []
    for name in ("table.json", "table.csv"):
        table = AccuracyTable(tmp_path / name, OFA_PLATES)
        subnets = [OFA_PLATES.subnet(*point) for point in points]
        finals.append([table.final(subnet) for subnet in subnets])
        assert [final.accuracy for final in finals[-1]] == pytest.approx([0.5, 0.51, 0.52, 0.53, 0.54])
        assert {final.accuracy_source for final in finals[-1]} == {"published"}
        assert len(table.extremes()) == 5
    assert finals[0] == finals[1]


SMALLEST = OFA_PLATES.smallest


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(SMALLEST, 16, 0.5), row(SMALLEST, 17, 0.5)], "sub-network 2: resolution 17 is not in the space"),
        ([row(SMALLEST, 16, 0.5) | {"kernel": [3, 3]}], "sub-network 1: kernel of ofa-plates takes 9 values, not 2"),
        ([row(SMALLEST, 16, 50.0)], "accuracy must be a fraction, not 50.0"),
        ([row(SMALLEST, 16, 0.5, source="guessed")], "source must be one of .*, not 'guessed'"),
        ([{"kernel": [3]}], "sub-network 1: 'accuracy' is missing"),
        ([7], "sub-network 1: "),
        ([], "lists no sub-network"),
    ],
)
def test_a_table_with_an_unknown_sub_network_is_refused(tmp_path: Path, rows: list[object], message: str) -> None:
    (tmp_path / "table.json").write_text(json.dumps(rows))
    with pytest.raises(SupernetError, match=message):
        AccuracyTable(tmp_path / "table.json", OFA_PLATES)


# ---------------------------------------------------------------- the command


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
        row(space.smallest, 16, 0.6),
        row(space.largest, 32, 0.9, source="measured"),
        row(space.largest, 48, 0.5),
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
