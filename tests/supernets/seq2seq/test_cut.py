"""Weights as arrays: they have the names and shapes of the torch modules, and are cut as those slice them."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.tiny_seq2seq import SMALL
from supernets.seq2seq.cut import cut, positions, shapes
from supernets.seq2seq.elastic import ElasticSeq2Seq
from supernets.seq2seq.space import HAT_WMT14, TRANSLATOR
from supernets.seq2seq.static import StaticSeq2Seq
from supernets.weights_file import shapes_of

STATE = ElasticSeq2Seq(SMALL).state_dict()


def test_the_shared_weights_are_those_of_the_module_in_its_order() -> None:
    for space in (SMALL, TRANSLATOR, HAT_WMT14):
        with torch.device("meta"):
            module = ElasticSeq2Seq(space)
        assert list(shapes(space).items()) == list(shapes_of(module.state_dict()).items())


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_a_sub_network_has_the_weights_of_its_module(seed: int) -> None:
    architecture = SMALL.random(np.random.default_rng(seed))
    expected = StaticSeq2Seq(SMALL, architecture, STATE)
    made = cut(SMALL, architecture, {name: tensor.numpy() for name, tensor in STATE.items()}).arrays
    assert made.keys() == dict(expected.named_parameters()).keys()
    for name, tensor in expected.named_parameters():
        np.testing.assert_array_equal(made[name], tensor.detach().numpy())


def test_positions_are_sines_and_cosines_in_turns() -> None:
    """By hand: at place 3 of a width of 4 the second pair turns by 3 / 10000^(2 / 4) = 0.03."""
    made = positions(128, 4)[3]
    np.testing.assert_allclose(made, [np.sin(3), np.cos(3), np.sin(0.03), np.cos(0.03)], rtol=1e-6)
    exact = np.arange(128)[:, None] / 10000 ** (np.arange(0, 256, 2) / 256)
    made = positions(128, 256)
    np.testing.assert_allclose(made[:, 0::2], np.sin(exact), atol=2e-5)
    np.testing.assert_allclose(made[:, 1::2], np.cos(exact), atol=2e-5)
