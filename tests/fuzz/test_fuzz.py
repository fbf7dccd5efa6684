"""Every parser takes a fixed number of damaged inputs well; `make fuzz` tries others for hours."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fuzz.__main__ import main
from fuzz.campaign import HANG_S, Failure, Target, run_one
from fuzz.mutation import changed, damaged
from scheduler.errors import InputError

ROOT = Path(__file__).parents[2]
INPUTS = 150
"""Inputs of each parser: about half a minute on one core."""


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


def test_a_campaign_goes_on_where_its_tally_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    target = Target(name="one", make=lambda rng: None, parse=raises(KeyError("x")), clean=(InputError,))

    def run(target: Target, *, first: int, inputs: int | None, seconds: float | None, on_failure) -> int:
        seeds.extend(range(first, first + 3))
        on_failure(Failure(target=target.name, seed=first, what="KeyError: x at a.py:1 f", shown=""))
        return 3

    monkeypatch.setattr("fuzz.__main__.run", run)
    monkeypatch.setattr("fuzz.__main__.files.targets", lambda: [target])
    monkeypatch.setattr("fuzz.__main__.values.targets", lambda: [])
    monkeypatch.setattr("fuzz.__main__.models.targets", lambda: [])
    monkeypatch.setattr("fuzz.__main__.watch_writes", lambda: None)
    monkeypatch.setattr("fuzz.__main__.limit_memory", lambda: None)
    words = ["--tally", str(tmp_path / "tally.json"), "--seed"]
    assert main([*words, "100", "--inputs", "6"]) == 1
    assert main([*words, "7", "--inputs", "9"]) == 1
    assert seeds == list(range(100, 109))
    kept = json.loads((tmp_path / "tally.json").read_text())
    assert kept == {"first": 100, "inputs": {"one": 9}, "kinds": {"one KeyError a.py:1 f": 3}}


def raises(error: BaseException):
    def parse(given: object, directory: Path) -> None:
        raise error

    return parse


def waits(given: object, directory: Path) -> None:
    threading.Event().wait()


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
        (waits, "hangs: more than 0.1 s at"),
    ],
)
def test_what_is_not_taken_well_is_told_with_its_seed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, parse, said: str
) -> None:
    monkeypatch.setattr("fuzz.campaign.HANG_S", 0.05)
    if parse is waits:
        monkeypatch.setattr("fuzz.campaign.STANDS_S", 0.1)
    target = Target(name="one", make=lambda rng: rng.random(), parse=parse, clean=(InputError,))
    failure = run_one(target, 7, tmp_path)
    assert failure is not None
    assert f"one --seed 7: {said}" in str(failure)


def test_a_clean_error_is_taken_well(tmp_path: Path) -> None:
    target = Target(name="one", make=lambda rng: None, parse=raises(InputError("no")), clean=(InputError,))
    assert run_one(target, 7, tmp_path) is None
    assert HANG_S >= 5
