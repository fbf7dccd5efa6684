"""Activities of a ladder, measured on a board: what a core takes with each network, over what the board's file says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

from actors.affinity import Affinity
from actors.agent.devices import DeviceError
from actors.agent.hold import TopClocks
from actors.board_commands.bench import Bench
from actors.board_commands.load import Load
from actors.board_commands.network_load import NetworkLoad
from actors.board_commands.network_power import CorePower, Work, network_powers
from actors.board_schema import BoardError
from actors.executor.client import ExecutorClient, ExecutorError, ExecutorLostError, own_executor
from actors.network_times import NOISE, Examples
from actors.profiling import Ladder
from actors.stored_powers import store_powers, with_measured_activity
from scheduler.board import Board
from scheduler.profile import Profile
from supernets import engines
from workloads.ladder.profiles import devices_of, units_to_measure
from workloads.progress import Progress


def measure_activities(
    profile: Profile,
    ladder: Ladder,
    board: Board,
    bench: Bench,
    top: TopClocks,
    on_progress: Progress,
    load_of: Callable[[Work], Load] | None = None,
    examples: Examples = NOISE,
) -> tuple[Profile, dict[str, list[str]]]:
    """Measure the activity of each network where its times were measured, and keep it for runs and simulations.

    Args:
        profile: the profile, just measured.
        ladder: its sub-networks.
        board: a board of this machine.
        bench: what to measure with.
        top: its clocks, which are held.
        on_progress: called as measurements go on.
        load_of: makes the load of a network; None for the network itself.
        examples: requests by which the networks were timed; they run the first one.

    Returns:
        The profile with the activities, and why some are not known: by reason, the sub-networks and their cores.

    Raises:
        BoardError: if a knob of the board says something that it should not, or the GPU can't be used.
    """
    works = works_of(profile, board)
    with ExitStack() as stack:
        try:
            powers = network_powers(
                board,
                works,
                bench,
                top,
                load_of or _loads(ladder, board, bench.machine.affinity, stack, examples),
                lambda done, total: on_progress(f"power {profile.supernet}", done, total),
            )
        except (DeviceError, OSError, ExecutorError, ExecutorLostError) as error:
            raise BoardError(f"Board {board.name!r}: power can't be measured: {error}") from None
    store_powers(profile.supernet, ladder, board, powers)
    return with_measured_activity(profile, ladder, board), _reasons(powers)


def works_of(profile: Profile, board: Board) -> list[Work]:
    """Return the networks of a profile, each on the unit that its times are of, those on a GPU last."""
    cpus = units_to_measure([unit for unit in board.units if unit.kind == "cpu"])
    gpu = next((unit for unit in board.units if unit.kind == "gpu"), None)
    works = []
    for rung in profile.rungs:
        for time in rung.times:
            unit = gpu if time.kind == "gpu" else cpus.get(time.cores)
            if unit is not None:
                run_ms = time.mean_ms / unit.pace(unit.mhz[-1], time.memory_share)
                works.append(
                    Work(
                        subnet=rung.subnet,
                        kind=time.kind,
                        unit=unit.name,
                        cores=time.cores,
                        engine=time.engine,
                        run_ms=run_ms,
                    )
                )
    return sorted(works, key=lambda work: work.kind)


def _loads(
    ladder: Ladder, board: Board, affinity: Affinity, stack: ExitStack, examples: Examples = NOISE
) -> Callable[[Work], Load]:
    """Return what makes the load of a network; executors that it starts end with the stack."""
    artifacts = {artifact.subnet: artifact for artifact, _, _ in ladder}
    devices = devices_of(board)
    executors: dict[str, ExecutorClient] = {}

    def load(work: Work) -> Load:
        artifact = artifacts[work.subnet]
        ((x, *_),) = examples.inputs([artifact])
        if work.kind == "gpu":
            if work.unit not in executors:
                executors[work.unit] = stack.enter_context(own_executor(devices[work.unit]))
            return NetworkLoad(lambda: executors[work.unit].prepare(artifact), x, (), affinity)
        cpus = board.unit(work.unit).cpus[: work.cores]
        return NetworkLoad(lambda: engines.prepare(artifact, work.engine, threads=len(cpus)), x, cpus, affinity)

    return load


def _reasons(powers: Mapping[Work, CorePower | str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for work, power in powers.items():
        if isinstance(power, str):
            reasons.setdefault(power, []).append(f"{work.subnet} on {_where(work)}")
    return reasons


def _where(work: Work) -> str:
    return f"{work.cores} of {work.unit}" if work.kind == "cpu" else work.unit
