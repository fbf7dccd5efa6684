"""The spaces of the Once-for-all supernets that are built in. Knows no torch and no weights."""

from __future__ import annotations

from supernets.ofa.space import Space, Stage, make_divisible
from supernets.pictures import plates

OFA_PLATES = Space(
    name="ofa-plates",
    task="plates",
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
"""A small reader of number plates; its weights are shipped."""


def _once_for_all(name: str, width: float) -> Space:
    """Return the space of Once-for-all MobileNetV3 at a width multiplier.

    Source: `OFAMobileNetV3` of github.com/mit-han-lab/once-for-all; resolutions from the paper (arXiv 1908.09791).
    """

    def wide(channels: int) -> int:
        return make_divisible(channels * width)

    return Space(
        name=name,
        task="imagenet",
        in_channels=3,
        aspect=1,
        stem_width=wide(16),
        first_width=wide(16),
        stages=(
            Stage(width=wide(24), stride=2, squeeze_excite=False, activation="relu"),
            Stage(width=wide(40), stride=2, squeeze_excite=True, activation="relu"),
            Stage(width=wide(80), stride=2, squeeze_excite=False, activation="hard_swish"),
            Stage(width=wide(112), stride=1, squeeze_excite=True, activation="hard_swish"),
            Stage(width=wide(160), stride=2, squeeze_excite=True, activation="hard_swish"),
        ),
        final_expand=wide(960),
        cells=1,
        feature_mix=wide(1280),
        classes=1000,
        kernels=(3, 5, 7),
        expands=(3, 4, 6),
        depths=(2, 3, 4),
        resolutions=tuple(range(128, 225, 4)),
    )


OFA_MBV3_W10 = _once_for_all("ofa-mbv3-w1.0", 1.0)
OFA_MBV3_W12 = _once_for_all("ofa-mbv3-w1.2", 1.2)

SPACES = {space.name: space for space in (OFA_PLATES, OFA_MBV3_W10, OFA_MBV3_W12)}
"""The built-in spaces by name."""
