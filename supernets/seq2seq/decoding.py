"""Decoding: the translation of encoded sentences, sub-word by sub-word, the best one each time or a beam of the best.

A translation ends with END or at its cap, which depends on the sentence's length and is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from supernets.seq2seq.lengths import cap
from supernets.seq2seq.static import StaticSeq2Seq
from supernets.seq2seq.vocabulary import BEGIN, END, PAD


@dataclass(frozen=True, slots=True)
class Decoded:
    """A translation.

    Attributes:
        words: its sub-words, without BEGIN and END.
        capped: True if it was ended by its cap.
        score: sum of the logarithms of its sub-words' probabilities, END included; 0 where it was not asked for.
    """

    words: list[int]
    capped: bool
    score: float = 0.0


def greedy(net: StaticSeq2Seq, source: Tensor) -> list[Decoded]:
    """Translate sentences, always taking the likeliest next sub-word.

    Args:
        net: the network.
        source: sub-words of the sentences, (n, s), padded with PAD at the end.
    """
    rows = len(source)
    caps = [cap(int(length)) for length in (source != PAD).sum(dim=1)]
    memory, cache = net.encode(source), net.cache(rows)
    words = torch.full((rows,), BEGIN)
    made: list[list[int]] = [[] for _ in range(rows)]
    going = set(range(rows))
    while going:
        words = net.step(words, memory, cache).argmax(dim=1)
        for row, word in enumerate(words.tolist()):
            if row in going:
                made[row].append(word)
                if word == END or len(made[row]) == caps[row]:
                    going.remove(row)
    ended = [translation[-1] == END for translation in made]
    return [Decoded(row[:-1] if end else row, not end) for row, end in zip(made, ended, strict=True)]


def beam(net: StaticSeq2Seq, source: Tensor, width: int = 4, penalty: float = 0.6) -> Decoded:
    """Translate one sentence, keeping the likeliest beginnings at every step.

    Args:
        net: the network.
        source: sub-words of the sentence, (1, s).
        width: number of beginnings.
        penalty: exponent of the length that a score is divided by, so that short translations are not preferred.

    Returns:
        The translation with the best score for its length.
    """
    most = cap(source.shape[1])
    memory, cache = net.encode(source).rows(torch.zeros(width, dtype=torch.int64)), net.cache(width)
    words = torch.full((width,), BEGIN)
    # At first all beginnings are the same: only one of them may go on.
    scores = torch.full((width,), -torch.inf)
    scores[0] = 0.0
    made: list[list[int]] = [[] for _ in range(width)]
    done: list[tuple[float, Decoded]] = []
    for length in range(1, most + 1):
        total = scores[:, None] + net.step(words, memory, cache).log_softmax(dim=1)
        # Twice as many as needed, since up to `width` of them may be ends.
        best, places = total.flatten().topk(2 * width)
        rows, chosen = places // total.shape[1], places % total.shape[1]
        alive = []
        candidates = zip(best.tolist(), rows.tolist(), chosen.tolist(), strict=True)
        for rank, (score, row, word) in enumerate(candidates):
            if word != END:
                alive.append((score, row, word))
            # An end counts if it is among the best, or a beam of one would not be greedy.
            elif rank < width and score > -torch.inf:
                done.append((score / length**penalty, Decoded(made[row], False, score)))
        alive = alive[:width]
        # No beginning can get better than it is: scores only fall, and the cap bounds what the length can mend.
        if len(done) >= width and max(done, key=lambda d: d[0])[0] >= alive[0][0] / most**penalty:
            break
        made = [[*made[row], word] for _, row, word in alive]
        cache.reorder(torch.tensor([row for _, row, _ in alive]))
        words = torch.tensor([word for _, _, word in alive])
        scores = torch.tensor([score for score, _, _ in alive])
        if length == most and not done:
            return Decoded(made[0], True, alive[0][0])
    return max(done, key=lambda d: d[0])[1]
