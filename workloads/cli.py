"""The command `gearshift`.

All input is checked before Ray starts. Exit codes: 0 done, 1 failed, 2 wrong use or bad input, 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from workloads.cli_options import BoardOption, WeightsOption, bad_input, own_weights, print_result, run_directory
from workloads.cli_supernets import accuracy, ladder, profile
from workloads.errors import MixError
from workloads.loader import load_mix
from workloads.plan import RunPlan, check_options, notices, plan_run
from workloads.progress import ProgressLines
from workloads.report import write_report
from workloads.summary import Summary
from workloads.table import summary_table

_INTERRUPTED = 130
"""Exit code that Typer makes of a KeyboardInterrupt."""

app = typer.Typer(
    name="gearshift",
    help="Runs several dynamic DNNs on one board: sub-networks, cores and clocks decided together, every epoch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point of the command."""
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        app()
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # a second one changes nothing: this process is on its way out
            print("gearshift: interrupted; the board is as it was", file=sys.stderr)
        raise


def _interrupted(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


@app.command()
def run(
    mix: Annotated[Path, typer.Argument(metavar="MIX.py", help="script with a function `mix() -> Mix`")],
    board: BoardOption = None,
    backend: Annotated[str, typer.Option(help="ray")] = "ray",
    policy: Annotated[
        list[str] | None, typer.Option("--policy", help="NETWORKS[+CLOCKS]; given again, they run one after another")
    ] = None,
    seed: Annotated[int, typer.Option(help="of arrivals, inputs and service times")] = 0,
    epoch_ms: Annotated[float, typer.Option(help="board time between two decisions")] = 100.0,
    time_scale: Annotated[float, typer.Option(help="wall time over board time, on an emulated board")] = 1.0,
    weights: WeightsOption = None,
    out: Annotated[Path | None, typer.Option(help="run directory; may exist if empty")] = None,
    json: Annotated[bool, typer.Option("--json", help="print the summary as JSON, and nothing else")] = False,
) -> None:
    """Runs a mix on this machine and prints what came of it."""
    policies = policy or ["joint"]
    with ProgressLines() as progress:
        with bad_input():
            if json and len(policies) > 1:
                raise MixError(f"--json prints one summary, but {len(policies)} policies are given; run them apart")
            loaded = load_mix(mix)
            from workloads.launch import open_board

            opened = open_board(board, backend)
            for name in policies:
                check_options(opened, policy=name, seed=seed, epoch_ms=epoch_ms, time_scale=time_scale)
            directory = run_directory(out, loaded.name)
            files = own_weights(weights)
            with _blame(mix):
                plans = [
                    plan_run(
                        loaded,
                        opened,
                        policy=name,
                        seed=seed,
                        epoch_ms=epoch_ms,
                        time_scale=time_scale,
                        weights=files,
                        on_progress=progress.update,
                    )
                    for name in policies
                ]
        for notice in notices(plans[0], files):
            progress.line(notice)
        summaries = _run_all(plans, directory, progress)
    if json:
        print(summaries[0].to_json())
        return
    print_result(summary_table(summaries, emulated=opened.emulated))
    print(f"gearshift report {_directory_of(plans[0], directory, len(plans))}  draws this run", file=sys.stderr)


def _run_all(plans: list[RunPlan], directory: Path, progress: ProgressLines) -> list[Summary]:
    from actors.session import RaySession
    from workloads.launch import run_plan

    summaries = []
    progress.line("starting Ray")
    with RaySession(plans[0].gpus) as session:
        for plan in plans:
            shown = _Shown(plan, progress)
            summaries.append(
                run_plan(plan, session, _directory_of(plan, directory, len(plans)), shown.entry, shown.time)
            )
    return summaries


class _Shown:
    """The lines and the bar of one run."""

    def __init__(self, plan: RunPlan, progress: ProgressLines) -> None:
        self._progress = progress
        self._duration_s = plan.mix.duration_s
        self._title = f"{plan.mix.name} under {plan.policy}"
        if plan.board.emulated:
            self._title += " (emulated)"

    def time(self, now_s: float) -> None:
        self._progress.update(self._title, min(max(now_s, 0.0), self._duration_s), self._duration_s)

    def entry(self, entry: dict[str, Any]) -> None:
        text = _words(entry)
        if text:
            self._progress.line(f"{entry['now_s']:8.2f} s  {text}")


def _words(entry: dict[str, Any]) -> str | None:
    """A log entry as a line; None for one that is not shown."""
    match entry["kind"]:
        case "event":
            return f"event   {entry['text']}"
        case "gear":
            return f"gear    {entry['app']}: {_gear(entry['from'])} -> {_gear(entry['to'])}   {entry['why']}"
        case "lost":
            return f"lost    {entry['app']}: {entry['reason']}"
        case "unhealthy":
            return f"slow    {entry.get('app') or entry.get('unit')}: no answer to {entry['waiting_for']}"
        case "policy_failed" | "error":
            return f"error   {entry}"
    return None


def _gear(gear: list[Any] | None) -> str:
    return "nothing" if gear is None else f"{gear[0]} on {gear[2]} x {gear[1]}"


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="directory of a run")],
) -> None:
    """Writes report.html into a run's directory, with plots."""
    with bad_input():
        print(write_report(run_dir))


for command in (profile, accuracy, ladder):
    app.command()(command)


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(metavar="NAME", help="which result, such as dynamic-ofa")],
    published_only: Annotated[bool, typer.Option("--published-only", help="recompute, and measure nothing")] = False,
    engine: Annotated[str, typer.Option(help="execution engine of what is measured")] = "onnxruntime",
    samples: Annotated[int, typer.Option(min=1, help="inferences of each network on each number of cores")] = 50,
    out: Annotated[Path | None, typer.Option(help="directory for results and report; may exist if empty")] = None,
    json: Annotated[bool, typer.Option("--json", help="print the results as JSON, and nothing else")] = False,
) -> None:
    """Runs a result of a paper again: its published figures recomputed, and measured on this machine."""
    from workloads.outcome import REPORT_FILE, Options
    from workloads.reproduce import reproduction

    with ProgressLines() as progress, bad_input():
        chosen = reproduction(name)
        directory = run_directory(out, name)
        outcome = chosen(Options(published_only=published_only, engine=engine, samples=samples), progress.update)
    outcome.write(directory)
    if json:
        print(outcome.to_json())
    else:
        for table in outcome.tables():
            print_result(table)
    print(f"{directory / REPORT_FILE}  has the figure", file=sys.stderr)


@contextmanager
def _blame(mix: Path) -> Iterator[None]:
    """Has the message of a mistake in the mix begin with its file."""
    try:
        yield
    except MixError as error:
        raise MixError(f"{mix}: {error}") from None


def _directory_of(plan: RunPlan, directory: Path, runs: int) -> Path:
    return directory if runs == 1 else directory / plan.policy
