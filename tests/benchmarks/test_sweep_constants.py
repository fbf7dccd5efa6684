"""Constants of `joint` are swept on mixes of their own, and each has its row in the docs."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.sweep_constants import CONSTANTS, TUNING_SEEDS, Constant, main, outcomes, values_of
from helpers.bench_results import app, result
from scheduler import app_knowledge
from scheduler.feedback import Caution
from scheduler.policies import Joint
from workloads.bench.results import RunResult
from workloads.suite import suite_mixes

ROOT = Path(__file__).parents[2]
LEARNING = (
    "scheduler/app_knowledge.py",
    "scheduler/estimators.py",
    "scheduler/feedback.py",
    "scheduler/policies/solving.py",
    "scheduler/slowdown.py",
)
"""The files whose constants shape what `joint` learns and chooses."""


def by_name(name: str) -> Constant:
    return next(one for one in CONSTANTS if one.name == name)


def named_constants(path: str) -> Iterator[str]:
    """Yield the upper-case names that a file assigns, those of a class with its name."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    scopes = [("", tree.body), *((f"{one.name}.", one.body) for one in tree.body if isinstance(one, ast.ClassDef))]
    for prefix, body in scopes:
        for statement in body:
            targets = statement.targets if isinstance(statement, ast.Assign) else ()
            for target in (statement.target,) if isinstance(statement, ast.AnnAssign) else targets:
                if isinstance(target, ast.Name) and target.id.isupper():
                    yield prefix + target.id


def rows_of_docs() -> dict[str, list[str]]:
    text = (ROOT / "docs/bench.md").read_text(encoding="utf-8").partition("## Constants")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    return {row[0].strip("`"): row for row in rows}


@pytest.mark.parametrize("constant", CONSTANTS, ids=lambda one: one.name)
def test_another_value_is_in_force_in_its_context_alone(constant: Constant) -> None:
    before = constant.value
    for value in constant.others:
        assert value != before
        with constant.at(value):
            assert constant.value == value
        assert constant.value == before


def test_a_value_is_put_back_after_an_error() -> None:
    def fail() -> None:
        with by_name("MARGIN").at(0.3):
            assert app_knowledge.MARGIN == 0.3
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert app_knowledge.MARGIN == 0.05


def test_a_value_reaches_what_is_made_with_it() -> None:
    with by_name("HYSTERESIS").at(0.5):
        assert Joint()._hysteresis == 0.5
    with by_name("Caution.STEP").at(0.5):
        assert Caution().STEP == 0.5


def test_no_mix_that_results_are_reported_on_is_tuned_on() -> None:
    # A bench of N generated mixes has the seeds from 0 to N - 1, and the suite's mixes are written.
    assert min(TUNING_SEEDS) >= 1000
    assert not any("generated" in name for name in suite_mixes())


def swept(**given: float) -> RunResult:
    """Return the result of a run that changed gear twice, with an app of 100 requests at an slo of 0.9."""
    figures = {"hits": 95, "units_j": 10.0, "switches": 2} | given
    one = replace(app(hits=int(figures["hits"])), switches=int(figures["switches"]))
    return result("joint", one, units_j=figures["units_j"], utilisation=0.5)


def test_each_value_is_compared_with_the_one_in_force() -> None:
    # Of one mix, with the values of HYSTERESIS in turn.
    found = [[swept(), swept(), swept(units_j=9.0, switches=5), swept(units_j=11.0, hits=80)]]
    rows = outcomes(found, "HYSTERESIS")
    assert [row.value for row in rows] == ["0", "0.05", "0.1"]
    assert [row.ratio for row in rows] == [pytest.approx(1.0), pytest.approx(0.9), pytest.approx(1.1)]
    assert [row.on_time for row in rows] == ["0.0", "0.0", "−15.0"]
    assert [(row.missed, row.switches, row.differing) for row in rows] == [(0, 0, 0), (0, 3, 1), (1, 0, 1)]
    assert rows[2].like == "unknown"


def test_a_sweep_simulates_and_writes_what_it_found(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    assert main(["--boards", "two-core-host", "--mixes", "1", "--only", "ROUNDS", "--json", str(path)]) == 0
    written = json.loads(path.read_text())
    assert [row["value"] for row in written["rows"]] == ["1", "2", "5"]
    assert all(row["ratio"] is not None for row in written["rows"])
    assert written["what"].startswith("1 of 1 mixes, seeds 1000 to 1000 on two-core-host; in force: ")


@pytest.mark.parametrize("path", LEARNING)
def test_every_constant_has_its_row_in_the_docs(path: str) -> None:
    rows = rows_of_docs()
    assert [name for name in named_constants(path) if name not in rows] == []


def test_the_docs_have_the_values_in_force_and_what_was_swept() -> None:
    rows = rows_of_docs()
    for constant, value in values_of():
        row = rows[constant.name]
        assert row[1] == words(constant.value)
        tried = re.split(r", (?![^(]*\))", row[3])
        assert words(value) in tried


def words(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
