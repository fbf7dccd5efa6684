"""ONNX Runtime on the CPU, in float32."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from supernets.artifact import Artifact
from supernets.engines.common import Engine, Loaded, Mapped, Run, as_taken, as_wanted
from supernets.engines.onnxruntime_sessions import open_kept, open_model, share_memory
from supernets.outputs import Output
from supernets.seq2seq.engine import Translation


def load(artifact: Artifact, threads: int, device: str) -> Loaded:
    """Load a network as sessions of its own; all sessions share weights and the memory that they use during a run."""
    if artifact.parts:
        return _load_sequence(artifact, threads)
    if artifact.program is None:  # a user's own file, beside which nothing is written
        return Loaded(run=_run(open_model(artifact.path, threads), artifact))
    session, mapped = open_kept(artifact.path, threads)
    return Loaded(run=_run(session, artifact), mapped=mapped)


def _load_sequence(artifact: Artifact, threads: int) -> Loaded:
    """Load a network that makes its output step by step."""
    encoder, mapped_encoder = open_kept(artifact.path, threads)
    step, mapped_step = open_kept(artifact.part("step"), threads)
    network = Translation(encoder, step, artifact)
    files = [mapped for mapped in (mapped_encoder, mapped_step) if mapped is not None]
    mapped = Mapped(files[0].path, sum(file.mb for file in files)) if files else None  # none uses one without the other
    return Loaded(run=network, until=network, warm_up=network.warm_up, mapped=mapped)


def _run(session: onnxruntime.InferenceSession, artifact: Artifact) -> Run:
    name = session.get_inputs()[0].name
    outputs = list(artifact.outputs) or [session.get_outputs()[0].name]

    def run(x: NDArray[np.float32]) -> Output:
        return as_wanted(session.run(outputs, {name: as_taken(x, artifact)}), artifact)

    return run


ONNXRUNTIME = Engine(
    name="onnxruntime",
    distribution="onnxruntime",
    format="ONNX file",
    precisions=("float32",),
    devices=("cpu",),
    start=share_memory,
    load=load,
    takes_parts=True,
)
