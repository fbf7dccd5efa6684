"""The command `gearshift reproduce energy`: published energy claims beside simulations, by board and kind of energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from actors.cluster import packaged_board
from workloads.progress import Progress
from workloads.report.outcome import Figure, Options, Outcome, Sheet
from workloads.report.svg import INK, LATE, MUTED, STYLE, to_svg
from workloads.report.table import UNKNOWN
from workloads.reproduce.energy_claim import BASELINES, DEFINITIONS, OWN, PARITY, PowerSetRange, Saving, savings

_TITLE = "Energy against Linux governors"
_PAPER = 0.165
_LIKE_FOR_LIKE = 0.02
"""A baseline that has less on time than `joint` by more than this share does not do the same work."""
_COLOURS = {OWN: "#0b7fc7", PARITY: "#d55e00"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Claim:
    """A published figure: share of energy saved, and the change of latency that came with it."""

    source: str
    words: str
    energy: float
    latency: str


PUBLISHED = (
    _Claim(
        source="arXiv 2206.02525",
        words="Jetson Xavier NX, against Linux governors (performance and schedutil are named)",
        energy=0.165,
        latency="similar",
    ),
    _Claim(source="arXiv 2401.08965", words="one model, against schedutil, up to", energy=0.19, latency="9 % less"),
    _Claim(source="arXiv 2401.08965", words="two models, against schedutil, up to", energy=0.89, latency="23 % less"),
)


def reproduce(options: Options, on_progress: Progress) -> Outcome:
    """Simulate the readings of the claim; with `published_only`, only return the claim."""
    return outcome([] if options.published_only else savings(on_progress))


def outcome(found: Sequence[Saving]) -> Outcome:
    """Return tables, figure and rows of the savings found; if there are none, of the published claims alone."""
    boards = list(dict.fromkeys(saving.board for saving in found))
    return Outcome(
        title=_TITLE,
        lead="The published claims, and simulations of what may stand behind them. Workload, knobs and meter of the "
        "published figures are not public, so several readings are run and all are shown.",
        warnings=["All of our figures are simulated with modelled power; none is measured on a board."]
        if found
        else [],
        sheets=[_published(), *([_up_to(found)] if found else []), *(_board(name, found) for name in boards)],
        figures=[_figure(found)] if found else [],
        rows=_rows(found),
        data={
            "reproduction": "energy",
            "published": [asdict(claim) for claim in PUBLISHED],
            "simulated": [asdict(saving) for saving in found],
        },
    )


def _published() -> Sheet:
    return Sheet(
        title="Published",
        heads=("source", "what", "less energy", "latency"),
        rows=[[claim.source, claim.words, _percent(claim.energy), claim.latency] for claim in PUBLISHED],
    )


def _up_to(found: Sequence[Saving]) -> Sheet:
    """Return the largest savings over `schedutil`; the follow-up paper states its own figures like that."""
    rows = []
    for models in ("one network", "two networks"):
        for against in (OWN, PARITY):
            for definition in ("units", "board"):
                runs = [
                    saving
                    for saving in found
                    if saving.load.startswith(models)
                    and (saving.baseline, saving.against, saving.definition) == ("schedutil", against, definition)
                ]
                known = [saving for saving in runs if saving.saved is not None]
                if known:
                    best = max(known, key=lambda saving: saving.saved.median if saving.saved else 0.0)
                    rows.append([models, against, definition, _range_words(best.saved), best.load, best.board])
    return Sheet(
        title="Up to, against schedutil",
        heads=("models", "accuracy", "energy of", "less energy", "load", "board"),
        rows=rows,
        notes=("The largest of all loads and boards below, as the follow-up gives its figures.",),
    )


def _board(name: str, found: Sequence[Saving]) -> Sheet:
    by_run: dict[tuple[str, str, str], dict[str, Saving]] = {}
    for saving in found:
        if saving.board == name:
            by_run.setdefault((saving.load, saving.baseline, saving.against), {})[saving.definition] = saving
    rows = []
    for (load, baseline, against), of in by_run.items():
        one = of["units"]
        energies = [_range_words(of[definition].saved) for definition in DEFINITIONS]
        rows.append(
            [
                load,
                baseline,
                against,
                *energies,
                f"{100 * one.on_time.median:+.1f} %",
                f"{100 * one.accuracy.median:+.1f} %",
                f"{one.p95_ratio.median:.2f}x",
            ]
        )
    board = packaged_board(name)
    sets = max((saving.sets for saving in found if saving.board == name), default=1)
    spread = f"Medians, and what 95 % of {sets} sets of power figures lie between." if sets > 1 else ""
    return Sheet(
        title=f"{name}: joint against governors, share of energy saved",
        heads=("load", "baseline", "accuracy", "units", "board", "above idle", "on time", "top-1", "p95"),
        rows=rows,
        notes=tuple(
            note
            for note in (
                f"Power: {board.power_source}",
                spread,
                "On time, accuracy and p95: ours less (over) the baseline's. Less energy than a baseline that is late "
                "more often, or more than one, is no like for like.",
            )
            if note
        ),
    )


def _rows(found: Sequence[Saving]) -> list[Mapping[str, Any]]:
    keys = ("source", "board", "load", "baseline", "accuracy", "energy_of", "saved", "low", "high")
    published = [
        dict(zip(keys, (claim.source, None, claim.words, None, None, None, claim.energy, None, None), strict=True))
        for claim in PUBLISHED
    ]
    simulated = []
    for one in found:
        saved = one.saved
        figures = (None, None, None) if saved is None else (saved.median, saved.low, saved.high)
        place = ("simulated", one.board, one.load, one.baseline, one.against, one.definition)
        simulated.append(dict(zip(keys, (*place, *figures), strict=True)))
    return [*published, *simulated]


def _figure(found: Sequence[Saving]) -> Figure:
    """Draw the units' energy saved, one line for each board, load and baseline."""
    units = [saving for saving in found if saving.definition == "units" and saving.saved is not None]
    lines = list(dict.fromkeys((saving.board, saving.load, saving.baseline) for saving in units))
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(10.0, 1.0 + 0.24 * len(lines)))
        axes = canvas.add_axes((0.46, 0.5 / canvas.get_figheight(), 0.51, 1 - 0.85 / canvas.get_figheight()))
        for place, line in enumerate(reversed(lines)):
            for saving in units:
                if (saving.board, saving.load, saving.baseline) == line and saving.saved is not None:
                    height = place + (0.15 if saving.against == OWN else -0.15)
                    low, middle, high = saving.saved.low, saving.saved.median, saving.saved.high
                    colour = _COLOURS[saving.against]
                    axes.plot([100 * low, 100 * high], [height, height], color=colour, linewidth=1.6)
                    face = "none" if saving.on_time.median > _LIKE_FOR_LIKE else colour
                    axes.plot([100 * middle], [height], marker="o", markersize=4, color=colour, markerfacecolor=face)
        axes.axvline(0.0, color=INK, linewidth=0.8)
        axes.axvline(100 * _PAPER, color=LATE, linewidth=0.9, linestyle="--")
        axes.set_yticks(range(len(lines)), [f"{board}: {load}, {base}" for board, load, base in reversed(lines)])
        axes.set_ylim(-0.7, len(lines) - 0.3)
        axes.set_xlabel("energy of the units saved, %")
        axes.grid(axis="x")
        axes.set_title("broken line: the paper's 16.5 %", color=MUTED, fontsize=8, fontweight="normal")
        svg = to_svg(canvas, _TITLE)
    return Figure(
        title="Units' energy saved by joint",
        caption="Blue: at the applications' own accuracy floors. Orange: with floors set to the accuracy that the "
        "baseline delivered. Hollow: the baseline has over 2 % less on time than ours. A line spans what 95 % of the "
        f"sets of power figures lie between. Baselines: {', '.join(BASELINES)}, each with the largest network that "
        "meets the target alone.",
        svg=svg,
    )


def _range_words(saved: PowerSetRange | None) -> str:
    if saved is None:
        return UNKNOWN
    if saved.low == saved.high:
        return _percent(saved.median)
    return f"{_percent(saved.median)} [{100 * saved.low:.0f}, {100 * saved.high:.0f}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
