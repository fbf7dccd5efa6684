"""Export of a sub-network of an elastic transformer to two ONNX files. It needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from supernets.artifact import Artifact
from supernets.seq2seq.cut import Weights

if TYPE_CHECKING:
    from supernets.seq2seq.static import StaticSeq2Seq


FORM = 3
"""Number of the form of the files. It goes up where they change, so that those of before are not taken for them."""


def export_module(net: StaticSeq2Seq, subnet: str, path: Path) -> Artifact:
    """Write a sub-network's module to files, as `export_weights` does."""
    arrays = {name: tensor.detach().numpy() for name, tensor in net.named_parameters()}
    return export_weights(Weights(space=net.space, architecture=net.architecture, arrays=arrays), subnet, path)


def export_weights(weights: Weights, subnet: str, path: Path) -> Artifact:
    """Write a sub-network's encoder to an ONNX file, and its step to another beside it, over older files.

    Args:
        weights: the weights of the sub-network.
        subnet: its identifier.
        path: of the encoder; its directory is made if missing.
    """
    from supernets import onnx_graph
    from supernets.seq2seq import graphs

    # The encoder comes last: whoever finds it finds the step too.
    onnx_graph.save(graphs.step(weights), step_of(path))
    onnx_graph.save(graphs.encoder(weights), path)
    return artifact(subnet, path, weights.space.longest)


def artifact(subnet: str, path: Path, longest: int, weights_hash: str = "", vocabulary: Path | None = None) -> Artifact:
    """Return an exported sub-network.

    Args:
        subnet: its identifier.
        path: of its encoder.
        longest: most sub-words of a sentence, its end included.
        weights_hash: hash of the weights that it was made from.
        vocabulary: file of its vocabulary, which its task needs; None where its weights have none.
    """
    parts = {"step": step_of(path), "vocabulary": vocabulary}
    return Artifact(
        subnet=subnet,
        path=str(path),
        input_shape=(1, longest),
        weights_hash=weights_hash,
        parts=tuple((name, str(file)) for name, file in parts.items() if file is not None),
    )


def step_of(path: Path) -> Path:
    """Return the path of the step that belongs to an encoder."""
    return path.with_suffix(".step.onnx")
