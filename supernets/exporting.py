"""Export: a sub-network becomes an ONNX file and a torch program, with its batch norms folded in.

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
from supernets.subnet import SubNet
from supernets.supernet import Supernet

if TYPE_CHECKING:
    from torch import nn

_OPSET = 18


def export(net: Supernet, subnet: SubNet, directory: Path) -> Artifact:
    """One sub-network as an ONNX file and a torch program, made once for the same weights.

    Args:
        net: whose weights.
        subnet: which sub-network.
        directory: where files are kept; made if missing.
    """
    path = directory / f"{net.name}-{subnet.id}-{net.weights_hash[:12]}.onnx"
    shape = net.input_shape(subnet)
    if not (path.exists() and path.with_suffix(".pt2").exists()):
        export_module(net.module(subnet), subnet, shape, path)
    return _artifact(subnet, shape, path, net.weights_hash)


def export_module(module: nn.Module, subnet: SubNet, input_shape: tuple[int, ...], path: Path) -> Artifact:
    """A module of a sub-network as an ONNX file and a torch program beside it, written anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(fold(module), input_shape, path)
    return _artifact(subnet, input_shape, path, weights_hash="")


def _artifact(subnet: SubNet, input_shape: tuple[int, ...], path: Path, weights_hash: str) -> Artifact:
    return Artifact(
        subnet=subnet.id,
        path=str(path),
        input_shape=input_shape,
        weights_hash=weights_hash,
        program=str(path.with_suffix(".pt2")),
        precision=subnet.precision,
    )


def fold(module: nn.Module) -> nn.Module:
    """A copy without batch norms: each is merged into the convolution that it follows.

    A norm follows the convolution before it in an `nn.Sequential`, or else the sibling of its own name less `_bn`.
    """
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    folded = copy.deepcopy(module)
    for parent in list(folded.modules()):
        before: str | None = None
        for name, child in list(parent.named_children()):
            convolution = before if isinstance(parent, nn.Sequential) else name.removesuffix("_bn")
            if isinstance(child, nn.BatchNorm2d) and convolution is not None:
                setattr(parent, convolution, fuse_conv_bn_eval(getattr(parent, convolution), child))
                setattr(parent, name, nn.Identity())
            before = name
    return folded


def _write(module: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    import torch

    fresh = path.with_suffix(f".{os.getpid()}.onnx")  # another run may export the same sub-network now
    fresh_program = fresh.with_suffix(".pt2")
    logging.getLogger("onnxscript").setLevel(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.export.export(module, (torch.zeros(shape),))
        torch.export.save(program, fresh_program)
        torch.onnx.export(
            program,
            (torch.zeros(shape),),
            fresh,
            dynamo=True,
            external_data=False,
            verbose=False,
            opset_version=_OPSET,
            input_names=["x"],
            output_names=["y"],
        )
    fresh_program.replace(path.with_suffix(".pt2"))
    fresh.replace(path)
