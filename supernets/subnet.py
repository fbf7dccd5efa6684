"""One sub-network as a user sees it, and the knobs that tell it from others of its supernet. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A sub-network of an elastic MobileNetV3: kernel and expansion of every block, depth of every stage.

    Entries of blocks beyond a stage's depth are ignored; `Space.canonical` sets them to the smallest option, so that
    equal networks compare equal.
    """

    kernel: tuple[int, ...]
    expand: tuple[int, ...]
    depth: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Width:
    """A sub-network of a slimmable network: the share of each layer's channels that it uses."""

    multiplier: float


@dataclass(frozen=True, slots=True)
class Fixed:
    """A static network: there is nothing to choose but which network it is."""

    network: str


Knobs: TypeAlias = Architecture | Width | Fixed


@dataclass(frozen=True, kw_only=True, slots=True)
class SubNet:
    """A sub-network at a resolution.

    Attributes:
        id: unique in its supernet.
        knobs: what tells it from the others.
        resolution: input height in pixels.
        macs_m: multiply-accumulates of one inference, 10⁶.
        accuracy: top-1 or exact match as a fraction; None where it is not known.
        accuracy_source: `measured`, `predicted`, `published` or `unknown`.
        precision: what it computes in, one of `supernets.artifact.PRECISIONS`; its accuracy is at that precision.
    """

    id: str
    knobs: Knobs
    resolution: int
    macs_m: float
    accuracy: float | None
    accuracy_source: str
    precision: str = "float32"


def at_precision(subnet: SubNet, precision: str) -> SubNet:
    """The sub-network computing in that precision, with an identifier of its own; its accuracy there is not known."""
    if precision == subnet.precision:
        return subnet
    float32_id = subnet.id.removesuffix(f"-{subnet.precision}")
    return replace(
        subnet,
        id=float32_id if precision == "float32" else f"{float32_id}-{precision}",
        precision=precision,
        accuracy=None,
        accuracy_source="unknown",
    )
