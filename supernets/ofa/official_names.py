"""The translation of official Once-for-all names of parameters into those of `supernets.ofa.mobilenet`.

It covers both generations of official names. The older one calls a block's convolution `mobile_inverted_conv` and has
one level of `conv`, `bn` or `linear` less (source: `OFAMobileNetV3.load_state_dict` of
github.com/mit-han-lab/once-for-all). Knows no torch.
"""

from __future__ import annotations

import re

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
    "inverted_bottleneck.conv": "expand",
    "inverted_bottleneck.bn": "expand_bn",
    "depth_conv.conv": "depthwise",
    "depth_conv.bn": "depthwise_bn",
    "depth_conv.se.fc.reduce": "squeeze_excite.reduce",
    "depth_conv.se.fc.expand": "squeeze_excite.expand",
    "point_linear.conv": "project",
    "point_linear.bn": "project_bn",
}
_DOUBLED = re.compile(r"\.(conv|bn|linear)\.\1\.")
_BLOCK = re.compile(r"blocks\.(\d+)\.conv\.(.+)")
_MATRIX = re.compile(r"depth_conv\.conv\.(\dto\d)_matrix")


def our_name(official: str) -> str | None:
    """Return the name in `ElasticMobileNetV3` of an official parameter or buffer; None if it is not an official one.

    `first_conv.conv.weight` is for example `stem.weight`.
    """
    name = _DOUBLED.sub(r".\1.", official.replace(".mobile_inverted_conv.", ".conv."))
    module, _, leaf = name.rpartition(".")
    if module in _MODULES:
        return f"{_MODULES[module]}.{leaf}"
    block = _BLOCK.fullmatch(name)
    if block is None:
        return None
    prefix = f"blocks.{int(block[1]) - 1}"  # the official block 0 is the first block, which is not elastic
    if matrix := _MATRIX.fullmatch(block[2]):
        return f"{prefix}.depthwise.transforms.{matrix[1]}"
    module, _, leaf = block[2].rpartition(".")
    return f"{prefix}.{_BLOCK_MODULES[module]}.{leaf}" if module in _BLOCK_MODULES else None
