"""`gearshift report`: the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workloads.cli.explain import say_what_is_missing
from workloads.cli.options import bad_input
from workloads.cli.output import print_json
from workloads.report.run_report import write_page
from workloads.results.run_dir import read_run


def report(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a run.")],
    json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON and nothing else; write no page.")
    ] = False,
) -> None:
    """Write a report with plots, report.html, into the directory of a run; one that was cut short serves too."""
    with bad_input():
        run = read_run(run_dir)
        say_what_is_missing(run)
        if json:
            print_json(run.summary.to_json())
        else:
            print(write_page(run))
