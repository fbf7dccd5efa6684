"""The tables of `benchmarks.bench_solve`, in Markdown, as docs/measurements.md has them. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]
"""The figures of a case, or of a sample, by name."""

KEYS = ("board", "apps", "objective", "cap", "load")
"""What names a case."""
TIMED = {"plan": ("points", "decision"), "event": ("event",), "solve": ("solve",)}
"""What is timed, with the parts that it is the sum of."""
DISTURBED = 1.1
"""Wall time over CPU time above which a sample did not have a core to itself."""


def rows_of(samples: Sequence[Row]) -> list[Row]:
    """Return the figures of each case, over its samples.

    Times are percentiles in ms: `plan_p50`, `plan_p99` and so on of CPU time, `plan_wall_p50` of wall time over the
    samples that had a core to themselves, None where none had; `alone` counts those. `met` counts samples whose plan
    meets all targets, `settled` those whose plan is proven optimal, `proven` answers of the solver that are, and `gap`
    is the median of answers that meet all targets and are not.
    """
    return [{**dict(zip(KEYS, case, strict=True)), **_figures(some)} for case, some in _by_case(samples)]


def _by_case(rows: Sequence[Row]) -> Iterator[tuple[tuple[Any, ...], list[Row]]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in KEYS), []).append(row)
    yield from groups.items()


def _figures(samples: Sequence[Row]) -> Row:
    solved = [one["solved"] for one in samples]
    gaps = [one["gap"] for one in solved if one["gap"] is not None and not one["proven"]]
    found: Row = {
        "problems": len(samples),
        "met": sum(one["met"] for one in samples),
        "settled": sum(one["settled"] for one in samples),
        "proven": sum(one["proven"] for one in solved),
        "gap": float(np.median(gaps)) if gaps else None,
        "points": int(np.median([one["points"] for one in samples])),
    }
    for name, parts in {**TIMED, "points": ("points",)}.items():
        cpu_ms = np.array([sum(one["ms"][part][0] for part in parts) for one in samples])
        wall_ms = np.array([sum(one["ms"][part][1] for part in parts) for one in samples])
        alone = wall_ms <= DISTURBED * cpu_ms + 0.5
        found |= {f"{name}_p{percent}": float(np.percentile(cpu_ms, percent)) for percent in (50, 99)}
        found[f"{name}_wall_p50"] = float(np.median(wall_ms[alone])) if alone.any() else None
        found[f"{name}_alone"] = int(alone.sum())
    return found


def print_tables(rows: Sequence[Row], peers: Sequence[Row], loads: Sequence[str]) -> None:
    """Print a row for each board and number of applications, its cells by load; then other objectives, then the peers.

    Args:
        rows: what `rows_of` returns, the first of the objective and cap that has a table of its own.
        peers: samples of HiGHS and CP-SAT.
        loads: names of the loads, in the order of the cells.
    """
    plain = [row for row in rows if _goal(row) == _goal(rows[0])]
    others = [row for row in rows if _goal(row) != _goal(rows[0])]
    for some in (plain, others):
        if some:
            _print_times(some, _loads_of(some, loads))
    pricing = [row["points_p50"] / row["plan_p50"] for row in rows]
    alone, count = sum(row["plan_alone"] for row in rows), sum(row["problems"] for row in rows)
    print(f"Times are p50 / p99, ms of CPU time. Pricing points is {np.median(pricing):.0%} of a plan (median row).")
    print(f"{alone} of {count} plans had a core to themselves; the wall times of `--json` are of those.")
    if peers:
        _print_peers(rows, peers, _loads_of(peers, loads))


def _loads_of(rows: Sequence[Row], loads: Sequence[str]) -> list[str]:
    return [load for load in loads if any(row["load"] == load for row in rows)]


def _goal(row: Row) -> tuple[Any, Any]:
    return row["objective"], row["cap"]


def _print_times(rows: Sequence[Row], loads: Sequence[str]) -> None:
    heads = ["board", "applications", "objective", "cap"]
    heads += [f"{what}, {load}" for what in TIMED for load in loads]
    _print_row([*heads, "met", "proven", "gap"])
    _print_row(["---"] * (len(heads) + 3))
    for case, by_load in _cells(rows):
        some = [by_load.get(load) for load in loads]
        cells = [_times(one, what) for what in TIMED for one in some]
        cells.append(", ".join(f"{one['met']}/{one['problems']}" if one else "" for one in some))
        cells.append(", ".join(f"{one['proven']}/{one['problems']}" if one else "" for one in some))
        cells.append(", ".join("–" if one is None or one["gap"] is None else _share(one["gap"]) for one in some))
        _print_row([*_named(case), *cells])
    print()


def _print_peers(rows: Sequence[Row], peers: Sequence[Row], loads: Sequence[str]) -> None:
    ours = {tuple(row[key] for key in KEYS): row for row in rows}
    names = list(dict.fromkeys(row["peer"] for row in peers))
    print("\nThe solver (p50), and each peer on the first problem, CPU ms:\n")
    heads = ["board", "applications", *(f"{load}: {name}" for load in loads for name in ("ours", *names))]
    _print_row(heads)
    _print_row(["---"] * len(heads))
    for case, by_load in _cells(peers):
        cells = []
        for load in loads:
            our = ours.get((*case, load))
            cells.append("" if our is None else _ms(our["solve_p50"]))
            asked = {one["peer"]: one for one in peers if tuple(one[key] for key in KEYS) == (*case, load)}
            cells += [_peer_time(asked.get(name)) for name in names]
        if by_load:
            _print_row([*_named(case)[:2], *cells])


def _cells(rows: Sequence[Row]) -> Iterator[tuple[tuple[Any, ...], Mapping[str, Row]]]:
    """Yield each case without its load, with its rows by load, boards one after another."""
    found: dict[tuple[Any, ...], dict[str, Row]] = {}
    for case, some in _by_case(rows):
        found.setdefault(case[:-1], {})[case[-1]] = some[0]
    boards = list(dict.fromkeys(case[0] for case in found))
    yield from sorted(found.items(), key=lambda one: (boards.index(one[0][0]), one[0][1]))


def _named(case: tuple[Any, ...]) -> list[str]:
    board, apps, objective, cap = case
    return [board, str(apps), objective, "none" if cap is None else f"{cap:g}"]


def _times(row: Row | None, what: str) -> str:
    return "" if row is None else " / ".join(_ms(row[f"{what}_p{percent}"]) for percent in (50, 99))


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 100.0 else f"{value:.0f}"


def _share(gap: float) -> str:
    return f"{100 * gap:.1f} %"


def _peer_time(row: Row | None) -> str:
    if row is None:
        return ""
    return f"{row['ms']['solve'][0]:.0f}" if row["ended"] else "out of time"


def _print_row(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |")
