"""Spaces of slimmable networks: MobileNets of several widths in one set of weights. Knows no torch.

A narrower network uses the first channels of each layer of a wider one, with batch norms of its own (*switchable*).
There are three kinds, all by Yu et al., with the structure and widths of github.com/JiahuiYu/slimmable_networks:

- *slimmable* has a few widths (arXiv 1812.08928);
- *universally slimmable* (US) has any width between two ends (arXiv 1903.05134);
- *AutoSlim* has a few networks, in which each layer has a width of its own (arXiv 1903.11728).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace

from supernets import published
from supernets.ofa.space import make_divisible
from supernets.subnet import Fixed, Knobs

RESOLUTION = 224
CLASSES = 1000


@dataclass(frozen=True, slots=True)
class Width(Knobs):
    """The knob of a slimmable network: the share of each layer's channels that is used, such as 0.5."""

    multiplier: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Channels:
    """The output channels of the convolutions of one network.

    Attributes:
        stem: channels of the first convolution.
        mid: channels of each block's depthwise convolution.
        out: channels of each block's output.
        tail: channels of the 1x1 convolution before the classifier; None where there is none.
    """

    stem: int
    mid: tuple[int, ...]
    out: tuple[int, ...]
    tail: int | None

    @property
    def blocks(self) -> tuple[tuple[int, int, int], ...]:
        """The channels of each block's input, depthwise convolution and output."""
        return tuple(zip((self.stem, *self.out[:-1]), self.mid, self.out, strict=True))

    @property
    def features(self) -> int:
        """The number of features that the classifier takes."""
        return self.tail or self.out[-1]

    def scaled(self, width: float) -> Channels:
        """Return the channels at a width multiplier; a block's expansion ratio stays, and so does the tail."""
        stem, *out = (make_divisible(channels * width) for channels in (self.stem, *self.out))
        ratios = (mid // channels for channels, mid, _ in self.blocks)
        mid = tuple(channels * ratio for channels, ratio in zip((stem, *out[:-1]), ratios, strict=True))
        return Channels(stem=stem, mid=mid, out=tuple(out), tail=self.tail)


@dataclass(frozen=True, kw_only=True, slots=True)
class Backbone:
    """The parts of a network that do not change with its width.

    Attributes:
        kernels: kernel size of each block's depthwise convolution.
        strides: stride of each block.
        inverted: True for the blocks of MobileNet V2 (expansion, no activation after the last convolution, a residual
            connection); False for those of MobileNet V1.
    """

    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    inverted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SlimmableSpace:
    """The description of one slimmable supernet.

    Attributes:
        name: name of the supernet.
        family: its name in `published.width_points`.
        backbone: the parts that all its networks share.
        switches: knobs and channels of the networks that have batch norms of their own, smallest first.
        switched_tail: True if each switch has a batch norm of its own in the tail too; False if all share it.
        full: for universally slimmable networks, the network of width 1: any width between the first and the last
            switch is allowed, all networks share the batch norms' weights and biases, and only running statistics are
            switched. None for the other kinds.
        ladder: the switches that are on the supernet's own ladder.
    """

    name: str
    family: str
    backbone: Backbone
    switches: tuple[tuple[Width | Fixed, Channels], ...]
    switched_tail: bool
    full: Channels | None
    ladder: tuple[Width | Fixed, ...]

    @property
    def largest(self) -> Channels:
        """The channels that the weights are stored for: the widest of each layer."""
        networks = [channels for _, channels in self.switches]
        return Channels(
            stem=max(network.stem for network in networks),
            mid=tuple(max(mid) for mid in zip(*(network.mid for network in networks), strict=True)),
            out=tuple(max(out) for out in zip(*(network.out for network in networks), strict=True)),
            tail=max((network.tail for network in networks if network.tail is not None), default=None),
        )

    @property
    def residual(self) -> tuple[bool, ...]:
        """True for each block that adds its input to its output: both are equally wide in every network."""
        return tuple(
            self.backbone.inverted
            and stride == 1
            and all(network.blocks[block][0] == network.out[block] for _, network in self.switches)
            for block, stride in enumerate(self.backbone.strides)
        )

    def channels(self, knobs: Width | Fixed) -> Channels:
        """Return the channels of the network with some knobs.

        Raises:
            ValueError: for knobs that are not in this space, naming those that are.
        """
        known = dict(self.switches)
        if knobs in known:
            return known[knobs]
        names = [_label(switch) for switch in known]
        if self.full is None:
            raise ValueError(f"{_label(knobs)} is not in {self.name}; take one of {', '.join(names)}")
        widths = [switch.multiplier for switch in known if isinstance(switch, Width)]
        if not isinstance(knobs, Width) or not widths[0] <= knobs.multiplier <= widths[-1]:
            raise ValueError(f"{_label(knobs)} is not in {self.name}; take any from {names[0]} to {names[-1]}")
        return self.full.scaled(knobs.multiplier)

    def switch(self, knobs: Width | Fixed) -> int:
        """Return the index of the switch whose statistics a network takes: its own, or between two the wider one's.

        With switches at widths 0.25 and 0.5, width 0.3 takes index 1.
        """
        own = [switch for switch, _ in self.switches]
        if knobs in own:
            return own.index(knobs)
        assert isinstance(knobs, Width)
        return bisect([switch.multiplier for switch in own if isinstance(switch, Width)], knobs.multiplier)

    def macs(self, channels: Channels) -> int:
        """Return the multiply-accumulates of one inference at 224 px: convolutions and classifier, without norms."""
        size = RESOLUTION // 2
        total = size * size * 3 * 9 * channels.stem
        for (before, mid, out), kernel, stride in zip(
            channels.blocks, self.backbone.kernels, self.backbone.strides, strict=True
        ):
            total += size * size * before * mid if mid != before else 0
            size = -(-size // stride)
            total += size * size * mid * (kernel * kernel + out)
        total += size * size * channels.out[-1] * (channels.tail or 0)
        return total + channels.features * CLASSES


def _label(knobs: Width | Fixed) -> str:
    return f"width {knobs.multiplier}" if isinstance(knobs, Width) else knobs.network


_MBV1 = Backbone(kernels=(3,) * 13, strides=(1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), inverted=False)
_MBV1_CHANNELS = Channels(
    stem=32,
    mid=(32, 64, 128, 128, 256, 256, *(512,) * 6, 1024),
    out=(64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024),
    tail=None,
)
_MBV2 = Backbone(kernels=(3,) * 17, strides=(1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1), inverted=True)
_MBV2_OUT = (16, *(24,) * 2, *(32,) * 3, *(64,) * 4, *(96,) * 3, *(160,) * 3, 320)
_MBV2_CHANNELS = Channels(stem=32, mid=(32, *(6 * channels for channels in _MBV2_OUT[:-1])), out=_MBV2_OUT, tail=1280)
_MNASNET = Backbone(
    kernels=(*(3,) * 4, *(5,) * 6, *(3,) * 2, *(5,) * 4, 3),
    strides=(1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1),
    inverted=True,
)


def _slimmable(name: str, family: str, backbone: Backbone, full: Channels, widths: Sequence[float]) -> SlimmableSpace:
    switches = tuple((Width(width), full.scaled(width)) for width in widths)
    return SlimmableSpace(
        name=name,
        family=family,
        backbone=backbone,
        switches=switches,
        switched_tail=False,
        full=None,
        ladder=tuple(width for width, _ in switches),
    )


def _universally(
    name: str, family: str, backbone: Backbone, full: Channels, narrowest: int, ladder: Sequence[float]
) -> SlimmableSpace:
    """Return a universally slimmable space with statistics at every 0.025 of width.

    Args:
        name: name of the supernet.
        family: its name in `published.width_points`.
        backbone: the parts that all its networks share.
        full: channels at width 1.
        narrowest: smallest width in thousandths.
        ladder: widths of its ladder, some of those with statistics.
    """
    widths = [thousandths / 1000 for thousandths in range(narrowest, 1001, 25)]
    few_widths = _slimmable(name, family, backbone, full, widths)
    return replace(few_widths, full=full, ladder=tuple(Width(width) for width in ladder))


def _autoslim(name: str, family: str, backbone: Backbone) -> SlimmableSpace:
    switches = tuple(
        (Fixed(f"{point.macs_m:g}m"), _listed(numbers, backbone.inverted))
        for point, numbers in zip(published_points(family), published.autoslim_channels()[family], strict=True)
    )
    return SlimmableSpace(
        name=name,
        family=family,
        backbone=backbone,
        switches=switches,
        switched_tail=True,
        full=None,
        ladder=tuple(network for network, _ in switches),
    )


def _listed(numbers: tuple[int, ...], inverted: bool) -> Channels:
    """Return the channels of one network of `published.autoslim_channels`; its first block does not expand."""
    if not inverted:
        stem, *out, _ = numbers
        return Channels(stem=stem, mid=(stem, *out[:-1]), out=tuple(out), tail=None)
    stem, first, *blocks, tail, _ = numbers
    return Channels(stem=stem, mid=(stem, *blocks[::2]), out=(first, *blocks[1::2]), tail=tail)


def published_points(family: str) -> list[published.WidthPoint]:
    """Return the published points of a family's networks, smallest first."""
    points = [point for point in published.width_points() if point.family == family]
    return sorted(points, key=lambda point: (point.macs_m, point.width or 0))


# The ladders of the US networks are some of the published widths, evenly spread from end to end.
_US_MBV1_LADDER = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
_US_MBV2_LADDER = (0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

SPACES = {
    space.name: space
    for space in (
        _slimmable("slimmable-mbv1", "Slimmable-MBv1", _MBV1, _MBV1_CHANNELS, (0.25, 0.5, 0.75, 1.0)),
        _slimmable("slimmable-mbv2", "Slimmable-MBv2", _MBV2, _MBV2_CHANNELS, (0.35, 0.5, 0.75, 1.0)),
        _universally("us-mbv1", "US-MBv1", _MBV1, _MBV1_CHANNELS, 250, _US_MBV1_LADDER),
        _universally("us-mbv2", "US-MBv2", _MBV2, _MBV2_CHANNELS, 350, _US_MBV2_LADDER),
        _autoslim("autoslim-mbv1", "AutoSlim-MBv1", _MBV1),
        _autoslim("autoslim-mbv2", "AutoSlim-MBv2", _MBV2),
        _autoslim("autoslim-mnasnet", "AutoSlim-MnasNet", _MNASNET),
    )
}
