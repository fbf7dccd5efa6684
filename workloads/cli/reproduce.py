"""`gearshift reproduce`: a result of a paper, recomputed and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workloads.cli.options import WeightsOption, bad_input, deliver, own_weights, run_directory
from workloads.cli.progress import ProgressLines


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
