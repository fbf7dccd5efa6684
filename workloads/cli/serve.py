"""`gearshift serve`: runs a mix on this machine until it is stopped, and serves its clients over HTTP."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actors.ownership import Claim
from scheduler.errors import InputError, extra
from workloads.cli.options import BoardOption, ShareOption, WeightsOption, bad_input, own_weights, run_directory
from workloads.cli.progress import ProgressLines
from workloads.cli.run_results import RunResults
from workloads.ladder.ladders import metrics_of
from workloads.mix.errors import MixError, number
from workloads.mix.loader import load_mix
from workloads.results.entry_words import entry_words
from workloads.runs.boards import host_notices, open_board
from workloads.runs.options import check_options
from workloads.runs.plan import RunPlan, notices, plan_run

if TYPE_CHECKING:
    from workloads.serve.listener import Address
    from workloads.serve.server import Limits

TOKEN_VARIABLE = "GEARSHIFT_TOKEN"


def serve(
    mix: Annotated[Path, typer.Argument(metavar="MIX.py", help="Script with a function `mix() -> Mix`.")],
    http: Annotated[
        str, typer.Option("--http", metavar="HOST:PORT", help="Address to serve at; port 0 takes one that is free.")
    ] = "127.0.0.1:8000",
    token_file: Annotated[
        Path | None,
        typer.Option(
            help=f"File with the token of clients, or set {TOKEN_VARIABLE}; needed for any address but loopback."
        ),
    ] = None,
    board: BoardOption = None,
    policy: Annotated[
        str, typer.Option(help="NETWORKS[+CLOCKS], such as floor+schedutil, or FILE.py:Class.")
    ] = "joint",
    seed: Annotated[int, typer.Option(help="Seed of arrivals and inputs of the mix's own load.")] = 0,
    epoch_ms: Annotated[float, typer.Option(help="Time between two decisions in ms.")] = 100.0,
    weights: WeightsOption = None,
    share: ShareOption = False,
    max_body_mb: Annotated[float, typer.Option(help="Largest body of a request, in MB.")] = 16.0,
    drain_s: Annotated[float, typer.Option(help="Longest wait at the end for requests under way, in s.")] = 10.0,
    out: Annotated[Path | None, typer.Option(help="Directory for the run; new or empty.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON and nothing else.")] = False,
) -> None:
    """Serve a mix over HTTP (KServe v2) until Ctrl-C or SIGTERM; then answer what is under way, and print a summary."""
    with RunResults(as_json=json) as results, ProgressLines() as progress, ExitStack() as held:
        with bad_input():
            address, token, limits = _address(http), _token(token_file), _limits(max_body_mb, drain_s)
            if token is None and not address.is_loopback:
                raise InputError(
                    f"--http {http}: other machines reach it, so clients need a token; give --token-file FILE "
                    f"or set {TOKEN_VARIABLE}"
                )
            loaded, opened = load_mix(mix), open_board(board)
            for notice in host_notices(board):
                progress.line(notice)
            check_options(opened, policy=policy, seed=seed, epoch_ms=epoch_ms)
            directory, files = run_directory(out, loaded.name), own_weights(weights)
            results.begin(metrics_of(loaded))
            listening = held.enter_context(address.listen())  # before anything is measured, since it may be taken
            claim = held.enter_context(Claim([opened], loaded.name, share=share or None))
            try:
                plan = plan_run(
                    loaded,
                    opened,
                    policy=policy,
                    seed=seed,
                    epoch_ms=epoch_ms,
                    weights=files,
                    on_progress=progress.update,
                )
            except MixError as error:
                raise MixError(f"{mix}: {error}") from None
            for notice in (claim.notice, *notices(plan, files)):
                if notice:
                    progress.line(notice)
        with bad_input():
            _run(plan, claim, directory, listening, address, token, limits, progress, results)
    results.show(opened.emulated)


def _run(
    plan: RunPlan,
    claim: Claim,
    directory: Path,
    listening: Any,
    address: Address,
    token: str | None,
    limits: Limits,
    progress: ProgressLines,
    results: RunResults,
) -> None:
    from actors.session import RaySession
    from workloads.runs.launch import deploy_plan
    from workloads.serve.board_view import BoardView
    from workloads.serve.server import Server

    view = BoardView()

    def on_entry(entry: dict[str, Any]) -> None:
        view.note(entry)
        text = entry_words(entry)
        if text:
            progress.line(f"{entry['now_s']:8.2f} s  {text}")

    progress.line("starting Ray")
    with (
        RaySession(plan.gpus, claim, progress.line) as session,
        deploy_plan(plan, session, directory, on_entry) as deployment,
    ):
        server = Server(deployment, view, listening, token=token, hosts=address.hosts, limits=limits)
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        progress.line(f"serving {', '.join(deployment.apps)} at http://{shown}:{port}/v2; Ctrl-C ends it")
        server.run(lambda: progress.line("no more requests are let in; those under way are answered"))
    assert deployment.summary is not None
    results.add(deployment.summary, directory)


def _address(http: str) -> Address:
    with extra("serve", "`gearshift serve`"):
        from workloads.serve.listener import Address
        from workloads.serve.server import Server  # noqa: F401 (what it needs is to be missed before anything starts)
    return Address(http)


def _limits(max_body_mb: float, drain_s: float) -> Limits:
    from workloads.serve.server import Limits

    body_mb = number("--max-body-mb", max_body_mb, above=0, high=1024, error=InputError)
    longest_s = number("--drain-s", drain_s, low=0, high=3600, error=InputError)
    body_bytes = int(body_mb * 1e6)
    return Limits(body_bytes=body_bytes, all_bytes=max(4 * body_bytes, 64 * 2**20), drain_s=longest_s)


def _token(file: Path | None) -> str | None:
    """Return the token of the file or the environment; None for none.

    Raises:
        InputError: if the file can't be read, or it holds no token.
    """
    if file is None:
        token, where = os.environ.get(TOKEN_VARIABLE), TOKEN_VARIABLE
        if token is None:
            return None
    else:
        where = f"--token-file {str(file)!r}"
        try:
            token = file.read_text(encoding="ascii")
        except (OSError, UnicodeError) as error:
            raise InputError(f"{where} can't be read ({error}); write one line of ASCII into it") from None
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"{where} must hold one token of printable ASCII without spaces, such as openssl rand -hex 32")
    return token
