"""An exported sub-network on disk: what an engine needs to prepare it. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass

PRECISIONS = ("float32", "bfloat16")
"""What a sub-network can compute in. Anything but float32 is asked for by name, and has an accuracy of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """One sub-network as a file.

    Attributes:
        subnet: its identifier.
        path: ONNX file, batch norm folded; one input and one output, float32.
        input_shape: of one inference, (1, channels, height, width).
        weights_hash: SHA-256 of the weights it was exported from (of the file itself for a user's own).
        program: the same as a `torch.export` program (.pt2), for the torch engine; None for a user's own ONNX file.
        precision: what it is to compute in, one of `PRECISIONS`.
    """

    subnet: str
    path: str
    input_shape: tuple[int, ...]
    weights_hash: str
    program: str | None = None
    precision: str = "float32"
