"""The house: imports point down only and form no ring; the front door is light and holds all that it promises."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import gearshift

ROOT = Path(__file__).parent.parent
BELOW = {
    "gearshift": {"workloads", "actors", "scheduler", "supernets"},
    "workloads": {"actors", "scheduler", "supernets"},
    "actors": {"scheduler", "supernets"},
    "scheduler": set(),
    "supernets": set(),
}
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in BELOW
    for path in (ROOT / package).rglob("*.py")
}


def imported(module: str) -> Iterator[str]:
    """Yield the modules of ours that a module imports anywhere in its file."""
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in FILES else node.module for name in inside]
        yield from (name for name in names if name in FILES)


def test_imports_point_down_and_form_no_ring() -> None:
    graph = {module: set(imported(module)) for module in FILES}
    for module, names in graph.items():
        package = module.partition(".")[0]
        up = {name for name in names if name.partition(".")[0] not in BELOW[package] | {package}}
        assert up <= ({"scheduler.errors"} if package == "supernets" else set()), f"{module} imports {up}"
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the ring


def test_the_front_door_loads_neither_ray_nor_torch_nor_matplotlib() -> None:
    code = (
        "import sys, gearshift; gearshift.App; print([n for n in ('ray', 'torch', 'matplotlib') if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ended.stdout == "[]\n"


def test_the_front_door_has_every_name_that_it_promises() -> None:
    for name in gearshift.__all__:
        assert getattr(gearshift, name) is not None


# Files outside `supernets` that are about pictures, and why; and what users already type or read.
ABOUT_PICTURES = {
    "actors.wall_power": "measured figures of others, who measured one picture at a time",
    "workloads.make_profiles": "the same figures as packaged profiles",
    "workloads.reproduce": "published results on ImageNet",
    "workloads.suite": "prose on mixes of cameras",
}
PUBLIC_NAMES = re.compile(r"(calibration|search|test)[-_]pictures|\bpictures=|\"pictures\":|ImageNet|\bImages\b")
WORDS = re.compile(r"picture|image|pixel|logit|\b(sub-?word|vocabular|encoder|decoder)", re.IGNORECASE)
OF_TEXT = re.compile(r"(text|word|input|output|source|target|first|next|per|generated)[ -]tokens?\b", re.IGNORECASE)


@pytest.mark.parametrize("package", ["actors", "scheduler", "workloads"])
def test_nobody_outside_supernets_knows_what_a_task_is_about(package: str) -> None:
    for module, path in FILES.items():
        if module.partition(".")[0] != package or module.startswith(tuple(ABOUT_PICTURES)):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            found = WORDS.search(PUBLIC_NAMES.sub("", line)) or OF_TEXT.search(line)
            assert not found, f"{path}:{number}: {found[0]!r} is a word of `supernets`: {line.strip()}"
