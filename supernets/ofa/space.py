"""The design space of an elastic MobileNetV3: its sub-networks, and the cost of each in multiply-accumulates (MACs).

One `Space` describes a supernet of any size; the shipped plate reader and the full-size Once-for-all networks are
instances. Knows no torch and no weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from supernets.subnet import Knobs, SubNet, at_precision


def make_divisible(value: float, divisor: int = 8) -> int:
    """Return the multiple of `divisor` nearest to `value`, but not below 90 % of it (MobileNetV2's rule for widths).

    20 gives 24, and 35 gives 32, which is above 31.5; 11 would give 8, below 9.9, and so gives 16.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def column_average(width: int, cells: int) -> NDArray[np.float32]:
    """Return the matrix (width, cells) that averages columns into cells by the area that they share.

    It is adaptive average pooling with exact shares where the width is not a multiple of the cells, and an engine
    computes it as one matrix product. Three columns in two cells give the rows (2/3, 0), (1/3, 1/3) and (0, 2/3).
    """
    columns = np.arange(width)[:, None]
    edges = np.arange(cells + 1)[None, :] * (width / cells)
    shared = np.minimum(columns + 1, edges[:, 1:]) - np.maximum(columns, edges[:, :-1])
    shares: NDArray[np.float32] = (shared.clip(min=0) * (cells / width)).astype(np.float32)
    return shares


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture(Knobs):
    """The knobs of an elastic MobileNetV3.

    Entries of blocks beyond a stage's depth are ignored. `Space.canonical` sets them to the smallest option, so that
    equal networks compare equal.

    Attributes:
        kernel: (blocks,), kernel size of every block, stage after stage.
        expand: (blocks,), expansion ratio of every block.
        depth: (stages,), number of blocks of every stage.
    """

    kernel: tuple[int, ...]
    expand: tuple[int, ...]
    depth: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A run of inverted residual blocks of one width.

    Attributes:
        width: output channels of every block.
        stride: stride of the first block; the others have 1.
        squeeze_excite: True if the blocks have channel attention.
        activation: `relu` or `hard_swish`.
    """

    width: int
    stride: int
    squeeze_excite: bool
    activation: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """The description of one elastic MobileNetV3: its fixed layers, and the options of its knobs.

    Source of the structure: Howard et al., "Searching for MobileNetV3" (arXiv 1905.02244); of the elastic
    dimensions: Cai et al., "Once-for-All" (arXiv 1908.09791).

    Attributes:
        name: name of the supernet.
        task: what its networks do, one of `supernets.inputs.INPUTS`.
        in_channels: channels of the input, 1 (grey) or 3 (RGB).
        aspect: input width over input height.
        stem_width: output channels of the first convolution.
        first_width: output channels of the first, non-elastic block (kernel 3, no expansion).
        stages: the elastic stages, from input to output.
        final_expand: output channels of the 1x1 convolution after the stages.
        cells: columns that the feature map is averaged into before the classifier (1: global average pooling).
        feature_mix: features of each cell that the classifier takes.
        classes: outputs of the classifier.
        kernels: options of a block's kernel size, smallest first.
        expands: options of a block's expansion ratio, smallest first.
        depths: options of a stage's number of blocks, smallest first.
        resolutions: options of the input height in pixels, smallest first.
    """

    name: str
    task: str
    in_channels: int
    aspect: int
    stem_width: int
    first_width: int
    stages: tuple[Stage, ...]
    final_expand: int
    cells: int
    feature_mix: int
    classes: int
    kernels: tuple[int, ...]
    expands: tuple[int, ...]
    depths: tuple[int, ...]
    resolutions: tuple[int, ...]

    @property
    def max_depth(self) -> int:
        """The number of blocks of a stage at its greatest depth."""
        return self.depths[-1]

    @property
    def blocks(self) -> int:
        """The number of elastic blocks of the largest network."""
        return len(self.stages) * self.max_depth

    @property
    def largest(self) -> Architecture:
        """The architecture with every knob at its largest option."""
        return self._uniform(self.kernels[-1], self.expands[-1], self.depths[-1])

    @property
    def smallest(self) -> Architecture:
        """The architecture with every knob at its smallest option."""
        return self._uniform(self.kernels[0], self.expands[0], self.depths[0])

    def _uniform(self, kernel: int, expand: int, depth: int) -> Architecture:
        return self.canonical(
            Architecture(
                kernel=(kernel,) * self.blocks, expand=(expand,) * self.blocks, depth=(depth,) * len(self.stages)
            )
        )

    def random(self, rng: np.random.Generator) -> Architecture:
        """Return an architecture with every knob drawn uniformly."""
        return self.canonical(
            Architecture(
                kernel=tuple(int(k) for k in rng.choice(self.kernels, self.blocks)),
                expand=tuple(int(e) for e in rng.choice(self.expands, self.blocks)),
                depth=tuple(int(d) for d in rng.choice(self.depths, len(self.stages))),
            )
        )

    def canonical(self, architecture: Architecture) -> Architecture:
        """Return the same network with the entries of unused blocks at the smallest option."""
        kernel, expand = list(architecture.kernel), list(architecture.expand)
        for stage, depth in enumerate(architecture.depth):
            for block in range(stage * self.max_depth + depth, (stage + 1) * self.max_depth):
                kernel[block], expand[block] = self.kernels[0], self.expands[0]
        return Architecture(kernel=tuple(kernel), expand=tuple(expand), depth=tuple(architecture.depth))

    def check(self, architecture: Architecture, resolution: int) -> None:
        """Refuse a point outside the space.

        Raises:
            ValueError: naming the knob, the value and what is allowed.
        """
        rules: tuple[tuple[str, Sequence[int], int, tuple[int, ...]], ...] = (
            ("kernel", architecture.kernel, self.blocks, self.kernels),
            ("expand", architecture.expand, self.blocks, self.expands),
            ("depth", architecture.depth, len(self.stages), self.depths),
            ("resolution", (resolution,), 1, self.resolutions),
        )
        for knob, values, length, allowed in rules:
            if len(values) != length:
                raise ValueError(f"{knob} of {self.name} takes {length} values, not {len(values)}")
            for value in values:
                if value not in allowed:
                    raise ValueError(f"{knob} {value!r} is not in the space of {self.name}; take one of {allowed}")

    def input_shape(self, resolution: int) -> tuple[int, int, int, int]:
        """Return the shape of one input, (1, channels, resolution, aspect · resolution)."""
        return 1, self.in_channels, resolution, resolution * self.aspect

    def active_blocks(self, architecture: Architecture) -> Iterator[tuple[int, Stage, int, int, int]]:
        """Yield (index, stage, stride, kernel, expand) of every block in use, from input to output."""
        for number, (stage, depth) in enumerate(zip(self.stages, architecture.depth, strict=True)):
            for position in range(depth):
                index = number * self.max_depth + position
                stride = stage.stride if position == 0 else 1
                yield index, stage, stride, architecture.kernel[index], architecture.expand[index]

    def subnet(
        self,
        architecture: Architecture,
        resolution: int,
        accuracy: float | None = None,
        source: str = "unknown",
        precision: str = "float32",
    ) -> SubNet:
        """Return the sub-network of an architecture at a resolution, with its MACs and its identifier.

        Args:
            architecture: its knobs.
            resolution: input height in pixels.
            accuracy: its accuracy as a fraction; None where it is not known.
            source: where the accuracy comes from, one of `SubNet.accuracy_source`.
            precision: number format that it computes in, one of `supernets.artifact.PRECISIONS`.

        Raises:
            ValueError: for a point outside the space.
        """
        self.check(architecture, resolution)
        architecture = self.canonical(architecture)
        macs_m = self.macs(architecture, resolution) / 1e6
        knobs = f"{architecture.kernel}{architecture.expand}{architecture.depth}"
        tag = hashlib.sha256(knobs.encode()).hexdigest()[:4]
        subnet = SubNet(
            id=f"r{resolution}-{macs_m:.3g}m-{tag}",
            knobs=architecture,
            resolution=resolution,
            macs_m=macs_m,
            accuracy=None,
            accuracy_source="unknown",
        )
        return replace(at_precision(subnet, precision), accuracy=accuracy, accuracy_source=source)

    def macs(self, architecture: Architecture, resolution: int) -> int:
        """Return the multiply-accumulates of one inference: convolutions and linear layers, as usual without norms."""
        # The stem has stride 2, so all maps start at half the resolution, rounded up.
        height, width = -(-resolution // 2), -(-resolution * self.aspect // 2)
        total = height * width * self.in_channels * 9 * self.stem_width
        total += height * width * self.stem_width * (9 + self.first_width)
        channels = self.first_width
        for _, stage, stride, kernel, expand in self.active_blocks(architecture):
            mid = make_divisible(round(channels * expand))
            total += height * width * channels * mid
            height, width = -(-height // stride), -(-width // stride)
            total += height * width * mid * (kernel * kernel + stage.width)
            if stage.squeeze_excite:
                total += 2 * mid * make_divisible(mid // 4)
            channels = stage.width
        total += height * width * channels * self.final_expand
        total += self.cells * self.final_expand * self.feature_mix
        return total + self.cells * self.feature_mix * self.classes
