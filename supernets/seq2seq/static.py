"""One sub-network of an elastic transformer, of standard layers with weights of their own.

It is what is evaluated, exported and served. A sentence is encoded once; then each step makes the scores of the next
sub-word out of the last one and a cache. It shares no code with `elastic.py` but the table of positions, so that each
can check the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from supernets.seq2seq.cut import positions
from supernets.seq2seq.lengths import CAPACITIES
from supernets.seq2seq.space import Space, Transformer
from supernets.seq2seq.vocabulary import PAD


@dataclass(frozen=True, slots=True)
class Memory:
    """Encoded sentences as a decoder attends to them, for each of its layers.

    Attributes:
        keys: (n, heads, s, width) for each layer.
        values: of the same shapes.
        seen: (n, 1, 1, s), True where there is a sub-word.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    seen: tuple[Tensor, ...]

    def rows(self, chosen: Tensor) -> Memory:
        """Return the memory of the sentences with these numbers."""
        parts = (self.keys, self.values, self.seen)
        return Memory(*(tuple(tensor.index_select(0, chosen) for tensor in part) for part in parts))


class Cache:
    """The keys and values of the sub-words made so far, written in place.

    Room is one of `CAPACITIES`; a full cache moves to the next one.

    Args:
        shapes: (heads, width) of each decoder layer.
        rows: number of sentences.

    Attributes:
        length: sub-words in it.
        keys: (rows, heads, capacity, width) for each layer.
        values: of the same shapes.
    """

    def __init__(self, shapes: tuple[tuple[int, int], ...], rows: int) -> None:
        self.length = 0
        self.keys, self.values = (
            [torch.zeros(rows, heads, CAPACITIES[0], width) for heads, width in shapes] for _ in range(2)
        )

    @property
    def capacity(self) -> int:
        """The number of sub-words that it has room for."""
        return self.keys[0].shape[2]

    def make_room(self) -> None:
        """Make room for one more sub-word."""
        if self.length < self.capacity:
            return
        larger = next(capacity for capacity in CAPACITIES if capacity > self.capacity)
        for tensors in (self.keys, self.values):
            for layer, old in enumerate(tensors):
                tensors[layer] = old.new_zeros(*old.shape[:2], larger, old.shape[3])
                tensors[layer][:, :, : self.length] = old

    def reorder(self, rows: Tensor) -> None:
        """Let each row go on from another one's sub-words."""
        for tensors in (self.keys, self.values):
            for tensor in tensors:
                tensor[:, :, : self.length] = tensor[rows, :, : self.length]


class Attention(nn.Module):
    """Multi-head attention of fixed sizes."""

    def __init__(self, in_width: int, memory_width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads, self.head_width = heads, head_width
        self.query = nn.Linear(in_width, heads * head_width)
        self.key = nn.Linear(memory_width, heads * head_width)
        self.value = nn.Linear(memory_width, heads * head_width)
        self.out = nn.Linear(heads * head_width, in_width)

    def split(self, x: Tensor) -> Tensor:
        """Return x (n, t, heads · width) as (n, heads, t, width)."""
        return x.view(x.shape[0], x.shape[1], self.heads, self.head_width).transpose(1, 2)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, seen: Tensor | None) -> Tensor:
        """Return what x (n, t, c) finds in keys and values (n, heads, s, width), where seen is True; None: all."""
        scores = self.split(self.query(x)) @ keys.transpose(2, 3) / math.sqrt(self.head_width)
        if seen is not None:
            scores = scores.masked_fill(~seen, -math.inf)
        found = scores.softmax(dim=3) @ values
        return cast(Tensor, self.out(found.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1)))


def _feed_forward(width: int, ffn: int) -> nn.ModuleDict:
    return nn.ModuleDict({"inner": nn.Linear(width, ffn), "outer": nn.Linear(ffn, width)})


class EncoderLayer(nn.Module):
    """A layer of the encoder."""

    def __init__(self, width: int, ffn: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, width, heads, head_width)
        self.ffn = _feed_forward(width, ffn)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Map x (n, s, c) to its shape."""
        y, own = self.attention_norm(x), self.attention
        x = x + own(y, own.split(own.key(y)), own.split(own.value(y)), seen)
        return cast(Tensor, x + self.ffn["outer"](self.ffn["inner"](self.ffn_norm(x)).relu()))


class DecoderLayer(nn.Module):
    """A layer of the decoder."""

    def __init__(self, width: int, memory_width: int, ffn: int, own: tuple[int, int], cross: tuple[int, int]) -> None:
        super().__init__()
        self.attention_norm, self.cross_norm, self.ffn_norm = (nn.LayerNorm(width) for _ in range(3))
        self.attention = Attention(width, width, *own)
        self.cross = Attention(width, memory_width, *cross)
        self.ffn = _feed_forward(width, ffn)

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor, Tensor], cache: tuple[Tensor, Tensor]) -> Tensor:
        """Map the last sub-word's x (n, 1, c) to its shape, and write its key and value into the cache's last place.

        Args:
            x: the layer's input.
            memory: keys, values and where there are any, of the encoded sentence.
            cache: keys and values (n, heads, t, width) up to this sub-word.
        """
        y, own = self.attention_norm(x), self.attention
        keys, values = cache
        keys[:, :, -1:] = own.split(own.key(y))
        values[:, :, -1:] = own.split(own.value(y))
        x = x + own(y, keys, values, None)
        x = x + self.cross(self.cross_norm(x), *memory)
        return cast(Tensor, x + self.ffn["outer"](self.ffn["inner"](self.ffn_norm(x)).relu()))


class StaticSeq2Seq(nn.Module):
    """A transformer of fixed sizes.

    Args:
        space: the space that it is a point of.
        architecture: the point.
        state: state dict of the elastic network, of which it takes its part; None for weights at random.
    """

    def __init__(self, space: Space, architecture: Transformer, state: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.space, self.architecture = space, architecture
        outer, inner, layers = (
            architecture.encoder_width,
            architecture.decoder_width,
            range(architecture.decoder_layers),
        )
        self.source_embedding = nn.Embedding(space.vocabulary, outer)
        self.target_embedding = nn.Embedding(space.vocabulary, inner)
        self.own_shapes = tuple(_shape(space, architecture.decoder_heads[layer]) for layer in layers)
        cross_shapes = [_shape(space, architecture.cross_heads[layer]) for layer in layers]
        self.encoder = nn.ModuleList(
            EncoderLayer(outer, ffn, *_shape(space, heads))
            for ffn, heads in zip(architecture.encoder_ffn, architecture.encoder_heads, strict=True)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(inner, outer, architecture.decoder_ffn[layer], self.own_shapes[layer], cross_shapes[layer])
            for layer in layers
        )
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(outer), nn.LayerNorm(inner)
        table = torch.from_numpy(positions(space.longest, space.widths[-1]))
        self.register_buffer("positions", table, persistent=False)
        if state is not None:
            self._take(state)
        self.eval()

    @torch.no_grad()
    def _take(self, state: Mapping[str, Tensor]) -> None:
        """Copy the first rows and columns of each shared weight."""
        for name, own in self.named_parameters():
            shared = state["embedding" if name.endswith("_embedding.weight") else name]
            own.copy_(shared[tuple(slice(size) for size in own.shape)])

    @torch.no_grad()
    def encode(self, source: Tensor) -> Memory:
        """Return what the decoder attends to.

        Args:
            source: sub-words of the sentences, (n, s), padded with PAD at the end.
        """
        seen = (source != PAD)[:, None, None, :]
        width = self.architecture.encoder_width
        x = self.source_embedding(source) * math.sqrt(width) + self._at(slice(source.shape[1]), width)
        outputs = []
        for layer in self.encoder:
            x = layer(x, seen)
            outputs.append(self.encoder_norm(x))
        keys, values, masks = [], [], []
        for layer, count in zip(self.decoder, self.architecture.cross_layers, strict=False):
            cross = cast(DecoderLayer, layer).cross
            memory = torch.cat(outputs[-count:], dim=1)
            keys.append(cross.split(cross.key(memory)))
            values.append(cross.split(cross.value(memory)))
            masks.append(torch.cat([seen] * count, dim=3))
        return Memory(tuple(keys), tuple(values), tuple(masks))

    def cache(self, rows: int) -> Cache:
        """Return an empty cache for a number of sentences."""
        return Cache(self.own_shapes, rows)

    @torch.no_grad()
    def step(self, words: Tensor, memory: Memory, cache: Cache) -> Tensor:
        """Return the logits of the next sub-word, (n, vocabulary), and add the last one to the cache.

        Args:
            words: the last sub-word of each sentence, (n,).
            memory: the encoded sentences.
            cache: the sub-words before it.
        """
        cache.make_room()
        width, position = self.architecture.decoder_width, cache.length
        x = self.target_embedding(words[:, None]) * math.sqrt(width) + self._at(slice(position, position + 1), width)
        for index, layer in enumerate(self.decoder):
            seen = slice(position + 1)
            x = layer(
                x,
                (memory.keys[index], memory.values[index], memory.seen[index]),
                (cache.keys[index][:, :, seen], cache.values[index][:, :, seen]),
            )
        cache.length += 1
        return cast(Tensor, self.decoder_norm(x)[:, 0] @ self.target_embedding.weight.T)

    def _at(self, places: slice, width: int) -> Tensor:
        return cast(Tensor, self.positions)[places, :width]


def _shape(space: Space, heads: int) -> tuple[int, int]:
    """Return the number of heads and their width."""
    return heads, space.attention(heads)[1]
