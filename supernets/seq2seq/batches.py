"""Batches of sentences as tensors of sub-words, the same for everyone who asks for the same epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from supernets.seq2seq.sentences import Pair
from supernets.seq2seq.vocabulary import BEGIN, END, PAD

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor


@dataclass(frozen=True, slots=True)
class Batch:
    """Sentences of similar length.

    Attributes:
        source: (n, s), the English sub-words, each row ended by END and padded with PAD.
        target: (n, t), the German ones from BEGIN on, without END.
        labels: (n, t), the sub-word after each of target.
    """

    source: Tensor
    target: Tensor
    labels: Tensor

    @property
    def words(self) -> int:
        """The number of sub-words to predict."""
        return int((self.labels != PAD).sum())


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Return rows of sub-words as one tensor (n, longest), padded with PAD at the end."""
    table = np.full((len(rows), max(map(len, rows))), PAD, dtype=np.int64)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
    return torch.from_numpy(table)


def encode(vocabulary: SentencePieceProcessor, text: str) -> list[int]:
    """Return the sub-words of a text, and END."""
    return [*vocabulary.encode(text), END]


def encode_pairs(
    vocabulary: SentencePieceProcessor, pairs: Sequence[Pair], longest: int
) -> list[tuple[list[int], list[int]]]:
    """Return the sub-words of pairs, each ended by END, without those in which a language has more than `longest`."""
    coded = [(encode(vocabulary, pair.english), encode(vocabulary, pair.german)) for pair in pairs]
    return [(source, target) for source, target in coded if max(len(source), len(target)) <= longest]


def batch(coded: Sequence[tuple[list[int], list[int]]]) -> Batch:
    """Return encoded pairs as one batch."""
    targets = [target for _, target in coded]
    return Batch(
        source=padded([source for source, _ in coded]),
        target=padded([[BEGIN, *target[:-1]] for target in targets]),
        labels=padded(targets),
    )


def epoch(
    coded: Sequence[tuple[list[int], list[int]]], words: int, rng: np.random.Generator
) -> list[list[tuple[list[int], list[int]]]]:
    """Return all pairs in batches, in random order.

    Pairs of a batch have similar lengths, so that little is padded; which of them meet changes from epoch to epoch.

    Args:
        coded: the encoded pairs.
        words: most target sub-words of a batch, padding included.
        rng: source of the order.
    """
    lengths = np.array([(len(target), len(source)) for source, target in coded], dtype=float)
    # Lengths are blurred by a twentieth, so that a batch's pairs are not the same in each epoch; 5 % is padding.
    blurred = lengths * rng.uniform(0.95, 1.05, lengths.shape)
    order = np.lexsort((blurred[:, 1], blurred[:, 0].round()))
    batches: list[list[tuple[list[int], list[int]]]] = [[]]
    longest = 0
    for index in order:
        pair = coded[int(index)]
        longest = max(longest, len(pair[0]), len(pair[1]))
        if batches[-1] and longest * (len(batches[-1]) + 1) > words:
            batches.append([])
            longest = max(len(pair[0]), len(pair[1]))
        batches[-1].append(pair)
    return [batches[int(index)] for index in rng.permutation(len(batches))]
