"""Slimmable networks as torch modules: any one network is cut out of the weights of all.

`StaticMobileNet` is one network, of standard layers; it is exported and served. The weights of all networks are a state
dict with the names of the official repository (github.com/JiahuiYu/slimmable_networks): a convolution's weight is
stored once, at its widest; a batch norm's values are stored once for each network, under `bn.NUMBER`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from supernets.slimmable.space import CLASSES, Channels, SlimmableSpace, Width
from supernets.subnet import Fixed


def _convolution(before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU6(),
    ]


class Block(nn.Module):
    """A depthwise convolution, and a 1x1 convolution to the block's width.

    Args:
        widths: channels of input, depthwise convolution and output. Where the first two differ, a 1x1 convolution
            before the depthwise one expands the input.
        kernel: kernel size of the depthwise convolution.
        stride: stride of the depthwise convolution.
        inverted: True for MobileNet V2's block, whose output has no activation; False for MobileNet V1's.
        residual: True if the input is added to the output.
    """

    def __init__(self, widths: tuple[int, int, int], kernel: int, stride: int, inverted: bool, residual: bool) -> None:
        super().__init__()
        before, mid, out = widths
        layers = _convolution(before, mid) if mid != before else []
        layers += _convolution(mid, mid, kernel, stride, groups=mid)
        layers += _convolution(mid, out)[: 2 if inverted else 3]
        self.body = nn.Sequential(*layers)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Map x (n, input, h, w) to (n, output, h / stride, w / stride)."""
        y: Tensor = self.body(x)
        return x + y if self.residual else y


class StaticMobileNet(nn.Module):
    """One network of a slimmable space, with weights of its own."""

    def __init__(self, space: SlimmableSpace, channels: Channels) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(*_convolution(3, channels.stem, 3, 2))]
        for widths, kernel, stride, residual in zip(
            channels.blocks, space.backbone.kernels, space.backbone.strides, space.residual, strict=True
        ):
            layers.append(Block(widths, kernel, stride, space.backbone.inverted, residual))
        if channels.tail is not None:
            layers.append(nn.Sequential(*_convolution(channels.out[-1], channels.tail)))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Linear(channels.features, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, 1000) for x (n, 3, 224, 224)."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def cut(space: SlimmableSpace, knobs: Width | Fixed, state: Mapping[str, Tensor]) -> StaticMobileNet:
    """Cut one network out of the weights of all, in eval mode.

    Args:
        space: the space of the weights.
        knobs: the knobs of the network.
        state: the weights of all networks, named and shaped as `expected_state`. The network's weights are views of
            them, but its running statistics are copies, since calibration replaces them.
    """
    static = _empty(space, space.channels(knobs))
    names = _stored_names(space, static, space.switch(knobs))
    own = {}
    for name, tensor in static.state_dict().items():
        stored = state[names[name]] if name in names else torch.zeros_like(tensor, device="cpu")
        values = stored[tuple(slice(size) for size in tensor.shape)]
        own[name] = values.clone() if name.endswith(("running_mean", "running_var")) else values
    static.load_state_dict(own, assign=True)
    return static.eval()


def expected_state(space: SlimmableSpace) -> dict[str, Tensor]:
    """Return the names and shapes of the weights of all networks; the tensors are on the meta device, without data."""
    network = _empty(space, space.largest)
    largest = network.state_dict()
    expected = {}
    for switch, (_, channels) in enumerate(space.switches):
        own = _empty(space, channels).state_dict()
        for name, stored in _stored_names(space, network, switch).items():
            expected[stored] = largest[name] if stored == name else own[name]
    return expected


def random_state(space: SlimmableSpace) -> dict[str, Tensor]:
    """Return random weights of all networks, always the same, with batch norms that change nothing."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in expected_state(space).items():
        if tensor.ndim > 1:  # the variance 2 / fan-in keeps the size of ReLU's activations (He et al., 2015)
            deviation = (2 / tensor[0].numel()) ** 0.5
            state[name] = torch.randn(tensor.shape, generator=generator) * deviation
        else:
            one = name.endswith(("weight", "running_var"))
            state[name] = torch.ones(tensor.shape) if one else torch.zeros(tensor.shape)
    return state


def _empty(space: SlimmableSpace, channels: Channels) -> StaticMobileNet:
    with torch.device("meta"):
        return StaticMobileNet(space, channels)


def _stored_names(space: SlimmableSpace, static: StaticMobileNet, switch: int) -> dict[str, str]:
    """Return the stored name, in the weights of all, of each parameter and statistic of a network.

    Args:
        space: the space of the weights.
        static: the network.
        switch: index of the switch whose batch norms it takes.
    """
    # Convolutions and the classifier are stored once for all networks. Switched norms have all values once for each
    # switch, except that US networks share scales and shifts (US-Nets, arXiv 1903.05134). The tail, which follows the
    # stem and the blocks, has an ordinary norm unless it is switched too.
    norms = {name for name, module in static.named_modules() if isinstance(module, nn.BatchNorm2d)}
    if space.backbone.inverted and not space.switched_tail:
        norms.remove(f"features.{len(space.backbone.strides) + 1}.1")
    names = {}
    for name in static.state_dict():
        module, _, leaf = name.rpartition(".")
        if leaf == "num_batches_tracked":
            continue
        shared = module not in norms or (space.full is not None and leaf in ("weight", "bias"))
        names[name] = name if shared else f"{module}.bn.{switch}.{leaf}"
    return names
