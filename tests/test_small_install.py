"""gearshift as a wheel, outside its clone and with what `requirements.lock` has alone: no torch, no fonts of others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import supernets
from helpers.small_install import SmallInstall, small_install
from workloads.cli.command import COMMANDS

# `schedutil` solves nothing, `joint` does.
MIX = """
from gearshift import App, Mix, Periodic

def mix():
    return Mix(name="small", duration_s=3, apps=[
        App("door", supernet="ofa-plates", arrivals=Periodic(hz=10), latency_ms=200, min_accuracy=0.6),
    ])
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallInstall:
    return small_install(tmp_path_factory.mktemp("small"))


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    (tmp_path / "mix.py").write_text(MIX)
    return tmp_path / "mix.py"


def gearshift(small: SmallInstall, *words: str, cwd: Path) -> str:
    """Run the command, which must succeed, and return what it prints."""
    ended = small.run(small.command, *words, cwd=cwd)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def refusal(small: SmallInstall, *words: str, cwd: Path) -> str:
    """Run the command, which must refuse its input, and return the message."""
    ended = small.run(small.command, *words, cwd=cwd)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return " ".join(ended.stderr.split())


def test_it_is_the_wheel_and_nothing_large_is_there(small: SmallInstall, tmp_path: Path) -> None:
    names = ["torch", "scipy", "polars", "pandas", "openvino", "onnxscript", "cv2", "font_roboto", "sympy", "_pytest"]
    code = (
        "import importlib.util, gearshift, actors, scheduler, supernets, workloads\n"
        "print(*{__import__(n).__file__.partition('/lib/')[0] for n in "
        "('gearshift', 'actors', 'scheduler', 'supernets', 'workloads')})\n"
        f"print([n for n in {names} if importlib.util.find_spec(n)])"
    )
    ended = small.run("-c", code, cwd=tmp_path)
    assert ended.stdout.splitlines() == [str(small.directory), "[]"], ended.stderr


def test_each_command_is_there(small: SmallInstall, tmp_path: Path) -> None:
    assert "what would help" in gearshift(small, "--help", cwd=tmp_path)
    code = "from workloads.cli.command import COMMANDS, imported\nprint(*(imported(name).name for name in COMMANDS))"
    assert small.run("-c", code, cwd=tmp_path).stdout.split() == list(COMMANDS)


def test_a_mix_is_simulated_and_reported(small: SmallInstall, mix: Path) -> None:
    words = ("run", str(mix), "--backend", "sim", "--policy", "joint", "--policy", "schedutil", "--out", "runs")
    assert "door" in gearshift(small, *words, cwd=mix.parent)
    gearshift(small, "report", "runs/joint", cwd=mix.parent)
    assert "<svg" in (mix.parent / "runs/joint/report.html").read_text()


@pytest.mark.ray
def test_a_mix_runs_on_ray(small: SmallInstall, mix: Path) -> None:
    printed = gearshift(small, "run", str(mix), "--policy", "schedutil", "--json", "--out", "real", cwd=mix.parent)
    app = json.loads(printed)["apps"]["door"]
    assert app["completed"] > 0
    assert app["failed"] == 0
    assert app["accuracy"]["value"] > 0.5  # its plates are drawn, and read


def test_plates_are_drawn_and_read_as_well_as_ever(small: SmallInstall, tmp_path: Path) -> None:
    """The ladder's own accuracy of its largest network is 0.96 or so, of 66 plates no less than 0.85 by any luck."""
    rung = supernets.load("ofa-plates").ladder()[-1]
    words = ("accuracy", "ofa-plates", "--subnet", rung.id, "--limit", "66", "--json")
    (measured,) = json.loads(gearshift(small, *words, cwd=tmp_path))["rungs"]
    assert rung.accuracy is not None
    assert measured["accuracy"] > rung.accuracy - 0.1


def test_the_translator_translates_as_ever(small: SmallInstall, tmp_path: Path) -> None:
    net = supernets.load("translator-en-de")
    expected = supernets.engines.prepare(supernets.export(net, net.ladder()[0], tmp_path / "here"))(np.array([[99, 3]]))
    code = (
        "import numpy as np, supernets\n"
        "from pathlib import Path\n"
        "net = supernets.load('translator-en-de')\n"
        "artifact = supernets.export(net, net.ladder()[0], Path('there'))\n"
        "print(supernets.engines.prepare(artifact)(np.array([[99, 3]])).tolist())"
    )
    ended = small.run("-c", code, cwd=tmp_path)
    assert json.loads(ended.stdout) == expected.tolist(), ended.stderr


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (("bench", "mix.py"), "scipy", "bench"),
        (("run", "mix.py", "--backend", "sim", "--policy", "oracle"), "scipy", "bench"),
        (("profile", "ofa-plates", "--engine", "torch"), "torch", "gpu"),
        (("profile", "ofa-plates", "--engine", "openvino"), "not installed", "openvino"),
        (("profile", "slimmable-mbv1"), "torch", "train"),
        (("profile", "ofa-mbv3-w1.0"), "torch", "train"),
        (("accuracy", "ofa-plates", "--calibrate", "drawn", "--limit", "33"), "torch", "train"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_what_is_missing_is_said_with_the_command_that_adds_it(
    small: SmallInstall, mix: Path, words: tuple[str, ...], package: str, extra: str
) -> None:
    said = refusal(small, *words, cwd=mix.parent)
    assert package in said
    assert f"add it with: pip install 'gearshift[{extra}]'" in said
