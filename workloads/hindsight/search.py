"""Searches the cheapest choice for every stretch, by simulating the whole run again and again.

Each simulation tries a new choice in every second stretch, and each stretch is judged by its own energy and its own
requests. A stretch hands on no more than a queue, to the next one, which holds what is best so far meanwhile. What is
put together from the best of each is simulated as a whole again, and only whole runs count in the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from workloads.hindsight.judge import Judge, Run, Share
from workloads.hindsight.scene import Choice
from workloads.hindsight.stretch import Stretch

_DOUBT = 0.2
"""Modelled violation at which a choice is e times less likely to be on time."""

_CHECKS = 6
"""Most simulations at the end of what was put together."""

_DEAR = 1e5
"""What a violation of 1 costs where all that can be saved costs 1: one request in ten thousand outweighs it all."""


def search(judge: Judge, stretches: Sequence[Stretch], *, rounds: int) -> tuple[Run, list[Choice]]:
    """The best run found, and its choices.

    Args:
        judge: simulates.
        stretches: that cover the run.
        rounds: most choices to try in a stretch; two simulations each where there is more than one stretch.
    """
    tried = [_Tried(stretch, coming=stretch.starts()[::-1]) for stretch in stretches]
    held = [one.coming.pop() for one in tried]
    runs: dict[tuple[Choice, ...], Run] = {}
    runs[tuple(held)] = _learn(tried, judge, held)
    for _ in range(rounds):
        late = min(runs.values()).violation > 0
        fresh = [one.next(choice, late=late) for one, choice in zip(tried, held, strict=True)]
        for turn in range(2):
            choices = [
                new or old if place % 2 == turn else old
                for place, (new, old) in enumerate(zip(fresh, held, strict=True))
            ]
            if choices != held:
                runs[tuple(choices)] = _learn(tried, judge, choices)
        if not any(fresh):
            break
        held = _held(tried, judge)
    for _ in range(_CHECKS):
        if tuple(held) in runs:
            break
        runs[tuple(held)] = _learn(tried, judge, held, again=True)
        held = _held(tried, judge)
    best = min(runs, key=runs.__getitem__)
    return runs[best], list(best)


@dataclass(slots=True)
class _Tried:
    """What is known of one stretch."""

    stretch: Stretch
    coming: list[Choice]
    """The model's optima, the next one last."""
    shares: dict[Choice, Share] = field(default_factory=dict)
    near: dict[Choice, list[tuple[float, float, Choice]]] = field(default_factory=dict)
    """By choice, the modelled lateness and cost of those a step away that may be better."""

    def next(self, held: Choice, *, late: bool) -> Choice | None:
        """What to try next; None where nothing promises to be better than the choice held at present.

        Args:
            held: that choice.
            late: whether no run has met every slo so far; then the least late is tried, else what promises most.
        """
        while self.coming:
            choice = self.coming.pop()
            if choice not in self.shares:
                return choice
        if held not in self.near:
            self.near[held] = self._around(held)
        cost = self.shares[held].cost
        fresh = [one for one in self.near[held] if one[2] not in self.shares]
        if late:
            return min(fresh, key=lambda one: one[:2], default=(0, 0, None))[2]
        cheaper = [one for one in fresh if one[1] < cost]
        return max(cheaper, key=lambda one: (cost - one[1]) * math.exp(-one[0] / _DOUBT), default=(0, 0, None))[2]

    def _around(self, held: Choice) -> list[tuple[float, float, Choice]]:
        cost, late = self.shares[held].cost, self.stretch.lateness(held)
        found = []
        for choice in self.stretch.near(held):
            its_cost = self.stretch.cost(choice)
            if its_cost < cost or late > 0:
                its_late = self.stretch.lateness(choice)
                if its_late < math.inf and (its_cost < cost or its_late < late):
                    found.append((its_late, its_cost, choice))
        return found


def _learn(tried: Sequence[_Tried], judge: Judge, choices: Sequence[Choice], *, again: bool = False) -> Run:
    """Simulates choices and notes the share of each that is new; `again`: of those that are known, too."""
    run, shares = judge.judge(choices)
    for one, choice, share in zip(tried, choices, shares, strict=True):
        if again or choice not in one.shares:
            one.shares[choice] = share
    return run


def _held(tried: Sequence[_Tried], judge: Judge) -> list[Choice]:
    """Of what each stretch has tried, what to hold: the best together."""
    options = [list(one.shares) for one in tried]
    places = select([list(one.shares.values()) for one in tried], judge.weights)
    return [choices[place] for choices, place in zip(options, places, strict=True)]


def select(shares: Sequence[Sequence[Share]], weights: Mapping[str, float]) -> list[int]:
    """Takes one share of each stretch: least violation, then least cost.

    An application's requests on time may come from any stretch; only its whole run counts.

    Args:
        shares: of each stretch, those to choose from; at least one.
        weights: by application, what one request that it owes at the end costs.

    Returns:
        The place of the share taken, for each stretch.
    """
    flat = [share for options in shares for share in options]
    apps = list(weights)
    of_stretch = np.repeat(np.arange(len(shares)), [len(options) for options in shares])
    least = np.array([min(share.cost for share in options) for options in shares])
    costs = np.array([share.cost for share in flat]) - least[of_stretch]
    most = math.fsum(max(share.cost for share in options) for options in shares) - float(least.sum())
    over_cap = np.array([share.over_cap for share in flat])
    debts = np.array([[share.debts[app] for share in flat] for app in apps])
    size, owing = len(flat), -np.eye(len(apps))
    one_each = (of_stretch == np.arange(len(shares))[:, np.newaxis]).astype(float)
    found = milp(
        np.concatenate([costs / max(most, 1e-9) + _DEAR * over_cap, [_DEAR * weights[app] for app in apps]]),
        integrality=np.concatenate([np.ones(size), np.zeros(len(apps))]),
        bounds=Bounds(0, np.concatenate([np.ones(size), np.full(len(apps), np.inf)])),
        constraints=[
            LinearConstraint(np.hstack([debts, owing]), -np.inf, 1e-7),
            LinearConstraint(np.hstack([one_each, np.zeros((len(shares), len(apps)))]), 1, 1),
        ],
        options={"mip_rel_gap": 1e-6},
    )
    if found.x is None:
        raise RuntimeError(f"hindsight: HiGHS gave up: {found.message}")
    taken = np.flatnonzero(found.x[:size] > 0.5)
    first = np.searchsorted(of_stretch, np.arange(len(shares)))
    return [int(place) for place in taken - first]
