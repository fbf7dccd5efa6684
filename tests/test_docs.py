"""The documentation: the site builds without a warning, and what a page shows as code is right.

- Blocks marked `python` run, page by page from top to bottom, those of one page in one namespace.
- Blocks marked `yaml` are boards, or parts of one.
- In all others, lines that begin with `gearshift` or `make` are commands: each must exist, with all its options.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from actors.cluster import load_board
from workloads.cli.command import COMMANDS, imported

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ON_RAY = {"translator.md"}
"""Pages whose blocks deploy a mix."""
ASKS_A_SERVER = {"serving.md"}
"""Pages whose blocks need `gearshift serve`; tests/workloads/serve has the same client ask it."""
BOARD = ROOT / "actors" / "boards" / "jetson-xavier-nx.yaml"
"""The board that a block which is a part of one belongs to."""


class Block(NamedTuple):
    """A block of code on a page."""

    page: str
    language: str
    code: str


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the blocks of code of a page, from top to bottom."""
    for language, code in re.findall(
        r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        yield Block(page.name, language, code)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = sorted({block.page for block in BLOCKS if block.language == "python"})


def run_page(page: str, directory: Path) -> None:
    """Run the Python of a page in a process of its own, as a reader would who has the models that pages name."""
    for model in ("small.onnx", "large.onnx"):
        (directory / model).touch()
    code = "\n".join(block.code for block in BLOCKS if block.page == page and block.language == "python")
    if "\ndef mix(" in code:
        code += "\nmix()\n"
    ended = subprocess.run([sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("page", [page for page in PYTHON if page not in ON_RAY | ASKS_A_SERVER])
def test_the_python_of_a_page_runs(page: str, tmp_path: Path) -> None:
    run_page(page, tmp_path)


@pytest.mark.ray
@pytest.mark.slow  # exports the translator's networks and profiles them: minutes
@pytest.mark.parametrize("page", sorted(ON_RAY))
def test_the_python_of_a_page_that_deploys_a_mix_runs(page: str, tmp_path: Path) -> None:
    run_page(page, tmp_path)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml"])
def test_yaml_is_a_board(block: Block, tmp_path: Path) -> None:
    content = yaml.safe_load(block.code)
    if "units" not in content:
        whole = yaml.safe_load(BOARD.read_text())
        if "modes" in content:
            del whole["mode"]
        content = whole | content | {"power": whole["power"] | content.get("power", {})}
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(content))
    load_board(file)


def commands() -> Iterator[tuple[str, str]]:
    """Yield each command line of the documentation, with the page."""
    for block in BLOCKS:
        for line in block.code.splitlines():
            if block.language == "" and line.startswith(("gearshift ", "make ")):
                yield block.page, line


@pytest.mark.parametrize(("page", "line"), list(commands()))
def test_a_command_exists_with_its_options(page: str, line: str) -> None:
    if line.startswith("make "):
        assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), page
        return
    # What comes after two spaces says what the command is for.
    command, *_ = re.split(r" {2,}", line)
    names = re.match(r"gearshift ((?:\w+, )*\w+|--help|--version)", command)
    assert names, f"{page}: {line}"
    for name in names[1].split(", "):
        if name.startswith("--"):
            continue
        assert name in COMMANDS, f"{page}: {line}"
        options = {
            option for parameter in imported(name).params for option in parameter.opts + parameter.secondary_opts
        }
        assert set(re.findall(r"--[a-z-]+", command)) <= options, f"{page}: {line}"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    ended = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Deployment" in (tmp_path / "site" / "api" / "index.html").read_text()
