"""The design space of an elastic MobileNetV3: which sub-networks there are and what each costs in MACs.

One `Space` describes a supernet of any size: the plate reader shipped here and the full-size Once-for-all network
are two instances. Knows no torch and no weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from supernets.subnet import Knobs, SubNet, at_precision


def make_divisible(value: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `value`, not below 90 % of it (MobileNetV2's rule for widths)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture(Knobs):
    """A sub-network of an elastic MobileNetV3: kernel and expansion of every block, depth of every stage.

    Entries of blocks beyond a stage's depth are ignored; `Space.canonical` sets them to the smallest option, so that
    equal networks compare equal.
    """

    kernel: tuple[int, ...]
    expand: tuple[int, ...]
    depth: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A run of inverted residual blocks of one width; the first block has the stride."""

    width: int
    stride: int
    squeeze_excite: bool
    activation: str
    """`relu` or `hard_swish`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """All that tells one elastic MobileNetV3 from another.

    Source of the structure: Howard et al., "Searching for MobileNetV3" (arXiv 1905.02244); of the elastic
    dimensions: Cai et al., "Once-for-All" (arXiv 1908.09791).
    """

    name: str
    task: str
    """What its networks do, one of `supernets.pictures.sources.TASKS`."""
    in_channels: int
    aspect: int
    """Input width over input height."""
    stem_width: int
    first_width: int
    """Width of the first, non-elastic block (kernel 3, no expansion)."""
    stages: tuple[Stage, ...]
    final_expand: int
    cells: int
    """Columns the feature map is averaged into before the classifier (1: global average pooling)."""
    feature_mix: int
    classes: int
    """Outputs of the classifier."""
    kernels: tuple[int, ...]
    expands: tuple[int, ...]
    depths: tuple[int, ...]
    resolutions: tuple[int, ...]

    @property
    def max_depth(self) -> int:
        """Blocks of a stage at its deepest."""
        return self.depths[-1]

    @property
    def blocks(self) -> int:
        """Elastic blocks of the largest network."""
        return len(self.stages) * self.max_depth

    @property
    def largest(self) -> Architecture:
        """Every knob at its highest."""
        return self._uniform(self.kernels[-1], self.expands[-1], self.depths[-1])

    @property
    def smallest(self) -> Architecture:
        """Every knob at its lowest."""
        return self._uniform(self.kernels[0], self.expands[0], self.depths[0])

    def _uniform(self, kernel: int, expand: int, depth: int) -> Architecture:
        return self.canonical(
            Architecture(
                kernel=(kernel,) * self.blocks, expand=(expand,) * self.blocks, depth=(depth,) * len(self.stages)
            )
        )

    def random(self, rng: np.random.Generator) -> Architecture:
        """An architecture with every knob drawn uniformly."""
        return self.canonical(
            Architecture(
                kernel=tuple(int(k) for k in rng.choice(self.kernels, self.blocks)),
                expand=tuple(int(e) for e in rng.choice(self.expands, self.blocks)),
                depth=tuple(int(d) for d in rng.choice(self.depths, len(self.stages))),
            )
        )

    def canonical(self, architecture: Architecture) -> Architecture:
        """The same network with the entries of unused blocks at the lowest option."""
        kernel, expand = list(architecture.kernel), list(architecture.expand)
        for stage, depth in enumerate(architecture.depth):
            for block in range(stage * self.max_depth + depth, (stage + 1) * self.max_depth):
                kernel[block], expand[block] = self.kernels[0], self.expands[0]
        return Architecture(kernel=tuple(kernel), expand=tuple(expand), depth=tuple(architecture.depth))

    def check(self, architecture: Architecture, resolution: int) -> None:
        """Refuses a point outside the space.

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
        """Of one inference: (1, channels, resolution, aspect · resolution)."""
        return 1, self.in_channels, resolution, resolution * self.aspect

    def active_blocks(self, architecture: Architecture) -> Iterator[tuple[int, Stage, int, int, int]]:
        """The blocks in use: (index, stage, stride, kernel, expand), from input to output."""
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
        """The sub-network of an architecture at a resolution, with its MACs and its identifier.

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
        """Multiply-accumulates of one inference: convolutions and linear layers, as usual without norms."""
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
