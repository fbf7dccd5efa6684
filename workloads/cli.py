"""The command `gearshift`.

All input is checked before Ray starts. Exit codes: 0 done, 1 failed, 2 wrong use or bad input, 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from actors.cluster import BoardError, default_board_path, load_board
from scheduler.policies import PolicyError
from supernets.errors import SupernetError
from workloads.epoch_log import EpochLogError
from workloads.errors import MixError
from workloads.loader import load_mix
from workloads.plan import RunPlan, base_name, check_options, ladder_of, plan_run, profile_board
from workloads.progress import ProgressLines
from workloads.report import ReportError, write_report
from workloads.run_dir import RunDirError
from workloads.summary import Summary, SummaryError
from workloads.table import summary_table

_MISTAKES = (MixError, BoardError, SupernetError, PolicyError, ReportError, RunDirError, EpochLogError, SummaryError)

_INTERRUPTED = 130
"""Exit code that Typer makes of a KeyboardInterrupt."""

_TABLE_WIDTH = 110
"""Columns of the summary table where there is no terminal to fit."""

app = typer.Typer(
    name="gearshift",
    help="Runs several dynamic DNNs on one board: sub-networks, cores and clocks decided together, every epoch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_Board = Annotated[
    Path | None, typer.Option("--board", help="cluster.yaml; else ./cluster.yaml, else the packaged one")
]
_Weights = Annotated[
    list[str] | None, typer.Option("--weights", help="SUPERNET=FILE: own weights of a supernet; may be given again")
]


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
    board: _Board = None,
    backend: Annotated[str, typer.Option(help="ray")] = "ray",
    policy: Annotated[
        list[str] | None, typer.Option("--policy", help="NETWORKS[+CLOCKS]; given again, they run one after another")
    ] = None,
    seed: Annotated[int, typer.Option(help="of arrivals, inputs and service times")] = 0,
    epoch_ms: Annotated[float, typer.Option(help="board time between two decisions")] = 100.0,
    time_scale: Annotated[float, typer.Option(help="wall time over board time, on an emulated board")] = 1.0,
    weights: _Weights = None,
    out: Annotated[Path | None, typer.Option(help="run directory; may exist if empty")] = None,
    json: Annotated[bool, typer.Option("--json", help="print the summary as JSON, and nothing else")] = False,
) -> None:
    """Runs a mix on this machine and prints what came of it."""
    policies = policy or ["joint"]
    with ProgressLines() as progress:
        with _bad_input():
            if json and len(policies) > 1:
                raise MixError(f"--json prints one summary, but {len(policies)} policies are given; run them apart")
            loaded = load_mix(mix)
            from workloads.launch import open_board

            opened = open_board(board, backend)
            for name in policies:
                check_options(opened, policy=name, seed=seed, epoch_ms=epoch_ms, time_scale=time_scale)
            directory = _run_directory(out, loaded.name)
            own_weights = _own_weights(weights)
            with _blame(mix):
                plans = [
                    plan_run(
                        loaded,
                        opened,
                        policy=name,
                        seed=seed,
                        epoch_ms=epoch_ms,
                        time_scale=time_scale,
                        weights=own_weights,
                        on_progress=progress.update,
                    )
                    for name in policies
                ]
        summaries = _run_all(plans, directory, progress)
    if json:
        print(summaries[0].to_json())
        return
    console = Console()
    if not console.is_terminal:
        console.width = _TABLE_WIDTH
    console.print(summary_table(summaries, emulated=opened.emulated))
    print(f"gearshift report {_directory_of(plans[0], directory, len(plans))}  draws this run", file=sys.stderr)


def _run_all(plans: list[RunPlan], directory: Path, progress: ProgressLines) -> list[Summary]:
    from actors.session import RaySession
    from workloads.launch import run_plan

    summaries = []
    progress.line("starting Ray")
    with RaySession() as session:
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
    with _bad_input():
        print(write_report(run_dir))


@app.command()
def profile(
    supernet: Annotated[str, typer.Argument(help="name of a built-in supernet")],
    board: _Board = None,
    weights: _Weights = None,
    engine: Annotated[str, typer.Option(help="execution engine")] = "auto",
) -> None:
    """Measures a supernet's ladder on this machine anew, and keeps the figures."""
    with ProgressLines() as progress, _bad_input():
        opened = load_board(board or default_board_path())
        ladder = ladder_of(supernet, _own_weights(weights).get(base_name(supernet)), progress.update)
        measured = profile_board(supernet, ladder, opened, progress.update, engine, fresh=True)
    for rung in measured.rungs:
        accuracy = "unknown" if rung.accuracy is None else f"{rung.accuracy:.4f} ({rung.accuracy_source})"
        for time_ in rung.times:
            quantiles = "  ".join(
                f"p{share:.0%}".rstrip("%") + f" {time_.quantile_ms(share):.3f}" for share in (0.5, 0.95)
            )
            print(f"{rung.subnet:20} {time_.cores} core(s)  {quantiles} ms   accuracy {accuracy}")


@contextmanager
def _bad_input() -> Iterator[None]:
    """Turns a user's mistake into one message and exit code 2."""
    try:
        yield
    except _MISTAKES as error:
        print(f"gearshift: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


@contextmanager
def _blame(mix: Path) -> Iterator[None]:
    """Has the message of a mistake in the mix begin with its file."""
    try:
        yield
    except MixError as error:
        raise MixError(f"{mix}: {error}") from None


def _own_weights(given: list[str] | None) -> dict[str, Path]:
    """The files of `--weights SUPERNET=FILE`.

    Raises:
        MixError: for an option of another form.
    """
    weights = {}
    for option in given or []:
        name, equals, file = option.partition("=")
        if not equals or not name or not file:
            raise MixError(f"--weights {option!r} must be SUPERNET=FILE, as in ofa-plates=mine.safetensors")
        weights[name] = Path(file)
    return weights


def _run_directory(out: Path | None, mix: str) -> Path:
    """The directory to write to, checked: it must be empty or not there, and we must be able to make it.

    Raises:
        MixError: if it can't be used.
    """
    directory = out or Path("runs") / f"{mix}-{time.strftime('%Y%m%d-%H%M%S')}"
    if directory.exists() and not directory.is_dir():
        raise MixError(f"--out {str(directory)!r} is a file; give a directory")
    if directory.is_dir() and any(directory.iterdir()):
        raise MixError(f"--out {str(directory)!r} is not empty; give a new directory, or empty it")
    # Made to see whether it can be, and not left behind: what is checked after this may be wrong too.
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ".writable").touch()
        (directory / ".writable").unlink()
        for path in made:
            path.rmdir()
    except OSError as error:
        raise MixError(
            f"--out {str(directory)!r} can't be written to ({error.strerror}); give another directory"
        ) from None
    return directory


def _directory_of(plan: RunPlan, directory: Path, runs: int) -> Path:
    return directory if runs == 1 else directory / plan.policy
