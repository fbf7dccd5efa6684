"""The supernets that are built in, by name, and how each is opened. Knows no torch."""

from __future__ import annotations

from pathlib import Path

from supernets import published, static
from supernets.errors import SupernetError, known_options
from supernets.ofa.elastic import ElasticSupernet
from supernets.ofa.space import Space, Stage, make_divisible
from supernets.pictures import plates
from supernets.slimmable.space import SPACES as SLIMMABLE_SPACES
from supernets.slimmable.supernet import SlimmableSupernet
from supernets.supernet import Supernet

_SHIPPED = Path(__file__).parent / "weights"

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


def _once_for_all(name: str, width: float) -> Space:
    """Once-for-all MobileNetV3 at a width multiplier.

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


def names() -> tuple[str, ...]:
    """The supernets that are built in."""
    return (*SPACES, *SLIMMABLE_SPACES, static.TORCHVISION, static.ONCE_FOR_ALL)


def check_name(name: str) -> None:
    """Checks a supernet's name, with or without a ladder's behind a colon.

    Raises:
        SupernetError: if it is unknown.
    """
    supernet = name.partition(":")[0]
    if supernet not in names():
        raise SupernetError(f"supernet {supernet!r} is unknown. {known_options(supernet, names())}")


def task_of(name: str) -> str:
    """What the sub-networks of a supernet do, one of `supernets.pictures.sources.TASKS`; the name as for `load`."""
    check_name(name)
    space = SPACES.get(name.partition(":")[0])
    return space.task if space is not None else "imagenet"


def load(name: str, weights: str | Path | None = None, ladder: str | Path | None = None) -> Supernet:
    """Opens a supernet.

    Args:
        name: one of `names()`, or `NAME:LADDER`.
        weights: a state dict, bare or under `state_dict` or `model`, as `.safetensors` or as a `.pth` without code;
            None takes the shipped weights, or random ones where none are shipped (`Supernet.weights_source` says
            which).
        ladder: a published set (`gpu6`, `gpu7`), a static network (`small`, `large`, or a published sub-network's
            identifier), or a ladder file; None takes what the weights bring, else the supernet's own.

    Raises:
        SupernetError: for an unknown name, or files that can't be read or don't fit.
    """
    check_name(name)
    supernet, _, behind_colon = name.partition(":")
    shipped = _SHIPPED / f"{supernet}.safetensors"
    file = Path(weights) if weights is not None else shipped if shipped.exists() else None
    source = "given" if weights is not None else "shipped"
    chosen, ladder_file = _ladder(supernet, ladder if ladder is not None else behind_colon or None)
    if supernet in SLIMMABLE_SPACES:
        return SlimmableSupernet(SLIMMABLE_SPACES[supernet], file, source, ladder_file)
    if supernet == static.TORCHVISION:
        return static.TorchvisionMobileNetV3(file, source, ladder_file, chosen)
    if supernet == static.ONCE_FOR_ALL:
        return static.StaticOnceForAll(OFA_MBV3_W12, file, source, ladder_file, chosen)
    return ElasticSupernet(SPACES[supernet], file, source, ladder_file, chosen)


def _named_ladders(supernet: str) -> tuple[str, ...]:
    """Ladders of a supernet that have a name: published sets, or for a static network which one it is."""
    if supernet == static.TORCHVISION:
        return static.torchvision_networks()
    if supernet == static.ONCE_FOR_ALL:
        return tuple(static.once_for_all_rungs(OFA_MBV3_W12))
    return tuple(name for name, ladder in published.ladders().items() if ladder.supernet == supernet)


def _ladder(supernet: str, ladder: str | Path | None) -> tuple[str | None, Path | None]:
    """The named ladder and the ladder file that are asked for."""
    if ladder is None:
        return None, None
    known = _named_ladders(supernet)
    if ladder in known:
        return str(ladder), None
    if Path(ladder).is_file():
        return None, Path(ladder)
    mend = known_options(str(ladder), known) if known else f"None is published for {supernet}"
    raise SupernetError(
        f"ladder {str(ladder)!r} is neither a file, as `gearshift ladder` writes it, nor a published set. {mend}"
    )
