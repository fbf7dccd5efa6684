"""The drawings of a bench's report, as inline SVG. Nothing is computed here but where things go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from workloads.bench.comparison import PolicyComparison
from workloads.bench.curves import STEPS, ScalePoint, UtilisationCurve
from workloads.bench.statistics import ConfidenceInterval
from workloads.bench.words import change_of, points
from workloads.report.svg import GRID, INK, LATE, MUTED, STYLE, to_svg

# People who see few colours can tell these apart, on white as well as on black; as in `workloads.report.plots`.
_COLOURS = ("#0b7fc7", "#d55e00", "#2f9e6e", "#a06cc8", "#b8860b", "#5f8a96", "#c2698f", "#7a7a52")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")

_WIDTH_IN, _LEFT_IN, _RIGHT_IN = 10.0, 2.6, 2.4
_ROW_IN, _TOP_IN, _BOTTOM_IN = 0.27, 0.4, 0.55

_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_CLOSE_TICKS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.6, 1.8)

LESS_ON_TIME = -0.005
"""Difference of the shares on time below which a figure is red: half a percentage point less."""


def plot_energy(comparisons: Mapping[str, PolicyComparison], baseline: str) -> str:
    """Draw the change of the units' energy against a baseline with its interval, one row for each policy.

    Beside each row stands the difference on time, which an energy figure must not be read without.
    """
    known = {name: one for name, one in comparisons.items() if one.units is not None}
    height_in = _TOP_IN + _ROW_IN * len(known) + _BOTTOM_IN
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, height_in))
        axes = _axes(figure, _LEFT_IN, _RIGHT_IN, height_in)
        for row, comparison in enumerate(known.values()):
            _draw_interval(axes, comparison.units, row, _colour(row))
            difference = comparison.difference
            if difference is not None:
                words = f"{points(difference.on_time)} points on time"
                colour = LATE if difference.on_time < LESS_ON_TIME else MUTED
                axes.text(1.02, row, words, transform=axes.get_yaxis_transform(), va="center", color=colour)
        axes.axvline(1, color=INK, linewidth=0.9)
        axes.set_ylim(len(known) - 0.4, -0.6)
        axes.set_yticks(range(len(known)), list(known))
        axes.set_xscale("log")
        low, high = _reach(known.values())
        axes.set_xlim(low, high)
        ticks = _ticks(low, high)
        axes.set_xticks(ticks, _labels(ticks))
        axes.minorticks_off()
        axes.grid(axis="x")
        thin = any(one.units is not None and one.units.over_sets for one in known.values())
        title = f"Units' energy against {baseline}, and its 95 % interval"
        axes.set_title(f"{title}; thin: over power sets" if thin else title)
        return to_svg(figure, salt=f"energy {baseline}")


def plot_utilisation(curves: Mapping[str, UtilisationCurve]) -> str:
    """Draw the change of energy over utilisation, one panel for each baseline.

    Hollow points: one of both misses an slo, so that the energies do not buy the same. Red points: less on time.
    """
    height_in = 3.2
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, height_in))
        width_in = (_WIDTH_IN - 0.75 - 0.35 * len(curves)) / len(curves)
        first: Axes | None = None
        for place, (baseline, curve) in enumerate(curves.items()):
            left_in = 0.7 + place * (width_in + 0.35)
            box = (left_in / _WIDTH_IN, 0.55 / height_in, width_in / _WIDTH_IN, (height_in - 1.0) / height_in)
            axes = figure.add_axes(box, sharey=first)
            first = first or axes
            for one in sorted(curve.points, key=lambda one: one.like):
                colour = LATE if one.on_time < LESS_ON_TIME else _COLOURS[0] if one.like else MUTED
                fill = colour if one.like else "none"
                axes.plot(
                    one.utilisation, one.ratio, "o", color=colour, markerfacecolor=fill, markersize=3.6, alpha=0.8
                )
            _draw_means(axes, curve.means)
            axes.axhline(1, color=INK, linewidth=0.9)
            axes.set_xlim(0, 1)
            axes.set_xticks([0.2, 0.4, 0.6, 0.8])
            axes.grid(axis="y")
            axes.tick_params(labelleft=place == 0)
            axes.set_title(f"against {baseline}")
            axes.set_xlabel("utilisation", loc="right")
        if first is not None:
            ratios = [one.ratio for curve in curves.values() for one in curve.points]
            low, high = min(1.0, *ratios) / 1.12, max(1.0, *ratios) * 1.12
            first.set_yscale("log")
            first.set_ylim(low, high)
            ticks = _ticks(low, high)
            first.set_yticks(ticks, _labels(ticks))
            first.yaxis.set_minor_locator(NullLocator())
        return to_svg(figure, salt="utilisation")


def plot_scale(lines: Mapping[str, Sequence[ScalePoint]]) -> str:
    """Draw the share on time and the energy over how often each app is there. Energies are over the first policy's."""
    height_in = 3.4
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, height_in))
        width, bottom, height = 3.6 / _WIDTH_IN, 0.55 / height_in, (height_in - 1.0) / height_in
        on_time = figure.add_axes((0.65 / _WIDTH_IN, bottom, width, height))
        energy = figure.add_axes((4.8 / _WIDTH_IN, bottom, width, height))
        for place, (policy, points) in enumerate(lines.items()):
            look: dict[str, Any] = {
                "color": _colour(place),
                "marker": _MARKERS[place % len(_MARKERS)],
                "markersize": 4.5,
            }
            shares = [(one.clones, 100 * one.on_time) for one in points if one.on_time is not None]
            ratios = [(one.clones, one.ratio) for one in points if one.ratio is not None]
            on_time.plot(*_columns(shares), linewidth=1.2, label=policy, **look)
            energy.plot(*_columns(ratios), linewidth=1.2, **look)
        counts = sorted({one.clones for points in lines.values() for one in points})
        for axes in (on_time, energy):
            axes.set_xscale("log", base=2)
            axes.set_xticks(counts, [str(count) for count in counts])
            axes.minorticks_off()
            axes.grid(axis="y")
            axes.set_xlabel("times the apps", loc="right")
        on_time.set_ylim(0, 103)
        on_time.set_title("On time, %")
        energy.set_yscale("log")
        energy.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        energy.yaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"×{ratio:g}"))
        energy.yaxis.set_minor_locator(NullLocator())
        energy.set_title(f"Units' energy, over {next(iter(lines))}'s with the apps once")
        figure.legend(loc="upper left", bbox_to_anchor=(8.5 / _WIDTH_IN, 0.9), frameon=False, labelcolor=INK)
        return to_svg(figure, salt="scale")


def _reach(comparisons: Iterable[PolicyComparison]) -> tuple[float, float]:
    """Return the ends of an axis of ratios on which every interval and a ratio of 1 can be seen."""
    known = [one.units for one in comparisons if one.units is not None]
    ends = [end for one in known for end in one.ends or one.over_sets or (one.value, one.value)]
    return min(1.0, *ends) / 1.12, max(1.0, *ends) * 1.12


def _draw_interval(axes: Axes, interval: ConfidenceInterval | None, row: int, colour: str) -> None:
    if interval is None:
        return
    if interval.low is not None and interval.high is not None:
        axes.plot(
            [interval.low, interval.high], [row, row], color=colour, linewidth=2.6, alpha=0.45, solid_capstyle="butt"
        )
    if interval.over_sets is not None:
        axes.plot(interval.over_sets, [row, row], "|-", color=colour, linewidth=1.0, markersize=7)
    axes.plot([interval.value], [row], "o", color=colour, markersize=6, markeredgewidth=0)


def _draw_means(axes: Axes, steps: Sequence[ConfidenceInterval | None]) -> None:
    width = 1 / STEPS
    for place, step in enumerate(steps):
        if step is None:
            continue
        ends = [place * width, (place + 1) * width]
        axes.plot(ends, [step.value] * 2, color=INK, linewidth=1.6)
        if step.low is not None and step.high is not None:
            axes.fill_between(ends, step.low, step.high, color=GRID, alpha=0.6, linewidth=0)


def _axes(figure: Figure, left_in: float, right_in: float, height_in: float) -> Axes:
    width = (_WIDTH_IN - left_in - right_in) / _WIDTH_IN
    box = (left_in / _WIDTH_IN, _BOTTOM_IN / height_in, width, (height_in - _TOP_IN - _BOTTOM_IN) / height_in)
    return figure.add_axes(box)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _ticks(low: float, high: float) -> list[float]:
    return [tick for tick in (_CLOSE_TICKS if high < 4 * low else _TICKS) if low <= tick <= high]


def _labels(ratios: Iterable[float]) -> list[str]:
    return [change_of(ratio).replace(".0", "") for ratio in ratios]


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]
