"""Full Once-for-all, configured from our classes, agrees with the `ofa` package on the same weights.

Every comparison is of outputs that tell their inputs apart: the batch norms hold real statistics, and a test of its
own shows that another picture, or one wrong kernel size, is told.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3
from ofa.utils.flops_counter import profile
from torch import Tensor

from helpers.ofa_peer import activate, make_peer, translated
from helpers.tiny_space import off_by, pictures, set_statistics
from supernets import engines, published
from supernets.exporting import export_module
from supernets.ofa.mobilenet import ElasticMobileNetV3, StaticMobileNetV3
from supernets.ofa.space import Architecture, Space
from supernets.ofa.spaces import OFA_MBV3_W10, OFA_MBV3_W12

SPACES = {1.0: OFA_MBV3_W10, 1.2: OFA_MBV3_W12}
DRAWN = 26
"""Random sub-networks of each width."""
AS_MODULE, AS_EXPORT = 1e-5, 1e-4
"""The allowed error of outputs, as a share of the largest logit."""


@dataclass(frozen=True, slots=True)
class Case:
    """A sub-network to compare."""

    width: float
    architecture: Architecture
    resolution: int

    @property
    def space(self) -> Space:
        return SPACES[self.width]

    def __str__(self) -> str:
        knobs = hashlib.sha256(repr(self.architecture).encode()).hexdigest()[:6]
        return f"w{self.width}-{self.resolution}px-{knobs}"


def drawn(width: float, count: int) -> list[Case]:
    """Return both ends of the space and random points of it."""
    space, rng = SPACES[width], np.random.default_rng(int(width * 10))
    ends = [Case(width, space.smallest, space.resolutions[0]), Case(width, space.largest, space.resolutions[-1])]
    return ends + [Case(width, space.random(rng), int(rng.choice(space.resolutions))) for _ in range(count - 2)]


CASES = [case for width in SPACES for case in drawn(width, DRAWN)]
FEW = [drawn(1.2, 3)[1]]
"""Those that a default run exports: a random one of one width, the largest of the other; `pytest -m slow` all."""


@cache
def peer(width: float) -> OFAMobileNetV3:
    """Return the package's network with kernel transforms that are no identities, and scales that are not 1."""
    torch.manual_seed(0)
    network = make_peer(SPACES[width], width)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("_matrix") or ".bn." in name:
                parameter += 0.1 * torch.randn(parameter.shape)
        network.classifier.linear.bias.zero_()  # untrained, it would outweigh what depends on the picture
    return network


@cache
def elastic(width: float) -> ElasticMobileNetV3:
    return ElasticMobileNetV3(SPACES[width]).eval()


def both(case: Case) -> tuple[Tensor, Tensor, StaticMobileNetV3]:
    """Return two pictures, the package's logits for them, and our module of the same sub-network and weights."""
    network, ours = peer(case.width), elastic(case.width)
    activate(network, case.architecture)
    set_statistics(network)
    x = pictures(case.space, 2, case.resolution, seed=1)
    with torch.no_grad():
        network(pictures(case.space, 4, case.resolution))
        expected = network.eval()(x)
    ours.load_state_dict(translated(network.state_dict()))
    return x, expected, ours.extract(case.architecture)


def test_the_cases_are_mixed() -> None:
    assert len(CASES) >= 50
    for knob in ("kernel", "expand"):
        assert {value for case in CASES for value in getattr(case.architecture, knob)} == set(
            getattr(OFA_MBV3_W10, f"{knob}s")
        )
    mixed = [case for case in CASES if min(len(set(case.architecture.kernel)), len(set(case.architecture.expand))) > 1]
    assert len(mixed) >= 48  # all but the smallest and the largest mix kernels and expansions within one network
    assert len({case.resolution for case in CASES}) > 15
    assert len({case.architecture.depth for case in CASES}) > 30


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_sub_network_computes_the_same(case: Case) -> None:
    x, expected, module = both(case)
    with torch.no_grad():
        assert off_by(module(x), expected) < AS_MODULE
        assert off_by(elastic(case.width)(x, case.architecture), expected) < AS_MODULE
    assert expected.std(dim=0).max() > 0.05 * expected.abs().max()  # it tells its inputs apart


def assert_exported_the_same(case: Case, directory: Path) -> None:
    x, expected, module = both(case)
    subnet = case.space.subnet(case.architecture, case.resolution)
    artifact = export_module(module, subnet, case.space.input_shape(case.resolution), directory / "network.onnx")
    prepared = engines.prepare(artifact, engine="onnxruntime")
    outputs = np.concatenate([prepared(x[i : i + 1].numpy()) for i in range(len(x))])
    assert off_by(torch.from_numpy(outputs), expected) < AS_EXPORT


@pytest.mark.parametrize("case", FEW, ids=str)
def test_an_exported_sub_network_computes_the_same(case: Case, tmp_path: Path) -> None:
    assert_exported_the_same(case, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_exported_sub_network_computes_the_same(case: Case, tmp_path: Path) -> None:
    assert_exported_the_same(case, tmp_path)


@pytest.mark.parametrize("width", SPACES)
def test_another_picture_and_one_wrong_kernel_size_are_told(width: float) -> None:
    case = drawn(width, 3)[-1]
    x, expected, module = both(case)
    first = case.architecture.kernel[0]
    other = next(kernel for kernel in case.space.kernels if kernel != first)
    wrong = elastic(width).extract(replace(case.architecture, kernel=(other, *case.architecture.kernel[1:])))
    with torch.no_grad():
        assert off_by(module(x.flip(0)), expected) > 100 * AS_EXPORT
        assert off_by(wrong(x), expected) > 100 * AS_EXPORT


@pytest.mark.parametrize(("width", "parameters"), [(1.0, 7_678_880), (1.2, 10_715_752)])
def test_there_are_as_many_parameters_of_the_same_shapes(width: float, parameters: int) -> None:
    network = elastic(width)
    theirs = {name: tensor.shape for name, tensor in translated(peer(width).state_dict()).items()}
    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == theirs
    counts = [sum(parameter.numel() for parameter in net.parameters()) for net in (network, peer(width))]
    assert counts[0] == counts[1] == parameters


PUBLISHED = [Case(1.2, rung.knobs, rung.resolution) for ladder in published.ladders().values() for rung in ladder.rungs]


@pytest.mark.parametrize("case", [*drawn(1.0, 4), *PUBLISHED], ids=str)
def test_macs_are_those_that_the_package_counts(case: Case) -> None:
    activate(peer(case.width), case.architecture)
    counted, _ = profile(peer(case.width).get_active_subnet(), (1, 3, case.resolution, case.resolution))
    # The package adds up in single precision, layer by layer.
    assert case.space.macs(case.architecture, case.resolution) == pytest.approx(counted, rel=1e-6)
