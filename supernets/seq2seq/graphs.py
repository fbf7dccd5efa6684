"""A sub-network of an elastic transformer as two ONNX models: its encoder, and one step of its decoder.

They are written node by node, so that a step has the few nodes that it needs: products of single rows with weights as
they lie in training, one for query, key and value, and the next sub-word in place of scores. The models hold for all
lengths: `s` is the number of sub-words of the sentence (`2s` where a layer attends to two encoder layers), `t` the
capacity of the cache. So a network is two sessions, not one for each pair of lengths, and no sentence is padded.

The encoder takes `source` (1, s). The step takes

- `word` (1,), the last sub-word, and `place` (1,), the number of those before it;
- `places.H` (1, H, 1, 3) for each number of heads H: 0, the head and the place, where a row of the cache is written;
- `unseen` (1, 1, 1, t), 0 for the places up to this one and minus infinity for those behind;
- `keys.L` (heads, width, s) and `values.L` (heads, s, width) of each layer, as the encoder gives them;
- `own_keys.L` and `own_values.L` (1, heads, t, width), the cache,

and gives `next_word` (1,) and the cache with this sub-word in it, as `new_keys.L` and `new_values.L`. Whoever binds
these to the memory of the old cache has it written in place.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from supernets.onnx_graph import Graph, Name
from supernets.seq2seq.cut import Weights, positions

_EPSILON = 1e-5
"""What torch's layer norm adds to the variance."""


class _Graph(Graph):
    """A graph of a transformer's layers, with their weights."""

    def __init__(self, net: Weights) -> None:
        super().__init__()
        self._net = net

    def weight(self, name: str) -> NDArray[np.float32]:
        return self._net.arrays[name]

    def shape(self, heads: int) -> tuple[int, int]:
        """Return the number of heads and the width of each."""
        return heads, self._net.space.attention(heads)[1]

    def places(self, width: int) -> Name:
        """Return the table of positions, of a width."""
        space = self._net.space
        return self.constant("places", positions(space.longest, space.widths[-1])[:, :width])

    def norm(self, x: Name, layer: str) -> Name:
        scale, bias = (self.constant(f"{layer}.{part}", self.weight(f"{layer}.{part}")) for part in ("weight", "bias"))
        return self.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=_EPSILON)

    def linear(self, x: Name, layer: str) -> Name:
        """Map rows x (n, c) by a linear layer."""
        return self._linear(x, layer, self.weight(f"{layer}.weight"), self.weight(f"{layer}.bias"))

    def query(self, x: Name, layer: str, width: int) -> Name:
        """Map rows to queries, divided by the root of the heads' width as attention asks for."""
        return self._linear(x, f"{layer}.query", *self._scaled(f"{layer}.query", width))

    def query_key_value(self, x: Name, layer: str, width: int) -> Name:
        """Map rows to queries, divided as above, keys and values, side by side, by one product."""
        parts = [self._scaled(f"{layer}.query", width)]
        parts += [(self.weight(f"{layer}.{p}.weight"), self.weight(f"{layer}.{p}.bias")) for p in ("key", "value")]
        weights, biases = zip(*parts, strict=True)
        return self._linear(x, f"{layer}.joined", np.concatenate(weights), np.concatenate(biases))

    def split(self, x: Name, name: str) -> tuple[Name, Name, Name]:
        """Return the thirds of x along its second axis."""
        names = tuple(f"{name}.{part}.out" for part in ("query", "key", "value"))
        self.add("Split", x, to=names, axis=1, num_outputs=3)
        return names[0], names[1], names[2]

    def feed_forward(self, x: Name, layer: str) -> Name:
        inner = self.add("Relu", self.linear(self.norm(x, f"{layer}.ffn_norm"), f"{layer}.ffn.inner"))
        return self.add("Add", x, self.linear(inner, f"{layer}.ffn.outer"))

    def _scaled(self, layer: str, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        by = np.float32(1 / math.sqrt(width))
        return self.weight(f"{layer}.weight") * by, self.weight(f"{layer}.bias") * by

    def _linear(self, x: Name, name: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Name:
        # The matrix lies as torch has it, a row for each output.
        a, b = self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)
        return self.add("Gemm", x, a, b, transB=1)


def encoder(net: Weights) -> onnx.ModelProto:
    """Return the model that maps a sentence to keys and values for each decoder layer."""
    graph, width = _Graph(net), net.architecture.encoder_width
    words = graph.shaped(graph.input("source", TensorProto.INT64, (1, "s")), -1)
    table = graph.constant("source_table", graph.weight("source_embedding.weight") * np.float32(math.sqrt(width)))
    here = graph.add("Slice", graph.places(width), graph.integers(0), graph.add("Shape", words), graph.integers(0))
    x = graph.add("Add", graph.add("Gather", table, words), here)
    outputs = []
    for index, own in enumerate(net.architecture.encoder_heads):
        x = _encoder_layer(graph, x, f"encoder.{index}", *graph.shape(own))
        outputs.append(graph.norm(x, "encoder_norm"))
    for index in range(net.architecture.decoder_layers):
        count = net.architecture.cross_layers[index]
        memory = graph.add("Concat", *outputs[-count:], axis=0) if count > 1 else outputs[-1]
        (heads, head_width), attended = graph.shape(net.architecture.cross_heads[index]), _attended(net, index)
        keys, values = (
            graph.shaped(graph.linear(memory, f"decoder.{index}.cross.{part}"), -1, heads, head_width)
            for part in ("key", "value")
        )
        graph.output(f"keys.{index}", TensorProto.FLOAT, (heads, head_width, attended))
        graph.output(f"values.{index}", TensorProto.FLOAT, (heads, attended, head_width))
        graph.add("Transpose", keys, to=[f"keys.{index}"], perm=[1, 2, 0])
        graph.add("Transpose", values, to=[f"values.{index}"], perm=[1, 0, 2])
    return graph.model("encoder")


def _attended(net: Weights, layer: int) -> str:
    """Return the length of what a decoder layer attends to, in sentences."""
    count = net.architecture.cross_layers[layer]
    return "s" if count == 1 else f"{count}s"


def _encoder_layer(graph: _Graph, x: Name, name: str, heads: int, width: int) -> Name:
    joined = graph.query_key_value(graph.norm(x, f"{name}.attention_norm"), f"{name}.attention", width)
    query, key, value = graph.split(graph.shaped(joined, -1, 3 * heads, width), name)
    query, value = (graph.add("Transpose", part, perm=[1, 0, 2]) for part in (query, value))
    scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=[1, 2, 0]))
    found = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    rows = graph.shaped(graph.add("Transpose", found, perm=[1, 0, 2]), -1, heads * width)
    x = graph.add("Add", x, graph.linear(rows, f"{name}.attention.out"))
    return graph.feed_forward(x, name)


def step(net: Weights) -> onnx.ModelProto:
    """Return the model that maps the last sub-word and a cache to the next sub-word."""
    graph, width = _Graph(net), net.architecture.decoder_width
    word = graph.input("word", TensorProto.INT64, (1,))
    place = graph.input("place", TensorProto.INT64, (1,))
    unseen = graph.input("unseen", TensorProto.FLOAT, (1, 1, 1, "t"))
    # The table is that of the output too, whose scores it scales: which one is the largest stays the same.
    table = graph.constant("target_table", graph.weight("target_embedding.weight") * np.float32(math.sqrt(width)))
    here = graph.add("Gather", graph.places(width), place)
    x = graph.add("Add", graph.add("Gather", table, word), here)
    for index in range(net.architecture.decoder_layers):
        x = _own_attention(graph, x, index, graph.shape(net.architecture.decoder_heads[index]), unseen)
        cross = graph.shape(net.architecture.cross_heads[index])
        x = _cross_attention(graph, x, index, cross, _attended(net, index))
        x = graph.feed_forward(x, f"decoder.{index}")
    scores = graph.add("Gemm", graph.norm(x, "decoder_norm"), table, transB=1)
    # Of one dimension: ONNX Runtime finds the largest of 4,000 scores in 3 us there, and in 11 us along a row.
    next_word = graph.output("next_word", TensorProto.INT64, (1,))
    graph.add("ArgMax", graph.shaped(scores, -1), to=[next_word], axis=0, keepdims=1)
    return graph.model("step")


def _own_attention(graph: _Graph, x: Name, index: int, shape: tuple[int, int], unseen: Name) -> Name:
    (heads, width), name = shape, f"decoder.{index}"
    joined = graph.query_key_value(graph.norm(x, f"{name}.attention_norm"), f"{name}.attention", width)
    query, key, value = graph.split(graph.shaped(joined, 1, 3 * heads, 1, width), name)
    keys, values = (_written(graph, part, index, row, shape) for part, row in (("keys", key), ("values", value)))
    scores = graph.add("MatMul", query, graph.add("Transpose", keys, perm=[0, 1, 3, 2]))
    found = graph.add("MatMul", graph.add("Softmax", graph.add("Add", scores, unseen), axis=-1), values)
    rows = graph.shaped(found, 1, heads * width)
    return graph.add("Add", x, graph.linear(rows, f"{name}.attention.out"))


def _written(graph: _Graph, part: str, index: int, row: Name, shape: tuple[int, int]) -> Name:
    """Write a row of keys or values into its place of the cache."""
    heads, width = shape
    room = (1, heads, "t", width)
    cache = graph.input(f"own_{part}.{index}", TensorProto.FLOAT, room)
    new = graph.output(f"new_{part}.{index}", TensorProto.FLOAT, room)
    places = graph.input(f"places.{heads}", TensorProto.INT64, (1, heads, 1, 3))
    return graph.add("ScatterND", cache, places, row, to=[new])


def _cross_attention(graph: _Graph, x: Name, index: int, shape: tuple[int, int], attended: str) -> Name:
    (heads, width), name = shape, f"decoder.{index}"
    keys = graph.input(f"keys.{index}", TensorProto.FLOAT, (heads, width, attended))
    values = graph.input(f"values.{index}", TensorProto.FLOAT, (heads, attended, width))
    query = graph.query(graph.norm(x, f"{name}.cross_norm"), f"{name}.cross", width)
    scores = graph.add("MatMul", graph.shaped(query, heads, 1, width), keys)
    found = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), values)
    rows = graph.shaped(found, 1, heads * width)
    return graph.add("Add", x, graph.linear(rows, f"{name}.cross.out"))
