"""A problem with more room never has a worse answer."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.solver_answers import draw_any, levels, outcome
from scheduler.problem import Problem
from scheduler.solver import solve


class TestMoreRoomNeverHurts:
    """Each change gives the solver more room; what it lessens must not get worse."""

    seeds = st.integers(0, 10**6)

    @staticmethod
    def check(before: Problem, after: Problem) -> None:
        assert before.sharing in ("unit", "cpu")
        old = levels(before, outcome(before, solve(before)))
        new = levels(after, outcome(after, solve(after)))
        for a, b in zip(new, old, strict=True):
            assert a <= b + 1e-7 * max(1.0, abs(b))
            if a < b - 1e-7 * max(1.0, abs(b)):
                return

    @staticmethod
    def start(seed: int, **changes: object) -> Problem:
        problem = draw_any(seed, most=4, clocks=3, subnets=2)
        sharing = "cpu" if seed % 2 else "unit"
        return dataclasses.replace(problem, sharing=sharing, **changes)  # type: ignore[arg-type]

    @given(seed=seeds, factor=st.floats(1.0, 3.0))
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_a_looser_target(self, seed: int, factor: float) -> None:
        problem = self.start(seed)
        first, *others = problem.demands
        looser = dataclasses.replace(first, target_ms=first.target_ms * factor)
        self.check(problem, dataclasses.replace(problem, demands=(looser, *others)))

    @given(seed=seeds, less=st.floats(0.0, 1.0))
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_a_lower_floor(self, seed: int, less: float) -> None:
        problem = self.start(seed)
        first, *others = problem.demands
        lower = dataclasses.replace(first, min_accuracy=first.min_accuracy * less)
        self.check(problem, dataclasses.replace(problem, demands=(lower, *others)))

    @given(seed=seeds, cap=st.floats(0.2, 5.0), factor=st.one_of(st.none(), st.floats(1.0, 2.0)))
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_a_higher_cap_or_none(self, seed: int, cap: float, factor: float | None) -> None:
        problem = self.start(seed, power_cap_w=cap)
        higher = None if factor is None else cap * factor
        self.check(problem, dataclasses.replace(problem, power_cap_w=higher))

    @given(seed=seeds)
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_one_more_core(self, seed: int) -> None:
        problem = self.start(seed)
        first, *others = problem.units
        wider = dataclasses.replace(first, cores=first.cores + 1)
        self.check(problem, dataclasses.replace(problem, units=(wider, *others)))

    @given(seed=seeds, which=st.integers(0, 2))
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_one_more_clock(self, seed: int, which: int) -> None:
        after = self.start(seed)
        first, *others = after.units
        lost = first.mhz[which]
        poorer = dataclasses.replace(
            first,
            mhz=tuple(m for m in first.mhz if m != lost),
            static_w=tuple(w for m, w in zip(first.mhz, first.static_w, strict=True) if m != lost),
        )
        demands = tuple(
            dataclasses.replace(d, points=tuple(p for p in d.points if (p.unit, p.mhz) != (first.name, lost)))
            for d in after.demands
        )
        self.check(dataclasses.replace(after, units=(poorer, *others), demands=demands), after)

    @given(seed=seeds)
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_sharing_allowed(self, seed: int) -> None:
        after = dataclasses.replace(self.start(seed), sharing="unit")
        barred = dataclasses.replace(after, sharing="exclusive")
        old, new = outcome(barred, solve(barred)), outcome(after, solve(after))
        assert levels(after, new)[0] <= levels(barred, old)[0] + 1e-7
