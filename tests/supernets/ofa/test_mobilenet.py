"""The elastic network agrees with the static networks cut out of it, and both agree with oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from helpers.tiny_space import TINY, architectures, lived_in, off_by, pictures
from supernets.ofa.mobilenet import ElasticDepthwise, ElasticMobileNetV3
from supernets.ofa.space import Architecture, Space, column_average
from supernets.ofa.spaces import OFA_PLATES


@pytest.fixture(scope="module")
def tiny() -> ElasticMobileNetV3:
    return lived_in(TINY)


@pytest.fixture(scope="module")
def reader() -> ElasticMobileNetV3:
    return lived_in(OFA_PLATES)


def counted_macs(module: nn.Module, x: Tensor) -> int:
    """Return the multiply-accumulates of one forward pass, from the shapes in convolutions and linear layers."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += output.numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features

    # Squeeze-excite slices its weights and calls no layer, so its two products are counted from its weights.
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            total += layer.weight.numel()
    hooks = [layer.register_forward_hook(count) for layer in module.modules()]  # type: ignore[arg-type]
    with torch.no_grad():
        module(x)
    for hook in hooks:
        hook.remove()
    return total


def agree(network: ElasticMobileNetV3, architecture: Architecture, resolution: int) -> None:
    x = pictures(network.space, 2, resolution, seed=1)
    with torch.no_grad():
        expected = network(x, architecture)
        assert off_by(network.extract(architecture)(x), expected) < 1e-5
    assert expected.shape == (2, network.space.classes)
    assert expected.std(dim=0).max() > 0.01 * expected.abs().max()  # the network tells its two inputs apart


@settings(max_examples=60, deadline=None)
@given(architectures(TINY), st.sampled_from(TINY.resolutions))
def test_a_sub_network_cut_out_computes_what_the_supernet_does(
    tiny: ElasticMobileNetV3, architecture: Architecture, resolution: int
) -> None:
    agree(tiny, architecture, resolution)


@settings(max_examples=10, deadline=None)
@given(architectures(OFA_PLATES), st.sampled_from(OFA_PLATES.resolutions))
def test_so_do_those_of_the_plate_reader(
    reader: ElasticMobileNetV3, architecture: Architecture, resolution: int
) -> None:
    agree(reader, architecture, resolution)


def test_sub_networks_differ(tiny: ElasticMobileNetV3) -> None:
    """Sub-networks differ enough that the comparisons above could fail."""
    x = pictures(TINY, 2, 16)
    largest = tiny.extract(TINY.largest)(x)
    for knob, value in (("kernel", (5, *TINY.largest.kernel[1:])), ("expand", (2, *TINY.largest.expand[1:]))):
        knobs = {"kernel": TINY.largest.kernel, "expand": TINY.largest.expand, "depth": TINY.largest.depth}
        assert off_by(tiny.extract(Architecture(**{**knobs, knob: value}))(x), largest) > 0.01


def test_a_sub_network_has_weights_of_its_own(tiny: ElasticMobileNetV3) -> None:
    before = {name: tensor.clone() for name, tensor in tiny.state_dict().items()}
    cut = tiny.extract(TINY.smallest)
    assert not cut.training
    with torch.no_grad():
        for tensor in cut.state_dict().values():
            tensor.fill_(7)
    for name, tensor in tiny.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@settings(max_examples=30, deadline=None)
@given(architectures(TINY), st.sampled_from(TINY.resolutions))
def test_macs_are_those_of_the_layers(tiny: ElasticMobileNetV3, architecture: Architecture, resolution: int) -> None:
    x = pictures(TINY, 1, resolution)
    assert TINY.macs(architecture, resolution) == counted_macs(tiny.extract(architecture), x)


@pytest.mark.parametrize("resolution", OFA_PLATES.resolutions)
def test_macs_of_the_plate_reader(reader: ElasticMobileNetV3, resolution: int) -> None:
    for architecture in (OFA_PLATES.smallest, OFA_PLATES.random(np.random.default_rng(resolution)), OFA_PLATES.largest):
        x = pictures(OFA_PLATES, 1, resolution)
        assert OFA_PLATES.macs(architecture, resolution) == counted_macs(reader.extract(architecture), x)


def test_a_smaller_kernel_is_the_centre_of_the_larger_one_through_a_learned_matrix() -> None:
    torch.manual_seed(0)
    depthwise = ElasticDepthwise(6, (3, 5, 7), stride=1)
    full = depthwise.weight.detach()
    assert torch.equal(depthwise.filter(6, 7), full)
    assert torch.equal(depthwise.filter(4, 5), full[:4, :, 1:-1, 1:-1])  # the matrices begin as identities
    assert torch.equal(depthwise.filter(6, 3), full[:, :, 2:-2, 2:-2])
    with torch.no_grad():
        for matrix in depthwise.transforms.values():
            matrix.copy_(torch.randn(matrix.shape))
    to5, to3 = (depthwise.transforms[key].detach().double().numpy() for key in ("7to5", "5to3"))
    five = np.einsum("ij,cj->ci", to5, full[:, 0, 1:-1, 1:-1].reshape(6, 25).double().numpy()).reshape(6, 5, 5)
    three = np.einsum("ij,cj->ci", to3, five[:, 1:-1, 1:-1].reshape(6, 9)).reshape(6, 3, 3)
    np.testing.assert_allclose(depthwise.filter(6, 5).detach().numpy()[:, 0], five, atol=1e-5)
    np.testing.assert_allclose(depthwise.filter(6, 3).detach().numpy()[:, 0], three, atol=1e-5)


def test_training_a_narrow_sub_network_leaves_the_statistics_of_other_channels_alone() -> None:
    torch.manual_seed(0)
    network = ElasticMobileNetV3(TINY).train()
    block = network.blocks[0]
    before = block.expand_bn.running_mean.clone()
    network(pictures(TINY, 4, 16) + 1, TINY.smallest)
    narrow = 8  # expand 1 of a width of 8
    assert (block.expand_bn.running_mean[:narrow] != before[:narrow]).any()
    assert torch.equal(block.expand_bn.running_mean[narrow:], before[narrow:])


@settings(deadline=None)
@given(st.integers(1, 80), st.integers(1, 16))
def test_columns_are_averaged_into_cells_by_the_area_they_share(width: int, cells: int) -> None:
    shares = torch.from_numpy(column_average(width, cells))
    assert shares.shape == (width, cells)
    assert (shares >= 0).all()
    torch.testing.assert_close(shares.sum(0), torch.ones(cells))  # each cell is an average
    torch.testing.assert_close(shares.sum(1), torch.full((width,), cells / width))  # to which all columns add alike


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 8))
def test_cells_of_whole_columns_are_adaptive_average_pooling(columns: int, cells: int) -> None:
    x = torch.randn(1, 2, columns * cells, generator=torch.Generator().manual_seed(columns))
    expected = F.adaptive_avg_pool1d(x, cells)
    torch.testing.assert_close(
        x @ torch.from_numpy(column_average(columns * cells, cells)), expected, atol=1e-5, rtol=1e-5
    )


def test_a_space_with_one_cell_pools_globally() -> None:
    space = Space(**{name: getattr(TINY, name) for name in TINY.__slots__} | {"cells": 1})
    network = lived_in(space)
    agree(network, space.largest, 16)
    x = pictures(space, 1, 24)
    assert space.macs(space.smallest, 24) == counted_macs(network.extract(space.smallest), x)
