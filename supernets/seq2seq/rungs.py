"""The sub-networks of a space that a user chooses from. Knows no torch and no weights."""

from __future__ import annotations

from dataclasses import replace

from supernets.seq2seq.space import Space, Transformer


def ladder(space: Space) -> dict[str, Transformer]:
    """Return sub-networks between the space's ends, by identifier, smallest first, with layers all alike.

    Both widths grow together, and heads with them. All but the smallest have two decoder layers at least. Wider
    feed-forward parts alone gained nothing in the shipped weights (chrF on the validation part), so they come with the
    last decoder layer.
    """

    def point(width: int, ffn: int, layers: int) -> Transformer:
        heads = space.heads[max(0, space.widths.index(width) - len(space.widths) + len(space.heads))]
        return space.canonical(
            replace(
                space.largest,
                encoder_width=width,
                decoder_width=width,
                encoder_ffn=(ffn,) * space.encoder_layers,
                decoder_ffn=(ffn,) * space.max_decoder_layers,
                encoder_heads=(heads,) * space.encoder_layers,
                decoder_heads=(heads,) * space.max_decoder_layers,
                cross_heads=(heads,) * space.max_decoder_layers,
                decoder_layers=layers,
            )
        )

    ffns, layers = space.ffns, space.decoder_layers
    points = [point(space.widths[0], ffns[0], layers[0])]
    points += [point(width, ffns[1], layers[1]) for width in space.widths]
    return {space.id(architecture): architecture for architecture in (*points, space.largest)}
