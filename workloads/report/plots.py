"""The plots of a run's report, as inline SVG.

All plots of a run share the time axis, its margins and the colours of the units: a request's dot has the colour of the
unit that served it, and so have that unit's gears and clock. Nothing here reads files.
"""

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_uppercase
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from actors.requests.records import Status
from scheduler.views import Gear
from workloads.mix.arrivals import FloatArray
from workloads.report.svg import INK, LATE, MUTED, STYLE, to_svg
from workloads.report.table import power_words, short_names
from workloads.results.requests import first_ends, is_on_time, latencies_ms
from workloads.results.run_dir import StoredRun

# People who see few colours can tell these apart, on white as well as on black; none is like LATE.
_UNIT_COLOURS = ("#0b7fc7", "#2f9e6e", "#a06cc8", "#b8860b", "#5f8a96", "#c2698f")

_WIDTH_IN, _LEFT_IN, _RIGHT_IN = 10.0, 1.3, 1.25

_MOST_MARKS = 6000
"""A plot of more dots than this holds them as one bitmap: as shapes they would make the page heavy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Something that happened: its letter in all plots and tables, its time, and the words for it."""

    letter: str
    now_s: float
    text: str


def marks_of(run: StoredRun) -> list[Mark]:
    """Return a mark for each event and each lost worker of a run, in order of time."""
    happened = [(event.now_s, event.text) for event in run.events]
    happened += [(loss.now_s, f"{loss.app}: worker lost, {loss.reason}".rstrip(", ")) for loss in run.losses]
    happened.sort(key=lambda mark: mark[0])
    return [Mark(letter=_letter(place), now_s=now_s, text=text) for place, (now_s, text) in enumerate(happened)]


def unit_colours(run: StoredRun) -> dict[str, str]:
    """Return the colour of each unit."""
    return {unit: _UNIT_COLOURS[place % len(_UNIT_COLOURS)] for place, unit in enumerate(run.header.units_mhz)}


def plot_app(run: StoredRun, app: str) -> str:
    """Draw an app: the latency of each request against the target, and the gear below it.

    Returns:
        An SVG element.
    """
    rungs = run.header.ladders[app]
    with mpl.rc_context(STYLE):
        figure, (latency, gear) = _figure(heights_in=(1.75, 0.24 * len(rungs) + 0.12))
        _draw_latency(latency, run, app)
        _draw_gears(gear, run, app)
        _draw_marks((latency, gear), run, about=app)
        return to_svg(figure, salt=app)


def plot_units(run: StoredRun) -> str:
    """Draw the board: the clock of each unit, then their busy shares and their power.

    Returns:
        An SVG element.
    """
    units = list(run.header.units_mhz)
    has_power = any(point.power_w is not None for epoch in run.epochs for point in epoch.units.values())
    with mpl.rc_context(STYLE):
        figure, axes = _figure(heights_in=[0.75] * len(units) + [0.75] + [0.95] * has_power)
        for unit, clock in zip(units, axes, strict=False):
            _draw_clock(clock, run, unit)
        _draw_busy(axes[len(units)], run)
        if has_power:
            _draw_power(axes[-1], run)
        _draw_marks(axes, run, about=None)
        return to_svg(figure, salt="units")


# ---------------------------------------------------------------- one app


def _draw_latency(axes: Axes, run: StoredRun, app: str) -> None:
    records = first_ends(run.records[app])
    segments = run.summary.apps[app].segments
    status = records["status"]
    done = records[status == Status.COMPLETED]
    latency_ms = latencies_ms(done)
    is_late = ~is_on_time(done)
    highest_target_ms = max(segment.target_ms for segment in segments)
    # The plot shows latency against the target; dots far above it are shown at the edge.
    top_ms = 1.35 * highest_target_ms
    if latency_ms.size:
        top_ms = max(top_ms, min(1.05 * float(np.percentile(latency_ms, 99.5)), 3 * highest_target_ms))
    over_ms, lost_ms = 1.06 * top_ms, 1.14 * top_ms
    is_above = latency_ms > top_ms
    rasterized = records.size > _MOST_MARKS

    def dots(chosen: NDArray[np.bool_], at_ms: Any, marker: str, colour: str, size: float, z: float) -> None:
        axes.plot(
            done["arrival_s"][chosen],
            at_ms,
            marker,
            color=colour,
            markersize=size,
            markeredgewidth=0,
            alpha=0.7 if colour != LATE else 0.95,
            rasterized=rasterized,
            clip_on=False,
            zorder=z,
        )

    colours = unit_colours(run)
    for place, colour in enumerate(colours.values()):
        chosen = ~is_late & (done["unit"] == place)
        dots(chosen, latency_ms[chosen], "o", colour, 3.0, 3)
    chosen = is_late & ~is_above
    dots(chosen, latency_ms[chosen], "o", LATE, 4.2, 4)
    dots(is_above, np.full(is_above.sum(), over_ms), "^", LATE, 5.0, 4)
    for ended, marker, colour in ((Status.DROPPED, "x", LATE), (Status.FAILED, "P", INK)):
        times_s = records["arrival_s"][status == ended]
        axes.plot(
            times_s,
            np.full(times_s.size, lost_ms),
            marker,
            color=colour,
            markersize=5,
            markeredgewidth=1.1 if marker == "x" else 0,
            clip_on=False,
            zorder=5,
        )

    edges_s = [*(segment.from_s for segment in segments), _end_s(run, app)]
    axes.stairs([segment.target_ms for segment in segments], edges_s, baseline=None, color=INK, linewidth=1.3, zorder=6)
    shown_ms = None
    for segment in segments:
        if segment.target_ms != shown_ms:
            word = "target " if shown_ms is None else ""
            _label(axes, segment.from_s, segment.target_ms, f"{word}{segment.target_ms:g} ms")
        shown_ms = segment.target_ms
    axes.set_ylim(0, 1.2 * top_ms)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="y")
    axes.set_title("Latency, ms")

    summary = run.summary.apps[app]
    served = np.unique(done["unit"])
    notes = [(f"● {unit}", colour) for place, (unit, colour) in enumerate(colours.items()) if place in served]
    notes.append((f"● {is_late.sum()} late", LATE if is_late.any() else MUTED))
    if is_above.any():
        notes.append((f"▲ {is_above.sum()} over {top_ms:.0f} ms", LATE))
    if summary.dropped:
        notes.append((f"× {summary.dropped} dropped", LATE))
    if summary.failed:
        notes.append((f"✚ {summary.failed} failed", INK))
    if summary.in_flight:
        notes.append((f"{summary.in_flight} in flight", MUTED))
    _note(axes, notes)


def _draw_gears(axes: Axes, run: StoredRun, app: str) -> None:
    rungs = run.header.ladders[app]
    colours = unit_colours(run)
    spans = _gear_spans(run, app)
    counts = {gear.cores for _, _, gear in spans}
    known = [(from_s, to_s, gear) for from_s, to_s, gear in spans if gear.subnet in rungs]
    last_cores = None
    for from_s, to_s, gear in known:
        y = rungs.index(gear.subnet)
        colour = colours.get(gear.unit, MUTED)
        axes.broken_barh([(from_s, to_s - from_s)], (y - 0.2, 0.4), facecolors=colour, linewidth=0)
        is_wide = to_s - from_s > 0.05 * run.summary.duration_s
        if len(counts) > 1 and gear.cores != last_cores and is_wide:
            _label(axes, from_s, y + 0.12, _cores(gear.cores))
            last_cores = gear.cores
    for (_, to_s, gear), (from_s, _, following) in pairwise(known):
        if to_s == from_s:
            ends = (rungs.index(gear.subnet), rungs.index(following.subnet))
            axes.plot((from_s, from_s), ends, color=MUTED, linewidth=0.7)
    axes.set_ylim(-0.6, len(rungs) - 0.4)
    axes.set_yticks(range(len(rungs)), short_names(rungs))
    axes.grid(axis="y")
    axes.set_title("Gear: sub-network, small to large, coloured by unit")
    if len(counts) == 1:
        _note(axes, [(f"always {_cores(*counts)}", MUTED)])


def _gear_spans(run: StoredRun, app: str) -> list[tuple[float, float, Gear]]:
    """Return the times within the run in which the app had a gear, as (from_s, to_s, gear)."""
    changes = [(change.now_s, change.after) for change in run.gears if change.app == app]
    changes += [(loss.now_s, None) for loss in run.losses if loss.app == app]
    changes.sort(key=lambda change: change[0])
    changes.append((_end_s(run, app), None))
    spans = []
    for (from_s, gear), (to_s, _) in pairwise(changes):
        if gear is not None and to_s > max(from_s, 0.0):
            spans.append((max(from_s, 0.0), to_s, gear))
    return spans


def _end_s(run: StoredRun, app: str) -> float:
    """Return the time when the app left: the first epoch after its last one, else the end of the run."""
    present = [epoch.now_s for epoch in run.epochs if app in epoch.apps]
    later = [epoch.now_s for epoch in run.epochs if present and epoch.now_s > present[-1]]
    end_s = later[0] if later else run.summary.duration_s
    # A log that was cut short must not end the app before its last request, nor before its last target.
    arrivals_s, segments = run.arrivals_s[app], run.summary.apps[app].segments
    last_s = float(arrivals_s[-1]) if arrivals_s.size else 0.0
    return max(end_s, last_s, math.nextafter(segments[-1].from_s, math.inf))


# ---------------------------------------------------------------- the board


def _draw_clock(axes: Axes, run: StoredRun, unit: str) -> None:
    clocks_mhz = run.header.units_mhz[unit]
    # Clocks that the manager set, at that moment, and clocks seen at each epoch, which show those of a governor.
    points = [(epoch.now_s, epoch.units[unit].mhz) for epoch in run.epochs if unit in epoch.units]
    points += [
        (change.now_s, change.after) for change in run.clocks if change.unit == unit and isinstance(change.after, float)
    ]
    points.sort(key=lambda point: point[0])
    points.append((run.summary.duration_s, points[-1][1]) if points else (0.0, clocks_mhz[0]))
    times_s, mhz = zip(*points, strict=True)
    colour = unit_colours(run)[unit]
    axes.fill_between(times_s, mhz, step="post", color=colour, alpha=0.13, linewidth=0)
    axes.step(times_s, mhz, where="post", color=colour, linewidth=1.2)
    axes.set_ylim(0, 1.08 * clocks_mhz[-1])
    axes.set_yticks(sorted({clocks_mhz[0], clocks_mhz[-1]}))
    axes.grid(axis="y")
    axes.set_title(f"{unit}: clock, MHz")
    governors = [change.after for change in run.clocks if change.unit == unit and isinstance(change.after, str)]
    figures = run.summary.units[unit]
    notes = [(f"mean {figures.mean_mhz:.0f} MHz", colour), (f"{figures.clock_changes} changes", MUTED)]
    _note(axes, [*notes, *[(f"set by {governor}", MUTED) for governor in dict.fromkeys(governors)]])


def _draw_busy(axes: Axes, run: StoredRun) -> None:
    notes = []
    for unit, colour in unit_colours(run).items():
        edges_s, busy = _binned(run, [(e.now_s, e.units[unit].busy) for e in run.epochs if unit in e.units])
        axes.stairs(100 * busy, edges_s, baseline=None, color=colour, linewidth=1.2)
        notes.append((f"{unit} {100 * run.summary.units[unit].busy:.0f} %", colour))
    axes.set_ylim(0, 105)
    axes.set_yticks([0, 50, 100])
    axes.grid(axis="y")
    axes.set_title("Busy share of core time, %")
    _note(axes, notes)


def _draw_power(axes: Axes, run: StoredRun) -> None:
    below: Any = 0.0
    notes = []
    for unit, colour in unit_colours(run).items():
        points = [(epoch.now_s, epoch.units[unit].power_w) for epoch in run.epochs if unit in epoch.units]
        edges_s, power_w = _binned(run, points)
        known_w = power_w[~np.isnan(power_w)]
        notes.append((f"■ {unit} {known_w.mean():.2f} W" if known_w.size else f"{unit} unknown", colour))
        above = below + np.nan_to_num(power_w)
        axes.stairs(above, edges_s, baseline=below, color=colour, fill=True, alpha=0.55, linewidth=0)
        below = above
    axes.set_ylim(0, 1.1 * max(float(np.max(below)), 1e-9))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.grid(axis="y")
    axes.set_title(f"Power of the units, stacked, W ({power_words(run.summary, run.energy)})")
    _note(axes, [("mean", MUTED), *reversed(notes)])


def _binned(run: StoredRun, points: Iterable[tuple[float, float | None]]) -> tuple[FloatArray, FloatArray]:
    """Return means over equal spans of time of at least an epoch; a span without a point repeats the one before it.

    Returns:
        Edges, shape (n + 1,), and means, shape (n,), NaN before the first point.
    """
    duration_s = run.summary.duration_s
    n = max(1, min(80, int(duration_s * 1000 / run.header.epoch_ms)))
    edges_s = np.linspace(0, duration_s, n + 1)
    sums, counts = np.zeros(n), np.zeros(n)
    for now_s, value in points:
        if value is not None:
            # An epoch's reading is a mean of the time before it.
            place = min(n - 1, max(0, int(np.ceil(now_s / duration_s * n)) - 1))
            sums[place] += value
            counts[place] += 1
    means = np.divide(sums, counts, out=np.full(n, np.nan), where=counts > 0)
    for place in range(1, n):
        if np.isnan(means[place]):
            means[place] = means[place - 1]
    return edges_s, means


# ---------------------------------------------------------------- what all plots share


def _figure(heights_in: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """Return a figure with axes of these heights below each other, with the margins that all plots have."""
    top_in, gap_in, bottom_in = 0.72, 0.36, 0.42
    height_in = top_in + sum(heights_in) + gap_in * (len(heights_in) - 1) + bottom_in
    figure = Figure(figsize=(_WIDTH_IN, height_in))
    width = (_WIDTH_IN - _LEFT_IN - _RIGHT_IN) / _WIDTH_IN
    axes: list[Axes] = []
    above_in = height_in - top_in
    for own_in in heights_in:
        box = (_LEFT_IN / _WIDTH_IN, (above_in - own_in) / height_in, width, own_in / height_in)
        axes.append(figure.add_axes(box, sharex=axes[0] if axes else None))
        above_in -= own_in + gap_in
    for upper in axes[:-1]:
        upper.tick_params(labelbottom=False, length=0)
    axes[-1].set_xlabel("time, s (board time)", loc="right")
    return figure, axes


def _draw_marks(axes: Sequence[Axes], run: StoredRun, about: str | None) -> None:
    """Draw the time axis, host stalls, and a lettered line for each event, with words where it is about this plot."""
    duration_s = run.summary.duration_s
    axes[0].set_xlim(0, duration_s)
    for own in axes:
        for stall in run.stalls:
            own.axvspan(stall.now_s, stall.now_s + stall.lost_ms / 1000, color=MUTED, alpha=0.25, linewidth=0.5)
    marks = marks_of(run)
    others = [app for app in run.summary.apps if app != about]
    inches_per_s = (_WIDTH_IN - _LEFT_IN - _RIGHT_IN) / duration_s
    # The words of a mark end where the next begins; those of the last may use the margin too.
    ends_s = [mark.now_s for mark in marks[1:]] + [1.1 * duration_s]
    for mark, following_s in zip(marks, ends_s, strict=False):
        for own in axes:
            own.axvline(mark.now_s, color=MUTED, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
        is_ours = about is None or not any(_mentions(mark.text, app) for app in others) or _mentions(mark.text, about)
        # 0.066 in is the mean width of a letter at this size.
        letters = int((following_s - mark.now_s) * inches_per_s / 0.066) - 1
        words = f"{mark.letter}  {mark.text.removeprefix(f'{about}: ')}" if is_ours and letters >= 9 else mark.letter
        lines = textwrap.wrap(words, max(letters, 9), max_lines=3, placeholder=" …")
        axes[0].annotate(
            "\n".join(lines),
            (mark.now_s, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 21),
            textcoords="offset points",
            fontsize=8,
            color=INK if is_ours else MUTED,
            linespacing=1.15,
            va="bottom",
        )
    if run.stalls:
        axes[-1].annotate(
            "▒ host stalled", (0, 0), (0, -26), xycoords="axes fraction", textcoords="offset points", color=MUTED
        )


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def _label(axes: Axes, x: float, y: float, text: str) -> None:
    """Write a word beside a line, just above it."""
    axes.annotate(text, (x, y), (3, 2.5), textcoords="offset points", fontsize=8, color=INK, zorder=7)


def _note(axes: Axes, lines: Sequence[tuple[str, str]]) -> None:
    """Write the legend: words in their colours, right of the plot."""
    for place, (text, colour) in enumerate(lines):
        axes.annotate(
            text,
            (1, 1),
            xycoords="axes fraction",
            xytext=(9, -4 - 12.5 * place),
            textcoords="offset points",
            color=colour,
            va="center",
        )


def _letter(place: int) -> str:
    """Return the letter of a place: A, B and so on to Z, then A2, B2."""
    turn, place = divmod(place, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(turn + 1) if turn else "")


def _cores(cores: int) -> str:
    return "1 core" if cores == 1 else f"{cores} cores"
