"""The running of a bench's tasks: simulations over all cores, or runs on this machine one after another.

A run that fails is a result too, with its reason. The others go on, and the same command tries it again.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.board_schema import BoardError
from actors.ownership import Claim
from actors.session import RaySession
from scheduler.board import Board
from scheduler.objectives import OBJECTIVES
from scheduler.policies import HINDSIGHT, PolicyError
from workloads.bench.cases import Cases, Profiles, read_mix
from workloads.bench.power_sets import energy_by_set, set_boards
from workloads.bench.results import RunResult, delivered_floors, result_of
from workloads.bench.sensitivity import CHANGES
from workloads.bench.store import Store
from workloads.bench.tasks import BenchTask, Case, Command, first_tasks, parity_tasks
from workloads.bench.variants import clone_apps, with_floors
from workloads.ladder.profiles import devices_of
from workloads.mix.errors import MixError
from workloads.mix.mix import Mix
from workloads.progress import Progress
from workloads.results.epoch_log import Entry
from workloads.results.summary import Summary
from workloads.runs.plan import plan_run
from workloads.runs.simulated import plan_simulation
from workloads.simulator import SimulationError, SimulationPlan, simulate

_EXPECTED = (SimulationError, MixError, PolicyError, BoardError)
"""Errors of policies, mixes and boards: their message says all. For other errors the result names the class too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A task with all that a process needs to run it.

    Attributes:
        task: the task to run.
        case: its mix and board.
        board: the board before the task's change.
        profiles: the profiles of the mix's networks.
        bounded: True if the result carries the lower bound too.
    """

    task: BenchTask
    case: Case
    board: Board
    profiles: Profiles
    bounded: bool = False


def run_bench(
    command: Command,
    cases: Cases,
    store: Store,
    jobs: int,
    on_progress: Progress,
    session: RaySession | None = None,
    share: bool | None = None,
) -> list[RunResult]:
    """Run all tasks that are not in the store, and return the results of all tasks in their order.

    Args:
        command: the options of the bench.
        cases: its mixes on their boards.
        store: the results so far; each new one is kept there at once.
        jobs: number of processes; with 1 everything runs in this process.
        on_progress: called with a text, the number of runs done and the number of all.
        session: a started Ray for runs on this machine; None to start one for them.
        share: True to go on where another run uses the same CPUs; None does what `actors.ownership.Claim`
            says.

    Raises:
        InputError: if Ray can't start here, or another run uses the CPUs.
    """
    first = first_tasks(command, cases.cases)
    _run_all(first, command, cases, store, jobs, on_progress, session, share)
    delivered = {}
    for task in first:
        summary = store.results[task].summary
        floors = delivered_floors(summary) if summary is not None and task.plain else None
        if floors is not None:
            delivered[task] = floors
    second = parity_tasks(command, cases.cases, delivered)
    _run_all(second, command, cases, store, jobs, on_progress, session, share)
    return [store.results[task] for task in (*first, *second)]


def _run_all(
    tasks: Sequence[BenchTask],
    command: Command,
    cases: Cases,
    store: Store,
    jobs: int,
    on_progress: Progress,
    session: RaySession | None,
    share: bool | None,
) -> None:
    bounded = (command.studied, *command.baselines, "oracle")
    by_place = {(case.mix, case.board): case for case in cases.cases}
    todo = [
        Job(
            task=task,
            case=by_place[task.mix, task.board],
            board=cases.boards[task.board],
            profiles=cases.profiles[task.mix, task.board],
            bounded=task.plain and task.policy in bounded,
        )
        for task in tasks
        if task not in store.results or store.results[task].error is not None
    ]
    what = "runs at accuracy parity" if tasks and tasks[0].parity else "runs"
    done = len(tasks) - len(todo)
    for result in _real_results(todo, session, share) if command.backend == "ray" else _results(todo, jobs):
        store.add(result)
        done += 1
        on_progress(what, done, len(tasks))


def _results(todo: Sequence[Job], jobs: int) -> Iterator[RunResult]:
    """Yield the results as they come, in any order."""
    rows = _rows(todo)
    if jobs == 1 or len(rows) < 2:
        yield from map(run_job, chain.from_iterable(rows))
        return
    # Spawned and not forked: the driver has threads (a progress bar), and a forked copy of a held lock never opens.
    others = set(active_children())
    pool = ProcessPoolExecutor(min(jobs, len(rows)), mp_context=get_context("spawn"), initializer=_begin)
    try:
        for future in as_completed([pool.submit(_run_row, row) for row in rows]):
            yield from future.result()
    except BaseException:
        # An oracle takes half a minute, and a user who presses Ctrl-C does not want to wait for it.
        for process in set(active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _rows(todo: Sequence[Job]) -> list[list[Job]]:
    """Group jobs that one process is to run in a row: the policies of hindsight on one run share a search.

    These take longest and come first, so that no process still searches when all others have nothing left to do.
    """
    searched: dict[BenchTask, list[Job]] = {}
    for job in todo:
        if job.task.policy in HINDSIGHT:
            searched.setdefault(replace(job.task, policy=""), []).append(job)
    return [*searched.values(), *([job] for job in todo if job.task.policy not in HINDSIGHT)]


def _run_row(row: Sequence[Job]) -> list[RunResult]:
    return [run_job(job) for job in row]


def _real_results(todo: Sequence[Job], session: RaySession | None, share: bool | None) -> Iterator[RunResult]:
    """Yield the results of runs on this machine, one after another: two at once would disturb each other."""
    if not todo:
        return
    gpus = max(len(devices_of(job.board)) for job in todo)
    with (
        Claim([job.board for job in todo], "bench", share=share) as claim,
        nullcontext(session) if session is not None else RaySession(gpus, claim) as started,
    ):
        for job in todo:
            yield run_job(job, started)


def _begin() -> None:
    """Let a process of the pool end at once with Ctrl-C, and with its parent however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def run_job(job: Job, session: RaySession | None = None) -> RunResult:
    """Run one task, on a started Ray if one is given, else in simulation; an exception becomes the result's error."""
    task = job.task
    try:
        mix = _varied(read_mix(job.case.source, job.board), task)
        return _simulated(job, mix) if session is None else _real(job, mix, session)
    except Exception as error:  # no error of one run may stop the others
        said = str(error) if isinstance(error, _EXPECTED) else f"{type(error).__name__}: {error}"
        return RunResult(task=replace(task, floors=None), utilisation=job.case.utilisation, error=said)


def _varied(mix: Mix, task: BenchTask) -> Mix:
    cloned = clone_apps(mix, task.clones)
    return with_floors(cloned, task.floors) if task.floors is not None else cloned


def _simulated(job: Job, mix: Mix) -> RunResult:
    task = job.task
    # A change is one of assumptions, so every set of power figures gets it too.
    board, *sets = [
        one if task.change is None else CHANGES[task.change](one) for one in (job.board, *set_boards(job.board))
    ]
    plan = plan_simulation(mix, board, policy=task.policy, seed=task.seed, profiles=job.profiles)
    simulated = simulate(plan, log=False)
    return result_of(
        task,
        simulated.summary,
        simulated.records,
        utilisation=job.case.utilisation,
        managing_j=simulated.managing_j,
        decisions=simulated.decisions,
        by_set=energy_by_set(sets, simulated.residency, mix.duration_s),
        lower_bound_j=_lower_bound_j(plan, simulated.summary) if job.bounded else None,
        seeks_accuracy=OBJECTIVES[mix.objective].seeks_accuracy,
        power_table=_power_table(job.board),
    )


def _power_table(board: Board) -> str:
    return board.power_source if board.powered else ""


def _lower_bound_j(plan: SimulationPlan, summary: Summary) -> float | None:
    """Return the bound for a run that drops as many requests as this one; None if this one misses an slo."""
    # The solver of the linear programs takes a second to import; only processes that need it wait.
    from workloads.hindsight.bound import lower_bound_j

    for app in summary.apps.values():
        hits = round((app.on_time or 0.0) * app.counted)
        if hits < app.slo * app.submitted - 1e-9:
            return None
    # A request that is not over when the drain ends was not served either.
    return lower_bound_j(plan, {name: app.dropped + app.in_flight for name, app in summary.apps.items()})


def _real(job: Job, mix: Mix, session: RaySession) -> RunResult:
    # Ray takes seconds to import, and a simulation has no use for it.
    from workloads.results.run_dir import read_run
    from workloads.runs.launch import run_plan

    plan = plan_run(mix, job.board, policy=job.task.policy, seed=job.task.seed)
    entries: list[Entry] = []
    with TemporaryDirectory(prefix="gearshift-bench-") as directory:
        summary = run_plan(plan, session, Path(directory), on_entry=entries.append)
        # A board goes on with the plan that it has, but the results of that are not the policy's.
        for entry in entries:
            if entry["kind"] == "policy_failed":
                raise PolicyError(
                    f"policy {plan.policy!r} failed at {max(0.0, entry['now_s']):.1f} s: {entry['error']}"
                )
        return result_of(
            job.task,
            summary,
            read_run(Path(directory)).records,
            seeks_accuracy=OBJECTIVES[mix.objective].seeks_accuracy,
            power_table=_power_table(job.board),
        )
