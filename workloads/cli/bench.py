"""`gearshift bench`: policies × mixes × boards × seeds, in simulation or on this machine, with one report."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from actors.whole_file import whole
from scheduler.errors import InputError, did_you_mean, extra
from scheduler.policies import HINDSIGHT
from workloads.bench.tasks import DEFAULT_POLICIES, USUAL_BASELINES, Command, usual_baselines
from workloads.cli.options import ShareOption, bad_input, numbers, print_result
from workloads.cli.progress import ProgressLines
from workloads.mix.errors import choice
from workloads.report.outcome import Sheet
from workloads.runs.boards import BACKENDS

_SCHEMA = 3
"""Version of the format of `runs.jsonl`; a directory of another version is refused."""

_PRINTED = ("policy", "units' energy", "on time", "accuracy", "lost", "units' energy is", "where both meet their slos")
"""The columns of the page's tables of comparisons that fit into a terminal."""


def bench(
    mixes: Annotated[
        list[Path] | None, typer.Argument(metavar="[MIX.py]...", help="Scripts with a function `mix() -> Mix`.")
    ] = None,
    boards: Annotated[
        str | None,
        typer.Option(help="Boards as A,B: names or files, also as BOARD:MODE. Default: each mix on its own boards."),
    ] = None,
    policies: Annotated[
        str | None,
        typer.Option(
            help=f"Policies as A,B: NETWORKS[+CLOCKS] or FILE.py:Class. Default: {','.join(DEFAULT_POLICIES)}."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help=f"Baselines as A,B, of the policies. Default: those of {','.join(USUAL_BASELINES)} that run."
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Number of seeds of each mix.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="First seed.")] = 0,
    backend: Annotated[
        str, typer.Option(help="`sim` simulates; `ray` runs on this machine, one after another.")
    ] = "sim",
    out: Annotated[
        Path | None, typer.Option(help="Directory for the results. The same command with the same directory goes on.")
    ] = None,
    scale: Annotated[str | None, typer.Option(help="1,2,4: run each mix also with every app that many times.")] = None,
    suite: Annotated[bool, typer.Option("--suite", help="Add the suite of scenarios to the mixes named.")] = False,
    generated: Annotated[int, typer.Option(min=0, help="Number of generated mixes on each board, one seed each.")] = 0,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Run again with each assumption on the boards changed.")
    ] = False,
    share: ShareOption = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Number of processes. Default: one for each core.")] = None,
) -> None:
    """Compare policies over mixes, boards and seeds; with no mix named, over the suite of scenarios."""
    # A bench needs polars and matplotlib; the other commands should not have to wait for their import.
    with bad_input(), extra("bench", "`gearshift bench`"):
        import scipy  # noqa: F401 (the bound of the first simulation needs it, which is late to say so)

        from workloads.bench.cases import find_cases
        from workloads.bench.report import REPORT_FILE, Bench, energy_sheets, policy_sheets, to_html
        from workloads.bench.rows import write_tables
        from workloads.bench.runner import run_bench
        from workloads.bench.sheets import failure_sheet, unpowered
        from workloads.bench.store import Store

    directory = out or Path("runs") / f"bench-{time.strftime('%Y%m%d-%H%M%S')}"
    with ProgressLines() as progress:
        with bad_input():
            command = _command(policies, against, repeats, seed, backend, scale, sensitivity)
            scripts = list(mixes or [])
            if suite or not (scripts or generated):
                from workloads.suite import suite_mixes

                scripts += suite_mixes().values()
            names = _listed("--boards", boards) if boards is not None else None
            cases = find_cases(command, scripts, names, generated, progress.line, progress.update)
            store = Store(directory, _identity(command, cases.identity))
        for words in unpowered(cases.boards.values()):
            progress.line(words)
        if store.results:
            progress.line(f"{len(store.results)} runs are done already in {directory}")
        processes = jobs or len(os.sched_getaffinity(0))
        with bad_input():
            results = run_bench(command, cases, store, processes, progress.update, share=share or None)
    done = Bench(command=command, boards=cases.boards, results=results, left_out=cases.left_out)
    write_tables(results, directory)
    with whole(directory / REPORT_FILE) as fresh:
        fresh.write_text(to_html(done), encoding="utf-8")
    for sheet in policy_sheets(done):
        print_result(_table(sheet, sheet.heads))
    for sheet in energy_sheets(done):
        print_result(_table(sheet, _PRINTED))
    print(f"{directory / REPORT_FILE}  has the rest", file=sys.stderr)
    failures = failure_sheet(results)
    if failures is not None:
        print_result(_table(failures, failures.heads))
        raise typer.Exit(1)


def _command(
    policies: str | None,
    against: str | None,
    repeats: int,
    seed: int,
    backend: str,
    scale: str | None,
    sensitivity: bool,
) -> Command:
    choice("--backend", backend, BACKENDS, error=InputError)
    if sensitivity and backend == "ray":
        raise InputError("--sensitivity changes what is assumed of boards; it needs --backend sim")
    clones = numbers("--scale", scale)
    if not all(one.is_integer() for one in clones):
        raise InputError(f"--scale {scale!r} must be whole numbers with commas between them, as in 1,2,4,8")
    usual = DEFAULT_POLICIES if backend == "sim" else tuple(name for name in DEFAULT_POLICIES if name not in HINDSIGHT)
    names = _listed("--policies", policies) if policies is not None else usual
    return Command(
        policies=names,
        against=_baselines(against, names) if against is not None else usual_baselines(names),
        repeats=repeats,
        seed=seed,
        backend=backend,
        scale=tuple(sorted({1, *map(int, clones)})),
        sensitivity=sensitivity,
    )


def _baselines(given: str, policies: Sequence[str]) -> tuple[str, ...]:
    """Return the names of `--against`, each once.

    Raises:
        InputError: if one is not among the policies.
    """
    names = _listed("--against", given)
    for name in names:
        if name not in policies:
            raise InputError(
                f"--against {given!r}: {name!r} is not among --policies {','.join(policies)}."
                f"{did_you_mean(name, policies)} Name it there too, or leave it out here."
            )
    return names


def _listed(option: str, given: str) -> tuple[str, ...]:
    """Return names that have commas between them, each once.

    Raises:
        InputError: if one is empty.
    """
    names = tuple(dict.fromkeys(name.strip() for name in given.split(",")))
    if not all(names):
        raise InputError(f"{option} {given!r} must be names with commas between them, as in A,B")
    return names


def _identity(command: Command, read: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that decides the results of a bench's runs, as JSON values.

    `--against` is not among it: it decides which runs there are, and the runs that are there already serve.
    """
    return {
        "schema": _SCHEMA,
        "gearshift": version("gearshift"),
        "policies": list(command.policies),
        "repeats": command.repeats,
        "seed": command.seed,
        "backend": command.backend,
        "scale": list(command.scale),
        "sensitivity": command.sensitivity,
        **read,
    }


def _table(sheet: Sheet, heads: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=Text(sheet.title, style="bold"), title_justify="left", title_style="")
    places = [sheet.heads.index(head) for head in heads]
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in sheet.rows:
        table.add_row(*(Text(row[place]) for place in places))
    return table
