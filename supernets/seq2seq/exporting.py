"""Export of a sub-network of an elastic transformer to two ONNX files. Making them needs torch."""

from __future__ import annotations

import os
from pathlib import Path

import onnx

from supernets.artifact import Artifact
from supernets.seq2seq import graphs
from supernets.seq2seq.static import StaticSeq2Seq


def export_module(net: StaticSeq2Seq, subnet: str, path: Path, weights_hash: str = "") -> Artifact:
    """Write a sub-network's encoder to an ONNX file, and its step to another beside it, over older files.

    Args:
        net: the sub-network.
        subnet: its identifier.
        path: of the encoder; its directory is made if missing.
        weights_hash: hash of the weights that it was made from.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whoever finds the encoder finds the step too.
    for model, file in ((graphs.step(net), step_of(path)), (graphs.encoder(net), path)):
        fresh = file.with_suffix(f".{os.getpid()}.onnx")  # another run may export the same sub-network now
        onnx.save(model, str(fresh))
        fresh.replace(file)
    return Artifact(
        subnet=subnet,
        path=str(path),
        input_shape=(1, net.space.longest),
        weights_hash=weights_hash,
        parts=(("step", str(step_of(path))),),
    )


def step_of(path: Path) -> Path:
    """Return the path of the step that belongs to an encoder."""
    return path.with_suffix(".step.onnx")
