"""Dynamic-OFA against other dynamic networks: points of latency and accuracy, and the figures that follow from them.

The published points are those of the comparison on Jetson Xavier NX (`supernets.published`); points measured on this
machine (`workloads.reproduce.dynamic_ofa_measured`) go through the same functions. Everything here is a pure function
of points.

Between two sub-networks Dynamic-OFA is interpolated linearly, because the paper's ratios need that. Beyond its smallest
and largest sub-network nothing is known, and the answer is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from supernets import published

OURS = "Dynamic-OFA"
RIVAL = "AutoSlim-MnasNet"
"""The dynamic network that gives the paper's figures (computed; the paper says only "other dynamic DNNs")."""

XAVIER_GPU, XAVIER_CPU, HOST = "xavier-nx-gpu", "xavier-nx-cpu", "host"

ClaimedQuantity = Literal["latency ratio", "top-1 gain"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One sub-network on one device: a row of the results.

    Attributes:
        system: the dynamic (or static) network that it belongs to.
        subnet: name of the sub-network; None if the source does not say.
        device: `XAVIER_GPU`, `XAVIER_CPU` or `HOST`.
        cores: number of cores and threads; None if the source does not say.
        latency_ms: latency of one inference, the median if it was measured.
        p10_ms: 10th percentile of latency; None if it was not measured.
        p90_ms: 90th percentile of latency; None if it was not measured.
        n: number of undisturbed samples; None if it was not measured.
        top1: top-1 on ImageNet, as a fraction; None if unknown.
        latency_source: `published`, `digitised` or `measured`.
        accuracy_source: `published`, `digitised`, `measured` or `unknown`.
    """

    system: str
    subnet: str | None
    device: str
    cores: int | None
    latency_ms: float
    p10_ms: float | None = None
    p90_ms: float | None = None
    n: int | None = None
    top1: float | None
    latency_source: str
    accuracy_source: str

    @property
    def place(self) -> tuple[str, int | None]:
        """Device and number of cores; only points of the same place can be compared."""
        return self.device, self.cores


@dataclass(frozen=True, kw_only=True, slots=True)
class SubnetComparison:
    """One sub-network of another system against Dynamic-OFA at the same place.

    Attributes:
        theirs: the sub-network.
        ours_ms: latency of Dynamic-OFA at their top-1, interpolated; None outside its ladder.
        ours_top1: top-1 of Dynamic-OFA at their latency, interpolated; None outside its ladder.
    """

    theirs: Point
    ours_ms: float | None
    ours_top1: float | None

    @property
    def latency_ratio(self) -> float | None:
        """Their latency over that of Dynamic-OFA at equal top-1; above 1 Dynamic-OFA is faster."""
        return None if self.ours_ms is None else self.theirs.latency_ms / self.ours_ms

    @property
    def top1_gain(self) -> float | None:
        """Top-1 of Dynamic-OFA minus theirs at equal latency, a fraction."""
        if self.ours_top1 is None or self.theirs.top1 is None:
            return None
        return self.ours_top1 - self.theirs.top1


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """One of the paper's figures against `RIVAL`, recomputed.

    Attributes:
        quantity: the kind of figure.
        theirs: the rival's sub-network.
        ours_ms: latency of Dynamic-OFA in this figure; None if unknown.
        ours_top1: top-1 of Dynamic-OFA in this figure; None if unknown.
        value: the ratio, or the gain as a fraction; None if unknown.
        interpolated: `value` with Dynamic-OFA interpolated to exactly the rival's top-1 or latency; None if unknown.
        claim: the paper's value; None if it claims nothing of this.
        by: the way in which `value` was found, `interpolation` or `point pair`.
    """

    quantity: ClaimedQuantity
    theirs: Point
    ours_ms: float | None
    ours_top1: float | None
    value: float | None
    interpolated: float | None
    claim: float | None
    by: Literal["interpolation", "point pair"]


CLAIMS: dict[tuple[str, ClaimedQuantity], float] = {
    (XAVIER_GPU, "latency ratio"): 2.4,
    (XAVIER_CPU, "latency ratio"): 3.5,
    (XAVIER_GPU, "top-1 gain"): 0.051,
    (XAVIER_CPU, "top-1 gain"): 0.038,
}
"""The paper's claims: up to 3.5x (CPU) and 2.4x (GPU) faster at similar top-1, or 3.8 % (CPU) and 5.1 % (GPU) more
top-1 at similar latency (arXiv 2206.02525)."""

_RATIO_TOP1 = 0.754
"""Top-1 of the rival's largest sub-network, at which the paper gives its ratios."""

_PAIRS_MS = {XAVIER_GPU: (71.6, 72.7), XAVIER_CPU: (1639.0, 1594.0)}
"""The plotted points, ours and theirs, whose difference is the paper's gain (computed).

On the CPU ours is the slower one, by 2.8 %."""

_CPU_GAIN_TOP1 = 0.746
"""Published top-1 of the rival's sub-network in the CPU's pair; the plot shows 74.59 %."""


# ---------------------------------------------------------------- between the points


def front(points: Iterable[Point]) -> tuple[Point, ...]:
    """Return the points that no other beats in both latency and top-1, rising strictly in both."""
    known = [(point.latency_ms, -point.top1, point) for point in points if point.top1 is not None]
    best: list[Point] = []
    highest = -np.inf
    for _, negated, point in sorted(known, key=lambda entry: entry[:2]):
        if -negated > highest:
            best.append(point)
            highest = -negated
    return tuple(best)


def latency_at(points: Iterable[Point], top1: float) -> float | None:
    """Return the latency in ms at which a system reaches a top-1, by linear interpolation along its front.

    Returns:
        None outside its sub-networks.
    """
    best = front(points)
    return _interpolated(top1, [point.top1 or 0.0 for point in best], [point.latency_ms for point in best])


def top1_at(points: Iterable[Point], latency_ms: float) -> float | None:
    """Return the top-1 that a system reaches at a latency, as a fraction, by linear interpolation along its front.

    Returns:
        None outside its sub-networks.
    """
    best = front(points)
    return _interpolated(latency_ms, [point.latency_ms for point in best], [point.top1 or 0.0 for point in best])


def _interpolated(x: float, xs: Sequence[float], ys: Sequence[float]) -> float | None:
    if not xs or not xs[0] <= x <= xs[-1]:
        return None
    return float(np.interp(x, xs, ys))


def compare(points: Sequence[Point]) -> list[SubnetComparison]:
    """Return the comparison of each other sub-network of known top-1 with Dynamic-OFA at its place, in order."""
    return [
        SubnetComparison(
            theirs=theirs, ours_ms=latency_at(ours, theirs.top1), ours_top1=top1_at(ours, theirs.latency_ms)
        )
        for theirs in points
        if theirs.system != OURS and theirs.top1 is not None and (ours := _of(points, OURS, theirs.place))
    ]


def _of(points: Iterable[Point], system: str, place: tuple[str, int | None]) -> list[Point]:
    return [point for point in points if point.system == system and point.place == place]


# ---------------------------------------------------------------- what was published


def published_points() -> list[Point]:
    """Return the points of the published comparison on Jetson Xavier NX, the GPU first.

    They were read off its figure: latencies to ±10 ms on the CPU and ±0.4 ms on the GPU, top-1 to ±0.001. The top-1 of
    Dynamic-OFA on the GPU is published with its sub-networks.
    """
    devices = {"gpu": XAVIER_GPU, "cpu": XAVIER_CPU}
    plotted = [
        Point(
            system=point.system,
            subnet=None,
            device=devices[point.device],
            cores=None,
            latency_ms=point.latency_ms,
            top1=point.top1,
            latency_source="digitised",
            accuracy_source="digitised",
        )
        for point in sorted(published.xavier_points(), key=lambda point: point.device, reverse=True)
        if (point.system, point.device) != (OURS, "gpu")
    ]
    return _gpu_ladder(stored=False) + plotted


def _gpu_ladder(stored: bool) -> list[Point]:
    """Return Dynamic-OFA's six sub-networks for the GPU, with the latencies stored with them or those of the figure."""
    return [
        Point(
            system=OURS,
            subnet=f"gpu6 level {level}",
            device=XAVIER_GPU,
            cores=None,
            latency_ms=latency_ms,
            top1=rung.top1,
            latency_source="published" if stored else "digitised",
            accuracy_source="published",
        )
        for level, rung in enumerate(published.ladders()["gpu6"].rungs)
        if (latency_ms := rung.latency_ms if stored else rung.figure_latency_ms) is not None
    ]


def stored_set_ratio() -> float:
    """Return the GPU's latency ratio with Dynamic-OFA's stored latencies and the rival's latencies of the figure.

    It compares two set-ups with one another. It is shown only to say what the choice of latencies changes.
    """
    ours_ms = latency_at(_gpu_ladder(stored=True), _RATIO_TOP1)
    (theirs,) = (
        one.theirs
        for one in _against_rival(published_points())
        if (one.theirs.device, one.theirs.top1) == (XAVIER_GPU, _RATIO_TOP1)
    )
    assert ours_ms is not None
    return theirs.latency_ms / ours_ms


def published_headlines() -> list[Headline]:
    """Return the paper's four figures, from the published points."""
    points = published_points()
    against_rival = _against_rival(points)
    return [
        *(_interpolated_headline("latency ratio", one) for one in against_rival if one.theirs.top1 == _RATIO_TOP1),
        *(_pair_gain(one, points) for one in against_rival if one.theirs.latency_ms == _PAIRS_MS[one.theirs.device][1]),
    ]


def _pair_gain(comparison: SubnetComparison, points: Sequence[Point]) -> Headline:
    theirs = comparison.theirs
    (ours,) = (p for p in _of(points, OURS, theirs.place) if p.latency_ms == _PAIRS_MS[theirs.device][0])
    assert ours.top1 is not None
    assert theirs.top1 is not None
    return replace(
        _interpolated_headline("top-1 gain", comparison),
        ours_ms=ours.latency_ms,
        ours_top1=ours.top1,
        value=ours.top1 - theirs.top1,
        by="point pair",
    )


# ---------------------------------------------------------------- what was measured


def measured_headlines(points: Sequence[Point]) -> list[Headline]:
    """Return the ratio and the gain for each number of cores, from points measured on this machine.

    The gain is at the latency of the rival's sub-network in the paper's figure for the CPU. No two points measured here
    have nearly equal latency, so both are interpolated.

    Returns:
        Nothing if the rival was not measured.
    """
    against_rival = _against_rival(points)
    return [
        *(_interpolated_headline("latency ratio", one) for one in against_rival if one.theirs.top1 == _RATIO_TOP1),
        *(_interpolated_headline("top-1 gain", one) for one in against_rival if one.theirs.top1 == _CPU_GAIN_TOP1),
    ]


def _interpolated_headline(quantity: ClaimedQuantity, comparison: SubnetComparison) -> Headline:
    """Return a figure with Dynamic-OFA interpolated to the rival's top-1 (a ratio) or to its latency (a gain)."""
    theirs, is_ratio = comparison.theirs, quantity == "latency ratio"
    value = comparison.latency_ratio if is_ratio else comparison.top1_gain
    return Headline(
        quantity=quantity,
        theirs=theirs,
        ours_ms=comparison.ours_ms if is_ratio else theirs.latency_ms,
        ours_top1=theirs.top1 if is_ratio else comparison.ours_top1,
        value=value,
        interpolated=value,
        claim=CLAIMS.get((theirs.device, quantity)),
        by="interpolation",
    )


def _against_rival(points: Sequence[Point]) -> list[SubnetComparison]:
    return [one for one in compare(points) if one.theirs.system == RIVAL]
