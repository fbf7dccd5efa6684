"""A model at which an engine dies, hangs or raises gets one sentence, and the process that asked lives on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.own_models import scaled
from supernets import SupernetError, own_model
from supernets.artifact import Artifact
from supernets.engines import Trials, able, tried
from supernets.engines.trials import Verdict, _died


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Return a module for the process in which `openvino` does what a model's name says."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        yield "helpers.dying_trials"


@pytest.fixture(scope="module")
def dying(server: str) -> Iterator[Trials]:
    with Trials(server=server) as trials:
        yield trials


def model(folder: Path, name: str) -> Artifact:
    return own_model.read("m", scaled(folder / f"{name}.onnx"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("die-11", "openvino crashes on {path} (signal 11, SIGSEGV); download or export it again"),
        ("raise", "openvino can't load {path}: KeyError: 'xxx"),
    ],
)
def test_a_model_of_which_an_engine_dies_runs_in_the_other(dying: Trials, tmp_path: Path, name: str, says: str) -> None:
    artifact, lasts = tried(model(tmp_path, name), dying)
    ((engine, reason),) = artifact.unable
    assert engine == "openvino"
    assert reason.startswith(says.format(path=artifact.path))
    assert len(reason) < 1200
    assert able(artifact) == ("onnxruntime",)
    assert lasts


def test_a_model_that_hangs_an_engine(tmp_path: Path, server: str) -> None:
    artifact = model(tmp_path, "hang")
    with Trials(limit_s=0.5, server=server) as trials:
        verdict = trials.of(artifact, "openvino")
    said = f"openvino has not loaded and run {artifact.path} within 0.5 s"
    assert verdict == Verdict(fault=said, lasting=False)


@pytest.mark.parametrize(
    ("code", "says", "lasting"),
    [
        (3, "openvino crashes on {path} (exit code 3); download or export it again", True),
        (-9, "openvino was killed while it loaded {path}, as Linux does where memory is short", False),
    ],
)
def test_other_ends_of_the_process(tmp_path: Path, code: int, says: str, lasting: bool) -> None:
    artifact = model(tmp_path, "m")
    assert _died(artifact, "openvino", code, 2.0) == Verdict(fault=says.format(path=artifact.path), lasting=lasting)


def test_what_an_earlier_model_damaged_is_not_blamed_on_the_next(dying: Trials, tmp_path: Path) -> None:
    assert tried(model(tmp_path, "damage"), dying)[0].unable == ()
    assert tried(model(tmp_path, "sound"), dying)[0].unable == ()


def test_where_no_engine_is_left_the_message_has_each_ones_reason(
    dying: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supernets.engines.trials.candidates", lambda precision: ("openvino",))
    with pytest.raises(SupernetError, match=r"openvino crashes on .*die-6\.onnx \(signal 6, SIGABRT\); download"):
        tried(model(tmp_path, "die-6"), dying)


def test_a_process_that_does_not_start_is_said(tmp_path: Path) -> None:
    with Trials(server="no.such.module") as trials, pytest.raises(SupernetError, match=r"does not start: .*No module"):
        tried(model(tmp_path, "m"), trials)


def test_a_process_that_was_killed_meanwhile_is_started_again(dying: Trials, tmp_path: Path) -> None:
    artifact = model(tmp_path, "m")
    tried(artifact, dying)
    assert dying._process is not None
    os.kill(dying._process.pid, signal.SIGINT)  # Ctrl-C reaches it too, and it answers on
    assert tried(artifact, dying)[0].unable == ()
    dying._process.kill()
    assert tried(artifact, dying)[0].unable == ()


def test_the_process_ends_with_its_block(dying: Trials, tmp_path: Path) -> None:
    tried(model(tmp_path, "m"), dying)
    assert dying._process is not None
    pid = dying._process.pid
    dying.__exit__(None, None, None)
    assert not Path(f"/proc/{pid}").exists()
