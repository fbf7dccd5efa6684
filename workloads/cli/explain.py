"""`gearshift explain`: why a run had the plan that it had at a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workloads.cli.options import bad_input
from workloads.cli.output import complain, print_json
from workloads.cli.progress import ProgressLines
from workloads.results.run_dir import EPOCHS_FILE, StoredRun, read_run

_MANY_APPS = 8
"""Applications from which on it takes seconds, and says how far it is."""


def explain(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a run.")],
    at: Annotated[float, typer.Option("--at", metavar="T", help="Time of the plan, in seconds from the start.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Explain the plan at a time: what binds, what the runner-up costs, and what each target, floor and cap costs."""
    from workloads.explaining.as_json import to_json
    from workloads.explaining.reading import explanation_of, moment_of
    from workloads.explaining.words import sections

    with bad_input():
        run = read_run(run_dir)
        say_what_is_missing(run)
        moment = moment_of(run, at)
        with ProgressLines(quiet=len(moment.plan.gears) < _MANY_APPS) as progress:
            explained = explanation_of(moment, progress.update)
    if json:
        print_json(to_json(moment, explained))
        return
    for head, sentences in sections(moment, explained).items():
        print(head)
        for sentence in sentences:
            print(f"  {sentence}")


def say_what_is_missing(run: StoredRun) -> None:
    """Say what a run's directory lacks, and why it ended early if it did."""
    for line in run.missing:
        complain(f"{run.path / line}")
    if run.thinned is not None:
        complain(f"{run.path / EPOCHS_FILE}: {run.thinned}")
    if run.cut_short is not None:
        complain(f"{run.path}: ended after {run.summary.duration_s:.2f} s: {run.cut_short}")
