"""The commands on supernets: measuring them, and making ladders of them."""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

import supernets
from actors.cluster import check_gpus, default_board_path, load_board
from workloads.cli.options import BoardOption, WeightsOption, bad_input, numbers, print_result, weights_of
from workloads.cli.progress import ProgressLines
from workloads.ladder.ladders import ladder_of
from workloads.ladder.profiles import profile_board


def profile(
    supernet: Annotated[str, typer.Argument(help="name of a built-in supernet")],
    board: BoardOption = None,
    weights: WeightsOption = None,
    engine: Annotated[str, typer.Option(help="execution engine")] = "auto",
) -> None:
    """Measures a supernet's ladder on this machine anew, and keeps the figures."""
    with ProgressLines() as progress, bad_input():
        opened = load_board(board or default_board_path())
        check_gpus(opened)
        ladder = ladder_of(supernet, weights_of(supernet, weights), progress.update)
        measured = profile_board(supernet, ladder, opened, progress.update, engine, fresh=True)
    for rung in measured.rungs:
        accuracy = "unknown" if rung.accuracy is None else f"{rung.accuracy:.4f} ({rung.accuracy_source})"
        for time_ in rung.times:
            quantiles = "  ".join(
                f"p{share:.0%}".rstrip("%") + f" {time_.quantile_ms(share):.3f}" for share in (0.5, 0.95)
            )
            where = "GPU" if time_.kind == "gpu" else f"{time_.cores} core(s)"
            print(f"{rung.subnet:20} {where:9}  {time_.engine:12}  {quantiles} ms   accuracy {accuracy}")


def accuracy(
    supernet: Annotated[str, typer.Argument(help="name of a built-in supernet, or NAME:LADDER")],
    data: Annotated[
        str | None, typer.Option(metavar="DIR", help="held-out pictures as CLASS/picture.JPEG, CLASS a WordNet id")
    ] = None,
    weights: WeightsOption = None,
    subnet: Annotated[list[str] | None, typer.Option("--subnet", help="one of the ladder; may be given again")] = None,
    engine: Annotated[str, typer.Option(help="execution engine")] = "onnxruntime",
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16; else each sub-network's own")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many pictures, all classes alike")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of which pictures")] = 0,
    calibrate: Annotated[
        str | None, typer.Option(metavar="DIR", help="training pictures to average batch-norm statistics over")
    ] = None,
    calibration_pictures: Annotated[int, typer.Option(min=2, help="at most so many of them")] = 2000,
    write: Annotated[Path | None, typer.Option(help="ladder file to write; a run takes it as NAME:FILE")] = None,
    json: Annotated[bool, typer.Option("--json", help="print the figures as JSON, and nothing else")] = False,
) -> None:
    """Measures how often each sub-network of a supernet is right on labelled pictures."""
    from workloads.ladder import accuracy as command

    with ProgressLines() as progress, bad_input():
        if write is not None:
            command.check_ladder_file(write)
        net = supernets.load(supernet, weights_of(supernet, weights))
        rungs = [net.rung(name) for name in subnet] if subnet else net.ladder()
        how = command.Evaluation(
            data=command.labelled_data(net.task, data, "--data", held_out=True),
            limit=limit,
            seed=seed,
            engine=engine,
            precision=precision,
            calibration=command.labelled_data(net.task, calibrate, "--calibrate", held_out=False)
            if calibrate
            else None,
            calibration_pictures=calibration_pictures,
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
    supernet: Annotated[str, typer.Argument(help="name of a built-in supernet")],
    board: BoardOption = None,
    unit: Annotated[str | None, typer.Option(help="of the board; else its first CPU unit")] = None,
    cores: Annotated[int, typer.Option(min=1, help="of that unit")] = 1,
    accuracy: Annotated[
        str | None, typer.Option(help="predictor:FILE, table:FILE or data[:DIR]; ofa-plates draws its own data")
    ] = None,
    weights: WeightsOption = None,
    engine: Annotated[str, typer.Option(help="execution engine")] = "auto",
    rungs: Annotated[int, typer.Option(min=2, help="wanted, evenly between the fastest and the slowest")] = 6,
    latency_ms: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="latency limits of the rungs, instead")
    ] = None,
    min_accuracy: Annotated[float, typer.Option(min=0, max=1, help="leave out rungs below")] = 0.0,
    resolutions: Annotated[str | None, typer.Option(metavar="A,B,…", help="to choose from, in pixels")] = None,
    calibrate: Annotated[
        str | None, typer.Option(metavar="DIR", help="training pictures to average batch-norm statistics over")
    ] = None,
    calibration_pictures: Annotated[int, typer.Option(min=2, help="at most so many of them")] = 2000,
    search_pictures: Annotated[int, typer.Option(min=1, help="that a search on data goes by")] = 1000,
    test_pictures: Annotated[int | None, typer.Option(min=1, help="that its rungs are measured on; else all")] = None,
    population: Annotated[int | None, typer.Option(min=2, help="of a generation, each rung; 100, on data 8")] = None,
    generations: Annotated[int | None, typer.Option(min=0, help="500, on data 4")] = None,
    parent_ratio: Annotated[float, typer.Option(min=0, max=1, help="share that has children")] = 0.25,
    mutate_probability: Annotated[float, typer.Option(min=0, max=1, help="of each knob of a mutated child")] = 0.4,
    mutation_ratio: Annotated[float, typer.Option(min=0, max=1, help="share of mutated children")] = 0.5,
    networks: Annotated[int, typer.Option(min=10, help="measured to fit the latency predictor")] = 40,
    held_out: Annotated[int, typer.Option(min=2, help="measured to say how far it is off")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="of the search")] = 0,
    work: Annotated[Path | None, typer.Option(metavar="DIR", help="keeps measurements; else in the cache")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="measure anew")] = False,
    write: Annotated[Path | None, typer.Option(help="ladder file; else SUPERNET-BOARD.safetensors")] = None,
    json: Annotated[bool, typer.Option("--json", help="print the ladder as JSON, and nothing else")] = False,
) -> None:
    """Searches a new ladder of a supernet for a board; interrupted, it goes on from what it has measured."""
    from workloads.ladder.found import as_json, ladder_table
    from workloads.ladder.search import LadderRequest, search_ladder
    from workloads.runs.boards import open_board

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
            resolutions=tuple(int(pixels) for pixels in numbers("--resolutions", resolutions)),
            calibrate=calibrate,
            calibration_pictures=calibration_pictures,
            search_pictures=search_pictures,
            test_pictures=test_pictures,
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
