"""Searches the cheapest candidate for every search space, by simulating the whole run again and again.

Each simulation tries a new candidate in every second space, and each candidate is scored by the energy and the
requests of its own intervals. All that a candidate can do to the next space is to leave it a queue, and meanwhile that
space holds its best candidate so far. What is put together from the best of each is simulated as a whole again, and
only whole runs count in the end. This is a local search: it proves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from workloads.hindsight.candidate import Candidate
from workloads.hindsight.scoring import RunScore, Score, Scorer
from workloads.hindsight.search_space import SearchSpace

_VIOLATION_SCALE = 0.2
"""Predicted violation at which a candidate counts as e times less likely to be on time."""

_FINAL_RUNS = 6
"""Most simulations at the end of what was put together."""

_VIOLATION_COST = 1e5
"""Cost of a violation of 1 where all that can be saved is 1: one request in ten thousand outweighs all savings."""


def search(scorer: Scorer, spaces: Sequence[SearchSpace], *, rounds: int) -> tuple[RunScore, list[Candidate]]:
    """Search the best candidates by simulation.

    Args:
        scorer: simulates.
        spaces: one after another; together they cover the run.
        rounds: most candidates to try in a space; two simulations each where there is more than one space.

    Returns:
        The score of the best run found, and its candidates, one for each space.
    """
    states = [_SearchState(space, first=space.first_candidates()[::-1]) for space in spaces]
    held = [state.first.pop() for state in states]
    runs: dict[tuple[Candidate, ...], RunScore] = {}
    runs[tuple(held)] = _simulate(states, scorer, held)
    for _ in range(rounds):
        late = min(runs.values()).violation > 0
        fresh = [state.next(candidate, late=late) for state, candidate in zip(states, held, strict=True)]
        # First the even spaces try their new candidates, then the odd ones: the space after each holds the best so far,
        # so a queue that a new candidate leaves meets the same candidate each time.
        for turn in range(2):
            candidates = [
                new or old if place % 2 == turn else old
                for place, (new, old) in enumerate(zip(fresh, held, strict=True))
            ]
            if candidates != held:
                runs[tuple(candidates)] = _simulate(states, scorer, candidates)
        if not any(fresh):
            break
        held = _best_together(states, scorer)
    # Scores were taken while other candidates were held in the spaces before, so what is best together may do worse as
    # a whole. It is scored anew as a whole and put together again, until that is a combination already simulated.
    for _ in range(_FINAL_RUNS):
        if tuple(held) in runs:
            break
        runs[tuple(held)] = _simulate(states, scorer, held, again=True)
        held = _best_together(states, scorer)
    best = min(runs, key=runs.__getitem__)
    return runs[best], list(best)


@dataclass(slots=True)
class _SearchState:
    """All that the search knows of one space.

    Attributes:
        space: the space.
        first: the model's optima that were not tried yet, the next one last.
        scores: by candidate that was simulated, its score.
        neighbours: by candidate, the predicted violation and cost of those neighbours that may be better.
    """

    space: SearchSpace
    first: list[Candidate]
    scores: dict[Candidate, Score] = field(default_factory=dict)
    neighbours: dict[Candidate, list[tuple[float, float, Candidate]]] = field(default_factory=dict)

    def next(self, held: Candidate, *, late: bool) -> Candidate | None:
        """Return the candidate to try next; None where none promises to be better than the one held at present.

        Args:
            held: the candidate held at present.
            late: True if no run has met every slo so far.
        """
        while self.first:
            candidate = self.first.pop()
            if candidate not in self.scores:
                return candidate
        if held not in self.neighbours:
            self.neighbours[held] = self._promising(held)
        cost_j = self.scores[held].cost_j
        fresh = [one for one in self.neighbours[held] if one[2] not in self.scores]
        # Until a run meets every slo the least late is tried, then the greatest expected saving: the predicted saving
        # times a chance of being on time, which falls with the predicted violation.
        if late:
            return min(fresh, key=lambda one: one[:2], default=(0, 0, None))[2]
        cheaper = [one for one in fresh if one[1] < cost_j]
        return max(
            cheaper, key=lambda one: (cost_j - one[1]) * math.exp(-one[0] / _VIOLATION_SCALE), default=(0, 0, None)
        )[2]

    def _promising(self, held: Candidate) -> list[tuple[float, float, Candidate]]:
        """Return the neighbours that may be better than the candidate held, with their predicted violation and cost.

        They are predicted to cost less than that one did, or to be less late than is predicted of it.
        """
        held_cost_j, held_violation = self.scores[held].cost_j, self.space.violation(held)
        found = []
        for candidate in self.space.neighbours(held):
            cost_j = self.space.cost_j(candidate)
            # The violation takes longer to compute, so only where it can matter.
            if cost_j < held_cost_j or held_violation > 0:
                violation = self.space.violation(candidate)
                if violation < math.inf and (cost_j < held_cost_j or violation < held_violation):
                    found.append((violation, cost_j, candidate))
        return found


def _simulate(
    states: Sequence[_SearchState], scorer: Scorer, candidates: Sequence[Candidate], *, again: bool = False
) -> RunScore:
    """Simulate candidates, one for each space, and note the score of each that has none; `again`: of every one."""
    run, scores = scorer.score(candidates)
    for state, candidate, score in zip(states, candidates, scores, strict=True):
        if again or candidate not in state.scores:
            state.scores[candidate] = score
    return run


def _best_together(states: Sequence[_SearchState], scorer: Scorer) -> list[Candidate]:
    """Return for each space one of the candidates that it has tried: those that are best together."""
    options = [list(state.scores) for state in states]
    places = select([list(state.scores.values()) for state in states], scorer.weights)
    return [candidates[place] for candidates, place in zip(options, places, strict=True)]


def select(scores: Sequence[Sequence[Score]], weights: Mapping[str, float]) -> list[int]:
    """Choose one score of each space: least violation in the whole run, then least cost.

    An slo counts over the whole run, so requests on time that one space leaves missing another may have to spare. This
    makes it a multiple-choice knapsack problem, which an integer program solves:

    - x = 1 for each score that is chosen and 0 for the others, exactly one in each space
    - m ≥ 0 for each application, the requests on time that are missing in the whole run: m ≥ Σ x · missing_on_time
    - minimise Σ x · cost, plus a violation's high cost times Σ x · over_cap + Σ m · weight

    Args:
        scores: for each space, at least one score.
        weights: by application, the violation that one request too many that is late comes to.

    Returns:
        For each space the place of the score chosen.
    """
    flat = [score for options in scores for score in options]
    apps = list(weights)
    of_space = np.repeat(np.arange(len(scores)), [len(options) for options in scores])
    # Costs count from the least of each space, as shares of all that can be saved. So the costs of any choice sum to at
    # most 1, and the violation's cost outweighs them.
    least = np.array([min(score.cost_j for score in options) for options in scores])
    costs = np.array([score.cost_j for score in flat]) - least[of_space]
    most = math.fsum(max(score.cost_j for score in options) for options in scores) - float(least.sum())
    over_cap = np.array([score.over_cap for score in flat])
    missing = np.array([[score.missing_on_time[app] for score in flat] for app in apps])
    # Variables: first x of every score, then m of every application, which needs no integer.
    size, minus_m = len(flat), -np.eye(len(apps))
    one_each = (of_space == np.arange(len(scores))[:, np.newaxis]).astype(float)
    found = milp(
        np.concatenate(
            [costs / max(most, 1e-9) + _VIOLATION_COST * over_cap, [_VIOLATION_COST * weights[app] for app in apps]]
        ),
        integrality=np.concatenate([np.ones(size), np.zeros(len(apps))]),
        bounds=Bounds(0, np.concatenate([np.ones(size), np.full(len(apps), np.inf)])),
        constraints=[
            LinearConstraint(np.hstack([missing, minus_m]), -np.inf, 1e-7),
            LinearConstraint(np.hstack([one_each, np.zeros((len(scores), len(apps)))]), 1, 1),
        ],
        options={"mip_rel_gap": 1e-6},
    )
    if found.x is None:
        raise RuntimeError(f"hindsight: HiGHS gave up: {found.message}")
    chosen = np.flatnonzero(found.x[:size] > 0.5)
    first = np.searchsorted(of_space, np.arange(len(scores)))
    return [int(place) for place in chosen - first]
