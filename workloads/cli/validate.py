"""`gearshift validate`: how far a simulation is from a real run of a mix, or predicted from measured power."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from actors.ownership import Claim
from scheduler.errors import InputError
from workloads.cli.options import (
    BoardOption,
    ShareOption,
    WeightsOption,
    bad_input,
    deliver,
    own_weights,
    run_directory,
)
from workloads.cli.progress import ProgressLines
from workloads.mix.errors import MixError
from workloads.mix.loader import load_mix
from workloads.report.outcome import Outcome
from workloads.results.run_dir import read_run
from workloads.runs.boards import host_notices, open_board
from workloads.runs.options import check_options
from workloads.runs.plan import RunPlan, notices, plan_run
from workloads.runs.simulated import write_simulated
from workloads.simulator import SimulationError, SimulationPlan, simulate
from workloads.validation.validate import Pair, simulation_of
from workloads.validation.validate import validate as compared

_OF_A_MIX = ("policy", "seed", "repeats", "epoch_ms", "time_scale", "weights", "share")
"""Options that say how a mix is run."""


def validate(
    context: typer.Context,
    mix: Annotated[
        Path | None,
        typer.Argument(metavar="MIX.py", help="Script with a function `mix() -> Mix`.", show_default=False),
    ] = None,
    power: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|BOARD|all",
            help="In place of a mix: a CSV table of measured power (docs/power.md), or the packaged tables of a board "
            "or of all.",
        ),
    ] = None,
    board: BoardOption = None,
    policy: Annotated[str, typer.Option(help="Policy as NETWORKS[+CLOCKS], such as floor+schedutil.")] = "joint",
    seed: Annotated[
        int, typer.Option(help="Seed of arrivals, inputs and service times; repeats take the next ones.")
    ] = 0,
    repeats: Annotated[int, typer.Option(min=1, help="Number of runs on the board, one after another.")] = 1,
    epoch_ms: Annotated[float, typer.Option(help="Time between two decisions in ms, on the board's clock.")] = 100.0,
    time_scale: Annotated[
        float, typer.Option(help="Slow an emulated board down: wall time divided by board time.")
    ] = 1.0,
    weights: WeightsOption = None,
    share: ShareOption = False,
    out: Annotated[Path | None, typer.Option(help="Directory for runs and report; new or empty.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON and nothing else.")] = False,
) -> None:
    """Print how far the simulation of a mix is from a real run on this machine, or predicted power from a table's."""
    if power is not None:
        with bad_input():
            if mix is not None:
                raise InputError(f"{mix} and --power are two comparisons; leave one of both out")
            for option in _OF_A_MIX:
                source = context.get_parameter_source(option)
                if source is not None and source.name == "COMMANDLINE":
                    raise InputError(f"--{option.replace('_', '-')} is for a mix; leave it out with --power")
            result, directory = _power(power, board, out)
    elif mix is not None:
        result, directory = _mix(mix, board, policy, seed, repeats, epoch_ms, time_scale, weights, share, out)
    else:
        with bad_input():
            raise InputError("nothing to validate; name a MIX.py, or a table of measured power with --power FILE")
    deliver(result, directory, as_json=json)


def _power(named: str, board: str | None, out: Path | None) -> tuple[Outcome, Path]:
    """Predict each row of a table of measured power."""
    from workloads.validation.power.errors import predicted
    from workloads.validation.power.outcome import outcome
    from workloads.validation.power.packaged import lines_of
    from workloads.validation.power.rows import checked_rows

    result = outcome(predicted(checked_rows(lines_of(named), board)))
    return result, run_directory(out, "validate-power")


def _mix(
    mix: Path,
    board: str | None,
    policy: str,
    seed: int,
    repeats: int,
    epoch_ms: float,
    time_scale: float,
    weights: list[str] | None,
    share: bool,
    out: Path | None,
) -> tuple[Outcome, Path]:
    """Run a mix on this machine and simulate it from the same profile."""
    from workloads.validation.outcome import outcome

    with ProgressLines() as progress, ExitStack() as held:
        with bad_input():
            loaded = load_mix(mix)
            opened = open_board(board)
            for notice in host_notices(board):
                progress.line(notice)
            check_options(opened, policy=policy, seed=seed, epoch_ms=epoch_ms, time_scale=time_scale)
            directory = run_directory(out, f"validate-{loaded.name}")
            files = own_weights(weights)
            claim = held.enter_context(Claim([opened], loaded.name, share=share or None))
            try:
                plans = [
                    plan_run(
                        loaded,
                        opened,
                        policy=policy,
                        seed=seed + number,
                        epoch_ms=epoch_ms,
                        time_scale=time_scale,
                        weights=files,
                        on_progress=progress.update,
                    )
                    for number in range(repeats)
                ]
                simulations = [simulation_of(plan) for plan in plans]
            except MixError as error:
                raise MixError(f"{mix}: {error}") from None
            for notice in (claim.notice, *notices(plans[0], files)):
                if notice:
                    progress.line(notice)
        with bad_input():
            pairs = _pairs(plans, simulations, directory, claim, progress)
    return outcome(compared(pairs)), directory


def _pairs(
    plans: list[RunPlan],
    simulations: list[SimulationPlan],
    directory: Path,
    claim: Claim,
    progress: ProgressLines,
) -> list[Pair]:
    """Simulate all, then run all in one Ray session; each has its own run directory."""
    from actors.session import RaySession
    from workloads.runs.launch import run_plan

    for simulation in simulations:
        try:
            write_simulated(simulation, simulate(simulation), directory / f"simulated-{simulation.seed}")
        except SimulationError as error:
            print(f"gearshift: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
    pairs = []
    progress.line("starting Ray")
    with RaySession(plans[0].gpus, claim, progress.line) as session:
        for plan in plans:
            out = directory / f"board-{plan.seed}"
            what, duration_s = f"{plan.mix.name} under {plan.policy}, seed {plan.seed}", plan.mix.duration_s

            def show(now_s: float, what: str = what, duration_s: float = duration_s) -> None:
                progress.update(what, min(max(now_s, 0.0), duration_s), duration_s)

            run_plan(plan, session, out, on_time=show)
            pairs.append(Pair(real=read_run(out), simulated=read_run(directory / f"simulated-{plan.seed}")))
    return pairs
