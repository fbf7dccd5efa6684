"""Profiles of ladders: packaged with gearshift, or measured on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from actors.affinity import Affinity
from actors.board_schema import BoardError
from actors.core_kinds import fastest_first
from actors.executor.client import ExecutorError, ExecutorLostError
from actors.network_times import NOISE, Examples, examples_of
from actors.profiling import Ladder, profile_gpu, profile_ladder
from actors.sizes import size_of
from actors.stored_powers import with_measured_activity
from actors.stored_profiles import is_executable, packaged_profile
from scheduler.board import Board, BoardUnit
from scheduler.profile import Profile
from supernets.errors import SupernetError
from supernets.task import Source
from workloads.ladder.checks import check_app, runs_on_gpu
from workloads.ladder.ladders import base_name, inputs_of, ladders_of, supernet_label
from workloads.ladder.own_models import left_out_lines
from workloads.mix.app import Family
from workloads.mix.mix import Mix
from workloads.progress import Progress, no_progress

NO_CLOCKS: Mapping[str, float] = MappingProxyType({})
"""All units have their highest clock."""


def profiles_for(
    mix: Mix,
    board: Board,
    *,
    weights: Mapping[str, Path] | None = None,
    measured: bool = False,
    on_progress: Progress = no_progress,
    on_notice: Callable[[str], None] = lambda line: None,
) -> dict[str | Family, Profile]:
    """Return the profile of each supernet and family in a mix.

    Args:
        mix: the mix that is to be simulated.
        board: the board of the simulation; it says how many cores a network may get.
        weights: files of own weights, by supernet's name; such a supernet is always measured here.
        measured: True measures on this machine even what has a packaged profile, where it can run here.
        on_progress: called as exports and measurements go on.
        on_notice: called with a sentence for each engine that can't run a model of one's own.

    Raises:
        MixError: for an unknown supernet, weights that no app uses, or an app that a real run would refuse for its
            networks.
        supernets.SupernetError: for a file that can't be used.
    """
    supernets = dict.fromkeys(presence.app.supernet for presence in mix.all_apps())
    weights = weights or {}
    profiles: dict[str | Family, Profile] = {}
    for supernet in supernets:
        if isinstance(supernet, str) and base_name(supernet) not in weights:
            packaged = packaged_profile(supernet)
            if packaged is not None and not (measured and is_executable(supernet)):
                profiles[supernet] = packaged
    if len(profiles) < len(supernets) or weights:
        ladders = ladders_of(mix, weights, on_progress, without=profiles)
        for presence in mix.all_apps():
            if presence.app.supernet in ladders:
                check_app(presence, ladders[presence.app.supernet], board)
        for line in left_out_lines(ladders.values()):
            on_notice(line)
        for supernet, ladder in ladders.items():
            what = f"profile {supernet_label(supernet)}"
            here = profile_ladder(
                supernet_label(supernet),
                ladder,
                _cpus_by_cores(board),
                on_sample=partial(on_progress, what),
                examples=examples_for(supernet, ladder),
            )
            profiles[supernet] = with_measured_activity(here, ladder, board)
    return profiles


def devices_of(board: Board) -> dict[str, str]:
    """Return by GPU unit the device as torch names it: the board's first GPU is `cuda:0`, the second `cuda:1`."""
    gpus = [unit.name for unit in board.units if unit.kind == "gpu"]
    return {unit: f"cuda:{board.cuda_number(unit)}" for unit in gpus}


def examples_for(supernet: str | Family, ladder: Ladder) -> Examples:
    """Return the requests by which a ladder's networks are timed: those of its own stream where they differ in size.

    Raises:
        supernets.SupernetError: if the networks can't take them, as some with random weights can't.
    """
    stream = inputs_of(supernet).stream(0)
    return NOISE if stream.period is None else examples_of(stream, ladder[0][0], stream.period)


def of_source(profile: Profile, source: Source, ladder: Ladder) -> Profile:
    """Return a ladder's profile with the sizes of a source's own requests, where they are known beforehand.

    Raises:
        supernets.SupernetError: if the networks can take none of its requests.
    """
    if source.period is None or profile.sizes == (1.0,):
        return profile
    inputs, sizes = source.inputs(ladder[0][0]), []
    for index in range(source.period):
        try:
            sizes.append(size_of(source.task, inputs(index)))
        except SupernetError:  # a request that will fail, and take hardly any time
            sizes.append(1.0)
    return profile.of_sizes(sizes)


def profile_board(
    name: str,
    ladder: Ladder,
    board: Board,
    on_progress: Progress,
    engine: str = "auto",
    fresh: bool = False,
    devices: Mapping[str, str] | None = None,
    clocks_mhz: Mapping[str, float] = NO_CLOCKS,
    affinity: Affinity | None = None,
    examples: Examples = NOISE,
) -> Profile:
    """Measure the profile of a ladder for every number of cores that the board's CPU units offer, and for its GPU.

    Several GPUs of a board differ by their `speed`, as its CPU units do, so only the first is measured. A ladder with a
    model that has no torch program gets no times on a GPU, and so never runs there.

    Args:
        name: name of the supernet, for stored profiles and progress lines.
        ladder: the exported networks.
        board: a board of this machine.
        on_progress: called as measurements go on.
        engine: execution engine on CPUs; `auto` takes for each network the fastest that runs here.
        fresh: True measures anew what was measured before.
        devices: by GPU unit, the torch device; None takes them in order.
        clocks_mhz: by unit, the clock that it has meanwhile, in MHz; left out where that is its highest.
        affinity: the kernel's masks of threads; None for this machine's.
        examples: requests by which the networks are timed on CPUs.

    Returns:
        The times of each network on CPUs and on the GPU, with the activities that `gearshift profile` has measured on
        the board.

    Raises:
        BoardError: if the GPU can't be used.
        supernets.SupernetError: for an unknown engine.
    """
    profiles = []
    units = [unit for unit in board.units if unit.kind == "cpu"]
    if units:
        measured_on = units_to_measure(units)
        on_cpus = profile_ladder(
            name,
            ladder,
            {cores: unit.cpus[:cores] for cores, unit in measured_on.items()},
            engine=engine,
            fresh=fresh,
            on_sample=lambda done, total: on_progress(f"profile {name}", done, total),
            apart="" if board.emulated else f"{board.name} {sorted(clocks_mhz.items())}",
            affinity=affinity,
            examples=examples,
        )
        # A profile is of a core of speed 1 at its top clock. An emulated unit is measured on whatever core there is.
        speeds = {
            cores: 1.0 if unit.emulated else unit.pace(clocks_mhz.get(unit.name, unit.mhz[-1]))
            for cores, unit in measured_on.items()
        }
        profiles.append(on_cpus.at_speeds(speeds))
    on = list((devices_of(board) if devices is None else devices).values())
    if on and runs_on_gpu(ladder):
        try:
            on_gpu = profile_gpu(
                name,
                ladder,
                on[0],
                fresh=fresh,
                on_sample=lambda done, total: on_progress(f"profile {name} on {on[0]}", done, total),
            )
        except (ExecutorError, ExecutorLostError) as error:
            raise BoardError(f"Board {board.name!r}: {name} can't be profiled on device {on[0]!r}: {error}") from None
        profiles.append(on_gpu)
    times = {
        artifact.subnet: tuple(time for profile in profiles for time in profile.rung(artifact.subnet).times)
        for artifact, _, _ in ladder
    }
    # The last one: a GPU's profile names both processors as its machine.
    last = profiles[-1]
    whole = replace(
        last,
        rungs=tuple(replace(rung, times=times[rung.subnet]) for rung in last.rungs),
        sizes=profiles[0].sizes,
        warnings=tuple(warning for profile in profiles for warning in profile.warnings),
    )
    return with_measured_activity(whole, ladder, board)


def units_to_measure(units: Sequence[BoardUnit]) -> dict[int, BoardUnit]:
    """Return for each number of cores the unit to measure it on: the fastest that has so many, the larger of two."""
    return {
        cores: max((unit for unit in units if unit.cores >= cores), key=lambda unit: (unit.speed, unit.cores))
        for cores in range(1, max(unit.cores for unit in units) + 1)
    }


def where_measured(board: Board) -> str | None:
    """Return a sentence on which of a board's CPU units are measured, where they differ; None where they do not.

    On an RK3588 it is `times of networks are measured on big0 with 1 to 2 cores and on little with 3 to 4; on other
    units they follow from their speed`.
    """
    units = [unit for unit in board.units if unit.kind == "cpu"]
    if board.emulated or len({unit.speed for unit in units}) < 2:
        return None
    cores_of: dict[str, list[int]] = {}
    for cores, unit in units_to_measure(units).items():
        cores_of.setdefault(unit.name, []).append(cores)
    places = [
        f"on {name} with {cores[0]}{f' to {cores[-1]}' if len(cores) > 1 else ''} core{'' if cores == [1] else 's'}"
        for name, cores in cores_of.items()
    ]
    return f"times of networks are measured {' and '.join(places)}; on other units they follow from their speed"


def _cpus_by_cores(board: Board) -> dict[int, tuple[int, ...]]:
    """Return CPUs of this machine by number of cores: up to what a unit of the board offers and this machine has.

    Those of the fastest kind come first: the speed of a simulated unit counts from the host's fast cores.
    """
    here = fastest_first([*os.sched_getaffinity(0)])
    most = max((unit.cores for unit in board.units if unit.kind == "cpu"), default=1)
    return {cores: tuple(here[:cores]) for cores in range(1, min(most, len(here)) + 1)}
