"""The summary as a table for a terminal, for one run or for several policies side by side.

The words for figures are here too, so that the table and the report say the same: a figure that is not known is
`unknown`. The only figure computed here is the energy of a policy relative to the first.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich import box
from rich.table import Table
from rich.text import Text

from workloads.results.summary import AppSummary, Summary, Verdict

UNKNOWN = "unknown"
VERDICT_SIGNS: dict[Verdict, str] = {"met": "✓", "missed": "✗", "not shown": "?"}
_VERDICT_STYLES: dict[Verdict, str] = {"met": "green", "missed": "bold red", "not shown": "yellow"}


def summary_table(summaries: Sequence[Summary], *, emulated: bool = False) -> Table:
    """Put runs of one mix side by side: the targets of each app, what each policy gave it, and the energies.

    Args:
        summaries: Summaries, at least one; energies are compared with the first's.
        emulated: True if the board's clocks are emulated; the table then says so.

    Returns:
        A table of at most 110 columns.
    """
    first = summaries[0]
    table = Table(
        box=box.SIMPLE_HEAD,
        title=Text(f"{first.mix} on {first.board}, {first.duration_s:g} s", style="bold"),
        title_justify="left",
        title_style="",
        show_edge=False,
        pad_edge=False,
        caption=Text("\n").join([Text(), *_footer(summaries, emulated)]),
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
                Text(app.verdict, _VERDICT_STYLES[app.verdict]),
                milliseconds(app.latency_ms.p95),
                fraction(app.accuracy.value),
                str(app.switches),
                Text("\n".join(f"{subnet} × {n}" for subnet, n in app.subnets.items()) or "none"),
            )
        table.add_section()
    return table


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


def joules(value: float | None) -> str:
    """Return an energy with its unit: 53.21 is `53.2 J`."""
    return UNKNOWN if value is None else f"{value:.1f} J"


def energy_words(summary: Summary, emulated: bool) -> str:
    """Return the source of the energy, such as `modelled, emulated clocks`."""
    if summary.backend == "sim":
        return f"{summary.energy.source}, simulated"
    return summary.energy.source + (", emulated clocks" if emulated else "")


def host_words(summary: Summary) -> str | None:
    """Return the words for a run that the host disturbed; None if it did not."""
    host = summary.host
    if host is None or not host.void:
        return None
    return (
        f"void, host disturbed: it stalled {share(host.stalled_share)} of the time, "
        f"up to {milliseconds(host.stall_ms_max)} ms"
    )


def _one_after_the_other(words: Iterable[str]) -> str:
    return "→".join(word for word, _ in groupby(words))


def _footer(summaries: Sequence[Summary], emulated: bool) -> list[Text]:
    width = max(len(summary.policy) for summary in summaries)
    base_j = summaries[0].energy.units_j
    lines = [Text(f"Energy of the units, {energy_words(summaries[0], emulated)}:", style="bold")]
    for place, summary in enumerate(summaries):
        units_j = summary.energy.units_j
        line = Text(f"{summary.policy:<{width}}  {joules(units_j):>9}")
        if place and base_j and units_j is not None:
            line.append(f"  {100 * (units_j / base_j - 1):+.0f} % against {summaries[0].policy}")
        lines.append(line)
        if words := host_words(summary):
            lines.append(Text(f"{'':{width}}  {words}", style="bold red"))
    return lines
