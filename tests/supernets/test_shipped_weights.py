"""The shipped `ofa-plates` keeps its claims, also on pictures that were never used before."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from scipy.stats import norm

from supernets import engines
from supernets.catalog import load
from supernets.exporting import export, fold
from supernets.pictures import plates
from supernets.subnet import SubNet
from supernets.supernet import Supernet

PICTURES = 500
BATCH = 16  # larger ones leave the caches, and cost five times the time
UNSEEN_SEED = 20260101  # 0 is of training, 1 of the search, 2 of the claimed measurement


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    shipped = load("ofa-plates")
    assert shipped.weights_source == "shipped", "supernets/weights/ofa-plates.safetensors is missing: make weights"
    return shipped


@pytest.fixture(scope="module")
def unseen() -> plates.Plates:
    return plates.draw(PICTURES, seed=UNSEEN_SEED, held_out=True)


def accuracies(supernet: Supernet) -> list[float]:
    return [claimed(rung) for rung in supernet.ladder()]


def claimed(rung: SubNet) -> float:
    assert rung.accuracy is not None
    return rung.accuracy


def test_the_file_is_small_and_says_how_it_was_made(supernet: Supernet) -> None:
    assert supernet.weights is not None
    assert supernet.weights.stat().st_size < 8e6
    with safe_open(supernet.weights, framework="np") as file:
        about = file.metadata()
    assert about["recipe"].startswith("Recipe(")
    assert about["search"].startswith("SearchPlan(")
    assert json.loads(about["ladder"])


def test_the_ladder_has_six_rungs_at_least_and_each_step_up_reads_better(supernet: Supernet) -> None:
    ladder = supernet.ladder()
    assert len(ladder) >= 6
    assert len({rung.id for rung in ladder}) == len(ladder)
    assert all(rung.accuracy_source == "measured" for rung in ladder)
    # It is ordered by measured latency, so rising accuracy makes it Pareto-optimal in latency.
    assert all(a < b for a, b in pairwise(accuracies(supernet)))


def test_the_spread_is_real(supernet: Supernet) -> None:
    values = accuracies(supernet)
    assert 0.60 <= values[0] <= 0.75
    assert values[-1] >= 0.90
    assert sum(value < 0.80 for value in values) >= 2
    assert sum(value > 0.80 for value in values) >= 2
    ladder = supernet.ladder()
    assert ladder[-1].macs_m >= 4 * ladder[0].macs_m


def test_every_rung_has_statistics_of_its_own(supernet: Supernet) -> None:
    for rung in supernet.ladder():
        own, inherited = supernet.module(rung), supernet.network.extract(rung.knobs)
        norms = [name for name, _ in own.named_buffers() if name.endswith(("running_mean", "running_var"))]
        assert all(not torch.equal(own.get_buffer(name), inherited.get_buffer(name)) for name in norms)


def test_the_claimed_accuracies_hold_on_unseen_plates(supernet: Supernet, unseen: plates.Plates) -> None:
    """Each is within a 99 % interval of the difference of two shares, of 1,000 and of 10,560 pictures."""
    off = {}
    bound = norm.ppf(1 - 0.01 / 2)
    for rung in supernet.ladder():
        module = fold(supernet.module(rung))
        read: list[str] = []
        with torch.no_grad():
            for start in range(0, PICTURES, BATCH):
                x = plates.resize(unseen.pictures[start : start + BATCH], rung.resolution)
                read += plates.read(module(torch.from_numpy(x)).numpy())
        measured = np.mean([a == b for a, b in zip(read, unseen.texts, strict=True)])
        share = claimed(rung)
        deviation = math.sqrt(share * (1 - share) * (1 / PICTURES + 1 / 10_560))
        if abs(measured - share) > bound * deviation:
            off[rung.id] = (share, measured)
    assert not off


def test_the_engine_reads_what_the_module_reads(supernet: Supernet, unseen: plates.Plates, tmp_path: Path) -> None:
    rung = supernet.ladder()[0]
    prepared, module = engines.prepare(export(supernet, rung, tmp_path)), supernet.module(rung)
    x = plates.resize(unseen.pictures[:100], rung.resolution)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    actual = np.concatenate([prepared(picture[None]) for picture in x])
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max())
    assert plates.read(actual) == plates.read(expected)
