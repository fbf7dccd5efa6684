"""The spaces of slimmable networks: costs as published, and the statistics of any width."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from supernets import published
from supernets.slimmable.networks import StaticMobileNet
from supernets.slimmable.space import SPACES, Channels, SlimmableSpace, Width


def counted_macs(space: SlimmableSpace, channels: Channels) -> int:
    """Return the multiply-accumulates of the torch network at 224 px, layer by layer, without computing any."""
    macs = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal macs
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        macs += math.prod(output.shape[2:]) * layer.weight.numel()

    with torch.device("meta"):
        network = StaticMobileNet(space, channels)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(count)
        network(torch.empty(1, 3, 224, 224))
    return macs


@pytest.mark.parametrize("name", SPACES)
def test_every_network_costs_what_is_published(name: str) -> None:
    """Costs agree to one million, since the published figures are whole millions, some cut and some rounded."""
    space = SPACES[name]
    last = len(space.switches) - 1
    looked_at = (0, last // 2, last)
    points = {p.width or f"{p.macs_m:g}m": p for p in published.width_points() if p.family == space.family}
    assert len(points) == len(space.switches)
    for number, (knobs, channels) in enumerate(space.switches):
        point = points[knobs.multiplier if isinstance(knobs, Width) else knobs.network]
        macs = space.macs(channels)
        assert abs(macs / 1e6 - point.macs_m) < 1
        if number in looked_at:
            assert macs == counted_macs(space, channels)


def test_the_tolerance_of_the_costs_would_notice_one_wrong_layer() -> None:
    space = SPACES["slimmable-mbv2"]
    channels = dict(space.switches)[Width(0.35)]
    assert abs(space.macs(replace(channels, tail=1280 * 2)) / 1e6 - 59) > 1
    assert abs(space.macs(replace(channels, stem=channels.stem + 8)) / 1e6 - 59) > 1


@settings(deadline=None, max_examples=100)
@given(st.floats(0.35, 1.0))
def test_any_width_takes_the_statistics_of_a_network_no_narrower(width: float) -> None:
    space = SPACES["us-mbv2"]
    channels = space.channels(Width(width))
    knobs, wider = space.switches[space.switch(Width(width))]
    assert isinstance(knobs, Width)
    assert knobs.multiplier >= width
    assert space.macs(channels) <= space.macs(wider)
    assert all(own <= its for own, its in zip(channels.out, wider.out, strict=True))
