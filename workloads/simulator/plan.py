"""The plan of a simulation: a mix, a board of any kind, a policy, and the profiles of the networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from scheduler.board import Board
from scheduler.contention import WAKE_MS
from scheduler.messages import Happening
from scheduler.policies import Policy
from scheduler.profile import Profile
from scheduler.request_clock import CHANGE_MS
from workloads.mix.mix import Mix

DECISIONS_MS = ((1, 3.1), (2, 4.1), (4, 5.2), (8, 23.0), (12, 470.0), (16, 13.0))
"""Numbers of applications, each with the CPU time of a decision of `joint` for so many, from what the manager knows to
the plan, where it keeps the operating points: `python -m benchmarks.bench_managing --decisions`, machine C, 2026-12-03,
the least of several medians, while other work shared the cores. From thirteen on `solve` proves nothing, so 16 take
less than 12. A new accuracy floor or margin prices points anew, which takes longer and is not charged."""


class SimulationError(RuntimeError):
    """A simulation that could not go on; the message names the policy at fault and its error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """Costs of managing a board: CPU time of the manager and its workers, at a core's top clock, and delays.

    The CPU time is spent in the CPU unit whose top clock takes the least power, on an idle core if there is one, and
    counts as busy there; where there is none it delays the request that has the last core.

    The defaults are about what the manager and `joint` take in a process of their own, without Ray. They charge 0.5 ms
    for an epoch of eight applications (measured: 0.09) and `DECISIONS_MS` for a decision; rules are charged less than
    measured (0.7 to 1.1 ms). On Ray it takes more, its threads included: docs/measurements.md, "What managing costs".

    Attributes:
        epoch_ms: CPU time of one epoch, whatever the number of applications.
        epoch_app_ms: further CPU time of one epoch for each application.
        decisions_ms: CPU time of one decision of a policy that solves an optimisation problem (`Policy.solves`): rising
            numbers of applications, each with the time for so many.
        rule_app_ms: CPU time of one decision of any other policy, for each application.
        prepare_ms: CPU time to make a network ready that this application has not had ready before, beside other work;
            the new gear waits for it.
        call_ms: from sending an effect until it is done; its acknowledgement takes as long again.
        clock_ms: CPU time of one change of clock for a request.
        wake_ms: mean time until a worker asks for a request's cores, from its arrival, or from the end of the request
            before it. Each request's own time is 0.5 to 1.5 times the mean, which settles who is first of two that
            arrive together.
        on_board: True if the CPU time is the board's; else it is another machine's, and is a delay only.
    """

    epoch_ms: float = 0.1
    epoch_app_ms: float = 0.05
    decisions_ms: tuple[tuple[int, float], ...] = DECISIONS_MS
    rule_app_ms: float = 0.05
    prepare_ms: float = 100.0
    call_ms: float = 0.5
    clock_ms: float = CHANGE_MS
    wake_ms: float = WAKE_MS
    on_board: bool = True

    def of_epoch_ms(self, apps: int) -> float:
        """Return the CPU time of one epoch: with 0.1 ms and 0.05 ms for each of eight applications, 0.5 ms."""
        return self.epoch_ms + self.epoch_app_ms * apps

    def of_decision_ms(self, apps: int, *, solves: bool) -> float:
        """Return the CPU time of one decision.

        Between two numbers in `decisions_ms` it is interpolated, and beyond the last it grows in proportion: with 4 ms
        for two and 8 ms for four it is 6 ms for three and 16 ms for eight.

        Args:
            apps: how many applications are present.
            solves: True if the policy solves an optimisation problem.
        """
        if not solves:
            return self.rule_app_ms * apps
        numbers, times_ms = [number for number, _ in self.decisions_ms], [ms for _, ms in self.decisions_ms]
        return float(np.interp(apps, numbers, times_ms)) * max(1.0, apps / numbers[-1])

    def faster(self, times: float) -> Costs:
        """Return the costs on a board where all of it takes so many times less."""
        times_ms = {one.name: getattr(self, one.name) / times for one in fields(self) if one.type == "float"}
        return replace(self, **times_ms, decisions_ms=tuple((apps, ms / times) for apps, ms in self.decisions_ms))

    @classmethod
    def none(cls) -> Costs:
        """Return the costs of managing that is free and takes no time, as for an oracle."""
        return cls(
            epoch_ms=0.0,
            epoch_app_ms=0.0,
            decisions_ms=((1, 0.0),),
            rule_app_ms=0.0,
            prepare_ms=0.0,
            call_ms=0.0,
            clock_ms=0.0,
            wake_ms=0.0,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulationPlan:
    """One simulated run.

    Attributes:
        mix: the mix that runs.
        board: the board that it runs on.
        events: the mix's events as (at_s, event), as the manager or the board alone is told of them.
        policy: name of the policy.
        make_policy: makes a fresh policy.
        seed: seed of arrivals and service times.
        epoch_s: time between two decisions.
        profiles: by application, the profile of its networks; applications that come later are included.
        costs: costs of managing.
        governors_sample: true if governors of emulated units look at busy times once a period, as the emulated board of
            a real run has them; else they hear of tasks as a kernel's do. A simulation is compared with a real run on
            an emulated board only with this.
    """

    mix: Mix
    board: Board
    events: tuple[tuple[float, Happening], ...]
    policy: str
    make_policy: Callable[[], Policy]
    seed: int
    epoch_s: float
    profiles: Mapping[str, Profile]
    costs: Costs
    governors_sample: bool = False
