"""The weights of an elastic transformer as arrays: their names and shapes, and those of one sub-network, cut out.

`elastic.py` and `static.py` compute with them in torch; here they are only named and sliced. Knows no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from supernets.seq2seq.space import Space, Transformer

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """The weights of one sub-network.

    Attributes:
        space: the space that it is a point of.
        architecture: the point.
        arrays: its weights, float32, by the names of `StaticSeq2Seq`.
    """

    space: Space
    architecture: Transformer
    arrays: Mapping[str, NDArray[np.float32]]


def shapes(space: Space) -> Shapes:
    """Return the shape of each shared weight, by the names of `ElasticSeq2Seq`: those of the largest sub-network."""
    largest = _shapes(space, space.largest)
    table = largest["source_embedding.weight"]
    return {"embedding": table} | {name: shape for name, shape in largest.items() if not _is_table(name)}


def cut(space: Space, architecture: Transformer, state: Mapping[str, NDArray[Any]]) -> Weights:
    """Return the weights of one sub-network: the first rows and columns of each shared weight, as views.

    Args:
        space: the space of the weights.
        architecture: the sub-network.
        state: the shared weights, shaped as `shapes` says.
    """
    arrays = {}
    for name, shape in _shapes(space, architecture).items():
        shared = state["embedding" if _is_table(name) else name]
        arrays[name] = shared[tuple(slice(size) for size in shape)]
    return Weights(space=space, architecture=architecture, arrays=arrays)


def positions(length: int, width: int) -> NDArray[np.float32]:
    """Return the sinusoids of positions, (length, width), sine and cosine in turns ("Attention is all you need").

    The first columns of a wider table are those of a narrower one only if both are cut from the widest: they turn
    fastest, so what a narrow network lacks are columns that hardly move within a sentence.
    """
    rate = np.exp(np.arange(0, width, 2, dtype=np.float32) * np.float32(-math.log(10000.0) / width))
    angle = np.arange(length, dtype=np.float32)[:, None] * rate
    return np.stack((np.sin(angle), np.cos(angle)), axis=2).reshape(length, width)


def _is_table(name: str) -> bool:
    """Return True for the embeddings, which are one table in the shared weights."""
    return name.endswith("_embedding.weight")


def _shapes(space: Space, architecture: Transformer) -> Shapes:
    """Return the shape of each weight of a sub-network, by the names of `StaticSeq2Seq`."""
    outer, inner = architecture.encoder_width, architecture.decoder_width
    found: Shapes = {
        "source_embedding.weight": (space.vocabulary, outer),
        "target_embedding.weight": (space.vocabulary, inner),
    }
    for layer, (ffn, heads) in enumerate(zip(architecture.encoder_ffn, architecture.encoder_heads, strict=True)):
        name = f"encoder.{layer}"
        found |= _norm(f"{name}.attention_norm", outer) | _norm(f"{name}.ffn_norm", outer)
        found |= _attention(f"{name}.attention", outer, outer, space.attention(heads)[0])
        found |= _feed_forward(f"{name}.ffn", outer, ffn)
    for layer in range(architecture.decoder_layers):
        name = f"decoder.{layer}"
        own, cross = (
            space.attention(heads[layer])[0] for heads in (architecture.decoder_heads, architecture.cross_heads)
        )
        for norm in ("attention_norm", "cross_norm", "ffn_norm"):
            found |= _norm(f"{name}.{norm}", inner)
        found |= _attention(f"{name}.attention", inner, inner, own)
        found |= _attention(f"{name}.cross", inner, outer, cross)
        found |= _feed_forward(f"{name}.ffn", inner, architecture.decoder_ffn[layer])
    return found | _norm("encoder_norm", outer) | _norm("decoder_norm", inner)


def _attention(name: str, width: int, memory_width: int, total: int) -> Shapes:
    """Return the shapes of an attention whose heads are `total` wide together."""
    return {
        **_linear(f"{name}.query", width, total),
        **_linear(f"{name}.key", memory_width, total),
        **_linear(f"{name}.value", memory_width, total),
        **_linear(f"{name}.out", total, width),
    }


def _feed_forward(name: str, width: int, ffn: int) -> Shapes:
    return _linear(f"{name}.inner", width, ffn) | _linear(f"{name}.outer", ffn, width)


def _linear(name: str, before: int, after: int) -> Shapes:
    return {f"{name}.weight": (after, before), f"{name}.bias": (after,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
