"""The command `gearshift reproduce dynamic-ofa`: the published comparison recomputed and measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from workloads.progress import Progress
from workloads.report.outcome import Figure, Options, Outcome, Sheet
from workloads.report.table import UNKNOWN, milliseconds, share
from workloads.reproduce.dynamic_ofa import (
    HOST,
    OURS,
    RIVAL,
    XAVIER_CPU,
    XAVIER_GPU,
    Headline,
    Point,
    compare,
    measured_headlines,
    published_headlines,
    published_points,
    stored_set_ratio,
)
from workloads.reproduce.dynamic_ofa_measured import Measurement, check_engine, export_ladders, host_cpus, measure
from workloads.reproduce.dynamic_ofa_plots import plot_comparison
from workloads.reproduce.host_doubts import host_warnings, host_words

INFERENCES = 50
"""Inferences of each network on each number of cores, where the user asks for no other number."""

_TITLE = "Dynamic-OFA against other dynamic networks"
_PLACES = {XAVIER_GPU: "NX GPU", XAVIER_CPU: "NX CPU", HOST: "host"}


def reproduce(options: Options, on_progress: Progress) -> Outcome:
    """Recompute the paper's four figures from the published points, and from points measured here.

    Args:
        options: the user's options; `published_only` leaves the measurement out.
        on_progress: called with a text, the number done and the number of all.

    Raises:
        supernets.SupernetError: if the engine is unknown, or a network cannot be made or run.
    """
    if options.published_only:
        return outcome(None)
    check_engine(options.engine)
    measurement = measure(
        export_ladders(options.engine, on_progress),
        host_cpus(),
        engine=options.engine,
        samples=INFERENCES if options.samples is None else options.samples,
        on_progress=on_progress,
    )
    return outcome(measurement)


def outcome(measurement: Measurement | None) -> Outcome:
    """Return tables, figure and rows; without the measured half if `measurement` is None."""
    published = published_points()
    headlines = published_headlines()
    panels = {
        f"Jetson Xavier NX, {unit} (digitised)": [point for point in published if point.device == device]
        for unit, device in (("GPU", XAVIER_GPU), ("CPU", XAVIER_CPU))
    }
    sheets = [
        Sheet(
            title=f"The paper's four figures, {OURS} against {RIVAL}, published for Jetson Xavier NX",
            heads=("figure", "on", OURS, RIVAL, "value", "interpolated", "published\nclaim", "source"),
            rows=[
                (*_headline_cells(one), _figure(one, one.interpolated), _figure(one, one.claim, 1), _source(one.theirs))
                for one in headlines
            ],
            notes=_published_notes(headlines),
        )
    ]
    points = published
    if measurement is not None:
        points = published + list(measurement.points)
        again = measured_headlines(measurement.points)
        headlines = headlines + again
        panels |= _measured_panels(measurement)
        sheets += [
            Sheet(
                title="The same figures, measured on this machine",
                heads=("figure", "on", OURS, RIVAL, "value, interpolated", "source"),
                rows=[(*_headline_cells(one), _source(one.theirs)) for one in again],
                notes=_measured_notes(measurement, again),
            ),
            _networks_sheet(measurement.points),
        ]
    sheets += [_systems_sheet(points), _points_sheet(points)]
    return Outcome(
        title=_TITLE,
        lead=_lead(measurement),
        warnings=[] if measurement is None else host_warnings(measurement.host, measurement.others),
        sheets=sheets,
        figures=[Figure(title="Accuracy against latency", caption=_caption(), svg=plot_comparison(panels, headlines))],
        rows=[asdict(point) for point in points],
        data={
            "reproduction": "dynamic-ofa",
            "headlines": [asdict(headline) for headline in headlines],
            "comparisons": [
                asdict(comparison) | {"latency_ratio": comparison.latency_ratio, "top1_gain": comparison.top1_gain}
                for comparison in compare(points)
            ],
            "points": [asdict(point) for point in points],
            "measurement": None if measurement is None else measurement.conditions(),
        },
    )


def _measured_panels(measurement: Measurement) -> dict[str, list[Point]]:
    cores = dict.fromkeys(point.cores for point in measurement.points)
    return {
        f"This machine, {_cores(count)} (measured, {measurement.engine})": [
            point for point in measurement.points if point.cores == count
        ]
        for count in cores
    }


# ---------------------------------------------------------------- tables


def _headline_cells(headline: Headline) -> tuple[str, ...]:
    theirs = headline.theirs
    return (
        headline.quantity,
        _place(theirs),
        _at(headline.ours_top1, headline.ours_ms),
        _at(theirs.top1, theirs.latency_ms),
        _figure(headline, headline.value),
    )


def _networks_sheet(points: Sequence[Point]) -> Sheet:
    """Return one row for each network that was measured."""
    networks = dict.fromkeys((point.system, point.subnet) for point in points)
    counts = list(dict.fromkeys(point.cores for point in points))
    rows = []
    for system, subnet in networks:
        own = {point.cores: point for point in points if (point.system, point.subnet) == (system, subnet)}
        first = own[counts[0]]
        rows.append(
            (
                system,
                str(subnet),
                *(_spread(own[count]) for count in counts),
                _percent(first.top1),
                _source(first),
            )
        )
    return Sheet(
        title="Networks measured",
        heads=("system", "sub-network", *(f"{_cores(count)}, ms" for count in counts), "top-1", "source"),
        rows=rows,
        notes=(f"Median (10th–90th percentile) of at least {min(point.n or 0 for point in points)} inferences.",),
    )


def _systems_sheet(points: Sequence[Point]) -> Sheet:
    comparisons = compare(points)
    rows = []
    for system, place in dict.fromkeys((one.theirs.system, one.theirs.place) for one in comparisons):
        own = [one for one in comparisons if (one.theirs.system, one.theirs.place) == (system, place)]
        ratios = [one.latency_ratio for one in own if one.latency_ratio is not None]
        gains = [one.top1_gain for one in own if one.top1_gain is not None]
        theirs = own[0].theirs
        rows.append(
            (
                system,
                _place(theirs),
                _range(ratios, _ratio),
                _range(gains, _gain),
                f"{len(ratios)} and {len(gains)} of {len(own)}",
                _source(theirs),
            )
        )
    return Sheet(
        title=f"{OURS} against each system",
        heads=("system", "on", "faster at\nequal top-1", "more top-1, %,\nat equal latency", "known", "source"),
        rows=rows,
        notes=(
            f"Over the sub-networks of each system, {OURS} interpolated to each one's top-1 and latency. Unknown where "
            f"all of them lie outside {OURS}'s sub-networks, which are not extrapolated.",
        ),
    )


def _points_sheet(points: Iterable[Point]) -> Sheet:
    return Sheet(
        title="Every point",
        heads=("system", "sub-network", "on", "latency, ms", "top-1", "source"),
        rows=[
            (
                point.system,
                point.subnet or UNKNOWN,
                _place(point),
                _spread(point),
                _percent(point.top1),
                _source(point),
            )
            for point in points
        ],
        printed=False,
    )


# ---------------------------------------------------------------- sentences


def _lead(measurement: Measurement | None) -> str:
    said = (
        "What arXiv 2206.02525 claims for Dynamic-OFA (arXiv 2105.03596) on Jetson Xavier NX, recomputed from the "
        "published points."
    )
    if measurement is None:
        return said + " Nothing was measured."
    return f"{said} Then the latencies measured again on {measurement.machine}, top-1 as published."


def _caption() -> str:
    return (
        "Digitised points were read off the published figure: ±10 ms on the CPU, ±0.4 ms on the GPU, ±0.1 % top-1. "
        "Measured points are medians; a bar spans the 10th to the 90th percentile. The axes of latency span the same "
        f"factor. Arrows: how much faster {OURS} is at {RIVAL}'s top-1, and how much more accurate at its latency."
    )


def _published_notes(headlines: Sequence[Headline]) -> list[str]:
    (pair,) = (one for one in headlines if one.by == "point pair" and one.theirs.device == XAVIER_CPU)
    assert pair.ours_ms is not None
    slower = pair.ours_ms / pair.theirs.latency_ms - 1
    return [
        f"The paper speaks of other dynamic DNNs; its figures come out against {RIVAL}.",
        f"Ratios: {OURS} interpolated linearly to {RIVAL}'s top-1. Gains: of the two plotted points shown, and beside "
        f"it at exactly {RIVAL}'s latency; in the CPU's pair {OURS} is the slower one, by {share(slower)}.",
        "Digitised: read off the published figure, ±10 ms on the CPU, ±0.4 ms on the GPU, ±0.1 % top-1.",
        f"Two sets of GPU latencies are published for {OURS}. Used is the figure's, since {RIVAL}'s are in that figure "
        f"alone; with those stored with the sub-networks, of another set-up, the GPU's ratio would be "
        f"{_ratio(stored_set_ratio())}.",
    ]


def _measured_notes(measurement: Measurement, headlines: Sequence[Headline]) -> list[str]:
    notes = [
        f"{measurement.machine}; {measurement.engine_version}, float32, for every network; "
        f"{measurement.samples} inferences of each in turns, each after one that doesn't count.",
        "Weights are random, on which latency doesn't depend; top-1 is published for the trained ones. "
        f"{OURS} is its ladder gpu6, found for the Xavier's GPU: that of its CPU is not published.",
        f"{host_words(measurement.host, measurement.others)}; {measurement.disturbed} disturbed inferences were left "
        "out.",
    ]
    if any(headline.value is None for headline in headlines):
        notes.append(f"Unknown: {RIVAL}'s network lies outside {OURS}'s ladder, which is not extrapolated.")
    return notes


# ---------------------------------------------------------------- words


def _place(point: Point) -> str:
    where = _PLACES[point.device]
    return where if point.cores is None else f"{where}, {_cores(point.cores)}"


def _cores(count: int | None) -> str:
    return "1 core" if count == 1 else f"{count} cores"


def _spread(point: Point) -> str:
    if point.p10_ms is None:
        return f"{point.latency_ms:g}"
    return f"{milliseconds(point.latency_ms)} ({milliseconds(point.p10_ms)}–{milliseconds(point.p90_ms)})"


def _source(point: Point) -> str:
    """Return the sources of latency and top-1, once if they are the same."""
    return ", ".join(dict.fromkeys((point.latency_source, point.accuracy_source)))


def _at(top1: float | None, latency_ms: float | None) -> str:
    if top1 is None or latency_ms is None:
        return UNKNOWN
    return f"{_percent(top1)}, {milliseconds(latency_ms)} ms"


def _figure(headline: Headline, value: float | None, places: int = 2) -> str:
    if value is None:
        return UNKNOWN
    return _ratio(value, places) if headline.quantity == "latency ratio" else f"{_gain(value, places)} %"


def _percent(top1: float | None) -> str:
    return UNKNOWN if top1 is None else f"{100 * top1:.2f} %"


def _ratio(ratio: float, places: int = 2) -> str:
    return f"{ratio:.{places}f}x"


def _gain(gain: float, places: int = 2) -> str:
    return f"{100 * gain:+.{places}f}"


def _range(values: Sequence[float], words: Callable[[float], str]) -> str:
    if not values:
        return UNKNOWN
    least, most = words(min(values)), words(max(values))
    return least if least == most else f"{least} to {most}"
