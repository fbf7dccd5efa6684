"""A policy loads from a user's file, and every fault is one message that names the file and the fix."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actors.policies import load_policy, located
from helpers.snapshots import BIG, LITTLE, gear, make_points, make_snapshot, make_view
from scheduler.policies import Joint, PolicyError, check_plan
from scheduler.views import Gear

MINE = """
from __future__ import annotations

from dataclasses import dataclass

from scheduler.policies import Largest
from scheduler.views import Plan, Snapshot

print("loading")


@dataclass
class Taste:
    rung: str = "small"


class Mine:
    every_epoch = True

    def decide(self, snapshot: Snapshot) -> Plan:
        return Largest().decide(snapshot)


class Picky:
    def __init__(self, rung):
        self.rung = rung

    def decide(self, snapshot): ...


class Broken:
    def __init__(self):
        raise RuntimeError("no luck")

    def decide(self, snapshot): ...


class Mute:
    pass


ready = Mine()
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    return file


def test_a_class_of_a_file_is_a_policy(mine, monkeypatch, capsys):
    monkeypatch.chdir(mine.parent)
    snapshot = make_snapshot(make_view())
    for name in ("mine.py:Mine", f"{mine}:Mine"):
        policy = load_policy(name)
        assert policy.decide(snapshot).gears == {"a": gear("large", "big")}
        assert policy.every_epoch
    assert capsys.readouterr().out == ""  # stdout is for results


def test_it_runs_under_a_governor_too(mine):
    policy = load_policy(f"{mine}:Mine+schedutil")
    plan = policy.decide(make_snapshot(make_view()))
    assert plan.gears == {"a": gear("large", "big")}
    assert plan.clocks == {"big": "schedutil", "little": "schedutil"}
    assert policy.every_epoch


def test_each_load_is_a_fresh_policy(mine):
    assert load_policy(f"{mine}:Mine") is not load_policy(f"{mine}:Mine")


def test_a_file_imports_what_lies_beside_it(mine, tmp_path):
    (tmp_path / "yours.py").write_text("from mine import Mine\nclass Yours(Mine): pass\n")
    assert load_policy(f"{tmp_path / 'yours.py'}:Yours").decide(make_snapshot(make_view())).gears


def test_names_of_the_house_are_as_ever():
    assert isinstance(load_policy("joint"), Joint)
    with pytest.raises(PolicyError, match=r"'jiont' is unknown.*Did you mean 'joint'\?"):
        load_policy("jiont")


def test_a_name_travels_with_an_absolute_path(mine, monkeypatch):
    monkeypatch.chdir(mine.parent)
    name = located("mine.py:Mine+ondemand")
    assert name == f"{mine}:Mine+ondemand"
    monkeypatch.chdir("/")
    assert load_policy(name).decide(make_snapshot(make_view())).clocks["big"] == "ondemand"
    assert located("joint+schedutil") == "joint+schedutil"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine.py", "no class is named; give {file}:"),
        ("mine.py:", "no class is named; give {file}:"),
        ("mine.py+schedutil", "no class is named; give {file}:"),
        ("mine.py:Mien", "there is no class 'Mien'; there are Taste, Mine, Picky, Broken, Mute. Did you mean 'Mine'?"),
        ("mine.py:ready", "ready must be a class"),
        ("mine.py:Mute", "Mute has no method decide; write `def decide(self, snapshot) -> Plan:`"),
        ("mine.py:Picky", "missing 1 required positional argument: 'rung'; correct it, or give its class"),
        ("mine.py:Broken", ", line 33: RuntimeError: no luck; correct it"),
        ("mine.py:Mine+schedutl", "governor 'schedutl' is unknown"),
        ("mine.py:Mine+", "governor '' is unknown"),
    ],
)
def test_a_fault_names_the_file_and_the_fix(mine, name, said):
    with pytest.raises(PolicyError) as caught:
        load_policy(str(mine.parent / name))
    assert str(mine) in str(caught.value)
    assert said.format(file=mine) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"class Mine:\n    def decide(self snapshot): ...\n", r"line 2: this is not Python: .*correct it"),
        (b"x = 1\nimport nothing_of_that_name\n", r"line 2: ModuleNotFoundError: .*nothing_of_that_name.*correct it"),
        (b"import sys\n\nsys.exit('bye')\n", r"line 3: SystemExit: bye"),
        (b"\0", "this is not Python"),
        (b"", "there is no class 'Mine'"),
    ],
)
def test_a_file_that_does_not_run_says_where(tmp_path, text, said):
    file = tmp_path / "wrong.py"
    file.write_bytes(text)
    with pytest.raises(PolicyError, match=re.escape(str(file)) + ".*" + said):
        load_policy(f"{file}:Mine")


def test_a_path_without_a_file_says_so(tmp_path):
    with pytest.raises(PolicyError, match=r"none\.py: there is no such file"):
        load_policy(f"{tmp_path / 'none.py'}:Mine")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(PolicyError, match=r"folder\.py: cannot be read"):
        load_policy(f"{tmp_path / 'folder.py'}:Mine")
    with pytest.raises(PolicyError, match=r"^'xxx.{,60}x\.py': cannot be read: File name too long\.$"):
        load_policy("x" * 10_000 + ".py:Mine")


def test_the_example_decides_and_its_plan_can_be_carried_out():
    """By hand: medium on one core of little at 500 MHz takes 80 ms and 0.05 W · 80 ms = 4 mJ, the least at 0.7."""
    example = Path(__file__).parents[2] / "examples/own_policy.py"
    snapshot = make_snapshot(make_view("a", min_accuracy=0.7), make_view("b", target_ms=1.0))
    plan = load_policy(f"{example}:Thrifty").decide(snapshot)
    possible = frozenset(Gear(subnet=p.subnet, unit=p.unit, cores=p.cores) for p in make_points())
    check_plan(plan, snapshot, {"a": possible, "b": possible})
    assert plan.gears["a"] == gear("medium", "little", 1)
    assert plan.gears["b"].subnet == "small"
    assert set(plan.clocks) == {BIG.name, LITTLE.name}


def test_the_example_is_short_and_the_documentation_shows_it_whole():
    root = Path(__file__).parents[2]
    text = (root / "examples/own_policy.py").read_text().strip()
    assert text in (root / "docs/policies.md").read_text()
    assert len([line for line in text.splitlines() if line]) <= 20
