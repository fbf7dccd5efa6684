"""The tables of comparisons and failures in a bench's report, as text: the page and the terminal say the same.

Each function makes one table. A figure that is not known is `unknown`, and a policy that was not run is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from scheduler.board import Board
from scheduler.governors import GOVERNORS
from workloads.bench.comparison import (
    PolicyComparison,
    Runs,
    both_meeting,
    bound_below,
    compare,
    floor_misses,
    select,
    shortfalls,
)
from workloads.bench.ratios import shared_tables
from workloads.bench.results import Group, RunResult
from workloads.bench.sensitivity import CHANGES
from workloads.bench.statistics import ConfidenceInterval
from workloads.bench.tasks import Command
from workloads.bench.words import (
    OVER_SETS,
    bounds_words,
    change_of,
    change_words,
    points,
    ratio_verdict,
    with_bounds,
)
from workloads.report.outcome import Sheet
from workloads.report.table import UNKNOWN, fraction, share

NOT_RUN = "–"

_MIXES: Mapping[Group, str] = {
    "written": "{}",
    "accuracy": "{} with objective accuracy",
    "generated": "generated {}",
}
"""By group, how its mixes are called; the braces stand for the word mix or mixes."""


def energy_sheet(results: Sequence[RunResult], command: Command, baseline: str, group: Group) -> Sheet:
    """Return all other policies against one baseline, and once more those that ran at its accuracy.

    Args:
        results: all of the bench.
        command: the options of the bench.
        baseline: the policy that the others are compared with.
        group: the group of mixes.
    """
    base = select(results, baseline, group=group)
    others = [policy for policy in command.policies if policy != baseline]
    rows = [_energy_row(policy, select(results, policy, group=group), base) for policy in others]
    for policy in others:
        at_parity = select(results, policy, group=group, parity=baseline)
        rows.append(_energy_row(f"{policy} at the accuracy of {baseline}", at_parity, base))
    bound = bound_below(base)
    if bound is not None:
        rows.append(("relaxed lower bound", *[NOT_RUN] * 7, _with_mixes(bound), NOT_RUN))
    mixes = len({mix for mix, _, _ in base})
    which = _MIXES[group].format("mix" if mixes == 1 else "mixes")
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
            "where both meet their slos",
            "worst case",
        ),
        rows=[row for row in rows if row],
        notes=[
            f"{', '.join(boards)} count as one board in each mean: they share their power figures."
            for boards in shared_tables(base.values())
        ],
    )


def matrix_sheet(results: Sequence[RunResult], command: Command, group: Group) -> Sheet | None:
    """Return the networks × clocks against the first baseline, or None if the policies have one kind of clocks only.

    It shows the savings of the networks, of the clocks, and of a decision about both together.
    """
    cells: dict[str, dict[str, str]] = {}
    baseline = command.baselines[0] if command.baselines else command.studied
    base = select(results, baseline, group=group)
    for policy in command.policies:
        networks, clocks = networks_and_clocks(policy)
        comparison = compare(select(results, policy, group=group), base)
        cells.setdefault(networks, {})[clocks] = "baseline" if policy == baseline else _cell(comparison)
    columns = list(dict.fromkeys(clocks for own in cells.values() for clocks in own))
    if len(columns) < 2:
        return None
    return Sheet(
        title=f"Networks × clocks, units' energy against {baseline}",
        heads=("networks", *(f"clocks: {clocks}" for clocks in columns)),
        rows=[(networks, *(own.get(clocks, NOT_RUN) for clocks in columns)) for networks, own in cells.items()],
        notes=(
            "Down a column the networks and cores differ, along a row the clocks. What a policy with its own networks "
            "and its own clocks saves beyond both comes from deciding them together. On time: difference in percentage "
            "points.",
        ),
    )


def boards_sheet(results: Sequence[RunResult], command: Command, boards: Mapping[str, Board], group: Group) -> Sheet:
    """Return the studied policy against each baseline by board, and the source of each board's power figures.

    Boards that share their power figures have one more row, together.
    """

    def cells(*names: str) -> list[str]:
        here = [result for result in results if result.task.board in names]
        studied = select(here, command.studied, group=group)
        return [_cell(compare(studied, select(here, rival, group=group))) for rival in command.baselines]

    rows = []
    for name, board in boards.items():
        source = f"emulated clocks; {board.power_source}" if board.emulated else board.power_source
        sets = power_sets(board, results)
        rows.append((name, *cells(name), f"{source}; {OVER_SETS}: {sets}" if sets else source))
    for shared in shared_tables(select(results, command.studied, group=group).values()):
        rows.append((" and ".join(shared), *cells(*shared), "shared"))
    return Sheet(
        title="By board",
        heads=("board", *(f"{command.studied} against {baseline}" for baseline in command.baselines), "power figures"),
        rows=rows,
        notes=unpowered(boards.values()),
    )


def shortfall_sheet(results: Sequence[RunResult], command: Command) -> Sheet:
    """Return the mixes in which the studied policy is shown to have less on time than a baseline."""
    bases = {baseline: select(results, baseline) for baseline in command.baselines}
    found = shortfalls(select(results, command.studied), bases)
    return Sheet(
        title=f"Mixes in which {command.studied} delivers less on time than a baseline",
        heads=("mix", "board", "baseline", command.studied, "baseline's", "difference, 95 %", "apps below their slo"),
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


def floors_sheet(results: Sequence[RunResult], command: Command) -> Sheet:
    """Return the apps that the studied policy served below their accuracy floor."""
    found = floor_misses(select(results, command.studied))
    return Sheet(
        title=f"Apps that {command.studied} served below their accuracy floor",
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


def sensitivity_sheet(results: Sequence[RunResult], command: Command) -> Sheet | None:
    """Return the studied policy against each baseline under each change of the boards, and which change matters.

    None if no board was changed or there is no baseline.
    """
    changes = [change for change in CHANGES if select(results, command.studied, change=change)]
    if not changes or not command.baselines:
        return None
    found = {
        (change, baseline): compare(
            _of_first_seed(results, command, command.studied, change),
            _of_first_seed(results, command, baseline, change),
        )
        for change in (None, *changes)
        for baseline in command.baselines
    }
    said = {key: _conclusion(comparison.units) for key, comparison in found.items()}
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
        title=f"Does {command.studied} take less whatever is assumed of the boards?",
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


def failure_sheet(results: Sequence[RunResult]) -> Sheet | None:
    """Return the runs that failed and why, seeds of the same failure together; None if none failed."""
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


def power_sets(board: Board, results: Sequence[RunResult]) -> int:
    """Return the number of sets of power figures under which a board's energies are known; 0 without sets."""
    own = (one.by_set for one in results if one.task.board == board.name and one.by_set is not None)
    return max((len(by_set.units_j) for by_set in own), default=0)


def networks_and_clocks(policy: str) -> tuple[str, str]:
    """Return the halves of a policy's name.

    `floor+schedutil` gives `floor` and `schedutil`, `joint` gives `joint` and `its own`. A governor alone runs the
    largest networks: `schedutil` gives `largest` and `schedutil`.
    """
    networks, plus, clocks = policy.partition("+")
    if not plus and networks in GOVERNORS:
        return "largest", networks
    return networks, clocks or "its own"


def variant_words(result: RunResult) -> str:
    """Return the change of a run's mix or board in words; empty if there is none."""
    task = result.task
    if task.parity is not None:
        return f"accuracy of {task.parity}"
    return task.change or (f"{task.clones} times the apps" if task.clones > 1 else "")


def _energy_row(name: str, runs: Runs, base: Runs) -> tuple[str, ...]:
    comparison = compare(runs, base)
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
        _where_both_meet(runs, base),
        UNKNOWN if worst is None else f"{change_of(worst.ratio)} ({worst.mix} on {worst.board})",
    )


def _where_both_meet(runs: Runs, base: Runs) -> str:
    units = compare(*both_meeting(runs, base)).units
    return "no mix" if units is None else _with_mixes(units)


def _with_mixes(interval: ConfidenceInterval) -> str:
    """Return a ratio as a change with its bounds and the number of mixes behind it."""
    mixes = "1 mix" if interval.scenarios == 1 else f"{interval.scenarios} mixes"
    return with_bounds(change_of(interval.value), *bounds_words(interval), mixes)


def _cell(comparison: PolicyComparison, *more: str) -> str:
    units, difference = comparison.units, comparison.difference
    if difference is None:
        return NOT_RUN
    on_time = f"on time {points(difference.on_time)}"
    if units is None:
        return with_bounds(UNKNOWN, on_time, *more)
    return with_bounds(change_of(units.value), *bounds_words(units), on_time, *more)


def _conclusion(interval: ConfidenceInterval | None) -> str:
    verdict = ratio_verdict(interval)
    return "less not shown" if verdict == "not shown" else verdict


def _of_first_seed(results: Sequence[RunResult], command: Command, policy: str, change: str | None) -> Runs:
    """Return the runs with the first seed, the only ones that are repeated on changed boards."""
    runs = select(results, policy, group="written", change=change)
    return {key: result for key, result in runs.items() if key[2] == command.seed}


def unpowered(boards: Iterable[Board]) -> tuple[str, ...]:
    """Return one sentence for each board without energy, with the reason and the fix."""
    return tuple(
        f"board {board.name!r}: no power figures for {', '.join(missing)}, so energy is unknown and not compared; "
        "give static_w and dynamic_w."
        for board in boards
        if (missing := [unit.name for unit in board.units if not unit.powered])
    )
