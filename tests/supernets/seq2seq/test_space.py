"""The space of the elastic transformer: its points, what it refuses, and costs counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from supernets.seq2seq.space import HAT_WMT14, TRANSLATOR, Space


@pytest.mark.parametrize("space", [TRANSLATOR, HAT_WMT14])
def test_random_points_are_in_the_space_and_canonical(space: Space) -> None:
    rng = np.random.default_rng(0)
    for architecture in (space.smallest, space.largest, *(space.random(rng) for _ in range(30))):
        space.check(architecture)
        assert space.canonical(architecture) == architecture
        assert space.macs(space.smallest, 20, 20) <= space.macs(architecture, 20, 20)


def test_points_outside_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="decoder_width 100 is not in the space of translator-en-de; take one of"):
        TRANSLATOR.check(replace(TRANSLATOR.largest, decoder_width=100))
    with pytest.raises(ValueError, match="encoder_ffn of translator-en-de takes 3 values, not 1"):
        TRANSLATOR.check(replace(TRANSLATOR.largest, encoder_ffn=(256,)))
    with pytest.raises(ValueError, match="cross_layers 2 is not"):
        TRANSLATOR.check(replace(TRANSLATOR.largest, cross_layers=(1, 2, 1)))
    with pytest.raises(ValueError, match="decoder_layers 0 is not"):
        TRANSLATOR.check(replace(TRANSLATOR.largest, decoder_layers=0))


def test_unused_layers_do_not_tell_networks_apart() -> None:
    shallow = replace(TRANSLATOR.largest, decoder_layers=1)
    other = replace(shallow, decoder_ffn=(1024, 256, 512), decoder_heads=(4, 2, 3))
    assert TRANSLATOR.id(shallow) == TRANSLATOR.id(other)
    assert TRANSLATOR.id(shallow) != TRANSLATOR.id(replace(shallow, decoder_ffn=(512, 256, 512)))
    assert TRANSLATOR.id(shallow).startswith("e256-d256x1-")


def test_costs_are_those_counted_by_hand() -> None:
    """The smallest translator, for 10 sub-words made of 10: 96 wide, 2 heads of 64, feed-forward 256, one layer."""
    encoder_layer = 10 * (4 * 96 * 128 + 2 * 96 * 256) + 2 * 10 * 10 * 128
    memory = 10 * 2 * 96 * 128
    # A step's attention sees 1, 2, … 10 sub-words, each twice: for its score and for its value.
    attention = 2 * (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10) * 128 + 10 * 2 * 10 * 128
    decoder = 10 * (4 * 96 * 128 + 2 * 96 * 128 + 2 * 96 * 256) + attention
    assert TRANSLATOR.macs(TRANSLATOR.smallest, 10, 10) == 3 * encoder_layer + memory + decoder + 10 * 96 * 4000


def test_heads_of_hat_change_the_network_but_not_its_cost() -> None:
    fewer = replace(HAT_WMT14.largest, encoder_heads=(4,) * 6)
    assert HAT_WMT14.macs(fewer, 20, 20) == HAT_WMT14.macs(HAT_WMT14.largest, 20, 20)
    assert HAT_WMT14.attention(4) == (512, 128)
    assert TRANSLATOR.attention(3) == (192, 64)


def test_hats_space_has_as_many_points_as_hat_says() -> None:
    """HAT gives 10¹⁵ sub-networks for its space (arXiv 2005.14187, section 3.1)."""
    encoder = 2 * 3**6 * 2**6
    decoder = 2 * sum((3 * 2 * 2 * 3) ** layers for layers in HAT_WMT14.decoder_layers)
    assert 1e14 < encoder * decoder < 1e16
