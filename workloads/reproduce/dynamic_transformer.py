"""Elastic translators: points of latency and quality, the ranges between their ends, and what is claimed of them.

The published points are HAT's, each a network of its own trained for one piece of hardware, and the ends of
Dynamic-HAT's range on Jetson Nano, which one set of weights serves (`supernets.published`). Points measured on this
machine (`workloads.reproduce.dynamic_transformer_measured`) go through the same functions. Everything here is a pure
function of points.

BLEU of two corpora can't be compared. What can be is the share of BLEU that the fastest network of a range keeps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from supernets import published

OURS, HAT, DYNAMIC_HAT = "translator-en-de", "HAT", "Dynamic-HAT"
OUR_TASK = "LibreOffice En-De"
NANO, HOST = "Jetson Nano", "this machine"

_LANGUAGES, _SERVER = "WMT'14 En-De", "Intel Xeon E5-2640 CPU"
"""The range of HAT that ours is compared with: the same languages, on a server's CPU."""

Verdict = Literal["reached", "falls short", "not measured"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One sub-network on one device: a row of the results. What the source does not say is None.

    Attributes:
        system: the elastic network that it belongs to.
        subnet: its name.
        task: corpus and languages.
        device: what it ran on.
        latency_ms: time for a sentence: of one length as published, else the median over held-out sentences.
        p10_ms: 10th percentile over sentences.
        p90_ms: 90th percentile over sentences.
        same_length_ms: time for one output of `published.HAT_WORDS` sub-words; of Dynamic-HAT the length is not known,
            but the same for all.
        n: undisturbed samples of latency.
        bleu: corpus BLEU by sacrebleu, 0 to 100.
        bleu_signature: how sacrebleu counted.
        chrf: mean chrF of the sentences, 0 to 1.
        chrf_low: lower end of its 95 % interval.
        chrf_high: upper end.
        sentences: sentences that quality was measured on.
        capped: translations that their cap ended.
        source: `published` or `measured`.
    """

    system: str
    subnet: str | None
    task: str | None
    device: str
    latency_ms: float
    p10_ms: float | None = None
    p90_ms: float | None = None
    same_length_ms: float | None
    n: int | None = None
    bleu: float | None = None
    bleu_signature: str | None = None
    chrf: float | None = None
    chrf_low: float | None = None
    chrf_high: float | None = None
    sentences: int | None = None
    capped: int | None = None
    source: Literal["published", "measured"]


def published_points() -> list[Point]:
    """Return HAT's networks, fastest first on each device, and the ends of Dynamic-HAT's ranges."""
    hat = [
        Point(
            system=HAT,
            subnet=None,
            task=point.task,
            device=point.hardware,
            latency_ms=point.latency_ms,
            same_length_ms=point.latency_ms,
            bleu=point.sacrebleu,
            source="published",
        )
        for point in published.hat_points()
    ]
    dynamic = [
        Point(
            system=DYNAMIC_HAT,
            subnet=None,
            task=None,
            device=f"{NANO} {unit}",
            latency_ms=end_ms,
            same_length_ms=end_ms,
            source="published",
        )
        for unit, ends_ms in published.DYNAMIC_HAT_MS.items()
        for end_ms in ends_ms
    ]
    return hat + dynamic


# ---------------------------------------------------------------- ranges


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """The networks of one system for one task on one device, from the fastest to the slowest.

    Attributes:
        fastest: the network of the shortest latency, for sentences of one length where all times for it are known.
        slowest: the network of the longest.
        networks: number of networks of which there are points.
    """

    fastest: Point
    slowest: Point
    networks: int

    @property
    def ratio(self) -> float:
        """Latency of the slowest over the fastest, for sentences of one length where their times are known."""
        slow_ms, fast_ms = self.slowest.same_length_ms, self.fastest.same_length_ms
        if slow_ms is None or fast_ms is None:
            return self.slowest.latency_ms / self.fastest.latency_ms
        return slow_ms / fast_ms

    @property
    def kept(self) -> float | None:
        """Share of the slowest network's BLEU that the fastest has; None where one is not known."""
        if self.fastest.bleu is None or not self.slowest.bleu:
            return None
        return self.fastest.bleu / self.slowest.bleu

    @property
    def kept_at_half(self) -> float | None:
        """Share of BLEU that is kept with each halving of latency, so that wide and narrow ranges can be compared.

        With 0.81 of BLEU at a fourth of the latency it is 0.9. None where BLEU is not known, or latency is not halved
        by any share since there is no range.
        """
        return None if self.kept is None or self.ratio <= 1 else self.kept ** (1 / math.log2(self.ratio))

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        first = self.fastest
        return {
            "system": first.system,
            "task": first.task,
            "device": first.device,
            "networks": self.networks,
            "fastest_ms": first.latency_ms,
            "slowest_ms": self.slowest.latency_ms,
            "ratio": self.ratio,
            "bleu": [first.bleu, self.slowest.bleu],
            "bleu_kept": self.kept,
            "bleu_kept_at_half_latency": self.kept_at_half,
            "source": first.source,
        }


def ranges(points: Sequence[Point]) -> list[Range]:
    """Return the range of each system, task and device, in the order of the points."""
    groups: dict[tuple[str, str | None, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.system, point.task, point.device), []).append(point)
    found = []
    for group in groups.values():
        known = all(point.same_length_ms is not None for point in group)
        rising = sorted(group, key=lambda point: (point.same_length_ms or 0.0) if known else point.latency_ms)
        found.append(Range(fastest=rising[0], slowest=rising[-1], networks=len(group)))
    return found


# ---------------------------------------------------------------- switches


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """The distribution of times.

    Attributes:
        p50_ms: the median.
        p99_ms: the 99th percentile.
        most_ms: the longest.
        n: their number.
    """

    p50_ms: float
    p99_ms: float
    most_ms: float
    n: int


def spread(times_ms: Sequence[float]) -> Spread:
    """Return the distribution of at least one time."""
    p50_ms, p99_ms, most_ms = (float(ms) for ms in np.percentile(times_ms, (50, 99, 100)))
    return Spread(p50_ms=p50_ms, p99_ms=p99_ms, most_ms=most_ms, n=len(times_ms))


@dataclass(frozen=True, kw_only=True, slots=True)
class Switching:
    """Switches between the networks of our ladder.

    Attributes:
        ready: times of switches to a network that is ready.
        unready: times of switches to one that has to be read from its file first, while the old one goes on.
        first_over_again: time of the first sentence after a switch over the same one's right after it, the median.
    """

    ready: Spread
    unready: Spread
    first_over_again: float


# ---------------------------------------------------------------- claims


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Something published, beside the same of ours.

    Attributes:
        what: what it is about.
        by: who published it, and for which device.
        unit: `x`, `share` or `ms`.
        published: the published value, or one that follows from published values.
        ours: ours; None where it was not measured.
        at_least: True where more is better, False where less is.
    """

    what: str
    by: str
    unit: Literal["x", "share", "ms"]
    published: float
    ours: float | None
    at_least: bool

    @property
    def verdict(self) -> Verdict:
        """The comparison's result."""
        if self.ours is None:
            return "not measured"
        enough = self.ours >= self.published if self.at_least else self.ours <= self.published
        return "reached" if enough else "falls short"


def claims(points: Sequence[Point], switching: Switching | None) -> list[Claim]:
    """Return what is published of ranges and switches, beside ours where `points` has ours."""
    found = {(one.fastest.system, one.fastest.task, one.fastest.device): one for one in ranges(points)}
    ours = next((one for (system, *_), one in found.items() if system == OURS), None)
    server = found[HAT, _LANGUAGES, _SERVER]
    assert server.kept_at_half is not None
    nano = {unit: found[DYNAMIC_HAT, None, f"{NANO} {unit}"] for unit in published.DYNAMIC_HAT_MS}
    return [
        *(
            Claim(
                what="range of latency",
                by=f"{DYNAMIC_HAT}, {one.fastest.device}",
                unit="x",
                published=one.ratio,
                ours=ours.ratio if ours else None,
                at_least=True,
            )
            for one in nano.values()
        ),
        Claim(
            what="BLEU kept with each halving of latency",
            by=f"{HAT}, {_LANGUAGES}, {_SERVER}",
            unit="share",
            published=server.kept_at_half,
            ours=ours.kept_at_half if ours else None,
            at_least=True,
        ),
        Claim(
            what="switch, to a network that is ready, p99",
            by=f"{DYNAMIC_HAT}, {NANO}",
            unit="ms",
            published=published.DYNAMIC_HAT_SWITCH_MS,
            ours=switching.ready.p99_ms if switching else None,
            at_least=False,
        ),
        Claim(
            what="switch, to one that is not ready, longest",
            by=f"{DYNAMIC_HAT}, {NANO}",
            unit="ms",
            published=published.DYNAMIC_HAT_SWITCH_MS,
            ours=switching.unready.most_ms if switching else None,
            at_least=False,
        ),
        Claim(
            what="BLEU lost with inherited weights, at most",
            by=DYNAMIC_HAT,
            unit="share",
            published=published.DYNAMIC_HAT_LOSS,
            ours=None,
            at_least=False,
        ),
    ]
