"""`gearshift run`: runs a mix on this machine, or in simulation, under one or several policies one after another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from actors.ownership import Claim
from scheduler.board import Board
from scheduler.errors import InputError
from workloads.cli.options import (
    BoardOption,
    ShareOption,
    WeightsOption,
    bad_input,
    own_weights,
    run_directory,
)
from workloads.cli.progress import ProgressLines
from workloads.cli.run_results import RunResults
from workloads.ladder.profiles import profiles_for
from workloads.mix.errors import MixError, choice
from workloads.mix.loader import load_mix
from workloads.mix.mix import Mix
from workloads.results.entry_words import entry_words
from workloads.results.environment import with_environment
from workloads.results.trace import BoardTrace, read_trace
from workloads.runs.app_sources import check_sources
from workloads.runs.boards import BACKENDS, host_notices, open_board
from workloads.runs.failure import Failure, RunError
from workloads.runs.options import check_options
from workloads.runs.plan import RunPlan, notices, plan_run
from workloads.runs.simulated import plan_simulation, write_simulated
from workloads.simulator import SimulationError, SimulationPlan, simulate


def run(
    mix: Annotated[Path, typer.Argument(metavar="MIX.py", help="Script with a function `mix() -> Mix`.")],
    board: BoardOption = None,
    backend: Annotated[str, typer.Option(help="ray: run on this machine. sim: simulate, on any board.")] = "ray",
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            help="NETWORKS[+CLOCKS], such as floor+schedutil, or FILE.py:Class. Repeat to run several in turn.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of arrivals, inputs and service times.")] = 0,
    epoch_ms: Annotated[float, typer.Option(help="Time between two decisions in ms, on the board's clock.")] = 100.0,
    time_scale: Annotated[
        float, typer.Option(help="Slow an emulated board down: wall time divided by board time.")
    ] = 1.0,
    weights: WeightsOption = None,
    measured: Annotated[
        bool, typer.Option("--measured", help="Simulate with profiles measured on this machine, not the packaged ones.")
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(help="Trace of a run: simulate under the other load, the limits and the heat that it recorded."),
    ] = None,
    share: ShareOption = False,
    out: Annotated[Path | None, typer.Option(help="Directory for the run; new or empty.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON and nothing else.")] = False,
) -> None:
    """Run a mix on this machine, or simulate it, and print a summary."""
    policies = policy or ["joint"]
    with RunResults(as_json=json) as results, ProgressLines() as progress, ExitStack() as held:
        with bad_input():
            if json and len(policies) > 1:
                raise InputError(f"--json prints one summary, but {len(policies)} policies are given; run them apart")
            choice("--backend", backend, BACKENDS, error=InputError)
            if backend == "ray" and measured:
                raise InputError("--measured is for --backend sim; on this machine profiles are always measured here")
            if backend == "ray" and trace is not None:
                raise InputError("--trace is for --backend sim; a run on this machine has a load of its own")
            if backend == "sim" and share:
                raise InputError("--share is for runs on this machine; simulations never disturb each other")
            if backend == "sim" and time_scale != 1:
                raise InputError(f"--time-scale {time_scale:g} slows a real run down; leave it out with --backend sim")
            loaded = load_mix(mix)
            opened = open_board(board, backend)
            for notice in host_notices(board):
                progress.line(notice)
            for name in policies:
                check_options(
                    opened,
                    policy=name,
                    seed=seed,
                    epoch_ms=epoch_ms,
                    time_scale=time_scale,
                    simulated=backend == "sim",
                )
            directory = run_directory(out, loaded.name)
            files = own_weights(weights)
            runs = _Runs(loaded, opened, policies, directory, progress, results, seed=seed, epoch_ms=epoch_ms)
            with _blame(mix):
                if backend == "sim":
                    start = runs.simulated(files, measured, read_trace(trace) if trace else None)
                else:
                    # Claimed before anything is measured: profiles too want the CPUs for themselves.
                    claim = held.enter_context(Claim([opened], loaded.name, share=share or None))
                    start = runs.real(files, time_scale, claim)
        with bad_input():
            start()
    results.show(opened.emulated)
    results.check_all_ran()


class _Runs:
    """The runs of one command; all are planned before the first one starts."""

    def __init__(
        self,
        mix: Mix,
        board: Board,
        policies: list[str],
        directory: Path,
        progress: ProgressLines,
        results: RunResults,
        *,
        seed: int,
        epoch_ms: float,
    ) -> None:
        self._mix = mix
        self._board = board
        self._policies = policies
        self._directory = directory
        self._progress = progress
        self._results = results
        self._seed = seed
        self._epoch_ms = epoch_ms

    def directory_of(self, policy: str) -> Path:
        """Return the directory of a policy's run."""
        return self._directory if len(self._policies) == 1 else self._directory / policy.replace("/", "_")

    def simulated(self, weights: dict[str, Path], measured: bool, trace: BoardTrace | None) -> Callable[[], None]:
        """Plan simulations, under the conditions of a trace if one is given, and return the call that runs them."""
        on_progress = self._progress.update
        check_sources(self._mix, self._seed)
        profiles = profiles_for(
            self._mix,
            self._board,
            weights=weights,
            measured=measured,
            on_progress=on_progress,
            on_notice=self._progress.line,
        )
        plans = [
            plan_simulation(
                self._mix, self._board, policy=policy, seed=self._seed, epoch_ms=self._epoch_ms, profiles=profiles
            )
            for policy in self._policies
        ]
        if trace is not None:
            plans = [replace(plan, events=tuple(with_environment(plan.events, trace, self._board))) for plan in plans]
        for notice in self._mix.notices():
            self._progress.line(notice)

        def start() -> None:
            for plan in plans:
                self._simulate(plan)

        return start

    def _simulate(self, plan: SimulationPlan) -> None:
        shown = _Shown(self._mix, plan.policy, "simulated", self._progress)
        try:
            simulated = simulate(plan)
        except SimulationError as error:
            print(f"gearshift: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        for entry in simulated.entries:
            shown.entry(entry)
        out = self.directory_of(plan.policy)
        try:
            write_simulated(plan, simulated, out)
        except RunError as error:
            self._results.failed(error.failure, out, self._board.emulated)
            raise
        self._results.add(simulated.summary, out)

    def real(self, weights: dict[str, Path], time_scale: float, claim: Claim) -> Callable[[], None]:
        """Plan runs on this machine, whose CPUs are claimed, and return the call that starts Ray and runs them."""
        plans = [
            plan_run(
                self._mix,
                self._board,
                policy=policy,
                seed=self._seed,
                epoch_ms=self._epoch_ms,
                time_scale=time_scale,
                weights=weights,
                on_progress=self._progress.update,
            )
            for policy in self._policies
        ]
        for notice in (claim.notice, *notices(plans[0], weights)):
            if notice:
                self._progress.line(notice)
        return lambda: self._run(plans, claim)

    def _run(self, plans: list[RunPlan], claim: Claim) -> None:
        from actors.session import RaySession
        from workloads.runs.launch import run_plan

        self._progress.line("starting Ray")
        with RaySession(plans[0].gpus, claim, self._progress.line) as session:
            for plan in plans:
                how = "emulated" if plan.board.emulated else ""
                shown = _Shown(self._mix, plan.policy, how, self._progress)
                out = self.directory_of(plan.policy)

                def failed(failure: Failure, out: Path = out) -> None:
                    self._results.failed(failure, out, self._board.emulated)

                self._results.add(run_plan(plan, session, out, shown.entry, shown.time, failed), out)


class _Shown:
    """The lines and the bar of one run."""

    def __init__(self, mix: Mix, policy: str, how: str, progress: ProgressLines) -> None:
        self._progress = progress
        self._duration_s = mix.duration_s
        self._title = f"{mix.name} under {policy}" + (f" ({how})" if how else "")

    def time(self, now_s: float) -> None:
        """Move the bar to a board time in seconds."""
        self._progress.update(self._title, min(max(now_s, 0.0), self._duration_s), self._duration_s)

    def entry(self, entry: dict[str, Any]) -> None:
        """Print an entry of the epoch log, if it is one that is shown."""
        text = entry_words(entry)
        if text:
            self._progress.line(f"{entry['now_s']:8.2f} s  {text}")


@contextmanager
def _blame(mix: Path) -> Iterator[None]:
    """Begin the message of a mistake in the mix with its file."""
    try:
        yield
    except MixError as error:
        raise MixError(f"{mix}: {error}") from None
