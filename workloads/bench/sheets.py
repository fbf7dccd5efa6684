"""The tables of a bench's report, as text: the page and the terminal say the same.

Each function makes one section of what the results say; a figure that is not known is `unknown`, and one that was not
run is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from scheduler.board import Board
from scheduler.governors import GOVERNORS
from workloads.bench.comparison import (
    Comparison,
    Runs,
    both_meeting,
    compare,
    energies_j,
    energy_ratio,
    floor_misses,
    lower_bounds_j,
    mean_accuracy,
    ratios_by_place,
    select,
    shortfalls,
)
from workloads.bench.ratios import j_per_on_time
from workloads.bench.results import Result
from workloads.bench.rows import lost_count, on_time_counts
from workloads.bench.sensitivity import CHANGES
from workloads.bench.tasks import Command
from workloads.bench.verdicts import aim_of, aim_verdict, conclusion, ratio_verdict
from workloads.bench.words import OVER_SETS, bounds_words, change_of, change_words, points, with_bounds
from workloads.report.outcome import Sheet
from workloads.report.table import UNKNOWN, fraction, share

NOT_RUN = "–"

_MOST_NAMED = 6
"""Mixes that one line names; of two hundred nobody reads them all."""


def energy_sheet(results: Sequence[Result], command: Command, baseline: str, *, generated: bool) -> Sheet:
    """All policies against one baseline, and ours again where it is most like it.

    That is in the mixes in which both meet every slo, and with the accuracy that the baseline delivered.
    """
    base = select(results, baseline, generated=generated)
    rows = []
    for policy in command.policies:
        if policy != baseline:
            rows.append(_energy_row(policy, compare(select(results, policy, generated=generated), base)))
    ours = select(results, command.ours, generated=generated)
    rows.append(_energy_row(f"{command.ours}, where both meet their slos", compare(*both_meeting(ours, base))))
    parity = compare(select(results, command.ours, generated=generated, parity=baseline), base)
    if parity.difference is not None:
        rows.append(_energy_row(f"{command.ours} at the accuracy of {baseline}", parity))
    bound = energy_ratio(lower_bounds_j(results), energies_j(base))
    if bound is not None:
        rows.append(("relaxed lower bound", change_words(bound), *[NOT_RUN] * 7))
    mixes = len({mix for mix, _, _ in base})
    which = ("generated " if generated else "") + ("mix" if mixes == 1 else "mixes")
    return Sheet(
        title=f"Against {baseline}, {mixes} {which}",
        heads=(
            "policy",
            "units' energy",
            "board's energy",
            "energy per request on time",
            "on time",
            "accuracy",
            "lost",
            "units' energy is",
            "worst case",
        ),
        rows=[row for row in rows if row],
    )


def aims_sheet(results: Sequence[Result], command: Command, *, generated: bool) -> Sheet | None:
    """By how much our policy misses what it aims at, and in which mixes; None where it has no aim."""
    ours = select(results, command.ours, generated=generated)
    rows = []
    for rival in command.policies:
        aim, base = aim_of(command.ours, rival), select(results, rival, generated=generated)
        units = compare(ours, base).units
        if aim is None or units is None:
            continue
        by_place = ratios_by_place(ours, base)
        above = sorted((place for place in by_place if by_place[place] > aim), key=by_place.__getitem__, reverse=True)
        where = [f"{mix} on {board} ({change_of(by_place[mix, board])})" for mix, board in above[:_MOST_NAMED]]
        where += [f"{len(above) - len(where)} more"] if len(above) > len(where) else []
        rows.append(
            (
                rival,
                change_of(aim),
                change_words(units),
                aim_verdict(units, aim),
                f"{points(units.value - aim)} points" if units.value > aim else "none",
                f"{len(above)} of {len(by_place)}",
                ", ".join(where) or "nowhere",
            )
        )
    if not rows:
        return None
    return Sheet(
        title=f"Aims of {command.ours}",
        heads=("against", "aim", "units' energy", "verdict", "mean above the aim", "mixes above", "where, worst first"),
        rows=rows,
        notes=("An aim is met or missed where the whole interval says so, and the range over power sets.",),
    )


def matrix_sheet(results: Sequence[Result], command: Command, *, generated: bool) -> Sheet | None:
    """Networks × clocks, against the first baseline: what the networks, the clocks and the joint decision each save."""
    cells: dict[str, dict[str, str]] = {}
    baseline = command.baselines[0] if command.baselines else command.ours
    base = select(results, baseline, generated=generated)
    for policy in command.policies:
        networks, clocks = networks_and_clocks(policy)
        comparison = compare(select(results, policy, generated=generated), base)
        cells.setdefault(networks, {})[clocks] = "baseline" if policy == baseline else _cell(comparison)
    columns = list(dict.fromkeys(clocks for own in cells.values() for clocks in own))
    if len(columns) < 2:
        return None
    return Sheet(
        title=f"Networks × clocks, units' energy against {baseline}",
        heads=("networks", *(f"clocks: {clocks}" for clocks in columns)),
        rows=[(networks, *(own.get(clocks, NOT_RUN) for clocks in columns)) for networks, own in cells.items()],
        notes=(
            "Down a column the networks and cores differ, along a row the clocks; what `joint` with its own clocks "
            "saves beyond both is the joint decision's. On time: difference in percentage points.",
        ),
    )


def boards_sheet(results: Sequence[Result], command: Command, boards: Mapping[str, Board], *, generated: bool) -> Sheet:
    """Each board by itself: our policy against each baseline, and where its figures come from."""
    rows = []
    for name, board in boards.items():
        here = [result for result in results if result.task.board == name]
        ours = select(here, command.ours, generated=generated)
        cells = [_cell(compare(ours, select(here, rival, generated=generated))) for rival in command.baselines]
        source = f"emulated clocks; {board.power_source}" if board.emulated else board.power_source
        sets = power_sets(board, here)
        rows.append((name, *cells, f"{source}; {OVER_SETS}: {sets}" if sets else source))
    return Sheet(
        title="By board",
        heads=("board", *(f"{command.ours} against {baseline}" for baseline in command.baselines), "power figures"),
        rows=rows,
        notes=unpowered(boards.values()),
    )


def shortfall_sheet(results: Sequence[Result], command: Command) -> Sheet:
    """Where our policy delivers less on time than a baseline, beyond the interval."""
    bases = {baseline: select(results, baseline) for baseline in command.baselines}
    found = shortfalls(select(results, command.ours), bases)
    return Sheet(
        title=f"Mixes in which {command.ours} delivers less on time than a baseline",
        heads=("mix", "board", "baseline", command.ours, "baseline's", "difference, 95 %", "apps below their slo"),
        rows=[
            (
                one.mix,
                one.board,
                one.baseline,
                share(one.on_time),
                share(one.base_on_time),
                f"{points(one.low)} to {points(one.high)}",
                ", ".join(one.missed_apps) or "none",
            )
            for one in found
        ],
        notes=() if found else ("None, beyond the 95 % interval of the difference.",),
    )


def floors_sheet(results: Sequence[Result], command: Command) -> Sheet:
    """Where our policy served an app below its floor."""
    found = floor_misses(select(results, command.ours))
    return Sheet(
        title=f"Apps that {command.ours} served below their accuracy floor",
        heads=("mix", "board", "app", "from", "floor", "least accuracy", "seeds"),
        rows=[
            (
                one.mix,
                one.board,
                one.app,
                f"{one.from_s:g} s",
                fraction(one.floor),
                fraction(one.accuracy),
                str(one.seeds),
            )
            for one in found
        ],
        notes=() if found else ("None.",),
    )


def sensitivity_sheet(results: Sequence[Result], command: Command) -> Sheet | None:
    """Whether what is concluded of our policy holds whatever is assumed of the boards, and under which change not."""
    changes = [change for change in CHANGES if select(results, command.ours, change=change)]
    if not changes or not command.baselines:
        return None
    found = {
        (change, baseline): compare(
            _of_first_seed(results, command, command.ours, change), _of_first_seed(results, command, baseline, change)
        )
        for change in (None, *changes)
        for baseline in command.baselines
    }
    said = {key: conclusion(command.ours, key[1], comparison.units) for key, comparison in found.items()}
    notes = []
    for baseline in command.baselines:
        otherwise = [
            f"{change} ({said[change, baseline]})"
            for change in changes
            if said[change, baseline] != said[None, baseline]
        ]
        holds = f"Otherwise with {'; '.join(otherwise)}." if otherwise else "The same under every change."
        notes.append(f"Against {baseline}, on the boards as they are: {said[None, baseline]}. {holds}")
    return Sheet(
        title=f"Does {command.ours} take less whatever is assumed of the boards?",
        heads=("boards", *(f"units' energy against {baseline}" for baseline in command.baselines)),
        rows=[
            (change or "as they are", *(_cell(found[change, name], said[change, name]) for name in command.baselines))
            for change in (None, *changes)
        ],
        notes=(
            *notes,
            "The first seed of each mix. Policies know what was changed, but of idle power below static they know "
            "nothing. The power of a busy unit at its top clock stays, and how long an inference takes there.",
        ),
    )


def mix_sheets(results: Sequence[Result], command: Command) -> list[Sheet]:
    """A table for each mix that was written, on each of its boards."""
    by_policy = {policy: select(results, policy, generated=False) for policy in command.policies}
    places = dict.fromkeys(
        (result.task.mix, result.task.board) for result in results if result.utilisation is None and result.task.plain
    )
    return [_mix_sheet(mix, board, by_policy, command) for mix, board in places]


def failure_sheet(results: Sequence[Result]) -> Sheet | None:
    """Runs that failed, and why; seeds of the same failure together."""
    found: dict[tuple[str, ...], list[int]] = {}
    for result in results:
        if result.error is not None:
            task = result.task
            same = (task.mix, task.board, task.policy, variant_words(result), result.error)
            found.setdefault(same, []).append(task.seed)
    if not found:
        return None
    rows = [(*key[:4], ", ".join(map(str, seeds)), key[4]) for key, seeds in found.items()]
    return Sheet(title="Runs that failed", heads=("mix", "board", "policy", "variant", "seeds", "why"), rows=rows)


def power_sets(board: Board, results: Sequence[Result]) -> int:
    """Under how many sets of power figures a board's energies are known; 0 where under the stated ones alone."""
    own = (one.by_set for one in results if one.task.board == board.name and one.by_set is not None)
    return max((len(by_set.units_j) for by_set in own), default=0)


def networks_and_clocks(policy: str) -> tuple[str, str]:
    """The halves of a policy's name; a bare governor stands for `largest` under it."""
    networks, plus, clocks = policy.partition("+")
    if not plus and networks in GOVERNORS:
        return "largest", networks
    return networks, clocks or "its own"


def variant_words(result: Result) -> str:
    """What a run's mix or board was changed in; empty where nothing."""
    task = result.task
    if task.parity is not None:
        return f"accuracy of {task.parity}"
    return task.change or (f"{task.clones} times the apps" if task.clones > 1 else "")


def _energy_row(name: str, comparison: Comparison) -> tuple[str, ...]:
    difference, worst = comparison.difference, comparison.worst
    if difference is None:
        return ()
    return (
        name,
        change_words(comparison.units),
        change_words(comparison.board),
        change_words(comparison.per_on_time),
        points(difference.on_time),
        points(difference.accuracy),
        points(difference.lost),
        UNKNOWN if comparison.units is None else ratio_verdict(comparison.units),
        UNKNOWN if worst is None else f"{change_of(worst.ratio)} ({worst.mix} on {worst.board})",
    )


def _cell(comparison: Comparison, *more: str) -> str:
    units, difference = comparison.units, comparison.difference
    if difference is None:
        return NOT_RUN
    on_time = f"on time {points(difference.on_time)}"
    if units is None:
        return with_bounds(UNKNOWN, on_time, *more)
    return with_bounds(change_of(units.value), *bounds_words(units), on_time, *more)


def _of_first_seed(results: Sequence[Result], command: Command, policy: str, change: str | None) -> Runs:
    """The runs that a change of the board is judged by; on the board as it is, those that the changed ones repeat."""
    runs = select(results, policy, generated=False, change=change)
    return {key: result for key, result in runs.items() if key[2] == command.seed}


def unpowered(boards: Iterable[Board]) -> tuple[str, ...]:
    """Why some boards have no energy, one sentence each."""
    return tuple(
        f"board {board.name!r}: no power figures for {', '.join(missing)}, so energy is unknown and not compared; "
        "give static_w and dynamic_w."
        for board in boards
        if (missing := [unit.name for unit in board.units if not unit.powered])
    )


def _mix_sheet(mix: str, board: str, by_policy: Mapping[str, Runs], command: Command) -> Sheet:
    def here(policy: str) -> dict[tuple[str, str, int], Result]:
        return {key: result for key, result in by_policy[policy].items() if key[:2] == (mix, board)}

    baseline = command.baselines[0] if command.baselines else command.ours
    base = here(baseline)
    bound_j = [result.lower_bound_j for policy in by_policy for result in here(policy).values()]
    rows = []
    for policy in by_policy:
        runs = here(policy)
        if not runs:
            continue
        own = list(runs.values())
        hits, n = (sum(counts) for counts in zip(*map(on_time_counts, own), strict=True))
        rows.append(
            (
                policy,
                _units_energy(own),
                "baseline" if policy == baseline else change_words(compare(runs, base).units),
                share(hits / n) if n else UNKNOWN,
                _mean(map(mean_accuracy, own), "{:.3f}"),
                _mean([float(lost_count(one)) for one in own], "{:.1f}"),
                _mean([1000 * one.stated for one in map(j_per_on_time, own) if one is not None], "{:.2f} mJ"),
                _mean([one.xrbench for one in own], "{:.1f}"),
                _mean([one.tail for one in own], "{:.2f}"),
                _mean([one.managing_j for one in own], "{:.2f} J"),
            )
        )
    bound = _mean(bound_j, "{:.2f} J")
    return Sheet(
        title=f"{mix} on {board}",
        heads=(
            "policy",
            "units' energy",
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
        notes=() if bound == UNKNOWN else (f"Relaxed lower bound on the units' energy: {bound}.",),
    )


def _units_energy(own: Sequence[Result]) -> str:
    """The units' energy, mean over seeds, with its range over sets of power figures where there are some."""
    mean = _mean([one.summary.energy.units_j for one in own if one.summary is not None], "{:.2f} J")
    by_set_j = [one.by_set.units_j for one in own if one.by_set is not None]
    if not by_set_j:
        return mean
    low, high = np.percentile(np.mean(by_set_j, axis=0), [2.5, 97.5])
    return with_bounds(mean, f"{OVER_SETS} {low:.2f} to {high:.2f} J")


def _mean(values: Iterable[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(math.fsum(known) / len(known)) if known else UNKNOWN
