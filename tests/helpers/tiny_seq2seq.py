"""Small spaces of elastic transformers, random networks that do not repeat themselves, and sentences for them."""

from __future__ import annotations

from dataclasses import replace

import torch

from supernets.seq2seq.elastic import ElasticSeq2Seq
from supernets.seq2seq.space import TRANSLATOR, Space
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
