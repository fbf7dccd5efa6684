"""A problem with an impossible figure, an unknown name or a wrong table is refused with the reason."""

import dataclasses
import math

import pytest

from helpers.small_problems import demand, point, unit
from scheduler.problem import Demand, Problem, ProblemError
from scheduler.solver import evaluate, solve


class TestValidation:
    @pytest.mark.parametrize("field", ["latency_ms", "energy_mj", "mhz", "service_ms", "accuracy"])
    @pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
    def test_a_points_figures(self, field: str, value: float) -> None:
        with pytest.raises(ProblemError, match=f"operating point 's' on 'cpu': {field} is {value!r}"):
            point(**{field: value})

    @pytest.mark.parametrize("field", ["rate_hz", "target_ms", "min_accuracy", "weight"])
    @pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
    def test_a_demands_figures(self, field: str, value: float) -> None:
        with pytest.raises(ProblemError, match=f"demand 'a': {field} is {value!r}"):
            demand("a", **{field: value})

    def test_cores_are_whole(self) -> None:
        for cores in (0, -1, 1.5):
            with pytest.raises(ProblemError, match="cores"):
                point(cores=cores)
            with pytest.raises(ProblemError, match="cores"):
                unit(cores=cores)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"kind": "tpu"}, "kind is 'tpu'"),
            ({"mhz": ()}, "at least one clock"),
            ({"mhz": (1000.0, 500.0)}, "ascending"),
            ({"mhz": (500.0, 500.0)}, "ascending"),
            ({"mhz": (math.nan, 500.0)}, "mhz is nan"),
            ({"static_w": (0.1,)}, "one figure for each of the 2 clocks"),
            ({"static_w": (0.2, 0.1)}, "non-decreasing"),
            ({"off_w": -0.1}, "off_w is -0.1"),
            ({"off_w": 0.11}, "at most the power at the lowest clock, 0.1"),
            ({"static_w": (-0.1, 0.1)}, "static_w is -0.1"),
        ],
    )
    def test_a_units_tables(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(ProblemError, match=message):
            unit(**changes)

    @pytest.mark.parametrize(
        ("demands", "changes", "message"),
        [
            ((demand("a", point(unit="cpo")),), {}, "unit 'cpo' is unknown. Did you mean 'cpu'?"),
            ((demand("a", point(cores=3)),), {}, "at most the unit's 2"),
            ((demand("a", point(mhz=750.0)),), {}, "mhz of a point on 'cpu' is 750.0"),
            ((demand("a"), demand("a")), {}, "app 'a' occurs twice"),
            ((demand("a"),), {"units": (unit(), unit())}, "unit 'cpu' occurs twice"),
            ((demand("a"),), {"objective": "energi"}, "objective is 'energi'.*Did you mean 'energy'?"),
            ((demand("a"),), {"power_cap_w": 0.0}, "power_cap_w is 0.0"),
            ((demand("a"),), {"power_cap_w": math.nan}, "power_cap_w is nan"),
        ],
    )
    def test_a_problem(self, demands: tuple[Demand, ...], changes: dict[str, object], message: str) -> None:
        plain: dict[str, object] = {"units": (unit(),), "demands": demands}
        with pytest.raises(ProblemError, match=message.replace("?", r"\?")):
            Problem(**(plain | changes))  # type: ignore[arg-type]

    def test_no_points(self) -> None:
        with pytest.raises(ProblemError, match="points"):
            Demand(app="a", rate_hz=1.0, target_ms=1.0, min_accuracy=0.0, weight=1.0, points=())

    def test_a_choice_at_another_clock_than_its_unit(self) -> None:
        problem = Problem(units=(unit(),), demands=(demand("a"),))
        with pytest.raises(ProblemError, match=r"1000\.0 MHz"):
            evaluate(problem, {"a": point()}, {"cpu": 500.0})
        with pytest.raises(ProblemError, match="'a'"):
            evaluate(problem, {}, {"cpu": 500.0})

    def test_lists_will_do(self) -> None:
        one = unit(mhz=[500.0, 1000.0], static_w=[0.1, 0.2])
        asked = dataclasses.replace(demand("a"), points=[point()])
        problem = Problem(units=[one], demands=[asked])  # type: ignore[arg-type]
        assert solve(problem).optimal
        assert hash(problem) == hash(Problem(units=(unit(),), demands=(demand("a"),)))
