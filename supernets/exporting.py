"""Export of a sub-network to an ONNX file, and to a torch program where one is asked for. Batch norms are folded in.

Networks that make sequences have an export of their own (`supernets.seq2seq.exporting`).

Supernets that write their ONNX models themselves (`Supernet.onnx_model`) need no torch for it; all programs do.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from supernets.artifact import Artifact
from supernets.errors import extra
from supernets.seq2seq.supernet import Translator
from supernets.subnet import SubNet
from supernets.supernet import Supernet

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram


def export(net: Supernet, subnet: SubNet, directory: Path, program: bool = False) -> Artifact:
    """Export a sub-network to files, once for the same weights.

    Args:
        net: the supernet that holds the weights.
        subnet: the sub-network to export.
        directory: directory that keeps the files; made if missing.
        program: True also writes the torch program, which the torch engine and so all GPUs load.

    Raises:
        SupernetError: if the weights don't fit.
        MissingExtraError: if torch is needed and not installed.
    """
    path = directory / f"{net.name}-{subnet.id}-{net.weights_hash[:12]}.onnx"
    if isinstance(net, Translator):
        return net.exported(subnet, path)
    shape = net.input_shape(subnet)
    if not path.exists():
        model = net.onnx_model(subnet)
        if model is not None:
            from supernets import onnx_graph

            onnx_graph.save(model, path)
        else:
            export_module(net.module(subnet), subnet, shape, path)
    artifact = _artifact(subnet, shape, path, net.weights_hash)
    if program and not Path(artifact.program or "").exists():
        with extra("gpu", f"running {net.name} on a GPU or in the torch engine"):
            import torch  # noqa: F401 (only to say what brings it)

        path.parent.mkdir(parents=True, exist_ok=True)
        _write_program(fold(net.module(subnet)), shape, path.with_suffix(".pt2"))
    return artifact


def export_module(module: nn.Module, subnet: SubNet, input_shape: tuple[int, ...], path: Path) -> Artifact:
    """Write a sub-network's module to an ONNX file, and to a torch program (.pt2) beside it, over older files.

    Args:
        module: the sub-network's module, in eval mode.
        subnet: the sub-network.
        input_shape: shape of one input, (1, channels, height, width).
        path: of the ONNX file; its directory is made if missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ONNX file comes last: whoever finds it finds the program too.
    program = _write_program(fold(module), input_shape, path.with_suffix(".pt2"))
    _write_onnx(program, input_shape, path)
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
    """Return a copy of a module in which each batch norm is merged into the convolution before it.

    In an `nn.Sequential` that is the layer before the norm; elsewhere the sibling named as the norm without `_bn`.
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


def _write_onnx(program: ExportedProgram, shape: tuple[int, ...], path: Path) -> None:
    with extra("train", "exporting a network by torch"):
        import onnxscript  # noqa: F401 (torch's exporter needs it, and would say so in other words)
    import torch

    from supernets.onnx_graph import OPSET

    fresh = path.with_suffix(f".{os.getpid()}.onnx")  # another run may export the same sub-network now
    logging.getLogger("onnxscript").setLevel(logging.WARNING)
    with _silent():
        torch.onnx.export(
            program,
            (torch.zeros(shape),),
            fresh,
            dynamo=True,
            external_data=False,
            verbose=False,
            opset_version=OPSET,
            input_names=["x"],
            output_names=["y"],
        )
    fresh.replace(path)


def _write_program(module: nn.Module, shape: tuple[int, ...], path: Path) -> ExportedProgram:
    import torch

    fresh = path.with_suffix(f".{os.getpid()}.pt2")
    with _silent():
        program = torch.export.export(module, (torch.zeros(shape),))
        torch.export.save(program, fresh)
    fresh.replace(path)
    return program


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the exporter's own deprecations and its progress from the user."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
