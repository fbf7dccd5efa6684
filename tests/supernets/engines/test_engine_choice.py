"""`auto` leaves out engines that can't be used on a machine, and OpenVINO is tried where it might die."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.own_models import scaled
from supernets import SupernetError, cpus, engines, own_model
from supernets.engines import openvino_engine, registry

CONFIGURED = "0" if os.cpu_count() == 1 else f"0-{(os.cpu_count() or 1) - 1}"


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that says which CPUs are online; it can be written."""
    file = tmp_path / "online"
    monkeypatch.setattr(openvino_engine, "_ONLINE", file)
    openvino_engine._dies.cache_clear()
    yield file
    openvino_engine._dies.cache_clear()


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = replace(registry.OPENVINO, why_not=lambda: "it dies")
    monkeypatch.setitem(registry._ENGINES, "openvino", engine)


def test_usable_cpus_are_the_kernels_and_no_mask_is_changed() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        assert cpus.usable() >= before
        assert os.sched_getaffinity(0) == {max(before)}
    finally:
        os.sched_setaffinity(0, before)


def test_where_cpus_are_numbered_without_gaps_nothing_is_tried(online: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "usable", lambda: frozenset(range(4)))
    monkeypatch.setattr(openvino_engine, "_TRIAL", "import os; os.abort()")
    online.write_text("0-3\n")
    assert openvino_engine.why_not() is None


@pytest.mark.parametrize(
    ("usable", "said", "shown"),
    [({24}, "0\n", "0"), ({0, 3, 4, 5}, "0,3-5\n", "0, 3, 4, 5"), ({1, 2}, "0-1\n", "0, 1"), ({0}, "", "none")],
)
def test_where_they_are_not_it_is_left_out_if_it_dies(
    online: Path, monkeypatch: pytest.MonkeyPatch, usable: set[int], said: str, shown: str
) -> None:
    monkeypatch.setattr(cpus, "usable", lambda: frozenset(usable))
    online.write_text(said)
    monkeypatch.setattr(openvino_engine, "_TRIAL", "import os; os.abort()")
    numbers = ", ".join(map(str, sorted(usable)))
    why = openvino_engine.why_not()
    assert f"this process may use CPUs {numbers}, and {online} has {shown}" in why


def test_where_it_lives_it_is_used(online: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real trial, on this machine's own CPUs."""
    monkeypatch.setattr(cpus, "usable", lambda: frozenset({5}))
    online.write_text(CONFIGURED)
    assert openvino_engine.why_not() is None


def test_auto_chooses_from_the_rest(without_openvino: None, trials: engines.Trials, tmp_path: Path) -> None:
    assert engines.candidates() == ("onnxruntime",)
    assert engines.unusable() == {"openvino": "it dies"}
    assert "openvino" not in engines.engine_version()
    artifact = own_model.read("m", scaled(tmp_path / "m.onnx"))
    assert engines.tried(artifact, trials) == (artifact, True)
    with pytest.raises(SupernetError, match="engine 'openvino' can't be used here: it dies"):
        engines.prepare(artifact, "openvino")


def test_an_engine_that_can_not_run_a_file_is_not_chosen_for_it(tmp_path: Path) -> None:
    artifact = replace(own_model.read("m", scaled(tmp_path / "m.onnx")), unable=(("onnxruntime", "why"),))
    assert engines.able(artifact) == ("openvino",)
    assert engines.prepare(artifact).engine == "openvino"
