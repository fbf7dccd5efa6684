"""Dynamic-OFA against other dynamic networks: points of latency and accuracy, and the figures that follow from them.

The published points are those of the comparison on Jetson Xavier NX (`supernets.published`); points measured on this
machine (`workloads.reproduce.dynamic_ofa_measured`) go through the same functions. Everything here is a pure function
of points.

Between two sub-networks Dynamic-OFA is interpolated linearly, as the paper's ratios need; beyond its smallest and
largest nothing is known, and the answer is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from supernets import published

OURS = "Dynamic-OFA"
RIVAL = "AutoSlim-MnasNet"
"""The dynamic network that the paper's figures come out against (computed; it speaks of "other dynamic DNNs")."""

XAVIER_GPU, XAVIER_CPU, HOST = "xavier-nx-gpu", "xavier-nx-cpu", "host"

Quantity = Literal["latency ratio", "top-1 gain"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One sub-network on one device: a row of the results.

    Attributes:
        system: the dynamic (or static) network that it belongs to.
        subnet: which of its sub-networks; None where the source doesn't say.
        device: `XAVIER_GPU`, `XAVIER_CPU` or `HOST`.
        cores: as many threads; None where the source doesn't say.
        latency_ms: of one inference, the median where it was measured.
        p10_ms: 10th percentile; None where it was not measured.
        p90_ms: 90th percentile; None where it was not measured.
        n: undisturbed samples; None where it was not measured.
        top1: on ImageNet, as a fraction; None where unknown.
        latency_source: `published`, `digitised` or `measured`.
        accuracy_source: the same of top1, or `unknown`.
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
        """Device and cores: only points of one place can be compared."""
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
        """How many times faster Dynamic-OFA is at equal top-1."""
        return None if self.ours_ms is None else self.theirs.latency_ms / self.ours_ms

    @property
    def top1_gain(self) -> float | None:
        """How much more accurate Dynamic-OFA is at equal latency, a fraction."""
        if self.ours_top1 is None or self.theirs.top1 is None:
            return None
        return self.ours_top1 - self.theirs.top1


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """One of the paper's figures against `RIVAL`, recomputed.

    Attributes:
        quantity: what it is.
        theirs: the rival's sub-network.
        ours_ms: Dynamic-OFA's latency in this figure; None where unknown.
        ours_top1: its top-1 in this figure.
        value: the ratio, or the gain as a fraction; None where unknown.
        interpolated: the same with Dynamic-OFA interpolated, so at exactly the rival's top-1 or latency.
        claim: what the paper says; None for what it doesn't speak of.
        by: `interpolation` or `point pair`, how `value` was found.
    """

    quantity: Quantity
    theirs: Point
    ours_ms: float | None
    ours_top1: float | None
    value: float | None
    interpolated: float | None
    claim: float | None
    by: Literal["interpolation", "point pair"]


CLAIMS: dict[tuple[str, Quantity], float] = {
    (XAVIER_GPU, "latency ratio"): 2.4,
    (XAVIER_CPU, "latency ratio"): 3.5,
    (XAVIER_GPU, "top-1 gain"): 0.051,
    (XAVIER_CPU, "top-1 gain"): 0.038,
}
"""The paper's own words: up to 3.5x (CPU) and 2.4x (GPU) faster at similar top-1, or 3.8 % (CPU) and 5.1 % (GPU) more
top-1 at similar latency (arXiv 2206.02525)."""

_RATIO_TOP1 = 0.754
"""Top-1 of the rival's largest, where the paper's ratios are."""

_PAIRS_MS = {XAVIER_GPU: (71.6, 72.7), XAVIER_CPU: (1639.0, 1594.0)}
"""The plotted points, ours and theirs, whose difference is the paper's gain (computed).

On the CPU ours is the slower one, by 2.8 %."""

_CPU_GAIN_TOP1 = 0.746
"""Published top-1 of the sub-network in the CPU's pair, whose top-1 the plot has at 74.59 %."""


# ---------------------------------------------------------------- between the points


def front(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that no other beats in both latency and top-1, rising strictly in both."""
    known = [(point.latency_ms, -point.top1, point) for point in points if point.top1 is not None]
    best: list[Point] = []
    highest = -np.inf
    for _, negated, point in sorted(known, key=lambda entry: entry[:2]):
        if -negated > highest:
            best.append(point)
            highest = -negated
    return tuple(best)


def latency_at(points: Iterable[Point], top1: float) -> float | None:
    """Latency in ms at which a system reaches that top-1, by linear interpolation along its front.

    Returns:
        None outside its sub-networks.
    """
    best = front(points)
    return _interpolated(top1, [point.top1 or 0.0 for point in best], [point.latency_ms for point in best])


def top1_at(points: Iterable[Point], latency_ms: float) -> float | None:
    """Top-1 that a system reaches in that time, as a fraction, by linear interpolation along its front.

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
    """Every other sub-network of known top-1 against Dynamic-OFA at the same place, in the order of the points."""
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
    """The comparison on Jetson Xavier NX, the GPU first.

    Latencies were read off its figure, ±10 ms on the CPU and ±0.4 ms on the GPU, and top-1 to ±0.001, but for
    Dynamic-OFA on the GPU, whose top-1 is published with its sub-networks.
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
    """Dynamic-OFA's six sub-networks for the GPU, with the latencies stored with them or those of the figure."""
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
    """The GPU's latency ratio, had Dynamic-OFA the latencies stored with its sub-networks and the rival the figure's.

    Two set-ups compared with one another: it is shown only to say what the choice of set does.
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
    """The paper's four figures, from the published points."""
    points = published_points()
    against_rival = _against_rival(points)
    return [
        *(_ratio(one) for one in against_rival if one.theirs.top1 == _RATIO_TOP1),
        *(_pair_gain(one, points) for one in against_rival if one.theirs.latency_ms == _PAIRS_MS[one.theirs.device][1]),
    ]


def _pair_gain(comparison: SubnetComparison, points: Sequence[Point]) -> Headline:
    theirs = comparison.theirs
    (ours,) = (p for p in _of(points, OURS, theirs.place) if p.latency_ms == _PAIRS_MS[theirs.device][0])
    assert ours.top1 is not None
    assert theirs.top1 is not None
    return Headline(
        quantity="top-1 gain",
        theirs=theirs,
        ours_ms=ours.latency_ms,
        ours_top1=ours.top1,
        value=ours.top1 - theirs.top1,
        interpolated=comparison.top1_gain,
        claim=CLAIMS[theirs.device, "top-1 gain"],
        by="point pair",
    )


# ---------------------------------------------------------------- what was measured


def measured_headlines(points: Sequence[Point]) -> list[Headline]:
    """The same figures from points measured on this machine: the ratio and the gain for each number of cores.

    The gain is at the latency of the rival's sub-network that the paper's CPU figure has. There are no pairs of
    nearly equal latency here, so both are interpolated.

    Returns:
        Nothing if the rival was not measured.
    """
    against_rival = _against_rival(points)
    return [
        *(_ratio(one) for one in against_rival if one.theirs.top1 == _RATIO_TOP1),
        *(_interpolated_gain(one) for one in against_rival if one.theirs.top1 == _CPU_GAIN_TOP1),
    ]


def _ratio(comparison: SubnetComparison) -> Headline:
    theirs = comparison.theirs
    return Headline(
        quantity="latency ratio",
        theirs=theirs,
        ours_ms=comparison.ours_ms,
        ours_top1=theirs.top1,
        value=comparison.latency_ratio,
        interpolated=comparison.latency_ratio,
        claim=CLAIMS.get((theirs.device, "latency ratio")),
        by="interpolation",
    )


def _interpolated_gain(comparison: SubnetComparison) -> Headline:
    return Headline(
        quantity="top-1 gain",
        theirs=comparison.theirs,
        ours_ms=comparison.theirs.latency_ms,
        ours_top1=comparison.ours_top1,
        value=comparison.top1_gain,
        interpolated=comparison.top1_gain,
        claim=None,
        by="interpolation",
    )


def _against_rival(points: Sequence[Point]) -> list[SubnetComparison]:
    return [one for one in compare(points) if one.theirs.system == RIVAL]
