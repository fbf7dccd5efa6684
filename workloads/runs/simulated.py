"""A simulated run: checked and planned before it starts, and stored like a run on a board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from actors.policies import load_policy
from actors.stored_profiles import packaged_profile
from scheduler.board import Board
from scheduler.errors import extra
from scheduler.policies import HINDSIGHT
from scheduler.profile import Profile
from workloads.mix.app import Family
from workloads.mix.arrivals import External
from workloads.mix.errors import MixError
from workloads.mix.mix import Mix
from workloads.mix.timeline import timeline
from workloads.results.epoch_log import EpochLogError, EpochLogWriter, log_header
from workloads.results.run_dir import EPOCHS_FILE, write_run
from workloads.results.trace import record_run
from workloads.runs.failure import Failure, RunError
from workloads.runs.options import check_options
from workloads.simulator import Costs, Simulated, SimulationPlan


def plan_simulation(
    mix: Mix,
    board: Board,
    *,
    policy: str = "joint",
    seed: int = 0,
    epoch_ms: float = 100.0,
    profiles: Mapping[str | Family, Profile] | None = None,
    costs: Costs | None = None,
) -> SimulationPlan:
    """Check a simulation and find the profiles that it needs.

    Args:
        mix: the mix to simulate.
        board: the board; any board whose description is valid.
        policy: `NETWORKS[+CLOCKS]`, or `FILE.py:Class`; also one that knows how the run will go.
        seed: seed of arrivals and service times.
        epoch_ms: board time between two decisions.
        profiles: profile of each supernet, as the apps name it; where one is missing, the packaged one is used.
        costs: costs of managing; None for the defaults.

    Raises:
        MixError: if mix and board don't fit, or no profile is known.
        PolicyError: for an unknown policy.
        InputError: if an option is out of range.
    """
    check_options(board, policy=policy, seed=seed, epoch_ms=epoch_ms, simulated=True)
    mix.check_board(board.units)
    events = timeline(mix, board)
    found: dict[str, Profile] = {}
    for app in (presence.app for presence in mix.all_apps()):
        if isinstance(app.arrivals, External):
            raise MixError(
                f"app {app.name!r}: arrivals is External(), and a simulation has no clients; give Poisson(hz=...), "
                "Periodic(hz=...) or a Trace."
            )
        profile = (profiles or {}).get(app.supernet)
        if profile is None and isinstance(app.supernet, str):
            profile = packaged_profile(app.supernet)
        if profile is None:
            raise MixError(
                f"app {app.name!r}: no profile of supernet {app.supernet!r} is packaged; measure it here first with "
                f"`gearshift profile`."
            )
        if profile.speed_of != board.speed_of:
            raise MixError(
                f"app {app.name!r}: the times of supernet {profile.supernet!r} are of {profile.speed_of!r}, but the "
                f"speeds of board {board.name!r} are relative to {board.speed_of!r}; use one that fits the other."
            )
        found[app.name] = profile
    plan = SimulationPlan(
        mix=mix,
        board=board,
        events=events,
        policy=policy,
        make_policy=lambda: load_policy(policy),
        seed=seed,
        epoch_s=epoch_ms / 1000,
        profiles=found,
        costs=costs or Costs(),
    )
    return _with_hindsight(plan) if policy in HINDSIGHT else plan


def _with_hindsight(plan: SimulationPlan) -> SimulationPlan:
    """Return the plan with a policy that simulates the run beforehand, and that manages at no cost."""
    # Only here: its solver takes a second to import.
    with extra("bench", f"policy {plan.policy!r}"):
        from workloads import hindsight

    return replace(plan, make_policy=lambda: hindsight.HINDSIGHT[plan.policy](plan), costs=hindsight.COSTS)


def write_simulated(plan: SimulationPlan, simulated: Simulated, out: Path) -> None:
    """Write the summary, the epoch log, the requests and the trace into a directory that is made if missing.

    The simulation must have kept its log.

    Raises:
        RunError: if a part of it can't be written; its failure has the summary.
    """
    header = log_header(plan, time_scale=1.0, emulated=False, profiles=plan.profiles)
    fault, file = None, out / EPOCHS_FILE
    try:
        out.mkdir(parents=True, exist_ok=True)
        with EpochLogWriter(file, header) as log:
            for entry in simulated.entries:
                log.append(entry)
        fault = log.fault
        write_run(out, simulated.summary, simulated.records, simulated.arrivals_s)
        if fault is None:
            record_run(out, plan.board, plan.events, simulated=True)
    except (OSError, EpochLogError) as error:
        fault = (error.strerror if isinstance(error, OSError) else None) or str(error)
        file = Path(error.filename) if isinstance(error, OSError) and error.filename else out
    if fault is not None:
        reason = f"{file}: not all results could be written ({fault})"
        raise RunError(Failure(reason=reason, summary=simulated.summary, is_whole=True))
