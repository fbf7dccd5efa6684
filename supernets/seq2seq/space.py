"""The design space of an elastic encoder-decoder transformer: its sub-networks, and the cost of each.

Source of the structure: Wang et al., "HAT: Hardware-Aware Transformers" (arXiv 2005.14187); `HAT_WMT14` is its space
for WMT'14 English-German, `TRANSLATOR` a smaller one. Knows no torch and no weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from supernets.subnet import Knobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Transformer(Knobs):
    """The knobs of an elastic encoder-decoder transformer.

    Tuples have an entry for each layer of the deepest network, from input to output. Entries of decoder layers beyond
    `decoder_layers` are ignored; `Space.canonical` sets them to the smallest option.

    Attributes:
        encoder_width: width of the encoder's embedding and of what its layers hand on.
        decoder_width: the same of the decoder.
        encoder_ffn: inner width of each encoder layer's feed-forward part.
        decoder_ffn: the same of each decoder layer.
        encoder_heads: attention heads of each encoder layer.
        decoder_heads: self-attention heads of each decoder layer.
        cross_heads: heads of each decoder layer's attention to the encoder.
        cross_layers: number of last encoder layers whose outputs each decoder layer attends to, side by side; HAT
            writes -1, 1 and 2 for 1, 2 and 3.
        decoder_layers: number of decoder layers.
    """

    encoder_width: int
    decoder_width: int
    encoder_ffn: tuple[int, ...]
    decoder_ffn: tuple[int, ...]
    encoder_heads: tuple[int, ...]
    decoder_heads: tuple[int, ...]
    cross_heads: tuple[int, ...]
    cross_layers: tuple[int, ...]
    decoder_layers: int


_OF_DECODER = ("decoder_ffn", "decoder_heads", "cross_heads", "cross_layers")
_OF_ENCODER = ("encoder_ffn", "encoder_heads")


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """The description of one elastic encoder-decoder transformer: its fixed sizes, and the options of its knobs.

    Attributes:
        name: name of the supernet.
        vocabulary: number of sub-words, of both languages together.
        longest: most sub-words of a sentence, its end included.
        encoder_layers: number of encoder layers, which is fixed.
        head_width: width of an attention head. None as in HAT, where `attention_width` is shared out among the heads,
            so that their number changes what is computed but not how much.
        attention_width: width of all heads together, at the most.
        widths: options of the encoder's width and of the decoder's, smallest first.
        ffns: options of a layer's feed-forward width, smallest first.
        heads: options of an attention's heads, smallest first.
        cross_layers: options of the encoder layers that a decoder layer attends to, smallest first.
        decoder_layers: options of the number of decoder layers, smallest first.
    """

    name: str
    vocabulary: int
    longest: int
    encoder_layers: int
    head_width: int | None
    attention_width: int
    widths: tuple[int, ...]
    ffns: tuple[int, ...]
    heads: tuple[int, ...]
    cross_layers: tuple[int, ...]
    decoder_layers: tuple[int, ...]

    @property
    def max_decoder_layers(self) -> int:
        """The number of decoder layers of the deepest network."""
        return self.decoder_layers[-1]

    @property
    def largest(self) -> Transformer:
        """The architecture with every knob at its largest option, and the last encoder layer alone attended to.

        To attend to more of the encoder is another way to wire a network, not a larger one: HAT finds uses for each.
        """
        return self._uniform(-1)

    @property
    def smallest(self) -> Transformer:
        """The architecture with every knob at its smallest option."""
        return self._uniform(0)

    def _uniform(self, option: int) -> Transformer:
        return self.canonical(
            Transformer(
                encoder_width=self.widths[option],
                decoder_width=self.widths[option],
                encoder_ffn=(self.ffns[option],) * self.encoder_layers,
                decoder_ffn=(self.ffns[option],) * self.max_decoder_layers,
                encoder_heads=(self.heads[option],) * self.encoder_layers,
                decoder_heads=(self.heads[option],) * self.max_decoder_layers,
                cross_heads=(self.heads[option],) * self.max_decoder_layers,
                cross_layers=(self.cross_layers[0],) * self.max_decoder_layers,
                decoder_layers=self.decoder_layers[option],
            )
        )

    def random(self, rng: np.random.Generator) -> Transformer:
        """Return an architecture with every knob drawn uniformly."""

        def drawn(options: Sequence[int], count: int) -> tuple[int, ...]:
            return tuple(int(option) for option in rng.choice(options, count))

        return self.canonical(
            Transformer(
                encoder_width=drawn(self.widths, 1)[0],
                decoder_width=drawn(self.widths, 1)[0],
                encoder_ffn=drawn(self.ffns, self.encoder_layers),
                decoder_ffn=drawn(self.ffns, self.max_decoder_layers),
                encoder_heads=drawn(self.heads, self.encoder_layers),
                decoder_heads=drawn(self.heads, self.max_decoder_layers),
                cross_heads=drawn(self.heads, self.max_decoder_layers),
                cross_layers=drawn(self.cross_layers, self.max_decoder_layers),
                decoder_layers=drawn(self.decoder_layers, 1)[0],
            )
        )

    def canonical(self, architecture: Transformer) -> Transformer:
        """Return the same network with the entries of unused decoder layers at the smallest option."""
        used, unused = architecture.decoder_layers, self.max_decoder_layers - architecture.decoder_layers
        return replace(
            architecture,
            decoder_ffn=architecture.decoder_ffn[:used] + self.ffns[:1] * unused,
            decoder_heads=architecture.decoder_heads[:used] + self.heads[:1] * unused,
            cross_heads=architecture.cross_heads[:used] + self.heads[:1] * unused,
            cross_layers=architecture.cross_layers[:used] + self.cross_layers[:1] * unused,
        )

    def _options(self, knob: str) -> tuple[int, ...]:
        if knob in ("cross_layers", "decoder_layers"):
            options: tuple[int, ...] = getattr(self, knob)
            return options
        return {"width": self.widths, "ffn": self.ffns, "heads": self.heads}[knob.rpartition("_")[2]]

    def check(self, architecture: Transformer) -> None:
        """Refuse a point outside the space.

        Raises:
            ValueError: naming the knob, the value and what is allowed.
        """
        for knob in (field.name for field in fields(architecture)):
            value = getattr(architecture, knob)
            values: tuple[int, ...] = value if isinstance(value, tuple) else (value,)
            layers = {_OF_ENCODER: self.encoder_layers, _OF_DECODER: self.max_decoder_layers}
            length = next((count for knobs, count in layers.items() if knob in knobs), 1)
            if len(values) != length:
                raise ValueError(f"{knob} of {self.name} takes {length} values, not {len(values)}")
            for each in values:
                if each not in self._options(knob):
                    raise ValueError(
                        f"{knob} {each!r} is not in the space of {self.name}; take one of {self._options(knob)}"
                    )

    def attention(self, heads: int) -> tuple[int, int]:
        """Return the width of all heads together and of each, for a number of heads."""
        if self.head_width is None:
            return self.attention_width, self.attention_width // heads
        return heads * self.head_width, self.head_width

    def id(self, architecture: Transformer) -> str:
        """Return the identifier of a sub-network, such as `e256-d128x2-9.3m-1a2b`.

        It names the encoder's width, the decoder's width and layers, 10⁶ multiply-accumulates for 20 sub-words made of
        20, and four digits of a hash of all knobs.

        Raises:
            ValueError: for a point outside the space.
        """
        self.check(architecture)
        architecture = self.canonical(architecture)
        tag = hashlib.sha256(repr(architecture).encode()).hexdigest()[:4]
        macs_m = self.macs(architecture, 20, 20) / 1e6
        sizes = f"e{architecture.encoder_width}-d{architecture.decoder_width}x{architecture.decoder_layers}"
        return f"{sizes}-{macs_m:.3g}m-{tag}"

    def macs(self, architecture: Transformer, source: int, target: int) -> int:
        """Return the multiply-accumulates of one sentence: products with weights, and those of attention.

        The decoder runs sub-word by sub-word, each attending to those before it.

        Args:
            architecture: the knobs.
            source: sub-words of the sentence, its end included.
            target: sub-words that are made, the end included.
        """
        outer, inner = architecture.encoder_width, architecture.decoder_width
        total = 0
        for ffn, heads in zip(architecture.encoder_ffn, architecture.encoder_heads, strict=True):
            width, _ = self.attention(heads)
            total += source * outer * (4 * width + 2 * ffn) + 2 * source * source * width
        for layer in range(architecture.decoder_layers):
            own, _ = self.attention(architecture.decoder_heads[layer])
            cross, _ = self.attention(architecture.cross_heads[layer])
            memory = source * architecture.cross_layers[layer]
            total += memory * outer * 2 * cross
            total += target * inner * (4 * own + 2 * cross + 2 * architecture.decoder_ffn[layer])
            total += target * (target + 1) * own + 2 * target * memory * cross
        return total + target * inner * self.vocabulary


HAT_WMT14 = Space(
    name="hat-wmt14-en-de",
    vocabulary=32768,
    longest=128,
    encoder_layers=6,
    head_width=None,
    attention_width=512,
    widths=(512, 640),
    ffns=(1024, 2048, 3072),
    heads=(4, 8),
    cross_layers=(1, 2, 3),
    decoder_layers=(1, 2, 3, 4, 5, 6),
)
"""HAT's space for WMT'14 English-German: its file configs/wmt14.en-de/supertransformer/space0.yml. The size of the
vocabulary comes with its data: 32,768 is assumed."""

TRANSLATOR = Space(
    name="translator-en-de",
    vocabulary=4000,
    longest=128,
    encoder_layers=3,
    head_width=64,
    attention_width=256,
    widths=(96, 128, 192, 256),
    ffns=(256, 512, 1024),
    heads=(2, 3, 4),
    cross_layers=(1,),
    decoder_layers=(1, 2, 3),
)
"""The space of the shipped translator. Small, since a small space trained well beats a large one (Dynamic-HAT, arXiv
2107.08199), and since 48,000 pairs fill no larger one."""
