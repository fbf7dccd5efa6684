"""Engines: what they load, what they refuse, and that they need no torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from tiny_space import TINY, lived_in, pictures

from supernets import SupernetError, engines
from supernets.artifact import Artifact
from supernets.export import export_module


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    subnet = TINY.subnet(TINY.largest, 24)
    path = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    return export_module(lived_in(TINY).extract(subnet.knobs), subnet, TINY.input_shape(subnet.resolution), path)


@pytest.mark.parametrize("engine", ["auto", *engines.names()])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_engine_computes_what_the_file_says(artifact: Artifact, engine: str, threads: int) -> None:
    """Against ONNX's own reference implementation of the operators."""
    reference = ReferenceEvaluator(onnx.load(artifact.path))
    prepared = engines.prepare(artifact, engine, threads)
    for seed in range(3):
        x = pictures(TINY, 1, 24, seed).numpy()
        (expected,) = reference.run(None, {"x": x})
        actual = prepared(x)
        assert actual.dtype == np.float32
        assert actual.shape == (1, TINY.classes)
        np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max())


def test_results_do_not_share_memory(artifact: Artifact) -> None:
    prepared = engines.prepare(artifact)
    one = prepared(pictures(TINY, 1, 24, seed=1).numpy())
    kept = one.copy()
    prepared(pictures(TINY, 1, 24, seed=2).numpy())
    np.testing.assert_array_equal(one, kept)


def test_an_unknown_engine_is_refused(artifact: Artifact) -> None:
    with pytest.raises(SupernetError, match=r"engine 'onxruntime' is unknown\. Did you mean 'onnxruntime'\?"):
        engines.prepare(artifact, "onxruntime")


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"\x08\x08\x12\x07" + bytes(100)])
def test_a_file_that_is_no_model_is_refused(artifact: Artifact, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SupernetError, match="is not a model that ONNX Runtime can load") as caught:
        engines.prepare(replace(artifact, path=str(path)))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_model_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    whole = Path(artifact.path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SupernetError, match="is not a model"):
        engines.prepare(replace(artifact, path=str(path)))


def test_the_version_names_the_engine() -> None:
    assert engines.engine_version() == engines.engine_version("onnxruntime") == f"onnxruntime {version('onnxruntime')}"


def run(code: str, artifact: Artifact, **environment: str) -> str:
    """What a fresh process prints that has the artifact at hand."""
    prelude = f"from supernets import engines\nfrom supernets.artifact import Artifact\nartifact = {artifact!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", prelude + code],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    return done.stdout


def test_serving_needs_no_torch(artifact: Artifact) -> None:
    code = """
import sys
import numpy as np
import supernets, supernets.sources, supernets.plates
engines.prepare(artifact)(np.zeros(artifact.input_shape, np.float32))
print("torch" in sys.modules, "torchvision" in sys.modules)
"""
    assert "torch" in sys.modules  # here it is, so the name is right
    assert torch.__name__ == "torch"
    assert run(code, artifact).split() == ["False", "False"]


THREADS = """
import os
import numpy as np
ours = {min(os.sched_getaffinity(0))}
os.sched_setaffinity(0, ours)
before = set(os.listdir("/proc/self/task"))
prepared = engines.prepare(artifact, threads=3)
prepared(np.zeros(artifact.input_shape, np.float32))
started = set(os.listdir("/proc/self/task")) - before
print(len(started), all(os.sched_getaffinity(int(thread)) == ours for thread in started))
"""


@pytest.mark.parametrize("openmp", ["1", "4"])
def test_threads_are_as_many_as_asked_and_inherit_the_affinity(artifact: Artifact, openmp: str) -> None:
    """Whatever `OMP_NUM_THREADS` says, which Ray sets to 1 in an actor; and the engine pins nothing by itself."""
    assert run(THREADS, artifact, OMP_NUM_THREADS=openmp).split() == ["2", "True"]  # two, and the caller
