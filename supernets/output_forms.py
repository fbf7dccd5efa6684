"""The forms of a network's outputs, read from its file. Knows no engine but ONNX Runtime, which reads the file."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from supernets.artifact import Artifact
from supernets.task import TEXT, Form

if TYPE_CHECKING:
    import onnxruntime

_TYPES = {
    "float": "float32",
    "float16": "float16",
    "double": "float64",
    "bool": "bool",
    "string": TEXT,
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""NumPy's names of types, by ONNX's."""


@lru_cache(maxsize=64)
def output_forms(artifact: Artifact) -> tuple[Form, ...]:
    """Return the forms of the outputs that are wanted of a network, in its order.

    An axis without a fixed length is -1. An output that is no tensor, such as the map of a classifier's probabilities,
    is a text: whoever hands it over writes it as JSON.

    Args:
        artifact: the network.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(artifact.path, options, providers=["CPUExecutionProvider"])
    forms = [_form(output) for output in session.get_outputs()]
    return tuple(form for form in forms if form.name in artifact.outputs) if artifact.outputs else (forms[0],)


def _form(output: onnxruntime.NodeArg) -> Form:
    tensor = re.fullmatch(r"tensor\((\w+)\)", output.type)
    if tensor is None or tensor[1] not in _TYPES:
        return Form(name=output.name, dtype=TEXT, shape=(1,))
    shape = None if output.shape is None else tuple(axis if isinstance(axis, int) else -1 for axis in output.shape)
    return Form(name=output.name, dtype=_TYPES[tensor[1]], shape=shape)
