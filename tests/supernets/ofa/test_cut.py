"""Weights as arrays: they have the names and shapes of the torch modules, and are cut as those slice them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from helpers.tiny_space import TINY, architectures, lived_in
from supernets.ofa.cut import cut, shapes
from supernets.ofa.mobilenet import ElasticMobileNetV3, StaticMobileNetV3
from supernets.ofa.space import Architecture, Space
from supernets.ofa.spaces import SPACES
from supernets.weights_file import shapes_of

NETWORK = lived_in(TINY)
STATE = {name: tensor.numpy() for name, tensor in NETWORK.state_dict().items()}


@pytest.mark.parametrize("space", [TINY, *SPACES.values()], ids=lambda space: space.name)
def test_a_supernet_has_the_weights_of_the_module_in_its_order(space: Space) -> None:
    with torch.device("meta"):
        module = ElasticMobileNetV3(space)
    assert list(shapes(space).items()) == list(shapes_of(module.state_dict()).items())


@given(architecture=architectures(TINY))
@settings(max_examples=30)
def test_a_sub_network_has_the_weights_of_its_module(architecture: Architecture) -> None:
    with torch.device("meta"):
        expected = shapes_of(StaticMobileNetV3(TINY, architecture).state_dict())
    assert {name: array.shape for name, array in cut(TINY, architecture, STATE).items()} == expected


def test_a_depthwise_filter_is_what_the_supernet_computes_with() -> None:
    """The smaller kernels are transforms of the largest, one after another: 7 to 5 to 3."""
    for kernel in TINY.kernels:
        architecture = TINY.canonical(
            Architecture(kernel=(kernel,) * TINY.blocks, expand=(4,) * TINY.blocks, depth=(3, 3))
        )
        own = cut(TINY, architecture, STATE)
        for place, (index, *_) in enumerate(TINY.active_blocks(architecture)):
            made = own[f"blocks.{place}.depthwise.weight"]
            expected = NETWORK.blocks[index].depthwise.filter(len(made), kernel).detach().numpy()
            np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)
    assert kernel == 7
