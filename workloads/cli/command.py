"""The commands of `gearshift`.

All input is checked before Ray starts. Exit codes: 0 done, 1 failed, 2 wrong use or bad input, 130 interrupted by
Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from workloads.cli.bench import bench
from workloads.cli.board import doctor, probe, restore
from workloads.cli.calibrate import calibrate
from workloads.cli.explain import explain, say_what_is_missing
from workloads.cli.options import WeightsOption, bad_input, deliver, own_weights, run_directory
from workloads.cli.output import print_json
from workloads.cli.progress import ProgressLines
from workloads.cli.run import run
from workloads.cli.serve import serve
from workloads.cli.supernets import accuracy, ladder, profile
from workloads.cli.validate import validate
from workloads.report.run_report import write_page
from workloads.results.run_dir import read_run

app = typer.Typer(
    name="gearshift",
    help="Run several dynamic DNNs on one board, with sub-networks, cores and clocks decided together every epoch.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("gearshift"))
        raise typer.Exit


@app.callback()
def _options(
    wanted: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None: ...


@app.command()
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


for command in (explain, run, serve, bench, validate, profile, accuracy, ladder, probe, doctor, calibrate, restore):
    app.command()(command)


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the result, such as dynamic-ofa.")],
    published_only: Annotated[
        bool, typer.Option("--published-only", help="Recompute published figures only; measure nothing.")
    ] = False,
    engine: Annotated[str, typer.Option(help="Execution engine of the networks that are measured.")] = "onnxruntime",
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Inputs of each network, on each number of cores that is measured on. Default: as many as take some "
            "minutes.",
        ),
    ] = None,
    weights: WeightsOption = None,
    out: Annotated[Path | None, typer.Option(help="Directory for results and report; new or empty.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON and nothing else.")] = False,
) -> None:
    """Reproduce a result of a paper: recompute its published figures, and measure them on this machine."""
    from workloads.report.outcome import Options
    from workloads.reproduce import check_weights, reproduction

    with ProgressLines() as progress, bad_input():
        chosen = reproduction(name)
        files = own_weights(weights)
        check_weights(name, files)
        directory = run_directory(out, name)
        options = Options(published_only=published_only, engine=engine, samples=samples, weights=files)
        outcome = chosen(options, progress.update)
    deliver(outcome, directory, as_json=json)
