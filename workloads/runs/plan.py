"""Plans a run: everything is looked up, exported, profiled and checked before anything starts.

All mistakes of a user are found here, so that a bad mix never leaves a half-started run behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import supernets
from actors.agent.checks import check_governor
from actors.agent.devices import DeviceError
from actors.agent.hold import at_top_clocks, recover
from actors.agent.machine import Machine
from actors.agent.sensors import check_sensors
from actors.profiling import Ladder
from actors.start_up import check_start
from scheduler.board import Board
from scheduler.messages import Happening
from scheduler.profile import Profile
from supernets.artifact import Artifact
from supernets.task import Source
from workloads.ladder.checks import check_app, has_gpu
from workloads.ladder.ladders import base_name, ladders_of, supernet_label
from workloads.ladder.own_models import left_out_lines
from workloads.ladder.profiles import devices_of, examples_for, of_source, profile_board, where_measured
from workloads.mix.app import App
from workloads.mix.arrivals import External
from workloads.mix.mix import Mix, Presence
from workloads.mix.timeline import timeline
from workloads.progress import Progress, no_progress
from workloads.runs.app_sources import source_of
from workloads.runs.boards import cpu_notices
from workloads.runs.emulated_only import check_emulated_only
from workloads.runs.options import check_options


@dataclass(frozen=True, kw_only=True, slots=True)
class AppPlan:
    """One application, ready to start.

    Attributes:
        presence: the app, when it is there, and its targets.
        ladder: exported sub-networks, smallest first, each with its accuracy and the source of that.
        profile: profile of the ladder on this machine.
        source: inputs of its requests.
    """

    presence: Presence
    ladder: Ladder
    profile: Profile
    source: Source

    @property
    def app(self) -> App:
        """The app as the mix declares it."""
        return self.presence.app

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Exported files by sub-network, smallest first."""
        return {artifact.subnet: artifact for artifact, _, _ in self.ladder}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlan:
    """One run of a mix on a board under a policy.

    Attributes:
        mix: the mix that runs.
        board: the board that it runs on.
        events: (time in seconds, event) of the mix, as the manager or the board alone is told of them.
        policy: name of the policy.
        seed: seed of arrivals, inputs and service times.
        epoch_s: board time between two decisions.
        time_scale: wall time over board time.
        apps: applications by name, those that come later included.
        devices: for each GPU unit, the device that its executor computes on.
        machine: the machine that the board is.
        given_back: lines on what a dead run had left turned, and on what this one could not give back after profiling.
    """

    mix: Mix
    board: Board
    events: tuple[tuple[float, Happening], ...]
    policy: str
    seed: int
    epoch_s: float
    time_scale: float
    apps: Mapping[str, AppPlan]
    devices: Mapping[str, str]
    machine: Machine
    given_back: tuple[str, ...] = ()

    @property
    def gpus(self) -> int:
        """Number of devices that are GPUs of this machine."""
        return sum(device.startswith("cuda") for device in self.devices.values())


def plan_run(
    mix: Mix,
    board: Board,
    *,
    policy: str = "joint",
    seed: int = 0,
    epoch_ms: float = 100.0,
    time_scale: float = 1.0,
    weights: Mapping[str, Path] | None = None,
    devices: Mapping[str, str] | None = None,
    machine: Machine | None = None,
    on_progress: Progress = no_progress,
) -> RunPlan:
    """Check a run and make all that it needs; exports and profiles that are in the cache are taken from there.

    Args:
        mix: the mix to run.
        board: the board to run it on; the caller has checked that this host can play it.
        policy: `NETWORKS[+CLOCKS]`, or `FILE.py:Class`.
        seed: seed of arrivals, inputs and service times.
        epoch_ms: board time between two decisions.
        time_scale: wall time over board time.
        weights: own weights by supernet's name.
        devices: for each GPU unit, the device that its executor computes on; None for those that `devices_of` finds on
            this machine.
        machine: the machine that the board is; None for this one.
        on_progress: told about exports and measurements.

    Raises:
        MixError: if mix and board don't fit.
        BoardError: if the board's GPU can't be used.
        PolicyError: for a policy that is unknown, or not for this board.
        supernets.SupernetError: for an unknown supernet, or a file that can't be used.
        StartError: if Ray can't start here.
        InputError: if an option is out of range.
    """
    machine = machine or Machine()
    check_options(board, policy=policy, seed=seed, epoch_ms=epoch_ms, time_scale=time_scale)
    check_start()
    given_back = recovered_lines(machine)
    check_governor(board, policy, machine)
    mix.check_board(board.units)
    check_emulated_only(mix, board)
    events = timeline(mix, board)
    ladders = ladders_of(mix, weights or {}, on_progress, programs=has_gpu(board))
    inputs = {}
    for presence in mix.all_apps():
        app = presence.app
        check_app(presence, ladders[app.supernet], board)
        inputs[app.name] = source_of(app, seed)
    devices = devices_of(board) if devices is None else devices
    examples = {supernet: examples_for(supernet, ladder) for supernet, ladder in ladders.items()}
    # What takes long comes last, when nothing can be wrong any more.
    with at_top_clocks(board, machine, given_back.extend) as top:
        profiles = {
            supernet: profile_board(
                supernet_label(supernet),
                ladder,
                board,
                on_progress,
                devices=devices,
                clocks_mhz=top.mhz,
                affinity=machine.affinity,
                examples=examples[supernet],
            )
            for supernet, ladder in ladders.items()
        }
    apps = {
        presence.app.name: AppPlan(
            presence=presence,
            ladder=ladders[presence.app.supernet],
            profile=of_source(
                profiles[presence.app.supernet], inputs[presence.app.name], ladders[presence.app.supernet]
            ),
            source=inputs[presence.app.name],
        )
        for presence in mix.all_apps()
    }
    return RunPlan(
        mix=mix,
        board=board,
        events=events,
        policy=policy,
        seed=seed,
        epoch_s=epoch_ms / 1000,
        time_scale=time_scale,
        apps=apps,
        devices=devices,
        machine=machine,
        given_back=tuple(given_back),
    )


def recovered_lines(machine: Machine) -> list[str]:
    """Give back what a dead run left turned, whatever board is to run now, and return lines for the user."""
    try:
        handed_back = recover(machine)
    except (DeviceError, OSError) as error:
        return [f"a run before may have left the board turned, and its journal can't be used: {error}"]
    return [f"of a run that was killed: {line}" for line in handed_back.lines()] if handed_back else []


def notices(plan: RunPlan, weights: Mapping[str, Path]) -> list[str]:
    """Return what a user must know before believing a run's figures.

    Args:
        plan: the run.
        weights: own weights by supernet's name.

    Returns:
        Sentences: what a killed run had left turned, which times of a trace are not used, which energy will be unknown
        since a sensor cannot be read, which CPUs are isolated, that a quota holds CPU time, which units were measured
        where they differ, that an engine can't run a model of one's own, that weights are random, what was left out of
        a folder of inputs, or that an app gets noise as its inputs.
    """
    named = {app.app.supernet for app in plan.apps.values() if isinstance(app.app.supernet, str)}
    nets = [supernets.load(name, weights.get(base_name(name))) for name in sorted(named)]
    said = [*plan.given_back, *plan.mix.notices(), *check_sensors(plan.board, plan.machine.tree)]
    said += cpu_notices(plan.board, plan.machine)
    measured = where_measured(plan.board)
    said += [measured] if measured else []
    said += left_out_lines(app.ladder for app in plan.apps.values())
    said += dict.fromkeys(net.notice for net in nets if net.notice)
    return said + [
        f"app {name!r}: {app.source.notice}"
        for name, app in plan.apps.items()
        if app.source.notice and not isinstance(app.app.arrivals, External)
    ]
