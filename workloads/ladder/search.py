"""`gearshift ladder`: searches a new ladder of a supernet for one unit of a board, and writes it as a ladder file.

Latencies are measured on this machine, on the unit's cores. For an emulated unit they are shown as its pace makes them
at its top clock, and limits that a user gives are of that kind too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import supernets
from actors.paths import cache_dir
from actors.profiling import machine_name
from scheduler.board import Board
from scheduler.errors import InputError
from supernets import engines
from supernets.errors import SupernetError, known_options
from supernets.evaluation import batched
from supernets.inputs import INPUTS
from supernets.ofa.elastic import ElasticSupernet
from supernets.search.accuracy_source import AccuracySource, AccuracyTable, Calibration, MeasuredAccuracy, Predictor
from supernets.search.evolution import EvolutionPlan
from supernets.search.find import LatencyBench, SearchPlan, search
from supernets.search.work_file import WorkFile
from supernets.task_inputs import DRAWN
from workloads.ladder.accuracy import check_ladder_file
from workloads.ladder.found_ladder import FoundLadder, Place, notes, write_ladder
from workloads.ladder.profiles import devices_of
from workloads.progress import Progress, no_progress

_ACCURACY_FORMS = ("predictor:FILE", "table:FILE", "data[:DIR]")

_MEASURED_EVOLUTION = EvolutionPlan(population=8, generations=4)
"""Extent of the search where every accuracy has to be measured, which takes seconds to minutes each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LadderRequest:
    """A ladder that is asked for; the fields are the options of `gearshift ladder`.

    Attributes:
        supernet: name of a built-in supernet.
        board: a board that this machine can run or emulate.
        unit: name of a unit of the board; None is its first CPU unit.
        cores: number of cores of that unit.
        accuracy: source of accuracies: `predictor:FILE`, `table:FILE` or `data[:DIR]`; None draws plates.
        weights: file of own weights; None takes the packaged ones.
        engine: execution engine; `auto` takes the first that can run here.
        rungs: number of rungs, spread evenly in log latency from the fastest to the slowest.
        limits_ms: latency limits of the rungs, which replace `rungs`; empty takes `rungs`.
        min_accuracy: rungs below this fraction are left out.
        resolutions: resolutions to choose from; empty takes all of the supernet.
        calibrate: training data for batch-norm statistics; None leaves the statistics as they are.
        calibrate_on: most training inputs to use.
        search_on: inputs on which accuracy is measured during a search on data.
        test_on: inputs on which the chosen rungs are measured after a search on data; None takes all.
        population: networks in a generation; None is 100, or 8 where every accuracy has to be measured.
        generations: number of generations; None is 500, or 4 where every accuracy has to be measured.
        parent_ratio: share of a generation that becomes parents, from 0 to 1.
        mutate_probability: probability that a knob of a mutated child changes.
        mutation_ratio: share of children made by mutation, from 0 to 1; the rest are made by crossover.
        networks: number of networks measured to fit the latency predictor.
        held_out: number of networks measured to find the predictor's error.
        seed: seed of the search.
        work: directory that keeps measurements; None is one in the cache.
        fresh: True forgets earlier measurements.
        write: ladder file to write; None is `SUPERNET-BOARD.safetensors` in the working directory.
    """

    supernet: str
    board: Board
    unit: str | None = None
    cores: int = 1
    accuracy: str | None = None
    weights: Path | None = None
    engine: str = "auto"
    rungs: int = 6
    limits_ms: tuple[float, ...] = ()
    min_accuracy: float = 0.0
    resolutions: tuple[int, ...] = ()
    calibrate: str | None = None
    calibrate_on: int = 2000
    search_on: int = 1000
    test_on: int | None = None
    population: int | None = None
    generations: int | None = None
    parent_ratio: float = 0.25
    mutate_probability: float = 0.4
    mutation_ratio: float = 0.5
    networks: int = 40
    held_out: int = 40
    seed: int = 0
    work: Path | None = None
    fresh: bool = False
    write: Path | None = None


def search_ladder(
    request: LadderRequest,
    on_progress: Progress = no_progress,
    on_notice: Callable[[str], None] = lambda text: None,
) -> FoundLadder:
    """Search a new ladder and write it to a file, which an App takes as `supernet="NAME:FILE"`.

    Args:
        request: the ladder that is asked for.
        on_progress: called as measurements go on.
        on_notice: called with each sentence that a user must know.

    Raises:
        InputError: if a part of the request is not possible; nothing was measured.
    """
    where = place(request.board, request.unit, request.cores)
    net = open_supernet(request.supernet, request.weights)
    file = request.write or Path(f"{net.name}-{where.board.name}.safetensors")
    check_ladder_file(file)
    bench = bench_of(where, request.engine)
    work = work_file(net, where, bench, request.work, request.fresh)
    calibration = _calibration(net, request)
    source = _accuracy_source(request, net, bench, calibration, work, on_progress)
    plan = _search_plan(request, source, where)
    on_notice(f"measurements are kept in {work.path}")
    found = FoundLadder(
        net=net,
        where=where,
        bench=bench,
        plan=plan,
        accuracy=request.accuracy or "data",
        file=file,
        ladder=search(net, source, bench.timed_network, plan, work, calibration, on_progress),
    )
    write_ladder(found)
    for note in notes(found):
        on_notice(note)
    return found


def open_supernet(name: str, weights: Path | None) -> ElasticSupernet:
    """Open a supernet that has a space to search.

    Raises:
        SupernetError: if it has none, or can't be opened.
    """
    net = supernets.load(name, weights)
    if not isinstance(net, ElasticSupernet):
        raise SupernetError(
            f"{name} has no space that can be searched; `gearshift accuracy {name}` measures the ladder that it has"
        )
    return net


def place(board: Board, unit: str | None, cores: int) -> Place:
    """Return the place that is asked for, checked.

    Args:
        board: a board that this machine can run or emulate.
        unit: name of a unit; None is the first CPU unit.
        cores: number of cores of that unit.

    Raises:
        InputError: if the board has no such unit, or not as many cores.
    """
    names = [one.name for one in board.units]
    if unit is not None and unit not in names:
        raise InputError(f"--unit {unit!r} is not on board {board.name!r}. {known_options(unit, names)}")
    cpus = [one for one in board.units if one.kind == "cpu"]
    if unit is None and not cpus:
        raise InputError(f"board {board.name!r} has no CPU unit; name one with --unit. Known: {', '.join(names)}")
    chosen = cpus[0] if unit is None else board.unit(unit)
    if not 1 <= cores <= chosen.cores:
        raise InputError(f"--cores {cores}: unit {chosen.name!r} of {board.name!r} has {chosen.cores}")
    return Place(board=board, unit=chosen, cores=cores)


def bench_of(where: Place, engine: str) -> LatencyBench:
    """Return the engine, cores and device in which networks for a place are measured.

    Raises:
        SupernetError: for an unknown engine, or one that does not run on the unit.
    """
    if where.unit.kind == "gpu":
        if engine not in ("auto", "torch"):
            raise SupernetError(f"engine {engine!r} does not run on a GPU, as unit {where.unit.name!r} is; take torch")
        return LatencyBench(engine="torch", threads=1, device=devices_of(where.board)[where.unit.name])
    # Called for its check: it refuses an unknown engine.
    engines.engine_version(engine)
    return LatencyBench(
        engine=engines.candidates()[0] if engine == "auto" else engine,
        threads=where.cores,
        cpus=where.unit.cpus[: where.cores],
    )


def work_file(net: ElasticSupernet, where: Place, bench: LatencyBench, directory: Path | None, fresh: bool) -> WorkFile:
    """Open the file of earlier measurements of a supernet, on this machine and in this engine.

    Args:
        net: the supernet.
        where: the place that the ladder is for.
        bench: the engine, cores and device in which networks are measured.
        directory: directory of the file; None is one in the cache, for these measurements alone.
        fresh: True deletes earlier measurements.

    Raises:
        SupernetError: if the directory can't be used, or holds measurements of something else.
    """
    depends_on = {
        "supernet": net.name,
        "weights": net.base_hash,
        "machine": f"{machine_name()}, {os.cpu_count()} CPUs",
        "engine": engines.engine_version(bench.engine),
        "device": bench.device,
        "CPUs": ", ".join(map(str, bench.cpus)),
    }
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    path = (directory or cache_dir() / "ladders" / f"{net.name}-{key}") / "work.json"
    if fresh:
        path.unlink(missing_ok=True)
    return WorkFile(path, depends_on)


def _accuracy_source(
    request: LadderRequest,
    net: ElasticSupernet,
    bench: LatencyBench,
    calibration: Calibration | None,
    work: WorkFile,
    on_progress: Progress,
) -> AccuracySource:
    """Open the source of accuracies that a request names.

    Raises:
        SupernetError: if the name has another form, or the file or folder can't be used.
    """
    given, resolutions = request.accuracy, request.resolutions or None
    kind, _, file = (given or ("data" if INPUTS[net.task].has_own else "")).partition(":")
    if kind in ("predictor", "table") and file:
        if kind == "predictor":
            return Predictor(Path(file), net.space, resolutions)
        if resolutions:
            raise SupernetError("--resolutions has no use with a table: only what it lists can be chosen")
        return AccuracyTable(Path(file), net.space)
    if kind != "data":
        what = "is needed:" if given is None else f"{given!r} must be"
        raise SupernetError(f"--accuracy {what} one of {', '.join(_ACCURACY_FORMS)}")
    data = INPUTS[net.task].labelled(file or None, "--accuracy data:", held_out=True)
    if calibration is None:
        raise SupernetError("--accuracy data needs training data to calibrate each sub-network on: --calibrate DIR")
    what = f"accuracy on {file or DRAWN}, calibrated on {request.calibrate_on} of {request.calibrate}"
    for resolution in resolutions or ():
        if resolution not in net.space.resolutions:
            raise SupernetError(
                f"--resolutions {resolution} is none of {net.name}; take some of {net.space.resolutions}"
            )
    return MeasuredAccuracy(
        net,
        data,
        calibration,
        pictures=request.search_on,
        test_pictures=request.test_on,
        seed=request.seed,
        engine=bench.engine,
        threads=bench.threads,
        known=work.section(what),
        on_measured=lambda done, total: on_progress("measure accuracies", done, total),
        resolutions=resolutions,
    )


def _calibration(net: ElasticSupernet, request: LadderRequest) -> Calibration | None:
    """Return the training data for batch-norm statistics; None if none are given, and the task has none of its own."""
    if request.calibrate is None and not INPUTS[net.task].has_own:
        return None
    data = batched(INPUTS[net.task].labelled(request.calibrate, "--calibrate", held_out=False), "--calibrate")
    return Calibration(data=data, pictures=request.calibrate_on, seed=0)


def _search_plan(request: LadderRequest, source: AccuracySource, where: Place) -> SearchPlan:
    """Return how far to search; population and generations that are not given suit the source of accuracies."""
    usual = _MEASURED_EVOLUTION if isinstance(source, MeasuredAccuracy) else EvolutionPlan()
    return SearchPlan(
        pace=where.pace,
        limits_ms=request.limits_ms,
        rungs=request.rungs,
        lowest_accuracy=request.min_accuracy,
        training_networks=request.networks,
        held_out_networks=request.held_out,
        evolution=EvolutionPlan(
            seed=request.seed,
            population=usual.population if request.population is None else request.population,
            generations=usual.generations if request.generations is None else request.generations,
            parent_ratio=request.parent_ratio,
            mutate_probability=request.mutate_probability,
            mutation_ratio=request.mutation_ratio,
        ),
    )
