"""Published figures that come with gearshift, each with its source and how it was read. Knows no torch.

Others published every figure of this module, or it was read off their plots; gearshift measured none of them.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from supernets.ofa.space import Architecture

_DATA = Path(__file__).parent / "published"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRung:
    """One sub-network of a published Dynamic-OFA set.

    Attributes:
        knobs: its architecture.
        resolution: input height in pixels.
        top1: ImageNet top-1 accuracy as a fraction.
        latency_ms: latency on Jetson Xavier NX's GPU, as stored with the set.
        figure_latency_ms: that latency as plotted in the comparison figure (digitised, ±0.4 ms); None where the figure
            does not have it.
    """

    knobs: Architecture
    resolution: int
    top1: float
    latency_ms: float
    figure_latency_ms: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedLadder:
    """A published Dynamic-OFA set, smallest first.

    Attributes:
        supernet: name of the supernet that the sub-networks belong to.
        source: publication that the set is from.
        rungs: its sub-networks.
    """

    supernet: str
    source: str
    rungs: tuple[PublishedRung, ...]


DEFAULT_LADDERS = {"ofa-mbv3-w1.2": "gpu6"}
"""The published set that is a supernet's ladder where no file brings one."""


@cache
def ladders() -> dict[str, PublishedLadder]:
    """Return the published Dynamic-OFA sets by name: `gpu6` and `gpu7`, both of Once-for-all MobileNetV3 w1.2."""
    content = json.loads((_DATA / "dynamic_ofa_subnets.json").read_text())
    return {
        name: PublishedLadder(
            supernet="ofa-mbv3-w1.2",
            source=content["source"],
            rungs=tuple(_rung(rung) for rung in rungs),
        )
        for name, rungs in content["sets"].items()
    }


def sets_of(supernet: str) -> tuple[str, ...]:
    """Return the names of the published sets of a supernet; none for a supernet without one."""
    return tuple(name for name, ladder in ladders().items() if ladder.supernet == supernet)


def _rung(rung: dict[str, object]) -> PublishedRung:
    def ints(key: str) -> tuple[int, ...]:
        values = rung[key]
        assert isinstance(values, list)
        return tuple(int(value) for value in values)

    def figure(key: str) -> float | None:
        value = rung.get(key)
        assert value is None or isinstance(value, int | float)
        return value

    top1, latency_ms, resolution = figure("top1"), figure("latency_ms"), rung["resolution"]
    assert top1 is not None
    assert latency_ms is not None
    assert isinstance(resolution, int)
    return PublishedRung(
        knobs=Architecture(kernel=ints("kernel"), expand=ints("expand"), depth=ints("depth")),
        resolution=resolution,
        top1=round(top1 / 100, 5),
        latency_ms=latency_ms,
        figure_latency_ms=figure("figure_latency_ms"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class XavierPoint:
    """One point of the published comparison of dynamic networks on Jetson Xavier NX (digitised).

    Attributes:
        system: name of the dynamic network.
        device: `cpu` or `gpu`.
        latency_ms: latency read off the figure, ±10 ms on the CPU and ±0.4 ms on the GPU.
        top1: ImageNet top-1 accuracy as a fraction, ±0.001.
    """

    system: str
    device: str
    latency_ms: float
    top1: float


@cache
def xavier_points() -> tuple[XavierPoint, ...]:
    """Return all points of the comparison, in the order of the figure."""
    return tuple(
        XavierPoint(
            system=row["system"],
            device=row["device"],
            latency_ms=float(row["latency_ms"]),
            top1=round(float(row["top1_percent"]) / 100, 5),
        )
        for row in _rows("xavier_nx_dynamic_dnns.csv")
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class WidthPoint:
    """Published cost and accuracy of one width of a slimmable family.

    Attributes:
        family: name of the family, such as `US-MBv1`.
        width: width multiplier; None for AutoSlim, which has a width for each layer.
        macs_m: 10⁶ multiply-accumulates at 224 px.
        top1: ImageNet top-1 accuracy as a fraction.
    """

    family: str
    width: float | None
    macs_m: float
    top1: float


@cache
def width_points() -> tuple[WidthPoint, ...]:
    """Return the points of slimmable networks, US-Nets and AutoSlim (README of the slimmable_networks repository)."""
    return tuple(
        WidthPoint(
            family=row["family"],
            width=float(row["width"]) if row["width"] else None,
            macs_m=float(row["macs_m"]),
            top1=round(float(row["top1_percent"]) / 100, 5),
        )
        for row in _rows("slimmable_macs.csv")
    )


@cache
def autoslim_channels() -> dict[str, tuple[tuple[int, ...], ...]]:
    """Return the output channels of every layer of the AutoSlim networks by family, smallest network first.

    A network's channels, from input to output: the stem; of each block its depthwise convolution, where that width is
    free, and its output; the last convolution (MobileNet V1 has none); the classes. The family's name is that of
    `WidthPoint.family`.

    Source: `channel_num_list` of the slimmable_networks repository's `apps/autoslim_*_train_val.yml`; its comment
    gives the largest MnasNet 539 M MACs, its README 532 M, and 532 M is what these numbers come to.
    """
    families = json.loads((_DATA / "autoslim_channels.json").read_text())["families"]
    return {family: tuple(tuple(network) for network in networks) for family, networks in families.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticPoint:
    """A static network of a library, with its published accuracy.

    Attributes:
        network: the library's name of the network.
        weights: the library's name of the weights that have this accuracy.
        macs_m: 10⁶ multiply-accumulates at 224 px, counted on the network.
        top1: ImageNet top-1 accuracy as a fraction, as the library publishes it.
    """

    network: str
    weights: str
    macs_m: float
    top1: float


@cache
def torchvision_points() -> tuple[StaticPoint, ...]:
    """Return torchvision's MobileNetV3s with default weights (`MobileNet_V3_{Small,Large}_Weights.DEFAULT`, 0.29)."""
    return tuple(
        StaticPoint(
            network=row["network"],
            weights=row["weights"],
            macs_m=float(row["macs_m"]),
            top1=round(float(row["top1_percent"]) / 100, 5),
        )
        for row in _rows("torchvision_mobilenet_v3.csv")
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class HatPoint:
    """One SubTransformer of HAT, trained from scratch for one piece of hardware.

    Attributes:
        task: data set and languages, such as `WMT'14 En-De`.
        hardware: what it was searched for and timed on.
        latency_ms: time for a source and an output of `HAT_WORDS` sub-words (23 for IWSLT), the mean lengths there.
        sacrebleu: BLEU of the test set by sacrebleu, whose signature is not published.
    """

    task: str
    hardware: str
    latency_ms: float
    sacrebleu: float


HAT_WORDS = 30
"""Sub-words of the source, and of the output, with which HAT times networks for WMT (train.py of its repository)."""


@cache
def hat_points() -> tuple[HatPoint, ...]:
    """Return the published SubTransformers of HAT, fastest first on each hardware.

    Source: the table "Testing" in the README of the hardware-aware-transformers repository (Wang et al., ACL 2020). It
    names the Raspberry Pi for the five of WMT'14 En-Fr from 69.3 ms on; their files are called titanxp, and so are they
    here.
    """
    return tuple(
        HatPoint(
            task=row["task"],
            hardware=row["hardware"],
            latency_ms=float(row["latency_ms"]),
            sacrebleu=float(row["sacrebleu"]),
        )
        for row in _rows("hat_subtransformers.csv")
    )


DYNAMIC_HAT_MS = {"CPU": (2900.0, 7310.0), "GPU": (356.0, 1526.0)}
"""Range of latency of Dynamic-HAT's sub-networks on Jetson Nano, in its reduced space (arXiv 2107.08199, abstract)."""

DYNAMIC_HAT_SWITCH_MS = 1000.0
"""Dynamic-HAT changes its sub-network in less than this on Jetson Nano (same abstract)."""

DYNAMIC_HAT_LOSS = 0.015
"""Share of BLEU that its sub-networks lose with inherited weights, at most, against ones that are trained again.

The abstract says "<1.5%", and not whether these are per cent of the score."""


def _rows(file: str) -> list[dict[str, str]]:
    with open(_DATA / file, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
