"""A small space for tests that train, export and run it, and networks with real batch-norm statistics."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from supernets.ofa.mobilenet import ElasticMobileNetV3
from supernets.ofa.space import Architecture, Space, Stage
from supernets.pictures import plates

TINY = Space(
    name="tiny",
    task="plates",
    in_channels=1,
    aspect=3,
    stem_width=8,
    first_width=8,
    stages=(
        Stage(width=16, stride=2, squeeze_excite=False, activation="relu"),
        Stage(width=24, stride=2, squeeze_excite=True, activation="hard_swish"),
    ),
    final_expand=32,
    cells=8,
    feature_mix=16,
    classes=plates.LENGTH * len(plates.ALPHABET),
    kernels=(3, 5, 7),
    expands=(1, 2, 4),
    depths=(1, 2, 3),
    resolutions=(16, 24),
)


def architectures(space: Space) -> st.SearchStrategy[Architecture]:
    """Return a strategy for any architecture of a space, also with entries of unused blocks."""
    return st.builds(
        Architecture,
        kernel=st.tuples(*[st.sampled_from(space.kernels)] * space.blocks),
        expand=st.tuples(*[st.sampled_from(space.expands)] * space.blocks),
        depth=st.tuples(*[st.sampled_from(space.depths)] * len(space.stages)),
    )


def pictures(space: Space, count: int, resolution: int, seed: int = 0) -> Tensor:
    """Return random inputs of a network of the space, shape (count, channels, height, width)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, space.in_channels, resolution, resolution * space.aspect, generator=generator)


def lived_in(space: Space, seed: int = 0) -> ElasticMobileNetV3:
    """Return a supernet whose batch-norm statistics, scales and kernel transforms all differ from their first ones."""
    torch.manual_seed(seed)
    network = ElasticMobileNetV3(space)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "_bn." in name or ".transforms." in name:
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
        network.classifier.bias.zero_()  # untrained, it would outweigh what depends on the picture
        rng = np.random.default_rng(seed)
        set_statistics(network)
        for architecture in (space.largest, *(space.random(rng) for _ in range(6)), space.largest):
            network(pictures(space, 4, space.resolutions[0]), architecture)
    return network.eval()


def set_statistics(network: nn.Module) -> None:
    """Let each training-mode pass from now on leave its own batch-norm statistics.

    At the usual momentum a few passes leave variances near the initial 1, far above the true ones: what depends on
    the picture dies out layer by layer, and a comparison of outputs compares biases only.
    """
    for module in network.train().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0


def off_by(actual: Tensor, expected: Tensor) -> float:
    """Return the largest difference, as a share of the largest expected value."""
    return float(((actual - expected).abs().max() / expected.abs().max()).detach())
