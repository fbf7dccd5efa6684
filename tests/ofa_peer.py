"""The `ofa` package's MobileNetV3 as a peer: the same space as a configuration of ours, and its weights by our names.

Source: github.com/mit-han-lab/once-for-all, `OFAMobileNetV3` (kernel 3, 5, 7, expand 3, 4, 6, depth 2 to 4).
"""

from __future__ import annotations

import re

from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3
from torch import Tensor

from supernets.space import Architecture, Space, Stage

MBV3_W10 = Space(
    name="ofa-mbv3-w1.0",
    in_channels=3,
    aspect=1,
    stem_width=16,
    first_width=16,
    stages=(
        Stage(width=24, stride=2, squeeze_excite=False, activation="relu"),
        Stage(width=40, stride=2, squeeze_excite=True, activation="relu"),
        Stage(width=80, stride=2, squeeze_excite=False, activation="hard_swish"),
        Stage(width=112, stride=1, squeeze_excite=True, activation="hard_swish"),
        Stage(width=160, stride=2, squeeze_excite=True, activation="hard_swish"),
    ),
    final_expand=960,
    cells=1,
    feature_mix=1280,
    classes=1000,
    kernels=(3, 5, 7),
    expands=(3, 4, 6),
    depths=(2, 3, 4),
    resolutions=(128, 160, 176, 192, 208, 224),
)

_MODULES = {
    "first_conv.conv": "stem",
    "first_conv.bn": "stem_bn",
    "blocks.0.conv.depth_conv.conv": "first_depthwise",
    "blocks.0.conv.depth_conv.bn": "first_depthwise_bn",
    "blocks.0.conv.point_linear.conv": "first_project",
    "blocks.0.conv.point_linear.bn": "first_project_bn",
    "final_expand_layer.conv": "final_expand",
    "final_expand_layer.bn": "final_expand_bn",
    "feature_mix_layer.conv": "feature_mix",
    "classifier.linear": "classifier",
}
_BLOCK_MODULES = {
    "inverted_bottleneck.conv.conv": "expand",
    "inverted_bottleneck.bn.bn": "expand_bn",
    "depth_conv.conv.conv": "depthwise",
    "depth_conv.bn.bn": "depthwise_bn",
    "depth_conv.se.fc.reduce": "squeeze_excite.reduce",
    "depth_conv.se.fc.expand": "squeeze_excite.expand",
    "point_linear.conv.conv": "project",
    "point_linear.bn.bn": "project_bn",
}


def make_peer() -> OFAMobileNetV3:
    """The package's supernet of width 1.0, with random weights."""
    space = MBV3_W10
    return OFAMobileNetV3(
        ks_list=list(space.kernels), expand_ratio_list=list(space.expands), depth_list=list(space.depths)
    )


def activate(peer: OFAMobileNetV3, architecture: Architecture) -> None:
    """Makes that sub-network the one which the package's supernet runs."""
    peer.set_active_subnet(ks=list(architecture.kernel), e=list(architecture.expand), d=list(architecture.depth))


def translated(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The package's state dict under our names."""
    return {_our_name(name): tensor for name, tensor in state.items()}


def _our_name(name: str) -> str:
    if matrix := re.fullmatch(r"blocks\.(\d+)\.conv\.depth_conv\.conv\.(\dto\d)_matrix", name):
        return f"blocks.{int(matrix[1]) - 1}.depthwise.transforms.{matrix[2]}"
    module, leaf = name.rsplit(".", 1)
    if module in _MODULES:
        return f"{_MODULES[module]}.{leaf}"
    _, block, _, rest = module.split(".", 3)
    return f"blocks.{int(block) - 1}.{_BLOCK_MODULES[rest]}.{leaf}"
