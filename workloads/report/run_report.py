"""The HTML report of a run: its targets, how they were met, and each change with its reason.

One page that needs nothing else: inline SVG, no script, no network. It is made from a run directory alone
(`workloads.results.run_dir`); the same directory gives the same bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path

from actors.whole_file import whole
from scheduler.errors import InputError
from scheduler.views import Gear
from workloads.report.page import page, plot, section, table
from workloads.report.plots import Mark, marks_of, plot_app, plot_units
from workloads.report.table import (
    UNKNOWN,
    VERDICT_SIGNS,
    energy_words,
    floors_in_force,
    fraction,
    host_words,
    joules,
    milliseconds,
    sensor_lines,
    share,
    targets_in_force,
)
from workloads.report.who_gave import who_gave
from workloads.report.why_plans import FOLLOWS_S, why_plans
from workloads.results.run_dir import EPOCHS_FILE, GearChange, RunDirError, StoredRun, read_run
from workloads.results.summary import AppSummary, Summary, Tail, Verdict
from workloads.results.verdict import verdicts_by_segment

REPORT_FILE = "report.html"

_OPEN_ROWS = 30
"""A longer list of gear changes is shown folded."""


class ReportError(InputError):
    """No report can be made; the message names the file and the fix."""


def write_report(run_dir: str | PathLike[str]) -> Path:
    """Write `report.html` into a run directory.

    Args:
        run_dir: Directory that `gearshift run --out DIR` wrote.

    Returns:
        The page.

    Raises:
        ReportError: The directory holds no whole run, or cannot be written to.
    """
    try:
        run = read_run(run_dir)
    except RunDirError as error:
        raise ReportError(str(error)) from error
    return write_page(run)


def write_page(run: StoredRun) -> Path:
    """Write `report.html` into the directory of a run that was read from there, and return the page.

    Raises:
        ReportError: The directory cannot be written to.
    """
    path = run.path / REPORT_FILE
    try:
        with whole(path) as fresh:
            fresh.write_text(render(run), encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{path}: cannot be written: {error.strerror}.") from error
    return path


def render(run: StoredRun) -> str:
    """Return the page of a run."""
    title = f"{run.summary.mix}: {run.summary.policy} on {run.summary.board}"
    body = [
        _header(run),
        section("Summary", _summary_table(run.summary, run.header.metrics), _segments_table(run.summary)),
        *([section("Who gave what", given)] if (given := who_gave(run)) is not None else []),
        section("What changed and why", _events_table(run)),
        section("Why these plans", why_plans(run)),
        *([section("What went wrong", _troubles_table(run))] if run.troubles else []),
        *(section(app, plot(plot_app(run, app))) for app in run.summary.apps),
        section("The board", plot(plot_units(run))),
        *([section("Energy", _energy_tables(run))] if run.summary.energy.rails else []),
        section("Every change of gear", _gears_table(run)),
        section("How this was measured", _method(run)),
    ]
    return page(title, body)


# ---------------------------------------------------------------- sections


def _header(run: StoredRun) -> str:
    summary, header = run.summary, run.header
    facts = [f"seed {summary.seed}", f"{summary.duration_s:g} s of board time", f"epochs of {header.epoch_ms:g} ms"]
    if summary.time_scale != 1:
        facts.append(f"run {summary.time_scale:g} times slower than the wall")
    if header.noise:
        facts.append(f"noise of {100 * header.noise:g} % on service times, of which the manager is not told")
    tags = []
    if summary.backend == "sim":
        tags.append("simulated: no network ran")
    if header.emulated:
        tags.append("emulated clocks")
    tags.append(f"power {summary.energy.source}")
    verdicts = "".join(
        f'<li class="card {_verdict_class(app.verdict)}"><b>{escape(name)}</b>'
        f'<span class="big">{share(app.on_time)}</span> on time, {100 * app.slo:g} % asked'
        f'<span class="verdict">{VERDICT_SIGNS[app.verdict]} {app.verdict}</span></li>'
        for name, app in summary.apps.items()
    )
    disturbed = host_words(summary) if run.cut_short is None and not run.missing else None
    said = [f"This run is {disturbed}."] if disturbed else []
    if run.cut_short is not None:
        said.append(f"This run is void: it ended after {summary.duration_s:.2f} s. {run.cut_short}")
    said += [f"Missing: {line}." for line in run.missing]
    said += [f"{EPOCHS_FILE}: {run.thinned}."] if run.thinned else []
    return (
        f"<header><h1>{escape(summary.mix)}</h1>"
        f"<p>Policy <b>{escape(summary.policy)}</b> on board <b>{escape(summary.board)}</b>; "
        f"{escape(', '.join(facts))}.</p>"
        f'<p class="tags">{"".join(f"<span>{escape(tag)}</span>" for tag in tags)}</p>'
        + "".join(f'<p class="void">{escape(line)}</p>' for line in said)
        + f'<ul class="cards">{verdicts}<li class="card"><b>units\' energy</b>'
        f'<span class="big">{joules(summary.energy.units_j)}</span>'
        f"{escape(energy_words(summary, header.emulated))}</li></ul></header>"
    )


def _summary_table(summary: Summary, metrics: Mapping[str, str]) -> str:
    rows = [
        [
            escape(name),
            f"{share(app.on_time)} <small>of {100 * app.slo:g} %</small>",
            _signed(app.verdict),
            f"{milliseconds(app.latency_ms.p50)} · {milliseconds(app.latency_ms.p95)} · "
            f"{milliseconds(app.latency_ms.p99)}",
            targets_in_force(app),
            f"{fraction(app.accuracy.value)} <small>{_accuracy_words(app, metrics.get(name))}</small>",
            floors_in_force(app),
            "<br>".join(f"{escape(subnet)} × {n}" for subnet, n in app.subnets.items()) or "none",
            str(app.switches),
            _counts(app),
        ]
        for name, app in summary.apps.items()
    ]
    return table(
        [
            "app",
            "on time",
            "verdict",
            "p50 · p95 · p99, ms",
            "target, ms",
            "accuracy",
            "floor",
            "sub-networks, completed",
            "switches",
            "requests",
        ],
        rows,
    )


def _accuracy_words(app: AppSummary, metric: str | None) -> str:
    """Return what an accuracy is, where it comes from and of how many requests: `top-1, measured, 600`."""
    words = [metric] if metric else []
    return escape(", ".join([*words, app.accuracy.source, str(app.accuracy.n)]))


def _counts(app: AppSummary) -> str:
    """Return the number of requests submitted, and how they ended."""
    ends = {
        "completed": app.completed,
        "dropped": app.dropped,
        "failed": app.failed,
        "in flight": app.in_flight,
    }
    became = "<br>".join(f"{n} {end}" for end, n in ends.items() if n)
    return f"{app.submitted}<small><br>{became}</small>"


def _segments_table(summary: Summary) -> str:
    rows = [
        [
            escape(name),
            f"{segment.from_s:g}",
            f"{segment.target_ms:g}",
            f"{segment.min_accuracy:.2f}",
            share(segment.on_time),
            _signed(verdict),
            fraction(segment.accuracy),
            str(segment.n),
        ]
        for name, app in summary.apps.items()
        if len(app.segments) > 1
        for segment, verdict in zip(app.segments, verdicts_by_segment(app), strict=True)
    ]
    if not rows:
        return ""
    heads = ["app", "from, s", "target, ms", "floor", "on time", "verdict", "accuracy", "requests"]
    return "<h3>By the target in force</h3>" + table(heads, rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Consequence:
    """A change of gear or clock, and the time from its cause to it."""

    after_s: float
    words: str
    why: str


def _events_table(run: StoredRun) -> str:
    marks = marks_of(run)
    rows = []
    for place, mark in enumerate([Mark(letter="", now_s=0.0, text="start"), *marks]):
        until_s = min(mark.now_s + FOLLOWS_S, *(later.now_s for later in marks[place:]), float("inf"))
        # Changes before t = 0 prepared the start.
        from_s = mark.now_s if place else float("-inf")
        found = _consequences(run, mark.now_s, from_s, until_s)
        changed = "".join(f"<li>{escape(one.words)}<small>{escape(one.why)}</small></li>" for one in found if one.words)
        rows.append(
            [
                f"<b>{mark.letter}</b>",
                f"{mark.now_s:.2f}",
                escape(mark.text),
                f"<ul>{changed}</ul>" if found else "nothing",
                f"{max(one.after_s for one in found):.3f}" if found and place else "",
            ]
        )
    heads = ["", "at, s", "what happened", f"what changed within {FOLLOWS_S:g} s", "last change after, s"]
    return table(heads, rows, kind="events")


def _consequences(run: StoredRun, at_s: float, from_s: float, until_s: float) -> list[_Consequence]:
    """Return the changes of gear in order of time, then one change for each unit's clock, from first to last."""
    found = [
        _Consequence(after_s=change.now_s - at_s, words=_gear_words(change), why=change.why)
        for change in run.gears
        if from_s <= change.now_s < until_s
    ]
    for unit in run.header.units_mhz:
        clocks = [one for one in run.clocks if one.unit == unit and from_s <= one.now_s < until_s]
        if clocks and clocks[0].before != clocks[-1].after:
            found.append(
                _Consequence(
                    after_s=clocks[-1].now_s - at_s,
                    words=f"{unit}: {_clock(clocks[0].before)} → {_clock(clocks[-1].after)}",
                    why=f"in {len(clocks)} steps" if len(clocks) > 1 else "",
                )
            )
    return found


def _energy_tables(run: StoredRun) -> str:
    """Return what the rails measured, beside the power table, and each unit's part."""
    energy = run.summary.energy
    said = "".join(f"<p>{escape(line)}.</p>" for line in sensor_lines(run.summary, run.energy))
    rails = [
        [
            escape(name),
            "the board" if rail.covers == "board" else escape(", ".join(rail.covers)),
            joules(rail.joules),
            str(rail.samples),
            UNKNOWN if rail.longest_gap_s is None else f"{1000 * rail.longest_gap_s:.0f}",
            escape(rail.why_unknown or ""),
        ]
        for name, rail in energy.rails.items()
    ]
    tables = table(["rail", "covers", "energy", "readings", "longest gap, ms", "why not measured"], rails)
    if run.energy:
        units = [[escape(name), joules(unit.joules), unit.source] for name, unit in run.energy.units.items()]
        tables += "<h3>By unit</h3>" + table(["unit", "energy", "source"], units)
        if any(unit.source == "attributed" for unit in run.energy.units.values()):
            tables += (
                "<p>Attributed: a rail measures several units together, and each unit's share is in proportion to its "
                "modelled energy.</p>"
            )
    return said + tables


def _troubles_table(run: StoredRun) -> str:
    rows = [[f"{one.now_s:.3f}", escape(one.kind), escape(one.text)] for one in run.troubles]
    return table(["at, s", "what", "details"], rows)


def _gears_table(run: StoredRun) -> str:
    if not run.gears:
        return "<p>No gear was acknowledged.</p>"
    rows = [
        [
            f"{change.now_s:.3f}",
            escape(change.app),
            escape(_gear(change.before)),
            escape(_gear(change.after)),
            escape(change.why),
        ]
        for change in run.gears
    ]
    gears = table(["at, s", "app", "from", "to", "why"], rows)
    is_open = " open" if len(rows) <= _OPEN_ROWS else ""
    return f"<details{is_open}><summary>{len(rows)} changes</summary>{gears}</details>"


def _method(run: StoredRun) -> str:
    summary, header = run.summary, run.header
    said = [
        "A request is on time if it completed within the target in force at its arrival; latency counts from "
        "the scheduled arrival and includes queueing. Dropped and failed requests are late, and so are those that "
        "never ended though they were due; those due only after the end are not counted. A verdict is given where "
        "the whole 95 % Wilson interval of the on-time share lies on one side of what was asked.",
        f"Energy is of the managed units, idle included, over the whole run, and is {summary.energy.source}. "
        f"Power figures: {header.power_source}. Board: {_board_words(summary)}.",
        f"The manager ran {summary.manager.epochs} epochs, {summary.manager.overruns} of them late. It decided "
        f"in {_tail(summary.manager.solve_ms)}; a plan was applied in {_tail(summary.manager.apply_ms)}; a switch took "
        + "; ".join(f"{_tail(app.switch_ms)} ({name})" for name, app in summary.apps.items())
        + ".",
    ]
    if header.emulated:
        said.append(
            "The clocks of this board are emulated: networks really run, and each request then holds its cores for "
            "as long as the emulated clock would have taken."
        )
    if summary.host is None:
        said.append("The run was simulated, so wall-clock figures are unknown and no host could disturb it.")
    else:
        said.append(
            f"The host stalled {share(summary.host.stalled_share)} of the time, at most "
            f"{milliseconds(summary.host.stall_ms_max)} ms at once; above 1.0 % a run is void. Steal time: "
            + (UNKNOWN if summary.host.steal_s is None else f"{summary.host.steal_s:.2f} s")
            + "."
        )
    return "".join(f"<p>{escape(paragraph)}</p>" for paragraph in said)


# ---------------------------------------------------------------- pieces


def _verdict_class(verdict: Verdict) -> str:
    return verdict.replace(" ", "-")


def _signed(verdict: Verdict) -> str:
    return f'<span class="{_verdict_class(verdict)}">{VERDICT_SIGNS[verdict]} {verdict}</span>'


def _gear(gear: Gear | None) -> str:
    if gear is None:
        return "none"
    return f"{gear.subnet} on {gear.unit}, {gear.cores} core{'s' if gear.cores != 1 else ''}"


def _gear_words(change: GearChange) -> str:
    return f"{change.app}: {_gear(change.before)} → {_gear(change.after)}"


def _clock(clock: float | str | None) -> str:
    if clock is None:
        return "none"
    return clock if isinstance(clock, str) else f"{clock:g} MHz"


def _board_words(summary: Summary) -> str:
    energy = summary.energy
    # A source of its own is worth a word only where it differs from the units'.
    return joules(energy.board_j) + (
        f", {energy.board_source}" if energy.board_j is not None and energy.board_source != energy.source else ""
    )


def _tail(tail: Tail) -> str:
    if tail.p50 is None:
        return UNKNOWN
    return f"{milliseconds(tail.p50)} ms (p99 {milliseconds(tail.p99)} ms)"
