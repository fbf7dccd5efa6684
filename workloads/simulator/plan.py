"""A simulation as it is planned: a mix, a board of any kind, a policy, and the profiles of the networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scheduler.board import Board
from scheduler.messages import Event
from scheduler.policies import Policy
from scheduler.profile import Profile
from workloads.mix.mix import Mix


class SimulationError(RuntimeError):
    """A simulation that could not go on: the policy at fault and what it did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What managing a board costs on it: CPU time of the manager and its workers, at a core's top clock, and delays.

    The CPU time is spent in the CPU unit whose top clock takes the least power, on an idle core if there is one, and
    counts as busy there; where there is none it delays the request that has the last core.

    The defaults are about what the manager and `joint` take in a process of their own: a runtime manager as such. They
    charge 0.5 ms for an epoch of eight applications (measured: 0.09) and 1.0 to 4.5 ms for a decision for one to eight
    (1.6 to 2.7); rules are charged less than measured (0.7 to 1.1 ms). On Ray it takes more, its threads included:
    docs/measurements.md, "What managing costs".

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
