"""The command `gearshift reproduce dynamic-transformer`: published elastic translators, and ours on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from supernets import published
from workloads.progress import Progress
from workloads.report.outcome import Figure, Options, Outcome, Sheet
from workloads.report.table import UNKNOWN, milliseconds, share
from workloads.reproduce.dynamic_ofa_measured import check_engine
from workloads.reproduce.dynamic_transformer import (
    DYNAMIC_HAT,
    HAT,
    NANO,
    OURS,
    Claim,
    Point,
    Range,
    Spread,
    Switching,
    claims,
    published_points,
    ranges,
)
from workloads.reproduce.dynamic_transformer_measured import Measurement, measure, trained
from workloads.reproduce.dynamic_transformer_plots import plot_ranges
from workloads.reproduce.host_doubts import host_warnings, host_words

SENTENCES = 400
"""Sentences where the user asks for no other number; they take about three minutes of one core."""

_TITLE = "Elastic translators: the range of one set of weights"


def reproduce(options: Options, on_progress: Progress) -> Outcome:
    """Put published ranges and switches beside those of our translator on this machine.

    Args:
        options: the user's options; `published_only` leaves the measurement out.
        on_progress: called with a text, the number done and the number of all.

    Raises:
        supernets.SupernetError: if the engine is unknown or can't run our networks, or there are no trained weights.
    """
    if options.published_only:
        return outcome(None)
    check_engine(options.engine)
    net = trained(options.weights.get(OURS))
    samples = SENTENCES if options.samples is None else options.samples
    return outcome(measure(net, engine=options.engine, samples=samples, on_progress=on_progress))


def outcome(measurement: Measurement | None) -> Outcome:
    """Return tables, figure and rows; without our half if `measurement` is None."""
    points = [*published_points(), *(measurement.points if measurement else [])]
    switching = measurement.switching if measurement else None
    found, said = ranges(points), claims(points, switching)
    sheets = [_claims_sheet(said, measurement), _ranges_sheet(found)]
    if measurement is not None:
        sheets += [_ladder_sheet(measurement), _switches_sheet(measurement.switching)]
    sheets.append(_points_sheet(points))
    return Outcome(
        title=_TITLE,
        lead=_lead(measurement),
        warnings=_warnings(measurement),
        sheets=sheets,
        figures=[Figure(title="Latency and BLEU", caption=_caption(), svg=plot_ranges(points))],
        rows=[asdict(point) for point in points],
        data={
            "reproduction": "dynamic-transformer",
            "claims": [asdict(claim) | {"verdict": claim.verdict} for claim in said],
            "ranges": [one.as_json() for one in found],
            "points": [asdict(point) for point in points],
            "switching": asdict(switching) if switching else None,
            "measurement": measurement.conditions() if measurement else None,
        },
    )


# ---------------------------------------------------------------- tables


def _claims_sheet(said: Sequence[Claim], measurement: Measurement | None) -> Sheet:
    notes = [
        f"{HAT}'s share follows from its published points. Its networks are trained one by one; {DYNAMIC_HAT}'s and "
        "ours share one set of weights, which costs small networks some quality.",
        "No BLEU here can be compared with another's: WMT's test sets are news, ours is LibreOffice's help. Compare "
        "ranges.",
    ]
    if measurement is not None:
        fast_ms = min(point.latency_ms for point in measurement.points)
        nano_ms = published.DYNAMIC_HAT_MS["CPU"][0]
        notes += [
            f"This machine is no {NANO}: times hold here. Of its fastest network's sentence, {DYNAMIC_HAT}'s bound of "
            f"a switch is {published.DYNAMIC_HAT_SWITCH_MS / nano_ms:.2g} on the CPU, and ours here takes "
            f"{milliseconds(measurement.switching.ready.p99_ms / fast_ms)} if ready, "
            f"{milliseconds(measurement.switching.unready.most_ms / fast_ms)} if not.",
            "The loss of inherited weights is measured on a checkpoint of the training, by "
            "`python -m supernets.seq2seq.finetuning SUBNET`, and not here.",
        ]
    return Sheet(
        title="What is published, and ours",
        heads=("what", "by", "published", "ours", "verdict", "source"),
        rows=[
            [
                claim.what,
                claim.by,
                _value(claim, claim.published, bound=True),
                _value(claim, claim.ours),
                claim.verdict,
                "published" if claim.ours is None else "published, measured",
            ]
            for claim in said
        ],
        notes=notes,
    )


def _ranges_sheet(found: Sequence[Range]) -> Sheet:
    return Sheet(
        title="Ranges, from the fastest network to the slowest",
        heads=("system", "corpus", "on", "ms", "range", "BLEU", "kept", "kept at\nhalf latency", "source"),
        rows=[
            [
                one.fastest.system,
                one.fastest.task or UNKNOWN,
                one.fastest.device,
                f"{milliseconds(one.fastest.latency_ms)} to {milliseconds(one.slowest.latency_ms)}",
                f"{one.ratio:.2f}x",
                UNKNOWN if one.kept is None else f"{_bleu(one.fastest)} to {_bleu(one.slowest)}",
                share(one.kept),
                share(one.kept_at_half),
                one.fastest.source,
            ]
            for one in found
        ],
        notes=(
            "Range: slowest over fastest, for one length of sentence. Ours is that of "
            f"{published.HAT_WORDS} sub-words, as {HAT} times them, where times are a line over length, else the ratio "
            "of the medians.",
        ),
    )


def _ladder_sheet(measurement: Measurement) -> Sheet:
    figure = measurement.figure
    return Sheet(
        title=f"The ladder of {OURS}, measured on this machine",
        heads=("sub-network", "ms a sentence", f"ms for {published.HAT_WORDS}", "chrF", "BLEU", "cut", "source"),
        rows=[
            [
                str(point.subnet),
                f"{milliseconds(point.latency_ms)} ({milliseconds(point.p10_ms)}–{milliseconds(point.p90_ms)})",
                milliseconds(point.same_length_ms),
                _chrf(point),
                _bleu(point),
                str(point.capped),
                point.source,
            ]
            for point in measurement.points
        ],
        notes=(
            f"{measurement.machine}, one core; {measurement.engine_version}, float32; weights {measurement.weights}, "
            f"{measurement.weights_hash[:12]}. {measurement.samples} held-out sentences in turns, each after one that "
            "does not count: median (10th–90th percentile over sentences), and the time for an output of "
            f"{published.HAT_WORDS} sub-words. Quality is of as many sentences, greedy, inherited weights.",
            "chrF: the sentences' mean with its 95 % interval. "
            + (f"BLEU: {figure.signature}." if figure.signature else f"{figure.why_unknown}."),
            f"{host_words(measurement.host, measurement.others)}; {measurement.disturbed} disturbed inferences were "
            "left out. Cut: translations that their cap ended.",
        ),
    )


def _switches_sheet(switching: Switching) -> Sheet:
    def row(what: str, times: Spread) -> list[str]:
        figures = (times.p50_ms, times.p99_ms, times.most_ms)
        return [what, *map(milliseconds, figures), str(times.n), "measured"]

    return Sheet(
        title=f"Switches between the networks of {OURS}, as a worker's gearbox does them",
        heads=("to a network that", "p50, ms", "p99, ms", "longest, ms", "switches", "source"),
        rows=[row("is ready", switching.ready), row("is read from its file first", switching.unready)],
        notes=(
            "From the wish until the next sentence would run in the new network, without the manager's messages. "
            "While a network is read, the old one goes on.",
            f"The first sentence after a switch takes {switching.first_over_again:.2f}x of the same one right after it "
            "(median): its weights are not in the caches.",
        ),
    )


def _points_sheet(points: Sequence[Point]) -> Sheet:
    return Sheet(
        title="Every point",
        heads=("system", "sub-network", "corpus", "on", "ms", "BLEU", "chrF", "source"),
        rows=[
            [
                point.system,
                point.subnet or UNKNOWN,
                point.task or UNKNOWN,
                point.device,
                milliseconds(point.latency_ms),
                _bleu(point),
                _chrf(point),
                point.source,
            ]
            for point in points
        ],
        printed=False,
    )


# ---------------------------------------------------------------- words


def _lead(measurement: Measurement | None) -> str:
    said = (
        f"What is published of {HAT} (arXiv 2005.14187), networks of one space trained for a device each, and of "
        f"{DYNAMIC_HAT} (arXiv 2107.08199), which changes between networks of one set of weights on {NANO}."
    )
    if measurement is None:
        return said + " Nothing was measured."
    return f"{said} Beside it {OURS}, whose ladder shares one set of weights, measured on {measurement.machine}."


def _caption() -> str:
    return (
        f"All points but those of {OURS} are published. Left: BLEU of different corpora, not to be compared. Right: a "
        "network's share of the latency and of the BLEU of the slowest of its range. Grey: the ranges of "
        f"{DYNAMIC_HAT}, whose BLEU is not published by network."
    )


def _warnings(measurement: Measurement | None) -> list[str]:
    if measurement is None:
        return []
    lacking = [] if measurement.figure.value is not None else [f"BLEU is not known: {measurement.figure.why_unknown}."]
    return [*lacking, *host_warnings(measurement.host, measurement.others)]


def _value(claim: Claim, value: float | None, bound: bool = False) -> str:
    if value is None:
        return UNKNOWN
    sign = "< " if bound and not claim.at_least else ""
    words = {"x": f"{value:.2f}x", "share": share(value), "ms": f"{milliseconds(value)} ms"}
    return sign + words[claim.unit]


def _bleu(point: Point) -> str:
    return UNKNOWN if point.bleu is None else f"{point.bleu:.1f}"


def _chrf(point: Point) -> str:
    if point.chrf is None or point.chrf_low is None or point.chrf_high is None:
        return UNKNOWN
    return f"{100 * point.chrf:.1f} ({100 * point.chrf_low:.1f}–{100 * point.chrf_high:.1f})"
