"""The summary as a table for a terminal, for one run or for several policies side by side.

The words for figures are here too, so that the table and the report say the same: a figure that is not known is
`unknown`. The only figure computed here is the energy of a policy relative to the first.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, zip_longest

from rich import box
from rich.table import Table
from rich.text import Text

from workloads.results.concessions import Concession, concession_lines
from workloads.results.run_dir import EnergyNote
from workloads.results.summary import AppSummary, Summary, Verdict
from workloads.results.verdict import verdicts_by_segment
from workloads.runs.host import VOID_SHARE

UNKNOWN = "unknown"
VERDICT_SIGNS: dict[Verdict, str] = {"met": "✓", "missed": "✗", "not shown": "?"}
_VERDICT_STYLES: dict[Verdict, str] = {"met": "green", "missed": "bold red", "not shown": "yellow"}


def summary_table(
    summaries: Sequence[Summary],
    *,
    emulated: bool = False,
    notes: Sequence[EnergyNote | None] = (),
    cut_short: Sequence[bool] = (),
    metrics: Mapping[str, str] | None = None,
    given: Sequence[Sequence[Concession]] = (),
) -> Table:
    """Put runs of one mix side by side: the targets of each app, what each policy gave it, and the energies.

    Args:
        summaries: Summaries, at least one; energies are compared with the first's.
        emulated: True if the board's clocks are emulated; the table then says so.
        notes: For each summary what the run noted of its energies, None where it had no sensors; empty for no notes.
        cut_short: For each summary True if the run did not come to its end; empty for none of them.
        metrics: Words for the accuracy of each app, such as `top-1`, of those where they are known; None for none.
        given: For each summary what its apps gave; empty where nobody knows.

    Returns:
        A table of at most 110 columns.
    """
    first = summaries[0]
    table = Table(
        box=box.SIMPLE_HEAD,
        title=Text(f"{first.mix} on {first.board}, {round(first.duration_s, 2):g} s", style="bold"),
        title_justify="left",
        title_style="",
        show_edge=False,
        pad_edge=False,
        caption=Text("\n").join(
            [
                Text(),
                *_verdict_lines(summaries),
                *_given_lines(summaries, given),
                *_accuracy_lines(metrics or {}),
                *_footer(summaries, emulated, notes, cut_short),
            ]
        ),
        caption_justify="left",
        caption_style="",
    )
    table.add_column("", max_width=26, overflow="fold")
    table.add_column("on time", justify="right", max_width=8)
    table.add_column("verdict", max_width=9)
    table.add_column("p95, ms", justify="right", max_width=12)
    table.add_column("accuracy", justify="right", max_width=13)
    table.add_column("switches", justify="right", max_width=8)
    table.add_column("sub-networks", max_width=21, overflow="fold")
    for name in dict.fromkeys(name for summary in summaries for name in summary.apps):
        apps = [(summary.policy, summary.apps[name]) for summary in summaries if name in summary.apps]
        _, asked = apps[0]
        table.add_row(
            name,
            f"≥ {100 * asked.slo:g} %",
            "",
            f"≤ {targets_in_force(asked)}",
            f"≥ {floors_in_force(asked)}",
            style="bold",
        )
        for policy, app in apps:
            table.add_row(
                Text(f"  {policy}"),
                share(app.on_time),
                _verdict(app),
                milliseconds(app.latency_ms.p95),
                fraction(app.accuracy.value),
                str(app.switches),
                Text("\n".join(f"{subnet} × {n}" for subnet, n in app.subnets.items()) or "none"),
            )
        table.add_section()
    return table


def _verdict(app: AppSummary) -> Text:
    """Return the verdict, and below it that on each segment if there are several: `met` above `✓ ✗ ✓`."""
    words = Text(app.verdict, _VERDICT_STYLES[app.verdict])
    if len(app.segments) > 1:
        signs = [Text(VERDICT_SIGNS[verdict], _VERDICT_STYLES[verdict]) for verdict in verdicts_by_segment(app)]
        words = Text("\n").join([words, Text(" ").join(signs)])
    return words


def targets_in_force(app: AppSummary) -> str:
    """Return the latency targets in ms, such as `60→30`."""
    return _one_after_the_other(f"{segment.target_ms:g}" for segment in app.segments)


def floors_in_force(app: AppSummary) -> str:
    """Return the accuracy floors, such as `0.80→0.70`."""
    return _one_after_the_other(f"{segment.min_accuracy:.2f}" for segment in app.segments)


def share(value: float | None) -> str:
    """Return a fraction in per cent: 0.9513 is `95.1 %`."""
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def milliseconds(value: float | None) -> str:
    """Return a time to three figures, without its unit: 12.345 is `12.3`, 1234.5 is `1234`."""
    if value is None:
        return UNKNOWN
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def fraction(value: float | None) -> str:
    """Return an accuracy to three digits: 0.81 is `0.810`."""
    return UNKNOWN if value is None else f"{value:.3f}"


def short_names(rungs: Sequence[str], most: int = 17) -> list[str]:
    """Return names of sub-networks that fit beside an axis.

    `e256-d256x3-132m-d5de` is too long: it is `e256-d256x3-132m` where the names differ without their last part.
    """
    heads = [rung.rpartition("-")[0] for rung in rungs]
    names = heads if all(heads) and len(set(heads)) == len(rungs) and max(map(len, rungs)) > most else list(rungs)
    return [name if len(name) <= most else f"{name[: most // 2]}…{name[-(most // 2) :]}" for name in names]


def joules(value: float | None) -> str:
    """Return an energy with its unit: 53.21 is `53.2 J`."""
    return UNKNOWN if value is None else f"{value:.1f} J"


def energy_words(summary: Summary, emulated: bool) -> str:
    """Return the source of the energy, such as `modelled, emulated clocks`."""
    if summary.backend == "sim":
        return f"{summary.energy.source}, simulated"
    return summary.energy.source + (", emulated clocks" if emulated else "")


def power_words(summary: Summary, note: EnergyNote | None) -> str:
    """Return the source of the units' power; a share of a rail of several units is no measurement of one of them."""
    is_split = note is not None and any(unit.source == "attributed" for unit in note.units.values())
    return "measured together, split as modelled" if is_split else summary.energy.source


def sensor_lines(summary: Summary, note: EnergyNote | None) -> list[str]:
    """Return what the sensors say: measured energies beside those of the board's power table, then what is not known.

    `units: measured 41.2 J; the board's power table says 38.0 J (0.92 of it)`. There are no lines where nothing was to
    be measured.

    Args:
        summary: Summary of the run.
        note: What the run noted of its energies; None where it had no sensors.
    """
    energy = summary.energy
    figures = (
        ("units", energy.units_j, energy.units_source, note.modelled_units_j if note else None),
        ("board", energy.board_j, energy.board_source, note.modelled_board_j if note else None),
    )
    lines = [
        f"{what}: measured {joules(measured_j)}; {_beside(measured_j, modelled_j)}"
        for what, measured_j, source, modelled_j in figures
        if source == "measured" and measured_j is not None
    ]
    return lines + [f"rail {name}: {rail.why_unknown}" for name, rail in energy.rails.items() if rail.why_unknown]


def _beside(measured_j: float, modelled_j: float | None) -> str:
    if modelled_j is None:
        return "the board's file has no power table to compare that with"
    ratio = f" ({modelled_j / measured_j:.2f} of it)" if measured_j > 0 else ""
    return f"the board's power table says {joules(modelled_j)}{ratio}"


def host_words(summary: Summary) -> str | None:
    """Return the words for a run that the host disturbed; None if it did not."""
    host = summary.host
    if host is None or not host.void:
        return None
    if host.stalled_share is None or host.stalled_share <= VOID_SHARE:
        return "void: another run used the same CPUs"
    return (
        f"void, host disturbed: it stalled {share(host.stalled_share)} of the time, "
        f"up to {milliseconds(host.stall_ms_max)} ms"
    )


def _one_after_the_other(words: Iterable[str]) -> str:
    return "→".join(word for word, _ in groupby(words))


def _accuracy_lines(metrics: Mapping[str, str]) -> list[Text]:
    """Return a line on what the accuracies are, such as `Accuracy: top-1 (gate, yard); exact match (entrance)`."""
    if not metrics:
        return []
    apps = {metric: [app for app, own in metrics.items() if own == metric] for metric in metrics.values()}
    return [Text("Accuracy: " + "; ".join(f"{metric} ({', '.join(names)})" for metric, names in apps.items()))]


def _verdict_lines(summaries: Sequence[Summary]) -> list[Text]:
    if all(len(app.segments) == 1 for summary in summaries for app in summary.apps.values()):
        return []
    return [Text("Under a verdict: that on each target that was in force, one after another."), Text()]


def _given_lines(summaries: Sequence[Summary], given: Sequence[Sequence[Concession]]) -> list[Text]:
    """Return a line for each app that was foreseen to miss something, or got nothing."""
    lines = []
    for summary, one in zip(summaries, given, strict=False):
        under = f" under {summary.policy}" if len(summaries) > 1 else ""
        said = concession_lines(one)
        lines += [Text(f"What could not be given{under}:", style="bold")] if said else []
        lines += [Text(f"  {line}") for line in said]
    return [*lines, Text()] if lines else []


def _footer(
    summaries: Sequence[Summary], emulated: bool, notes: Sequence[EnergyNote | None], cut_short: Sequence[bool]
) -> list[Text]:
    width = max(len(summary.policy) for summary in summaries)
    first = summaries[0].energy
    sources = {summary.energy.source for summary in summaries}
    how = f", {energy_words(summaries[0], emulated)}" if len(sources) == 1 else ""
    lines = [Text(f"Energy of the units{how}:", style="bold")]
    for place, (summary, note, cut) in enumerate(zip_longest(summaries, notes, cut_short)):
        energy = summary.energy
        line = Text(f"{summary.policy:<{width}}  {joules(energy.units_j):>9}")
        if len(sources) > 1:
            line.append(f"  {energy_words(summary, emulated)}")
        # What was measured is not compared with what was modelled.
        if place and first.units_j and energy.units_j is not None and energy.source == first.source:
            line.append(f"  {100 * (energy.units_j / first.units_j - 1):+.0f} % against {summaries[0].policy}")
        lines.append(line)
        lines += [Text(f"{'':{width}}  {said}") for said in sensor_lines(summary, note)]
        if words := f"void: it ended after {summary.duration_s:.2f} s" if cut else host_words(summary):
            lines.append(Text(f"{'':{width}}  {words}", style="bold red"))
    return lines
