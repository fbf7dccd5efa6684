"""An ONNX graph that is written node by node, without torch. Knows no network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET = 18
_IR_VERSION = 9
"""That of ONNX 1.14, the first with this opset; all engines read it."""

Name = str
"""A tensor of a graph."""


class Graph:
    """A graph that grows node by node."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[Name, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: Name, kind: int, shape: Sequence[int | str]) -> Name:
        """Add an input of the graph, once, and return it."""
        if name not in (entry.name for entry in self._inputs):
            self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: Name, kind: int, shape: Sequence[int | str]) -> Name:
        """Say that a tensor is an output of the graph, and return it."""
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, name: Name, array: NDArray[Any]) -> Name:
        """Add a constant, once, and return it."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def integers(self, *values: int) -> Name:
        """Return a constant of whole numbers, (n,)."""
        return self.constant(f"integers_{'_'.join(map(str, values))}", np.array(values, dtype=np.int64))

    def add(self, kind: str, *inputs: Name, to: Sequence[Name] = (), **attributes: Any) -> Name:
        """Add a node, and return its first output."""
        outputs = list(to) or [f"{kind}_{len(self._nodes)}"]
        self._nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs[0]

    def shaped(self, x: Name, *shape: int) -> Name:
        """Return a tensor in another shape; one axis may be -1, for what is left."""
        return self.add("Reshape", x, self.integers(*shape))

    def model(self, name: str) -> onnx.ModelProto:
        """Return the graph as a model that was checked."""
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, list(self._constants.values()))
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="gearshift")
        made.ir_version = _IR_VERSION
        onnx.checker.check_model(made, full_check=True)
        return onnx.shape_inference.infer_shapes(made)  # an engine's preparation looks at shapes


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model to a file, whole or not at all; its directory is made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.onnx")  # another run may export the same sub-network now
    onnx.save(model, str(fresh))
    fresh.replace(path)
