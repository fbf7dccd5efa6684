"""The elastic network against networks of fixed sizes, and decoding step by step against decoding as a whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.tiny_seq2seq import AS_HAT, SMALL, elastic, sentences
from supernets.seq2seq.decoding import beam, greedy
from supernets.seq2seq.elastic import ElasticSeq2Seq
from supernets.seq2seq.lengths import CAPACITIES, cap
from supernets.seq2seq.space import Space, Transformer
from supernets.seq2seq.static import StaticSeq2Seq
from supernets.seq2seq.vocabulary import BEGIN, END


def stepped(net: StaticSeq2Seq, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    memory, cache = net.encode(source), net.cache(len(source))
    return torch.stack([net.step(words, memory, cache) for words in target.T], dim=1)


@pytest.mark.parametrize("space", [SMALL, AS_HAT], ids=["heads-of-fixed-width", "as-hat"])
@torch.no_grad()
def test_fifty_random_sub_networks_compute_what_static_networks_with_their_weights_compute(space: Space) -> None:
    net, rng = elastic(space), np.random.default_rng(2)
    source = sentences(space, (9, 4), 3)
    target = torch.cat([torch.full((2, 1), BEGIN), sentences(space, (3, 3), 4)], dim=1)
    for architecture in (space.smallest, space.largest, *(space.random(rng) for _ in range(25))):
        static = StaticSeq2Seq(space, architecture, net.state_dict())
        torch.testing.assert_close(
            stepped(static, source, target), net(source, target, architecture), rtol=0, atol=1e-5
        )


@torch.no_grad()
def whole(net: ElasticSeq2Seq, source: torch.Tensor, architecture: Transformer) -> list[int]:
    """Decode greedily, computing every sub-word anew in each step."""
    made = [BEGIN]
    while len(made) <= cap(source.shape[1]) and made[-1] != END:
        made.append(int(net(source, torch.tensor([made]), architecture)[0, -1].argmax()))
    return made[1:]


@torch.no_grad()
def test_decoding_step_by_step_makes_the_words_of_decoding_as_a_whole() -> None:
    net, rng = elastic(SMALL), np.random.default_rng(5)
    ends, different = 0, set[int]()
    for seed in range(8):
        architecture = SMALL.random(rng)
        source = sentences(SMALL, (3 + seed,), seed)
        decoded = greedy(StaticSeq2Seq(SMALL, architecture, net.state_dict()), source)[0]
        words = whole(net, source, architecture)
        assert decoded.words == [word for word in words if word != END]
        assert decoded.capped == (words[-1] != END)
        assert not decoded.capped or len(words) == cap(source.shape[1])
        ends += not decoded.capped
        different |= set(words)
    assert 0 < ends < 8
    assert len(different) > 20


def test_a_sentence_is_translated_alone_as_it_is_beside_longer_ones() -> None:
    net = StaticSeq2Seq(SMALL, SMALL.largest, elastic(SMALL).state_dict())
    lengths = (5, 12, 30)
    together = sentences(SMALL, lengths, 6)
    alone = [greedy(net, together[row : row + 1, :length])[0] for row, length in enumerate(lengths)]
    assert greedy(net, together) == alone


def test_a_cache_that_is_full_moves_to_the_next_capacity_and_computes_the_same() -> None:
    net = elastic(SMALL)
    static = StaticSeq2Seq(SMALL, SMALL.largest, net.state_dict())
    target = torch.randint(4, SMALL.vocabulary, (2, CAPACITIES[1] + 2))
    source = sentences(SMALL, (7, 7), 7)
    memory, cache = static.encode(source), static.cache(2)
    capacities = []
    logits = []
    for words in target.T:
        logits.append(static.step(words, memory, cache))
        capacities.append(cache.capacity)
    assert [capacities[place] for place in (0, CAPACITIES[0] - 1, CAPACITIES[0], CAPACITIES[1])] == [
        CAPACITIES[0],
        CAPACITIES[0],
        CAPACITIES[1],
        CAPACITIES[2],
    ]
    with torch.no_grad():
        expected = net(source, target, SMALL.largest)
    torch.testing.assert_close(torch.stack(logits, dim=1), expected, rtol=0, atol=1e-5)


def test_a_beam_of_one_is_greedy_and_a_wider_beam_finds_no_worse_translation() -> None:
    net = StaticSeq2Seq(SMALL, SMALL.largest, elastic(SMALL).state_dict())
    for seed in range(6):
        source = sentences(SMALL, (5,), seed)
        assert beam(net, source, width=1, penalty=0.0).words == greedy(net, source)[0].words
        narrow, wide = (beam(net, source, width=width, penalty=0.0) for width in (1, 60))
        assert wide.score >= narrow.score - 1e-4
