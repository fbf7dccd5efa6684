"""The tables of each policy's own figures: joules, share on time and delivered accuracy, over all mixes and in each.

Nothing here compares two policies, but for one column of the mixes' tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from workloads.bench.comparison import Runs, above_bound, compare, mean_accuracy, select
from workloads.bench.ratios import EnergyFigure, board_j, by_mix, j_per_on_time, units_j
from workloads.bench.results import Group, RunResult
from workloads.bench.rows import lost_count, on_time_counts
from workloads.bench.statistics import ConfidenceInterval, mean, mean_interval, mean_range_over_sets
from workloads.bench.tasks import Command
from workloads.bench.words import change_words, figure_words
from workloads.report.outcome import Sheet
from workloads.report.table import UNKNOWN

Figure = TypeVar("Figure")


_TITLES: Mapping[Group, str] = {
    "written": "Policies",
    "accuracy": "Policies, mixes with objective accuracy",
    "generated": "Policies, generated mixes",
}


def policy_sheet(results: Sequence[RunResult], command: Command, group: Group) -> Sheet:
    """Return the absolute figures of all policies, means over mixes that each count alike.

    Args:
        results: all of the bench.
        command: the options of the bench.
        group: the group of mixes.
    """
    rows, above = [], []
    for policy in command.policies:
        runs = select(results, policy, group=group)
        if runs:
            rows.append((policy, str(len(runs)), *_energies(runs), *_service(runs)))
        bound = above_bound(runs)
        if bound is not None:
            mixes = len({mix for mix, _, _ in runs})
            above.append(
                f"{policy} {change_words(bound)} in {bound.scenarios} of {mixes} {'mix' if mixes == 1 else 'mixes'}"
            )
    notes = []
    if above:
        notes.append(
            "Against the relaxed lower bound, below which nothing gets that meets every slo and drops no more, in runs "
            f"that meet every slo: {'; '.join(above)}."
        )
    return Sheet(
        title=_TITLES[group],
        heads=("policy", "runs", "units' energy", "board's energy", "on time", "accuracy", "lost"),
        rows=rows,
        notes=notes,
    )


def mix_sheets(results: Sequence[RunResult], command: Command) -> list[Sheet]:
    """Return a table for each written mix on each of its boards."""
    written = [result for result in results if result.utilisation is None]
    by_policy = {policy: select(written, policy) for policy in command.policies}
    places = dict.fromkeys((result.task.mix, result.task.board) for result in written if result.task.plain)
    return [_mix_sheet(mix, board, by_policy, command) for mix, board in places]


def _mix_sheet(mix: str, board: str, by_policy: Mapping[str, Runs], command: Command) -> Sheet:
    here = {
        policy: {key: result for key, result in runs.items() if key[:2] == (mix, board)}
        for policy, runs in by_policy.items()
    }
    baseline = command.baselines[0] if command.baselines else command.studied
    rows = []
    for policy, runs in here.items():
        if runs:
            against = "baseline" if policy == baseline else change_words(compare(runs, here[baseline]).units)
            rows.append((policy, *_energies(runs), against, *_service(runs), *_extras(runs)))
    bounds: dict[str, list[str]] = {}
    for policy, runs in here.items():
        words = _mean([result.lower_bound_j for result in runs.values()], ".2f", " J")
        if words != UNKNOWN:
            bounds.setdefault(words, []).append(policy)
    return Sheet(
        title=f"{mix} on {board}",
        heads=(
            "policy",
            "units' energy",
            "board's energy",
            f"against {baseline}",
            "on time",
            "accuracy",
            "lost",
            "per request on time",
            "XRBench",
            "tail / target",
            "managing",
        ),
        rows=rows,
        notes=[
            f"Relaxed lower bound on the units' energy, dropping no more than {' and '.join(policies)}: {bound}."
            for bound, policies in bounds.items()
        ],
    )


def _energies(runs: Runs) -> tuple[str, str]:
    """Return the energy of the units and of the board in words."""
    return figure_words(_joules(runs, units_j), ".2f", " J"), figure_words(_joules(runs, board_j), ".2f", " J")


def _service(runs: Runs) -> tuple[str, str, str]:
    """Return the share on time, the delivered accuracy and the number of lost requests in words."""
    return (
        figure_words(mean_interval(by_mix(_known(runs, _on_time_percent), mean)), ".1f", " %"),
        figure_words(mean_interval(by_mix(_known(runs, mean_accuracy), mean)), ".3f"),
        _mean([float(lost_count(result)) for result in runs.values()], ".1f"),
    )


def _extras(runs: Runs) -> tuple[str, ...]:
    """Return the figures that have no interval, means over seeds."""
    own = list(runs.values())
    return (
        _mean([1000 * one.stated for one in map(j_per_on_time, own) if one is not None], ".2f", " mJ"),
        _mean([one.xrbench for one in own], ".1f"),
        _mean([one.tail for one in own], ".2f"),
        _mean([one.managing_j for one in own], ".2f", " J"),
    )


def _joules(runs: Runs, energy_of: Callable[[RunResult], EnergyFigure | None]) -> ConfidenceInterval | None:
    """Return the mean energy over mixes, with its interval and its range over sets of power figures."""
    of_mix = by_mix(_known(runs, energy_of), lambda own: EnergyFigure.mean(own, mean))
    interval = mean_interval({mix: [one.stated for one in own] for mix, own in of_mix.items()})
    if interval is None:
        return None
    over_sets = mean_range_over_sets({mix: [one.by_set for one in own] for mix, own in of_mix.items()})
    return replace(interval, over_sets=over_sets)


def _known(runs: Runs, figure_of: Callable[[RunResult], Figure | None]) -> list[tuple[RunResult, Figure]]:
    """Return each run with a figure of it; runs of which it is unknown have no part."""
    found = ((result, figure_of(result)) for result in runs.values())
    return [(result, figure) for result, figure in found if figure is not None]


def _on_time_percent(result: RunResult) -> float | None:
    """Return the requests on time in percent of all that ended; None if there is none."""
    hits, n = on_time_counts(result)
    return 100 * hits / n if n else None


def _mean(values: Sequence[float | None], form: str, unit: str = "") -> str:
    known = [value for value in values if value is not None]
    return f"{math.fsum(known) / len(known):{form}}{unit}" if known else UNKNOWN
