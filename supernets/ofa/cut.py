"""The weights of an elastic MobileNetV3 as arrays: their names and shapes, and those of one sub-network, cut out.

`supernets.ofa.mobilenet` computes with them in torch; here they are only named and sliced. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from supernets.ofa.space import Architecture, Space, Stage, make_divisible

Shapes = dict[str, tuple[int, ...]]

SQUEEZE = 4
"""Channels of a block over those that its channel attention squeezes them into."""


def shapes(space: Space) -> Shapes:
    """Return the shape of each weight and statistic of a supernet, by the names of `ElasticMobileNetV3`."""
    found = _ends(space)
    width = space.first_width
    for index, stage in enumerate(stage for stage in space.stages for _ in range(space.max_depth)):
        mid = make_divisible(round(width * space.expands[-1]))
        for name, shape in _block(width, mid, stage, space.kernels[-1]).items():
            found[f"blocks.{index}.{name}"] = shape
            if name == "depthwise.weight":
                for small, large in pairwise(space.kernels):
                    matrix = f"blocks.{index}.depthwise.transforms.{large}to{small}"
                    found[matrix] = (small * small, small * small)
        width = stage.width
    return found


def cut(space: Space, architecture: Architecture, state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the weights and statistics of one sub-network, by the names of `StaticMobileNetV3`.

    They are the first channels of each weight of the supernet, and views of it, but for depthwise filters of a smaller
    kernel, which are transforms of the largest.

    Args:
        space: the space of the supernet.
        architecture: the sub-network.
        state: the weights of the supernet, shaped as `shapes` says.
    """
    own = {name: state[name] for name in _ends(space)}
    width = space.first_width
    for place, (index, stage, _, kernel, expand) in enumerate(space.active_blocks(architecture)):
        mid = make_divisible(round(width * expand))
        of_block = {name: state[f"blocks.{index}.{name}"] for name in _block(width, mid, stage, kernel)}
        of_block["depthwise.weight"] = _filter(space, state, f"blocks.{index}.depthwise", mid, kernel)
        for name, shape in _block(width, mid, stage, kernel).items():
            own[f"blocks.{place}.{name}"] = of_block[name][tuple(slice(size) for size in shape)]
        width = stage.width
    return own


def _filter(space: Space, state: Mapping[str, NDArray[Any]], name: str, channels: int, kernel: int) -> NDArray[Any]:
    """Return a depthwise filter (channels, 1, kernel, kernel), as `ElasticDepthwise.filter` does."""
    weight = state[f"{name}.weight"][:channels]
    # From the largest kernel down, step by step: cut out the centre (c, s²) and pass it through the learned matrix.
    for small, large in reversed(list(pairwise(space.kernels))):
        if large <= kernel:
            break
        edge = (large - small) // 2
        centre = weight[:, :, edge : edge + small, edge : edge + small].reshape(channels, small * small)
        weight = (centre @ state[f"{name}.transforms.{large}to{small}"].T).reshape(channels, 1, small, small)
    return weight


def _ends(space: Space) -> Shapes:
    """Return the shapes of the stem, the first block and the head, none of which is elastic."""
    stem, first, wide = space.stem_width, space.first_width, space.final_expand
    return {
        "stem.weight": (stem, space.in_channels, 3, 3),
        **dict(_norm("stem_bn", stem)),
        "first_depthwise.weight": (stem, 1, 3, 3),
        **dict(_norm("first_depthwise_bn", stem)),
        "first_project.weight": (first, stem, 1, 1),
        **dict(_norm("first_project_bn", first)),
        "final_expand.weight": (wide, space.stages[-1].width, 1, 1),
        **dict(_norm("final_expand_bn", wide)),
        "feature_mix.weight": (space.feature_mix, wide, 1, 1),
        "classifier.weight": (space.classes, space.feature_mix * space.cells),
        "classifier.bias": (space.classes,),
    }


def _block(width: int, mid: int, stage: Stage, kernel: int) -> Shapes:
    """Return the shapes of an inverted residual block that takes `width` channels and has `mid` inside."""
    squeezed = make_divisible(mid // SQUEEZE)
    attention: Shapes = {
        "squeeze_excite.reduce.weight": (squeezed, mid, 1, 1),
        "squeeze_excite.reduce.bias": (squeezed,),
        "squeeze_excite.expand.weight": (mid, squeezed, 1, 1),
        "squeeze_excite.expand.bias": (mid,),
    }
    return {
        "expand.weight": (mid, width, 1, 1),
        **dict(_norm("expand_bn", mid)),
        "depthwise.weight": (mid, 1, kernel, kernel),
        **dict(_norm("depthwise_bn", mid)),
        **(attention if stage.squeeze_excite else {}),
        "project.weight": (stage.width, mid, 1, 1),
        **dict(_norm("project_bn", stage.width)),
    }


def _norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.num_batches_tracked", ()
