"""The `ofa` package's MobileNetV3 as a peer, and its weights under our names.

Source: github.com/mit-han-lab/once-for-all, `OFAMobileNetV3` (kernel 3, 5, 7, expand 3, 4, 6, depth 2 to 4).
"""

from __future__ import annotations

from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3
from torch import Tensor

from supernets.ofa.official_names import our_name
from supernets.ofa.space import Architecture, Space


def make_peer(space: Space, width: float = 1.0) -> OFAMobileNetV3:
    """Return the package's supernet of that width, with random weights."""
    return OFAMobileNetV3(
        width_mult=width,
        ks_list=list(space.kernels),
        expand_ratio_list=list(space.expands),
        depth_list=list(space.depths),
    )


def activate(peer: OFAMobileNetV3, architecture: Architecture) -> None:
    """Make a sub-network the one that the package's supernet runs."""
    peer.set_active_subnet(ks=list(architecture.kernel), e=list(architecture.expand), d=list(architecture.depth))


def translated(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the package's state dict under our names; every one of its names is known."""
    return {str(our_name(name)): tensor for name, tensor in state.items()}
