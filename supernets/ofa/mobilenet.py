"""The elastic MobileNetV3 as torch modules: the supernet, and any one sub-network cut out of it.

- `ElasticMobileNetV3` runs every sub-network of its `Space` from one set of weights, which each forward slices. It is
  the one that is trained.
- `StaticMobileNetV3` is one sub-network with weights of its own, of standard layers only. It is the one that is
  calibrated, exported and served. Both use the same names, so a sub-network is cut out in one pass over the parameters.

Slicing follows Once-for-all (arXiv 1908.09791): the first channels of a wide layer, the first blocks of a stage, and
for a smaller kernel the centre of the larger one, passed through a learned matrix.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernets.ofa.cut import SQUEEZE, cut
from supernets.ofa.space import Architecture, Space, column_average, make_divisible


def _activation(name: str) -> nn.Module:
    return nn.Hardswish() if name == "hard_swish" else nn.ReLU()


def _joined(x: Tensor, y: Tensor, residual: bool) -> Tensor:
    return x + y if residual else y


class SqueezeExcite(nn.Module):
    """Channel attention (arXiv 1709.01507); an input of `c` channels uses its first `c` channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = make_divisible(channels // SQUEEZE)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale each channel of x (n, c, h, w) by its attention."""
        channels = x.shape[1]
        squeezed = make_divisible(channels // SQUEEZE)
        y = x.mean((2, 3), keepdim=True)
        y = F.relu(F.conv2d(y, self.reduce.weight[:squeezed, :channels], self.reduce.bias[:squeezed]))  # type: ignore[index]
        y = F.conv2d(y, self.expand.weight[:channels, :squeezed], self.expand.bias[:channels])  # type: ignore[index]
        return x * F.hardsigmoid(y)


class ElasticBatchNorm(nn.BatchNorm2d):
    """Batch norm of which an input of `c` channels uses the first `c` channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (n, c, h, w) with the first c statistics."""
        channels = x.shape[1]
        mean, var = cast(Tensor, self.running_mean), cast(Tensor, self.running_var)
        return F.batch_norm(
            x,
            mean[:channels],
            var[:channels],
            self.weight[:channels],
            self.bias[:channels],
            self.training,
            cast(float, self.momentum),
            self.eps,
        )


class ElasticDepthwise(nn.Module):
    """A depthwise convolution whose smaller kernels are learned transforms of its largest.

    Attributes:
        weight: (channels, 1, k, k) at the largest kernel k.
        transforms: for each step to a smaller kernel of size s, a matrix (s², s²), keyed `7to5` and so on.
    """

    def __init__(self, channels: int, kernels: tuple[int, ...], stride: int) -> None:
        super().__init__()
        self.kernels = kernels
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(channels, 1, kernels[-1], kernels[-1]))
        nn.init.kaiming_normal_(self.weight, mode="fan_out")
        self.transforms = nn.ParameterDict(
            {f"{large}to{small}": nn.Parameter(torch.eye(small * small)) for small, large in pairwise(kernels)}
        )

    def filter(self, channels: int, kernel: int) -> Tensor:
        """Return the convolution's weight (channels, 1, kernel, kernel)."""
        weight = self.weight[:channels]
        # From the largest kernel down, step by step: cut out the centre (c, s²) and pass it through the learned matrix.
        for small, large in reversed(list(pairwise(self.kernels))):
            if large <= kernel:
                break
            edge = (large - small) // 2
            centre = weight[:, :, edge : edge + small, edge : edge + small].reshape(channels, small * small)
            weight = F.linear(centre, self.transforms[f"{large}to{small}"]).view(channels, 1, small, small)
        return weight

    def forward(self, x: Tensor, kernel: int) -> Tensor:
        """Convolve x (n, c, h, w) with the first c filters at a kernel size."""
        channels = x.shape[1]
        return F.conv2d(x, self.filter(channels, kernel), None, self.stride, kernel // 2, 1, channels)


class ElasticBlock(nn.Module):
    """An inverted residual block of elastic kernel size and expansion."""

    def __init__(self, space: Space, in_width: int, out_width: int, stride: int, se: bool, activation: str) -> None:
        super().__init__()
        widest = make_divisible(round(in_width * space.expands[-1]))
        self.in_width = in_width
        self.residual = stride == 1 and in_width == out_width
        self.activation = _activation(activation)
        self.expand = nn.Conv2d(in_width, widest, 1, bias=False)
        self.expand_bn = ElasticBatchNorm(widest)
        self.depthwise = ElasticDepthwise(widest, space.kernels, stride)
        self.depthwise_bn = ElasticBatchNorm(widest)
        self.squeeze_excite = SqueezeExcite(widest) if se else None
        self.project = nn.Conv2d(widest, out_width, 1, bias=False)
        self.project_bn = ElasticBatchNorm(out_width)

    def forward(self, x: Tensor, kernel: int, expand: int) -> Tensor:
        """Map x (n, in_width, h, w) to (n, out_width, h / stride, w / stride)."""
        mid = make_divisible(round(self.in_width * expand))
        y = self.activation(self.expand_bn(F.conv2d(x, self.expand.weight[:mid])))
        y = self.activation(self.depthwise_bn(self.depthwise(y, kernel)))
        if self.squeeze_excite is not None:
            y = self.squeeze_excite(y)
        y = self.project_bn(F.conv2d(y, self.project.weight[:, :mid]))
        return _joined(x, y, self.residual)


class StaticBlock(nn.Module):
    """An inverted residual block of fixed shape, of standard layers."""

    def __init__(
        self, in_width: int, mid: int, out_width: int, kernel: int, stride: int, se: bool, activation: str
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and in_width == out_width
        self.activation = _activation(activation)
        self.expand = nn.Conv2d(in_width, mid, 1, bias=False)
        self.expand_bn = nn.BatchNorm2d(mid)
        self.depthwise = nn.Conv2d(mid, mid, kernel, stride, kernel // 2, groups=mid, bias=False)
        self.depthwise_bn = nn.BatchNorm2d(mid)
        self.squeeze_excite = SqueezeExcite(mid) if se else None
        self.project = nn.Conv2d(mid, out_width, 1, bias=False)
        self.project_bn = nn.BatchNorm2d(out_width)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (n, in_width, h, w) to (n, out_width, h / stride, w / stride)."""
        y = self.activation(self.expand_bn(self.expand(x)))
        y = self.activation(self.depthwise_bn(self.depthwise(y)))
        if self.squeeze_excite is not None:
            y = self.squeeze_excite(y)
        y = self.project_bn(self.project(y))
        return _joined(x, y, self.residual)


class _Ends(nn.Module):
    """The stem, the first block and the head, which supernet and sub-networks share. None of them is elastic."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self.stem = nn.Conv2d(space.in_channels, space.stem_width, 3, 2, 1, bias=False)
        self.stem_bn = nn.BatchNorm2d(space.stem_width)
        self.first_depthwise = nn.Conv2d(
            space.stem_width, space.stem_width, 3, 1, 1, groups=space.stem_width, bias=False
        )
        self.first_depthwise_bn = nn.BatchNorm2d(space.stem_width)
        self.first_project = nn.Conv2d(space.stem_width, space.first_width, 1, bias=False)
        self.first_project_bn = nn.BatchNorm2d(space.first_width)
        self.final_expand = nn.Conv2d(space.stages[-1].width, space.final_expand, 1, bias=False)
        self.final_expand_bn = nn.BatchNorm2d(space.final_expand)
        self.feature_mix = nn.Conv2d(space.final_expand, space.feature_mix, 1, bias=False)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(space.feature_mix * space.cells, space.classes)

    def begin(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.stem_bn(self.stem(x)))
        y = F.relu(self.first_depthwise_bn(self.first_depthwise(x)))
        y = self.first_project_bn(self.first_project(y))
        return _joined(x, y, self.space.first_width == self.space.stem_width)

    def finish(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.final_expand_bn(self.final_expand(x)))
        if self.space.cells == 1:
            x = x.mean((2, 3), keepdim=True)
        else:
            columns = torch.from_numpy(column_average(x.shape[3], self.space.cells)).to(x)
            x = (x.mean(2) @ columns).unsqueeze(2)
        x = F.hardswish(self.feature_mix(x))
        logits: Tensor = self.classifier(self.dropout(x.flatten(1)))
        return logits


class ElasticMobileNetV3(_Ends):
    """A supernet: every sub-network of a space in one set of weights."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        blocks = []
        width = space.first_width
        for stage in space.stages:
            for position in range(space.max_depth):
                stride = stage.stride if position == 0 else 1
                blocks.append(ElasticBlock(space, width, stage.width, stride, stage.squeeze_excite, stage.activation))
                width = stage.width
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, architecture: Architecture) -> Tensor:
        """Return the logits (n, classes) of a sub-network for x (n, in_channels, resolution, aspect · resolution)."""
        x = self.begin(x)
        for index, _, _, kernel, expand in self.space.active_blocks(architecture):
            x = self.blocks[index](x, kernel, expand)
        return self.finish(x)

    def extract(self, architecture: Architecture) -> StaticMobileNetV3:
        """Return a sub-network with weights of its own, in eval mode; its batch-norm statistics are slices too."""
        static = StaticMobileNetV3(self.space, architecture)
        arrays = {name: tensor.numpy() for name, tensor in self.state_dict().items()}
        own = cut(self.space, architecture, arrays)
        static.load_state_dict({name: torch.from_numpy(np.asarray(array)) for name, array in own.items()})
        return static.eval()


class StaticMobileNetV3(_Ends):
    """One sub-network of a space, of standard layers only."""

    def __init__(self, space: Space, architecture: Architecture) -> None:
        super().__init__(space)
        blocks: list[nn.Module] = []
        width = space.first_width
        for _, stage, stride, kernel, expand in space.active_blocks(architecture):
            mid = make_divisible(round(width * expand))
            blocks.append(StaticBlock(width, mid, stage.width, kernel, stride, stage.squeeze_excite, stage.activation))
            width = stage.width
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, classes) for x (n, in_channels, resolution, aspect · resolution)."""
        x = self.begin(x)
        for block in self.blocks:
            x = block(x)
        return self.finish(x)
