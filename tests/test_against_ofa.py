"""Full Once-for-all as a configuration of our classes, against the `ofa` package with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3
from ofa.utils.flops_counter import profile
from ofa_peer import activate, make_peer, translated
from tiny_space import off_by, pictures, set_statistics

from supernets.catalog import OFA_MBV3_W10
from supernets.mobilenet import ElasticMobileNetV3
from supernets.subnet import Architecture

RNG = np.random.default_rng(0)
ARCHITECTURES = [OFA_MBV3_W10.smallest, OFA_MBV3_W10.largest, *(OFA_MBV3_W10.random(RNG) for _ in range(3))]
IDS = ["smallest", "largest", "random 1", "random 2", "random 3"]


@pytest.fixture(scope="module")
def peer() -> OFAMobileNetV3:
    """With kernel transforms that are no identities, and scales that are not 1."""
    torch.manual_seed(0)
    network = make_peer(OFA_MBV3_W10)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("_matrix") or ".bn." in name:
                parameter += 0.1 * torch.randn(parameter.shape)
        network.classifier.linear.bias.zero_()  # untrained, it would outweigh what depends on the picture
    return network


def test_there_are_as_many_parameters_of_the_same_shapes(peer: OFAMobileNetV3) -> None:
    network = ElasticMobileNetV3(OFA_MBV3_W10)
    theirs = {name: tensor.shape for name, tensor in translated(peer.state_dict()).items()}
    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == theirs
    counts = [sum(parameter.numel() for parameter in net.parameters()) for net in (network, peer)]
    assert counts[0] == counts[1] == 7_678_880


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=IDS)
def test_a_sub_network_computes_the_same(peer: OFAMobileNetV3, architecture: Architecture) -> None:
    activate(peer, architecture)
    set_statistics(peer)
    ours = ElasticMobileNetV3(OFA_MBV3_W10).eval()
    x = pictures(OFA_MBV3_W10, 2, 128, seed=1)
    with torch.no_grad():
        peer(pictures(OFA_MBV3_W10, 4, 128))
        ours.load_state_dict(translated(peer.state_dict()))
        expected = peer.eval()(x)
        assert off_by(ours(x, architecture), expected) < 1e-5
        assert off_by(ours.extract(architecture)(x), expected) < 1e-5
    assert expected.std(dim=0).max() > 0.05 * expected.abs().max()  # it tells its inputs apart


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=IDS)
@pytest.mark.parametrize("resolution", [160, 208])
def test_macs_are_those_that_the_package_counts(
    peer: OFAMobileNetV3, architecture: Architecture, resolution: int
) -> None:
    activate(peer, architecture)
    counted, _ = profile(peer.get_active_subnet(), (1, 3, resolution, resolution))
    # The package adds up in single precision, layer by layer.
    assert OFA_MBV3_W10.macs(architecture, resolution) == pytest.approx(counted, rel=1e-6)
