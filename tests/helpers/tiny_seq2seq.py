"""Small spaces of elastic transformers, random networks that do not repeat themselves, and sentences for them.

`talker` is a whole supernet: its weights come with a vocabulary, so its networks take texts.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from supernets.built_in import BuiltIn
from supernets.seq2seq import vocabulary
from supernets.seq2seq.elastic import ElasticSeq2Seq
from supernets.seq2seq.inputs import reported
from supernets.seq2seq.packing import write
from supernets.seq2seq.space import TRANSLATOR, Space
from supernets.seq2seq.supernet import Translator
from supernets.seq2seq.vocabulary import END, PAD

SMALL = replace(
    TRANSLATOR,
    vocabulary=60,
    encoder_layers=3,
    head_width=4,
    attention_width=16,
    widths=(8, 12, 16),
    ffns=(8, 16, 24),
    cross_layers=(1, 2, 3),
)
AS_HAT = replace(SMALL, head_width=None, heads=(2, 4))
TALKER = replace(SMALL, name="talker", vocabulary=300)


def elastic(space: Space) -> ElasticSeq2Seq:
    """Return a network with weights at random, which are the same each time."""
    torch.manual_seed(1)
    net = ElasticSeq2Seq(space).eval()
    with torch.no_grad():
        for parameter in net.parameters():  # biases and scales that a slice could miss unseen
            parameter.add_(0.1 * torch.randn_like(parameter))
        # A random network would repeat its last word for ever: turned round, it never does. The score of END varies
        # most, so that some sentences end before their cap and some at it.
        net.decoder_norm.weight.neg_()
        net.embedding[END] *= 2
    return net


def sentences(space: Space, lengths: tuple[int, ...], seed: int) -> torch.Tensor:
    """Return sentences of sub-words at random, (n, longest), each with END and padded."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(END + 1, space.vocabulary, (len(lengths), max(lengths)), generator=generator)
    for row, length in enumerate(lengths):
        words[row, length - 1] = END
        words[row, length:] = PAD
    return words


def talker() -> BuiltIn:
    """Return a supernet for the catalog."""

    def opened(weights: Path | None, source: str, ladder_file: Path | None, named_ladder: str | None) -> Translator:
        return Translator(TALKER, weights, source, ladder_file)

    return BuiltIn(name=TALKER.name, task="translation", open=opened)


def talker_weights(directory: Path) -> Path:
    """Write weights of `talker` at random, with a vocabulary for the held-out sentences; return the file."""
    words, file = directory / "talker.vocabulary", directory / "talker.safetensors"
    vocabulary.train(reported(), words, size=TALKER.vocabulary)
    write(file, TALKER.name, elastic(TALKER).state_dict(), words.read_bytes())
    return file
