"""Batch-norm calibration: a sub-network gets the statistics of its own activations."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from helpers.tiny_space import TINY, lived_in, off_by
from supernets.calibration import calibrate, statistics
from supernets.ofa.mobilenet import StaticMobileNetV3
from supernets.pictures import plates

RESOLUTION = 24


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    drawn = plates.draw(160, seed=0, held_out=False)
    return torch.from_numpy(plates.resize(drawn.pictures, RESOLUTION))


def batches(pictures: Tensor) -> Iterator[Tensor]:
    """Return two batches of 64 and one of 32."""
    yield from pictures.split(64)


@pytest.fixture
def network() -> StaticMobileNetV3:
    return lived_in(TINY).extract(TINY.largest)


def test_each_norm_has_the_statistics_of_its_own_input(network: StaticMobileNetV3, pictures: Tensor) -> None:
    """The statistics of one batch are exactly those of a training-mode pass of a copy."""
    one_batch = pictures[:64]
    witness = copy.deepcopy(network)
    seen: dict[str, Tensor] = {}
    for name, module in witness.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
            module.register_forward_pre_hook(lambda _, inputs, name=name: seen.update({name: inputs[0]}))
    with torch.no_grad():
        witness(one_batch)
    calibrate(network, [one_batch])
    assert len(seen) == 4 + 3 * sum(TINY.largest.depth)
    for name, x in seen.items():
        norm = network.get_submodule(name)
        assert isinstance(norm, nn.BatchNorm2d)
        torch.testing.assert_close(norm.running_mean, x.mean((0, 2, 3)), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(norm.running_var, x.var((0, 2, 3)), atol=1e-5, rtol=1e-5)


def test_the_statistics_are_a_plain_average_over_all_pictures(network: StaticMobileNetV3, pictures: Tensor) -> None:
    with torch.no_grad():
        stem = network.stem(pictures)
    calibrate(network, batches(pictures))
    torch.testing.assert_close(network.stem_bn.running_mean, stem.mean((0, 2, 3)), atol=1e-5, rtol=1e-5)


def test_only_the_statistics_change(network: StaticMobileNetV3, pictures: Tensor) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    calibrate(network, batches(pictures))
    own = statistics(network)
    assert own.keys() == {name for name in before if name.endswith(("running_mean", "running_var"))}
    for name, tensor in network.state_dict().items():
        if name in own:
            assert torch.equal(tensor, own[name])
            assert not torch.equal(tensor, before[name]), name
        elif not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, before[name]), name
    assert not any(module.training for module in network.modules())


def test_what_was_there_before_leaves_no_trace(network: StaticMobileNetV3, pictures: Tensor) -> None:
    calibrate(network, batches(pictures))
    once = statistics(network)
    calibrate(network, [pictures[:, :, ::2, ::2]])
    assert not torch.equal(once["stem_bn.running_mean"], network.stem_bn.running_mean)  # type: ignore[arg-type]
    calibrate(network, batches(pictures))
    for name, tensor in statistics(network).items():
        assert torch.equal(tensor, once[name]), name


def test_kept_statistics_are_copies(network: StaticMobileNetV3) -> None:
    kept = statistics(network)
    before = {name: tensor.clone() for name, tensor in kept.items()}
    with torch.no_grad():
        for buffer in network.buffers():
            buffer.add_(1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in kept.items())


def test_calibration_matters(network: StaticMobileNetV3, pictures: Tensor) -> None:
    x = pictures[:4]
    with torch.no_grad():
        inherited = network(x)
        calibrate(network, batches(pictures))
        assert off_by(network(x), inherited) > 0.05
