"""Export: a sub-network becomes one ONNX file with its batch norms folded in.

Needs torch to make a file, and none to find one that was made before.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from supernets.artifact import Artifact
from supernets.space import Space, SubNet
from supernets.supernet import Supernet

if TYPE_CHECKING:
    from torch import nn

    from supernets.mobilenet import StaticMobileNetV3

_OPSET = 18


def export(net: Supernet, subnet: SubNet, directory: Path) -> Artifact:
    """One sub-network as an ONNX file, made once for the same weights.

    Args:
        net: whose weights.
        subnet: which sub-network.
        directory: where files are kept; made if missing.
    """
    path = directory / f"{net.name}-{subnet.id}-{net.weights_hash[:12]}.onnx"
    if not path.exists():
        export_module(net.module(subnet), net.space, subnet, path)
    return _artifact(net.space, subnet, path, net.weights_hash)


def export_module(module: StaticMobileNetV3, space: Space, subnet: SubNet, path: Path) -> Artifact:
    """A module of a sub-network as an ONNX file, written anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    artifact = _artifact(space, subnet, path, weights_hash="")
    _write(fold(module), artifact.input_shape, path)
    return artifact


def _artifact(space: Space, subnet: SubNet, path: Path, weights_hash: str) -> Artifact:
    shape = (1, space.in_channels, subnet.resolution, subnet.resolution * space.aspect)
    return Artifact(subnet=subnet.id, path=str(path), input_shape=shape, weights_hash=weights_hash)


def fold(module: StaticMobileNetV3) -> nn.Module:
    """A copy without batch norms: each is merged into the convolution that it follows."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    folded = copy.deepcopy(module)
    modules = dict(folded.named_modules())
    for name, norm in modules.items():
        if isinstance(norm, nn.BatchNorm2d):
            parent_name, _, leaf = name.rpartition(".")
            parent = modules[parent_name]
            convolution = leaf.removesuffix("_bn")
            setattr(parent, convolution, fuse_conv_bn_eval(getattr(parent, convolution), norm))
            setattr(parent, leaf, nn.Identity())
    return folded


def _write(module: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    import torch

    fresh = path.with_suffix(f".{os.getpid()}.onnx")  # another run may export the same sub-network now
    logging.getLogger("onnxscript").setLevel(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            module,
            (torch.zeros(shape),),
            fresh,
            dynamo=True,
            external_data=False,
            verbose=False,
            opset_version=_OPSET,
            input_names=["x"],
            output_names=["y"],
        )
    fresh.replace(path)
