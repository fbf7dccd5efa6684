"""A sub-network of an elastic MobileNetV3 as an ONNX model, written node by node out of its weights.

It needs no torch. Batch norms are merged into the convolutions before them. The nodes are those of torch's own
exporter, so engines optimise both alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from supernets.ofa.space import Architecture, Space, Stage, column_average
from supernets.onnx_graph import Graph, Name

_EPSILON = np.float32(1e-5)
"""What torch's batch norm adds to the variance."""
_ACTIVATIONS = {"relu": "Relu", "hard_swish": "HardSwish"}


class _Convolutions(Graph):
    """A graph of convolutions, each with the batch norm behind it merged in."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__()
        self._weights = weights

    def convolution(self, x: Name, name: str, stride: int = 1, depthwise: bool = False) -> Name:
        """Convolve x (n, c, h, w); with depthwise, each channel by itself."""
        weight, bias = self._merged(name)
        kernel = weight.shape[2]
        inputs = [x, self.constant(f"{name}.weight", weight)]
        if bias is not None:
            inputs.append(self.constant(f"{name}.bias", bias))
        return self.add(
            "Conv",
            *inputs,
            group=len(weight) if depthwise else 1,
            kernel_shape=[kernel, kernel],
            pads=[kernel // 2] * 4,
            strides=[stride, stride],
        )

    def linear(self, x: Name, name: str, to: Name) -> None:
        """Map rows x (n, c) by a linear layer."""
        weight, bias = (self.constant(f"{name}.{part}", self._weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        self.add("Gemm", x, weight, bias, to=[to], transB=1)

    def block(self, x: Name, name: str, stage: Stage, stride: int, residual: bool) -> Name:
        """Add an inverted residual block."""
        activation = _ACTIVATIONS[stage.activation]
        y = self.add(activation, self.convolution(x, f"{name}.expand"))
        y = self.add(activation, self.convolution(y, f"{name}.depthwise", stride, depthwise=True))
        if stage.squeeze_excite:
            mean = self.add("ReduceMean", y, self.integers(2, 3), keepdims=1)
            squeezed = self.add("Relu", self.convolution(mean, f"{name}.squeeze_excite.reduce"))
            share = self.add("HardSigmoid", self.convolution(squeezed, f"{name}.squeeze_excite.expand"), alpha=1 / 6)
            y = self.add("Mul", y, share)
        y = self.convolution(y, f"{name}.project")
        return self.add("Add", x, y) if residual else y

    def _merged(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return a convolution's weight and bias with its batch norm merged in; no bias where it has none."""
        weight, bias = self._weights[f"{name}.weight"], self._weights.get(f"{name}.bias")
        if f"{name}_bn.weight" not in self._weights:
            return weight, bias
        scale, shift, mean, variance = (
            self._weights[f"{name}_bn.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor: NDArray[np.float32] = scale / np.sqrt(variance + _EPSILON)
        return weight * factor[:, None, None, None], shift - mean * factor


def model(
    space: Space, architecture: Architecture, resolution: int, weights: Mapping[str, NDArray[np.float32]]
) -> onnx.ModelProto:
    """Return the model of a sub-network, which maps `x` (1, channels, height, width) to the logits `y` (1, classes).

    Args:
        space: the space of its supernet.
        architecture: its knobs.
        resolution: input height in pixels.
        weights: its weights and statistics, float32, as `supernets.ofa.cut` names them.
    """
    graph = _Convolutions(weights)
    shape = space.input_shape(resolution)
    x = graph.add("HardSwish", graph.convolution(graph.input("x", TensorProto.FLOAT, shape), "stem", stride=2))
    columns = -(-shape[3] // 2)
    y = graph.add("Relu", graph.convolution(x, "first_depthwise", depthwise=True))
    y = graph.convolution(y, "first_project")
    x = graph.add("Add", x, y) if space.first_width == space.stem_width else y
    width = space.first_width
    for place, (_, stage, stride, _, _) in enumerate(space.active_blocks(architecture)):
        x = graph.block(x, f"blocks.{place}", stage, stride, residual=stride == 1 and width == stage.width)
        columns, width = -(-columns // stride), stage.width
    x = graph.add("HardSwish", graph.convolution(x, "final_expand"))
    x = graph.add("HardSwish", graph.convolution(_pooled(graph, x, columns, space.cells), "feature_mix"))
    graph.linear(graph.shaped(x, 1, space.feature_mix * space.cells), "classifier", to="y")
    graph.output("y", TensorProto.FLOAT, (1, space.classes))
    return graph.model(space.name)


def _pooled(graph: Graph, x: Name, columns: int, cells: int) -> Name:
    """Average x (n, c, h, columns) into (n, c, 1, cells)."""
    if cells == 1:
        return graph.add("ReduceMean", x, graph.integers(2, 3), keepdims=1)
    rows = graph.add("ReduceMean", x, graph.integers(2), keepdims=0)
    averaged = graph.add("MatMul", rows, graph.constant("columns", column_average(columns, cells)))
    return graph.add("Unsqueeze", averaged, graph.integers(2))
