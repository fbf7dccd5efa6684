"""ONNX files as people bring them, written small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def value(name: str, shape: Sequence[object] | None, kind: int = FLOAT) -> ValueInfoProto:
    """Return the description of an input or an output."""
    return helper.make_tensor_value_info(name, kind, shape)


def write(
    path: Path,
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    constants: Mapping[str, object] | None = None,
    *,
    opset: int = 18,
    ir: int = 10,
    domains: Sequence[str] = (),
    weights: str | None = None,
) -> Path:
    """Write a model.

    Args:
        path: the file.
        nodes: its operators.
        inputs: its inputs.
        outputs: its outputs.
        constants: its weights by name.
        opset: version of ONNX's operators.
        ir: version of the format.
        domains: further sets of operators, each in version 1.
        weights: name of the file beside it that gets the weights; None to keep them inside.
    """
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir)
    if weights is None:
        onnx.save(model, path)
    else:
        (path.parent / weights).unlink(missing_ok=True)  # or the new ones would be added behind those of before
        onnx.save(model, path, save_as_external_data=True, location=weights, size_threshold=0)
    return path


def brightest(path: Path, shape: Sequence[object] = (1, 3, 4, 5), kind: int = FLOAT) -> Path:
    """Write a model that gives the class of the brightest channel, an int64, and then the scores of all channels."""
    return write(
        path,
        [
            helper.make_node("GlobalAveragePool", ["x"], ["p"]),
            helper.make_node("Flatten", ["p"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["class"], axis=1, keepdims=0),
        ],
        [value("x", shape, kind)],
        [value("class", (None,), TensorProto.INT64), value("scores", (None, 3), kind)],
    )


def scaled(path: Path, by: float = 2.0, weights: str | None = None) -> Path:
    """Write a model that gives its four numbers times a factor, which is its weight."""
    return write(
        path,
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        [value("x", (1, 4))],
        [value("y", (1, 4))],
        {"w": np.full((1, 4), by, np.float32)},
        weights=weights,
    )


def zip_map(path: Path) -> Path:
    """Write a classifier that ends as converters of scikit-learn do: the label, and a sequence of maps."""
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, None))
    )
    return write(
        path,
        [
            helper.make_node("Softmax", ["x"], ["p"]),
            helper.make_node("ArgMax", ["p"], ["label"], axis=1, keepdims=0),
            helper.make_node("ZipMap", ["p"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]),
        ],
        [value("x", (None, 3))],
        [value("label", (None,), TensorProto.INT64), helper.make_value_info("probabilities", maps)],
        domains=["ai.onnx.ml"],
    )
