"""Every parser takes a fixed number of damaged inputs well; `make fuzz` tries others for hours."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.campaign import HANG_S, Target, run_one
from fuzz.mutation import changed, damaged
from scheduler.errors import InputError

ROOT = Path(__file__).parents[2]
INPUTS = 15


def test_damaged_inputs_of_every_parser_end_in_clean_errors() -> None:
    # In a process of its own: what watches its writes can't be taken off again.
    ended = subprocess.run(
        [sys.executable, "-m", "fuzz", "--inputs", str(INPUTS), "--seed", "0"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "all taken well" in ended.stdout


def test_an_input_depends_on_its_seed_alone() -> None:
    seeds = [b"name: a\nunits: [1, 2]\n", b"x" * 50]
    value = {"a": [1, {"b": None}], "c": "d"}
    for number in range(200):
        assert damaged(random.Random(number), seeds) == damaged(random.Random(number), seeds)
        assert repr(changed(random.Random(number), value)) == repr(changed(random.Random(number), value))
    assert value == {"a": [1, {"b": None}], "c": "d"}
    assert len({damaged(random.Random(number), seeds) for number in range(200)}) > 100


def raises(error: BaseException):
    def parse(given: object, directory: Path) -> None:
        raise error

    return parse


def loops(given: object, directory: Path) -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("parse", "said"),
    [
        (raises(KeyError("x")), "KeyError: 'x'"),
        (raises(RecursionError("deep")), "RecursionError: deep"),
        (raises(InputError("")), "a message of 0 characters"),
        (raises(InputError("x" * 10_000)), "a message of 10000 characters"),
        (loops, "hangs: more than 0.05 s of CPU time"),
    ],
)
def test_what_is_not_taken_well_is_told_with_its_seed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, parse, said: str
) -> None:
    monkeypatch.setattr("fuzz.campaign.HANG_S", 0.05)
    target = Target(name="one", make=lambda rng: rng.random(), parse=parse, clean=(InputError,))
    failure = run_one(target, 7, tmp_path)
    assert failure is not None
    assert f"one --seed 7: {said}" in str(failure)


def test_a_clean_error_is_taken_well(tmp_path: Path) -> None:
    target = Target(name="one", make=lambda rng: None, parse=raises(InputError("no")), clean=(InputError,))
    assert run_one(target, 7, tmp_path) is None
    assert HANG_S >= 5
