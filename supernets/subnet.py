"""A sub-network as a user sees it: an identifier, knobs, cost and accuracy. Knows no torch and no family."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Knobs:
    """The settings that tell a sub-network from the others of its supernet.

    Each family of supernets has a subclass of its own, a frozen dataclass whose fields can be written as JSON.
    """


@dataclass(frozen=True, slots=True)
class Fixed(Knobs):
    """The knobs of a network that comes from a list: its name there."""

    network: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SubNet:
    """A sub-network, and the resolution of the pictures that it takes.

    Attributes:
        id: identifier, unique in its supernet.
        knobs: the settings that tell it from the others.
        resolution: input height in pixels; None where inputs are no pictures.
        macs_m: 10⁶ multiply-accumulates of one inference; of networks of sequences, of a sentence of 20 sub-words
            translated into 20.
        accuracy: the task's metric as a fraction (0 to 1), such as top-1 or exact match; None where it is not known.
        accuracy_source: `measured`, `predicted`, `published` or `unknown`.
        precision: number format that it computes in, one of `supernets.artifact.PRECISIONS`; `accuracy` is at that
            precision.
    """

    id: str
    knobs: Knobs
    resolution: int | None
    macs_m: float
    accuracy: float | None
    accuracy_source: str
    precision: str = "float32"


def at_precision(subnet: SubNet, precision: str) -> SubNet:
    """Return the sub-network at another precision, with an identifier of its own and its accuracy not known.

    `r48-9.3m-1a2b` in bfloat16 is for example `r48-9.3m-1a2b-bfloat16`.
    """
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
