"""Accuracy sources: predictors against those of the ofa package, tables, and what both refuse."""

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

from helpers.accuracy_rows import accuracy_row
from supernets import SupernetError
from supernets.ofa.space import Architecture, Space
from supernets.ofa.spaces import OFA_MBV3_W12, OFA_PLATES
from supernets.search.accuracy_source import TUTORIAL_RESOLUTIONS, AccuracyTable, Predictor


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


def test_tables_in_csv_and_json_say_the_same(tmp_path: Path) -> None:
    points = sampled(OFA_PLATES, OFA_PLATES.resolutions, 5)
    rows = [accuracy_row(*point, 0.5 + number / 100) for number, point in enumerate(points)]
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
        (
            [accuracy_row(SMALLEST, 16, 0.5), accuracy_row(SMALLEST, 17, 0.5)],
            "sub-network 2: resolution 17 is not in the space",
        ),
        (
            [accuracy_row(SMALLEST, 16, 0.5) | {"kernel": [3, 3]}],
            "sub-network 1: kernel of ofa-plates takes 9 values, not 2",
        ),
        ([accuracy_row(SMALLEST, 16, 50.0)], "accuracy must be a fraction, not 50.0"),
        ([accuracy_row(SMALLEST, 16, 0.5, source="guessed")], "source must be one of .*, not 'guessed'"),
        ([{"kernel": [3]}], "sub-network 1: 'accuracy' is missing"),
        ([7], "sub-network 1: "),
        ([], "lists no sub-network"),
    ],
)
def test_a_table_with_an_unknown_sub_network_is_refused(tmp_path: Path, rows: list[object], message: str) -> None:
    (tmp_path / "table.json").write_text(json.dumps(rows))
    with pytest.raises(SupernetError, match=message):
        AccuracyTable(tmp_path / "table.json", OFA_PLATES)
