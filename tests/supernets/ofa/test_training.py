"""Training depends only on the recipe, wherever it was interrupted."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.tiny_space import TINY
from supernets.ofa.mobilenet import ElasticMobileNetV3
from supernets.ofa.training import Recipe, _logits, _sandwich_step, train
from supernets.pictures import plates

Run = tuple[ElasticMobileNetV3, list[float]]
RECIPE = Recipe(batch=4, warm_steps=3, warm_resolution=16, sandwich_steps=4)


def run(checkpoint: Path, recipe: Recipe = RECIPE, stop_after: int | None = None) -> Run:
    """Return the network after some steps, and the loss of each."""
    losses: list[tuple[int, float]] = []
    network = train(TINY, recipe, checkpoint, lambda *step: losses.append(step), stop_after)
    last = recipe.steps if stop_after is None else stop_after
    assert [number for number, _ in losses] == list(range(last - len(losses), last))
    return network, [loss for _, loss in losses]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("training") / "checkpoint.pt")


@pytest.mark.parametrize("stop", [2, 5], ids=["while warming up", "in the sandwich"])
def test_training_goes_on_as_if_it_had_not_been_stopped(uninterrupted: Run, tmp_path: Path, stop: int) -> None:
    network, losses = uninterrupted
    checkpoint = tmp_path / "made" / "checkpoint.pt"
    half, first = run(checkpoint, stop_after=stop)
    assert not torch.equal(half.stem.weight, network.stem.weight)
    whole, rest = run(checkpoint)
    assert first + rest == losses
    for name, tensor in network.state_dict().items():
        assert torch.equal(whole.state_dict()[name], tensor), name


def test_every_part_of_the_network_is_trained(uninterrupted: Run) -> None:
    network, losses = uninterrupted
    assert np.isfinite(losses).all()
    torch.manual_seed(RECIPE.seed)
    untrained = ElasticMobileNetV3(TINY).state_dict()
    parameters = dict(network.named_parameters())
    # A transform is reached only by networks whose kernel there is smaller, so not all of them in four steps.
    always = [name for name in parameters if ".transforms." not in name]
    assert all(not torch.equal(parameters[name], untrained[name]) for name in always)
    assert any(not torch.equal(parameters[name], untrained[name]) for name in parameters if ".transforms." in name)


def test_a_kill_leaves_the_latest_checkpoint_whole(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    run(checkpoint, stop_after=1)
    before = checkpoint.read_bytes()

    def interrupt(step: int, loss: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TINY, RECIPE, checkpoint, interrupt)
    assert checkpoint.read_bytes() == before


def test_the_sandwich_teaches_the_largest_the_labels_and_the_smallest_the_largest() -> None:
    """On one clean batch, repeated, the largest learns it by heart and the smallest learns the largest's answers."""
    torch.manual_seed(0)
    network = ElasticMobileNetV3(TINY).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    recipe = Recipe(warm_steps=0)
    pictures = plates.draw(8, seed=0, held_out=False, hardness=0.0)

    def disagreement() -> float:
        """Return the cross-entropy of the smallest's answers against the largest's, less the largest's own entropy."""
        with torch.no_grad():
            largest = _logits(network, pictures, TINY.largest, 24).log_softmax(2)
            smallest = _logits(network, pictures, TINY.smallest, 16).log_softmax(2)
        return float((largest.exp() * (largest - smallest)).sum(2).mean())

    losses, apart = [], []
    for step in range(80):
        losses.append(_sandwich_step(network, pictures, recipe, step))
        optimizer.step()
        optimizer.zero_grad()
        apart.append(disagreement())
    assert losses[0] == pytest.approx(math.log(len(plates.ALPHABET)), abs=0.2)
    assert losses[-1] < 0.5 * losses[0]
    assert apart[-1] < 0.5 * max(apart)


@settings(deadline=None)
@given(st.integers(0, 3000), st.integers(1, 8000), st.data())
def test_learning_rate_and_hardness_follow_their_schedule(warm: int, sandwich: int, data: st.DataObject) -> None:
    recipe = Recipe(warm_steps=warm, sandwich_steps=sandwich)
    assert recipe.steps == warm + sandwich
    step = data.draw(st.integers(0, recipe.steps - 1))
    assert 0 < recipe.lr(step) <= recipe.peak_lr
    assert 0.2 <= recipe.hardness(step) <= recipe.hardness(step + 1) <= 1
    if step >= 200:
        assert recipe.lr(step + 1) <= recipe.lr(step)
    if step >= recipe.hard_after * recipe.steps:
        assert recipe.hardness(step) == 1
