"""Commands on supernets: `profile`, `accuracy` and `ladder`."""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

import supernets
from actors.agent.hold import at_top_clocks
from actors.agent.machine import Machine
from actors.board_commands.bench import real_bench
from actors.network_times import Examples
from actors.profiling import Ladder
from scheduler.board import Board
from supernets.evaluation import batched
from supernets.inputs import INPUTS
from workloads.cli.options import (
    BoardOption,
    WeightsOption,
    bad_input,
    numbers,
    own_weights,
    print_result,
    weights_of,
)
from workloads.cli.profile_table import profile_lines, reason_lines
from workloads.cli.progress import ProgressLines
from workloads.ladder.activities import measure_activities
from workloads.ladder.checks import check_app, has_gpu
from workloads.ladder.ladders import ladder_of, ladders_of, supernet_label
from workloads.ladder.own_models import left_out_lines
from workloads.ladder.profiles import examples_for, profile_board
from workloads.mix.errors import MixError
from workloads.mix.loader import load_mix
from workloads.runs.boards import open_board
from workloads.runs.plan import recovered_lines


class _Named(NamedTuple):
    """A ladder: what it is called in the output and in stored profiles, its networks, and requests to time them by."""

    heading: str
    label: str
    ladder: Ladder
    examples: Examples


def profile(
    of: Annotated[str, typer.Argument(metavar="SUPERNET|MIX.py", help="A built-in supernet, or a mix script.")],
    board: BoardOption = None,
    weights: WeightsOption = None,
    engine: Annotated[str, typer.Option(help="Execution engine; auto takes the fastest.")] = "auto",
) -> None:
    """Measure the latency of a supernet's ladder on this machine, or of all ladders of a mix, and store the profiles.

    A run of the mix on the same board then begins at once. Where rails of the board cover its units, the power of each
    network is measured too.
    Real clocks of the board are at their highest meanwhile, and as they were after it.
    """
    machine = Machine()
    with ProgressLines() as progress, bad_input():
        opened = open_board(board, machine=machine)
        ladders = _ladders(of, weights, opened, engine, progress)
        progress.lines(recovered_lines(machine))
        found = []
        with at_top_clocks(opened, machine, progress.lines) as top:
            progress.lines(
                f"{unit}: measured at {mhz:g} of {opened.unit(unit).mhz[-1]:g} MHz" for unit, mhz in top.mhz.items()
            )
            for _, label, ladder, examples in ladders:
                measured = profile_board(
                    label,
                    ladder,
                    opened,
                    progress.update,
                    engine,
                    fresh=True,
                    clocks_mhz=top.mhz,
                    affinity=machine.affinity,
                    examples=examples,
                )
                bench = real_bench(machine)
                measured, reasons = measure_activities(
                    measured, ladder, opened, bench, top, progress.update, examples=examples
                )
                found.append([*profile_lines(measured), *reason_lines(reasons)])
    for (heading, *_), lines in zip(ladders, found, strict=True):
        if len(ladders) > 1:
            print(f"{heading}:")
        print(*lines, sep="\n")


def _ladders(of: str, weights: list[str] | None, board: Board, engine: str, progress: ProgressLines) -> list[_Named]:
    """Return the ladder of a supernet, or those of all apps of a mix, which is checked as for a run."""
    programs = engine == "torch" or has_gpu(board)
    if not of.endswith(".py"):
        ladder = ladder_of(of, weights_of(of, weights), progress.update, programs)
        return [_Named(of, supernet_label(of), ladder, examples_for(of, ladder))]
    mix = load_mix(of)
    apps = [presence.app for presence in mix.all_apps()]
    try:
        mix.check_board(board.units)
        ladders = ladders_of(mix, own_weights(weights), progress.update, programs=programs)
        for presence in mix.all_apps():
            check_app(presence, ladders[presence.app.supernet], board)
    except MixError as error:
        raise MixError(f"{of}: {error}") from None
    progress.lines(left_out_lines(ladders.values()))
    named = []
    for supernet, ladder in ladders.items():
        users = ", ".join(app.name for app in apps if app.supernet == supernet)
        heading = supernet if isinstance(supernet, str) else f"models of {users}"
        named.append(_Named(heading, supernet_label(supernet), ladder, examples_for(supernet, ladder)))
    return named


def accuracy(
    supernet: Annotated[str, typer.Argument(help="Name of a built-in supernet, or NAME:LADDER.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Held-out labelled data: a folder or a file, as the supernet's task has them. Default: its own.",
        ),
    ] = None,
    weights: WeightsOption = None,
    subnet: Annotated[
        list[str] | None, typer.Option("--subnet", help="Measure this one of the ladder only. Repeat for more.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Execution engine.")] = "onnxruntime",
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16. Default: each sub-network's own.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Use at most this many inputs, equally from all classes where there are classes."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of inputs.")] = 0,
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Folder of training data to average each sub-network's batch-norm statistics over."
        ),
    ] = None,
    calibrate_on: Annotated[
        int, typer.Option("--calibration-pictures", min=2, help="Use at most this many training inputs.")
    ] = 2000,
    write: Annotated[Path | None, typer.Option(help="Ladder file to write; a run takes it as NAME:FILE.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON and nothing else.")] = False,
) -> None:
    """Measure how good the answers of each sub-network of a supernet are, on labelled data."""
    from workloads.ladder import accuracy as command

    with ProgressLines() as progress, bad_input():
        if write is not None:
            command.check_ladder_file(write)
        net = supernets.load(supernet, weights_of(supernet, weights))
        rungs = [net.rung(name) for name in subnet] if subnet else net.ladder()
        labelled = INPUTS[net.task].labelled
        how = command.EvaluationPlan(
            data=labelled(data, "--data", held_out=True),
            limit=limit,
            seed=seed,
            engine=engine,
            precision=precision,
            calibration=batched(labelled(calibrate, "--calibrate", held_out=False), "--calibrate")
            if calibrate
            else None,
            calibrate_on=calibrate_on,
            keeps_statistics=write is not None,
        )
        for note in command.notes(net, rungs, how):
            progress.line(note)
        measured = list(command.measure(net, rungs, how, progress.update))
        if write is not None:
            command.write_ladder(write, net, measured, how)
    if json:
        print(dumps(command.as_json(net, measured, how), indent=2))
        return
    print_result(command.accuracy_table(net, measured, how))


def ladder(
    supernet: Annotated[str, typer.Argument(help="Name of a built-in supernet.")],
    board: BoardOption = None,
    unit: Annotated[str | None, typer.Option(help="Unit of the board. Default: its first CPU unit.")] = None,
    cores: Annotated[int, typer.Option(min=1, help="Number of cores of the unit.")] = 1,
    accuracy: Annotated[
        str | None,
        typer.Option(help="Source of accuracies: predictor:FILE, table:FILE or data[:DIR]. ofa-plates needs none."),
    ] = None,
    weights: WeightsOption = None,
    engine: Annotated[str, typer.Option(help="Execution engine; auto takes the first that can run.")] = "auto",
    rungs: Annotated[
        int, typer.Option(min=2, help="Number of rungs, spread evenly from the fastest to the slowest sub-network.")
    ] = 6,
    latency_ms: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Latency limits of the rungs, in place of --rungs.")
    ] = None,
    min_accuracy: Annotated[float, typer.Option(min=0, max=1, help="Leave out rungs of a lower accuracy.")] = 0.0,
    resolutions: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Resolutions to choose from. Default: all.")
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Folder of training data to average each sub-network's batch-norm statistics over."
        ),
    ] = None,
    calibrate_on: Annotated[
        int, typer.Option("--calibration-pictures", min=2, help="Use at most this many training inputs.")
    ] = 2000,
    search_on: Annotated[
        int,
        typer.Option("--search-pictures", min=1, help="With data: inputs to measure accuracy on during the search."),
    ] = 1000,
    test_on: Annotated[
        int | None,
        typer.Option("--test-pictures", min=1, help="With data: inputs to measure the chosen rungs on. Default: all."),
    ] = None,
    population: Annotated[
        int | None, typer.Option(min=2, help="Sub-networks of a generation, for each rung. Default: 100; with data 8.")
    ] = None,
    generations: Annotated[
        int | None, typer.Option(min=0, help="Number of generations. Default: 500; with data 4.")
    ] = None,
    parent_ratio: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a generation that becomes parents.")
    ] = 0.25,
    mutate_probability: Annotated[
        float, typer.Option(min=0, max=1, help="Probability that a knob of a mutated child changes.")
    ] = 0.4,
    mutation_ratio: Annotated[
        float, typer.Option(min=0, max=1, help="Share of children made by mutation, not by crossover.")
    ] = 0.5,
    networks: Annotated[int, typer.Option(min=10, help="Sub-networks measured to fit the latency predictor.")] = 40,
    held_out: Annotated[int, typer.Option(min=2, help="Sub-networks measured to find the predictor's error.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory that keeps measurements. Default: in the cache.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget earlier measurements.")] = False,
    write: Annotated[
        Path | None, typer.Option(help="Ladder file to write. Default: SUPERNET-BOARD.safetensors.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the ladder as JSON and nothing else.")] = False,
) -> None:
    """Search a new ladder of a supernet for a board. An interrupted search continues from its measurements."""
    from workloads.ladder.found_ladder import as_json, ladder_table
    from workloads.ladder.search import LadderRequest, search_ladder

    with ProgressLines() as progress, bad_input():
        request = LadderRequest(
            supernet=supernet,
            board=open_board(board),
            unit=unit,
            cores=cores,
            accuracy=accuracy,
            weights=weights_of(supernet, weights),
            engine=engine,
            rungs=rungs,
            limits_ms=tuple(numbers("--latency-ms", latency_ms)),
            min_accuracy=min_accuracy,
            resolutions=tuple(int(one) for one in numbers("--resolutions", resolutions)),
            calibrate=calibrate,
            calibrate_on=calibrate_on,
            search_on=search_on,
            test_on=test_on,
            population=population,
            generations=generations,
            parent_ratio=parent_ratio,
            mutate_probability=mutate_probability,
            mutation_ratio=mutation_ratio,
            networks=networks,
            held_out=held_out,
            seed=seed,
            work=work,
            fresh=fresh,
            write=write,
        )
        found = search_ladder(request, progress.update, progress.line)
    if json:
        print(dumps(as_json(found), indent=2))
        return
    print_result(ladder_table(found))
    print(f'{found.file}  is the ladder; an App takes it as supernet="{found.net.name}:{found.file}"', file=sys.stderr)
