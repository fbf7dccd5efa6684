"""The command that goes on training one sub-network alone, apart from the shared weights.

Run it as `python -m supernets.seq2seq.finetuning SUBNET --updates N` with an identifier that
`python -m supernets.seq2seq.evaluation` prints. The sub-network begins with the weights that it shares, and learns from
the translations and from the largest network's answers, half each. What it gains tells what sharing costs; it then has
weights of its own, so a ladder of such networks takes the memory of all of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from supernets.seq2seq import batches, corpus, vocabulary
from supernets.seq2seq.batches import Batch
from supernets.seq2seq.elastic import Dropout, ElasticSeq2Seq
from supernets.seq2seq.evaluation import measure, read_average
from supernets.seq2seq.rungs import ladder
from supernets.seq2seq.space import TRANSLATOR, Space, Transformer
from supernets.seq2seq.static import StaticSeq2Seq
from supernets.seq2seq.training import Recipe
from supernets.seq2seq.vocabulary import PAD

_PEAK_LR = 3e-4
"""A fifth of the training's, since the weights are good already; it falls to nothing."""


def finetune(
    space: Space, state: Mapping[str, Tensor], architecture: Transformer, recipe: Recipe, given: Sequence[Batch]
) -> StaticSeq2Seq:
    """Return a sub-network with weights of its own.

    Args:
        space: the space of the supernet.
        state: the supernet's weights.
        architecture: the sub-network.
        recipe: smoothing, dropout and weight decay; a sub-network that is not the largest drops half as much.
        given: a batch for each update.
    """
    teacher, student = ElasticSeq2Seq(space), ElasticSeq2Seq(space)
    teacher.load_state_dict(state)
    student.load_state_dict(state)
    teacher.eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(student.parameters(), betas=(0.9, 0.98), weight_decay=recipe.weight_decay)
    part = 1 if architecture == space.largest else 2
    drop = Dropout(recipe.dropout / part, recipe.seed, 4 * recipe.batch_words * space.ffns[-1])
    for update, batch in enumerate(given):
        for group in optimizer.param_groups:
            group["lr"] = _PEAK_LR * (1 - update / len(given))
        words = batch.labels.flatten() != PAD
        labels = batch.labels.flatten()[words]
        answers = teacher(batch.source, batch.target, space.largest).flatten(0, 1)[words].softmax(dim=1)
        logits = student(batch.source, batch.target, architecture, drop).flatten(0, 1)[words]
        loss = F.cross_entropy(logits, labels, label_smoothing=recipe.smoothing) + F.cross_entropy(logits, answers)
        torch.autograd.backward(loss / 2)
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return StaticSeq2Seq(space, architecture, student.state_dict())


def _batches(coded: Sequence[tuple[list[int], list[int]]], recipe: Recipe) -> Iterator[Batch]:
    number = 0
    while True:
        order = batches.epoch(coded, recipe.batch_words, np.random.default_rng([recipe.seed, 1_000_003, number]))
        yield from (batches.batch(group) for group in order)
        number += 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Finetune a sub-network, and say what it gained on the validation sentences and on those that are reported."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subnet", help="identifier of the sub-network")
    parser.add_argument("--dir", type=Path, default=Path("build/translator"))
    parser.add_argument("--checkpoint", default="cooled.pt", help="file of the directory")
    parser.add_argument("--updates", type=int, default=500)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rungs = ladder(TRANSLATOR)
    if options.subnet not in rungs:
        parser.error(f"sub-network {options.subnet!r} is not on the ladder; take one of {', '.join(rungs)}")
    state, recipe = read_average(options.dir / options.checkpoint, TRANSLATOR), Recipe()
    words = vocabulary.load(options.dir / vocabulary.FILE)
    coded = batches.encode_pairs(words, corpus.read(options.dir / corpus.TRAINING), TRANSLATOR.longest)
    architecture = rungs[options.subnet]
    given = [batch for batch, _ in zip(_batches(coded, recipe), range(options.updates), strict=False)]
    tuned = finetune(TRANSLATOR, state, architecture, recipe, given)
    path = options.dir / f"finetuned-{options.subnet}.pt"
    torch.save(tuned.state_dict(), path)
    parts = {"validation": options.dir / "validation.tsv", "reported": corpus.REPORTED}
    for part, pairs in ((part, corpus.read(path)) for part, path in parts.items()):
        for name, net in (("shared", StaticSeq2Seq(TRANSLATOR, architecture, state)), ("finetuned", tuned)):
            quality, _ = measure(net, words, pairs)
            print(f"{name:10} BLEU {quality.bleu:5.2f}  chrF {quality.chrf:5.2f} on {len(pairs)} {part} sentences")


if __name__ == "__main__":
    main()
