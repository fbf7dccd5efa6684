"""The elastic transformer as torch modules: every sub-network of a `Space` out of one set of weights.

Each forward slices the shared weights: the first columns and rows of a matrix, the first heads, the first decoder
layers. `static.py` has one sub-network alone, with weights of its own; both use the same names.

Layers normalise their input (pre-norm), which trains without a long warm-up; HAT normalises the output. The embedding
is one table for both languages and for the output.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernets.seq2seq.cut import positions
from supernets.seq2seq.space import Space, Transformer
from supernets.seq2seq.vocabulary import PAD

Drop = Callable[[Tensor], Tensor]
"""A function that drops some of a tensor's channels in training, and none otherwise."""


def keep(x: Tensor) -> Tensor:
    """Drop nothing."""
    return x


class Dropout:
    """Dropout whose masks are cut at random places out of a table that is drawn once.

    To draw each mask anew took a seventh of a training step.

    Args:
        share: share of the entries that are dropped; the others grow, so that sums keep their means.
        seed: seed of the table.
        entries: size of the table, some times the largest tensor that is dropped from.
    """

    def __init__(self, share: float, seed: int, entries: int) -> None:
        drawn = torch.rand(entries, generator=torch.Generator().manual_seed(seed))
        self._table = (drawn >= share) / (1.0 - share)
        self.begin(seed)

    def begin(self, seed: int) -> None:
        """Let the places of the masks from here on depend on a seed."""
        self._places = np.random.default_rng(seed)

    def __call__(self, x: Tensor) -> Tensor:
        """Drop a share of the entries of x."""
        start = int(self._places.integers(len(self._table) - x.numel()))
        return x * self._table[start : start + x.numel()].view_as(x)


class ElasticLinear(nn.Linear):
    """A linear layer that uses its first columns, as many as the input has, and its first `out` rows."""

    def forward(self, x: Tensor, out: int) -> Tensor:  # type: ignore[override]
        """Map x (..., c) to (..., out)."""
        return F.linear(x, self.weight[:out, : x.shape[-1]], self.bias[:out])


class ElasticNorm(nn.LayerNorm):
    """Layer norm that uses as many of its first scales as the input is wide."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (..., c)."""
        width = x.shape[-1]
        return F.layer_norm(x, (width,), self.weight[:width], self.bias[:width], self.eps)


class ElasticAttention(nn.Module):
    """Attention with an elastic number of heads; query, key and value have a matrix each."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self.query = ElasticLinear(space.widths[-1], space.attention_width)
        self.key = ElasticLinear(space.widths[-1], space.attention_width)
        self.value = ElasticLinear(space.widths[-1], space.attention_width)
        self.out = ElasticLinear(space.attention_width, space.widths[-1])

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None, heads: int) -> Tensor:
        """Return what x (n, t, c) finds in memory (n, s, d), with c as wide as x.

        Args:
            x: what asks.
            memory: what is asked.
            mask: booleans that broadcast to (n, heads, t, s), True where t may see s; None: each sees itself and those
                before it.
            heads: number of heads.
        """
        total, width = self.space.attention(heads)
        query, key, value = (
            layer(y, total).unflatten(2, (heads, width)).transpose(1, 2)
            for layer, y in ((self.query, x), (self.key, memory), (self.value, memory))
        )
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        return cast(Tensor, self.out(found.transpose(1, 2).flatten(2), x.shape[2]))


class FeedForward(nn.Module):
    """The two linear layers of a block, with an elastic inner width."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.inner = ElasticLinear(space.widths[-1], space.ffns[-1])
        self.outer = ElasticLinear(space.ffns[-1], space.widths[-1])

    def forward(self, x: Tensor, ffn: int, drop: Drop) -> Tensor:
        """Map x (n, t, c) to its shape through `ffn` inner channels."""
        return cast(Tensor, self.outer(drop(F.relu(self.inner(x, ffn))), x.shape[2]))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each added to its input."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.attention_norm, self.ffn_norm = ElasticNorm(space.widths[-1]), ElasticNorm(space.widths[-1])
        self.attention = ElasticAttention(space)
        self.ffn = FeedForward(space)

    def forward(self, x: Tensor, mask: Tensor, heads: int, ffn: int, drop: Drop) -> Tensor:
        """Map x (n, s, c) to its shape."""
        y = self.attention_norm(x)
        x = x + drop(self.attention(y, y, mask, heads))
        return x + drop(self.ffn(self.ffn_norm(x), ffn, drop))


class DecoderLayer(nn.Module):
    """Self-attention, attention to the encoder, and feed-forward, each added to its input."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        width = space.widths[-1]
        self.attention_norm, self.cross_norm, self.ffn_norm = (ElasticNorm(width) for _ in range(3))
        self.attention = ElasticAttention(space)
        self.cross = ElasticAttention(space)
        self.ffn = FeedForward(space)

    def forward(
        self, x: Tensor, memory: Tensor, mask: Tensor, heads: int, cross_heads: int, ffn: int, drop: Drop
    ) -> Tensor:
        """Map x (n, t, c) to its shape, with what it finds in memory (n, s, d) where mask (n, 1, 1, s) is True."""
        y = self.attention_norm(x)
        x = x + drop(self.attention(y, y, None, heads))
        y = self.cross_norm(x)
        x = x + drop(self.cross(y, memory, mask, cross_heads))
        return x + drop(self.ffn(self.ffn_norm(x), ffn, drop))


class ElasticSeq2Seq(nn.Module):
    """An elastic encoder-decoder transformer.

    Args:
        space: its space.

    Attributes:
        embedding: (vocabulary, widest), the table for both inputs and for the output.
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        widest = space.widths[-1]
        self.embedding = nn.Parameter(torch.randn(space.vocabulary, widest) * widest**-0.5)
        self.encoder = nn.ModuleList(EncoderLayer(space) for _ in range(space.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(space) for _ in range(space.max_decoder_layers))
        self.encoder_norm, self.decoder_norm = ElasticNorm(widest), ElasticNorm(widest)
        self.register_buffer("positions", torch.from_numpy(positions(space.longest, widest)), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, source: Tensor, target: Tensor, architecture: Transformer, drop: Drop = keep) -> Tensor:
        """Return the logits of the sub-word after each of target, (n, t, vocabulary).

        Args:
            source: sub-words of the sentences, (n, s), padded with PAD at the end.
            target: sub-words of the translations from BEGIN on, (n, t).
            architecture: the sub-network.
            drop: drops channels, in training.
        """
        outputs, seen = self._encode(source, architecture, drop)
        x = drop(self._embed(target, architecture.decoder_width))
        for index in range(architecture.decoder_layers):
            count = architecture.cross_layers[index]
            x = self.decoder[index](
                x,
                torch.cat(outputs[-count:], dim=1) if count > 1 else outputs[-1],
                seen.repeat(1, 1, 1, count),
                architecture.decoder_heads[index],
                architecture.cross_heads[index],
                architecture.decoder_ffn[index],
                drop,
            )
        x = self.decoder_norm(x)
        return F.linear(x, self.embedding[:, : architecture.decoder_width])

    def _encode(self, source: Tensor, architecture: Transformer, drop: Drop) -> tuple[list[Tensor], Tensor]:
        """Return each layer's output, normalised, (n, s, c), and where there are sub-words, (n, 1, 1, s)."""
        seen = (source != PAD)[:, None, None, :]
        x = drop(self._embed(source, architecture.encoder_width))
        attended = max(architecture.cross_layers[: architecture.decoder_layers])
        outputs = []
        for index, layer in enumerate(self.encoder):
            x = layer(x, seen, architecture.encoder_heads[index], architecture.encoder_ffn[index], drop)
            if index >= len(self.encoder) - attended:
                outputs.append(self.encoder_norm(x))
        return outputs, seen

    def _embed(self, words: Tensor, width: int) -> Tensor:
        table = cast(Tensor, self.positions)
        x = F.embedding(words, self.embedding)[..., :width] * math.sqrt(width)
        return x + table[: words.shape[1], :width]
