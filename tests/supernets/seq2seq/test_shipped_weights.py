"""The shipped translator keeps its claims."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
from safetensors import safe_open

import supernets
from supernets import Supernet, engines
from supernets.evaluation import accuracy
from supernets.inputs import INPUTS
from supernets.subnet import SubNet

SENTENCES = 60
SURE = 3.3
"""Standard errors that a right claim is missed by one time in a thousand."""


@pytest.fixture(scope="module")
def net() -> Supernet:
    shipped = supernets.load("translator-en-de")
    assert shipped.weights_source == "shipped", "make weights SUPERNET=translator-en-de"
    return shipped


def claimed(rung: SubNet) -> float:
    assert rung.accuracy_source == "measured"
    assert rung.accuracy is not None
    return rung.accuracy


def test_the_file_is_small_and_says_how_it_was_made(net: Supernet) -> None:
    assert net.weights is not None
    assert net.weights.stat().st_size < 15e6
    with safe_open(net.weights, framework="np") as file:
        about = file.metadata()
    assert about["recipe"].startswith("Recipe(")
    training, corpus = json.loads(about["training"]), json.loads(about["corpus"])
    assert training["update"] > 0
    assert set(corpus["packages"]) == {"libreoffice-help-en-us", "libreoffice-help-de", "libreoffice-l10n-de"}


def test_the_ladder_has_five_rungs_at_least_and_each_step_up_translates_better(net: Supernet) -> None:
    ladder = net.ladder()
    assert len(ladder) >= 5
    for lower, upper in pairwise(ladder):
        assert lower.macs_m < upper.macs_m
        assert claimed(lower) < claimed(upper)
    assert claimed(ladder[-1]) >= 0.60
    assert claimed(ladder[-1]) - claimed(ladder[0]) >= 0.10


def test_the_ends_translate_as_well_as_is_claimed(net: Supernet, tmp_path: Path) -> None:
    data = INPUTS[net.task].labelled(None, "", held_out=True)
    for rung in (net.ladder()[0], net.ladder()[-1]):
        artifact = supernets.export(net, rung, tmp_path)
        score = accuracy(engines.prepare(artifact, "onnxruntime", 1), data, artifact, limit=SENTENCES)
        # The deviation of a sentence's chrF was 0.18 for the smallest network and 0.20 for the largest (200 sentences).
        assert score.accuracy == pytest.approx(claimed(rung), abs=SURE * 0.3 / math.sqrt(SENTENCES))
