"""Training: a run that was stopped goes on as if it had not been, both phases learn, and the end cools down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from supernets.errors import SupernetError
from supernets.seq2seq import batches
from supernets.seq2seq.finetuning import finetune
from supernets.seq2seq.space import TRANSLATOR
from supernets.seq2seq.static import StaticSeq2Seq
from supernets.seq2seq.training import Cooling, Recipe, Trainer
from supernets.seq2seq.vocabulary import BEGIN, END, PAD

SMALL = replace(
    TRANSLATOR, vocabulary=40, encoder_layers=1, head_width=8, attention_width=32, widths=(8, 16, 24), ffns=(16, 32, 48)
)
RECIPE = Recipe(batch_words=200, warm_updates=3, rising_updates=5, flat_updates=50, peak_lr=5e-3)


def pairs(count: int) -> list[tuple[list[int], list[int]]]:
    """Draw sentences of which the translation is each word's successor."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(4, 39, size=rng.integers(2, 9)) for _ in range(count)]
    return [([*row.tolist(), END], [*(row + 1).tolist(), END]) for row in rows]


def run(trainer: Trainer, updates: int) -> list[tuple[float, float]]:
    order = batches.epoch(pairs(150), 200, np.random.default_rng(1))
    losses = []
    for _ in range(updates):
        batch = batches.batch(order[trainer.progress.update % len(order)])
        losses.append(trainer.update(batch, 0.0, stop=False)[:2])
    return losses


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = Trainer(SMALL, RECIPE)
    expected = run(whole, 6)
    first = Trainer(SMALL, RECIPE)
    run(first, 4)
    first.save(tmp_path / "c.pt")
    second = Trainer(SMALL, RECIPE)
    second.load(tmp_path / "c.pt")
    assert run(second, 2) == expected[4:]
    assert second.progress == whole.progress
    for name, tensor in whole.average.state_dict().items():
        assert torch.equal(tensor, second.average.state_dict()[name])


def test_a_training_begins_with_the_weights_of_another_and_counts_on() -> None:
    first = Trainer(SMALL, RECIPE)
    run(first, 30)
    first.progress.cooling = Cooling(first=28, updates=2)
    second = Trainer(SMALL, RECIPE)
    second.begin_with(first.average.state_dict(), first.progress)
    assert not second.progress.cooled
    expected = RECIPE.lr(30, None)
    rates = [RECIPE.lr(update, None, second.progress.begun) for update in (30, 31, 34)]
    assert rates == pytest.approx([expected / 5, expected * 2 / 5, RECIPE.lr(34, None)])
    losses = np.array(run(second, 5))[:, 0]
    assert second.progress.update == 35
    assert losses.mean() < np.array(run(Trainer(SMALL, RECIPE), 5))[:, 0].mean() - 0.5


def test_students_begin_after_the_warm_phase_and_all_learn() -> None:
    trainer = Trainer(SMALL, RECIPE)
    losses = np.array(run(trainer, 26))
    assert not losses[:3, 1].any()
    assert losses[3:, 1].all()
    assert losses[-5:, 0].mean() < losses[:3, 0].mean() - 0.5
    assert losses[-5:, 1].mean() < losses[3:8, 1].mean()


def test_a_finetuned_network_fits_the_sentences_better_than_with_shared_weights() -> None:
    trainer = Trainer(SMALL, RECIPE)
    run(trainer, 3)
    state = trainer.average.state_dict()
    given = [batches.batch(group) for group in batches.epoch(pairs(40), 100, np.random.default_rng(2))]
    tuned = finetune(SMALL, state, SMALL.smallest, RECIPE, given * 2)
    shared = StaticSeq2Seq(SMALL, SMALL.smallest, state)
    assert loss(tuned, given[0]) < loss(shared, given[0])
    assert torch.equal(state["embedding"], trainer.average.state_dict()["embedding"])


def loss(net: StaticSeq2Seq, batch: batches.Batch) -> float:
    memory, cache = net.encode(batch.source), net.cache(len(batch.source))
    logits = torch.stack([net.step(words, memory, cache) for words in batch.target.T], dim=2)
    return float(torch.nn.functional.cross_entropy(logits, batch.labels, ignore_index=PAD))


def test_a_checkpoint_of_another_space_is_refused(tmp_path: Path) -> None:
    Trainer(SMALL, RECIPE).save(tmp_path / "c.pt")
    with pytest.raises(SupernetError, match="is a checkpoint of 'translator-en-de', not of 'other'"):
        Trainer(replace(SMALL, name="other"), RECIPE).load(tmp_path / "c.pt")


def test_the_learning_rate_rises_stays_falls_and_cools_down() -> None:
    recipe = Recipe(peak_lr=1.0, rising_updates=10, flat_updates=100)
    assert [recipe.lr(update, None) for update in (0, 9, 99, 399)] == pytest.approx([0.1, 1.0, 1.0, 0.5])
    cooling = Cooling(first=399, updates=4)
    assert [cooling.share(update) for update in (399, 400, 402, 500)] == [0.75, 0.5, 0.0, 0.0]
    assert recipe.lr(400, cooling) == pytest.approx(recipe.lr(400, None) / 2)


def test_an_epoch_holds_each_pair_once_within_its_limit_and_its_order_changes() -> None:
    coded = pairs(100)
    orders = [batches.epoch(coded, 60, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    for order in orders:
        assert sorted(pair for group in order for pair in group) == sorted(coded)
        assert all(max(max(map(len, pair)) for pair in group) * len(group) <= 60 for group in order)
    assert orders[0] == orders[1] != orders[2]


def test_a_batch_predicts_each_word_from_those_before_it() -> None:
    batch = batches.batch([([5, 6, END], [7, END]), ([8, END], [9, 10, END])])
    assert batch.source.tolist() == [[5, 6, END], [8, END, PAD]]
    assert batch.target.tolist() == [[BEGIN, 7, PAD], [BEGIN, 9, 10]]
    assert batch.labels.tolist() == [[7, END, PAD], [9, 10, END]]
    assert batch.words == 5
