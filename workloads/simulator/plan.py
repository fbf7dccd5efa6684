"""A simulation as it is planned: a mix, a board of any kind, a policy, and the profiles of the networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from actors.policies import check_policy, load_policy
from actors.stored_profiles import packaged_profile
from scheduler.board import Board
from scheduler.messages import Event
from scheduler.policies import HINDSIGHT, Policy
from scheduler.profile import Profile
from workloads.mix.app import Family
from workloads.mix.arrivals import External
from workloads.mix.errors import MixError, number, whole
from workloads.mix.mix import Mix
from workloads.mix.timeline import timeline


class SimulationError(RuntimeError):
    """A simulation that could not go on: the policy at fault and what it did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What managing a board costs on it: CPU time of the manager and its workers, at a core's top clock, and delays.

    The CPU time is spent in the CPU unit whose top clock takes the least power, on an idle core if there is one, and
    counts as busy there; where there is none it delays the request that has the last core.

    The defaults are about what the manager and `joint` take in a process of their own: a runtime manager as such. They
    charge 0.5 ms for an epoch of eight applications (measured: 0.09) and 1.0 to 4.5 ms for a decision for one to eight
    (1.6 to 2.7); rules are charged less than measured (0.7 to 1.1 ms). `on_ray` has what it takes on Ray, whose threads
    are included: docs/measurements.md, "What managing costs".

    Attributes:
        epoch_ms: CPU time of one epoch, whatever the number of applications.
        epoch_app_ms: and for each application.
        decision_ms: CPU time of one decision of a policy that solves an optimisation problem (`Policy.solves`).
        decision_app_ms: and for each application.
        rule_app_ms: CPU time of one decision of any other policy, for each application.
        prepare_ms: CPU time to make a network ready that this application has not had ready before, beside what
            else runs there; the new gear waits for it.
        call_ms: from sending an effect until it is done; its acknowledgement takes as long again.
        wake_ms: mean time until a worker asks for a request's cores, from its arrival, or from the end of the one
            before it. Each request's own is between half and one and a half of it, which settles who is first of two
            that arrive together.
        on_board: whether the CPU time is the board's. Else it is another machine's, and costs its length in delay only.
    """

    epoch_ms: float = 0.1
    epoch_app_ms: float = 0.05
    decision_ms: float = 0.5
    decision_app_ms: float = 0.5
    rule_app_ms: float = 0.05
    prepare_ms: float = 100.0
    call_ms: float = 0.5
    wake_ms: float = 0.25
    on_board: bool = True

    @classmethod
    def on_ray(cls) -> Costs:
        """Managing as it is on Ray: each worker and the board agent post a page an epoch, and Ray's threads run on."""
        return cls(epoch_ms=2.5, epoch_app_ms=0.7, decision_ms=1.4, decision_app_ms=0.2)

    @classmethod
    def none(cls) -> Costs:
        """Managing is free and at once; an oracle's."""
        return cls(
            epoch_ms=0.0,
            epoch_app_ms=0.0,
            decision_ms=0.0,
            decision_app_ms=0.0,
            rule_app_ms=0.0,
            prepare_ms=0.0,
            call_ms=0.0,
            wake_ms=0.0,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulationPlan:
    """One simulated run.

    Attributes:
        mix: what runs.
        board: where.
        events: of the mix, as the manager is told of them.
        policy: its name.
        make_policy: makes it, fresh.
        seed: of arrivals and service times.
        epoch_s: between two decisions.
        profiles: by application, those that come later included.
        costs: of managing.
    """

    mix: Mix
    board: Board
    events: tuple[tuple[float, Event], ...]
    policy: str
    make_policy: Callable[[], Policy]
    seed: int
    epoch_s: float
    profiles: Mapping[str, Profile]
    costs: Costs


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
    """Checks a simulation and finds the profiles that it needs.

    Args:
        mix: what to run.
        board: where; any board that is described right.
        policy: `NETWORKS[+CLOCKS]`, or `FILE.py:Class`; also one that knows how the run will go.
        seed: of arrivals and service times.
        epoch_ms: between two decisions.
        profiles: by supernet as the apps name it; where one is missing, the packaged one is used.
        costs: of managing; None for the defaults.

    Raises:
        MixError: if mix and board don't fit, an option is out of range, or no profile is known.
        PolicyError: for an unknown policy.
    """
    check_policy(policy, board, simulated=True)
    whole("seed", seed, low=0)
    number("epoch_ms", epoch_ms, low=1.0)
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
    """The plan with a policy that simulates the run before it is run, and manages for free."""
    from workloads import hindsight  # which runs simulations itself

    return replace(plan, make_policy=lambda: hindsight.HINDSIGHT[plan.policy](plan), costs=hindsight.COSTS)
