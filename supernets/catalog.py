"""The supernets that are built in, by name. Knows no torch."""

from __future__ import annotations

from supernets import plates
from supernets.space import Space, Stage

OFA_PLATES = Space(
    name="ofa-plates",
    in_channels=1,
    aspect=plates.WIDTH // plates.HEIGHT,
    stem_width=24,
    first_width=24,
    stages=(
        Stage(width=32, stride=2, squeeze_excite=False, activation="relu"),
        Stage(width=56, stride=2, squeeze_excite=True, activation="hard_swish"),
        Stage(width=96, stride=1, squeeze_excite=True, activation="hard_swish"),
    ),
    final_expand=128,
    cells=8,
    feature_mix=64,
    classes=plates.LENGTH * len(plates.ALPHABET),
    kernels=(3, 5),
    expands=(2, 3, 4),
    depths=(1, 2, 3),
    resolutions=(16, 24, 32, 40, 48),
)

SPACES = {OFA_PLATES.name: OFA_PLATES}
