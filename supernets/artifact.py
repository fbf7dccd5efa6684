"""An exported sub-network on disk: what an engine needs to prepare it. Knows no torch and no engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PRECISIONS = ("float32", "bfloat16")
"""Number formats that a sub-network can compute in. All but float32 are asked for by name, and each has an accuracy of
its own."""

Format = Literal["ONNX file", "torch program"]
"""The formats that a sub-network is exported in; an engine loads one of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """One sub-network as files.

    Attributes:
        subnet: identifier of the sub-network.
        path: ONNX file; those exported here have their batch norm folded, and one input and one output, float32.
        input_shape: shape of one input, (1, channels, height, width); a user's own model may have other axes. For a
            network of sequences it is (1, most items), and an input may have fewer.
        weights_hash: SHA-256 of the weights that the sub-network was exported from; for a user's own model, of the
            file itself and the files that hold its weights.
        program: path of the same network as a `torch.export` program (.pt2), for the torch engine; that file is there
            only where it was asked for. None for a user's own ONNX file, which has none.
        precision: what it is to compute in, one of `PRECISIONS`.
        input_type: type of the numbers that the file takes; an engine is given float32, and turns them into these.
        outputs: names of the outputs that are wanted; none for the first one alone.
        unable: engines that can't run this file though they compute in its precision, each with the reason.
        parts: further files by name. A network that makes its output step by step has `path` for what runs once and
            the part `step`; what else it has is its task's.
    """

    subnet: str
    path: str
    input_shape: tuple[int, ...]
    weights_hash: str
    program: str | None = None
    precision: str = "float32"
    input_type: str = "float32"
    outputs: tuple[str, ...] = ()
    unable: tuple[tuple[str, str], ...] = ()
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the ONNX files."""
        return (self.path, self.part("step")) if self.parts else (self.path,)

    def part(self, name: str) -> str:
        """Return the path of one of `parts`."""
        return dict(self.parts)[name]

    def file(self, kind: Format) -> str | None:
        """Return the path of the network in a format; None where it was not exported in it."""
        return self.path if kind == "ONNX file" else self.program
