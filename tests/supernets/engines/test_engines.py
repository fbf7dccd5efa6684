"""Engines load the files that they should, refuse others, and need no torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from helpers.tiny_space import TINY, lived_in, pictures
from supernets import SupernetError, engines
from supernets.artifact import Artifact
from supernets.engines import onnxruntime_sessions
from supernets.engines.torch_engine import OnBuffers, Step
from supernets.exporting import export_module


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    subnet = TINY.subnet(TINY.largest, 24)
    path = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    return export_module(lived_in(TINY).extract(subnet.knobs), subnet, TINY.input_shape(subnet.resolution), path)


@pytest.mark.parametrize("engine", ["auto", *engines.names()])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_engine_computes_what_the_file_says(artifact: Artifact, engine: str, threads: int) -> None:
    """Every engine agrees with ONNX's own reference implementation of the operators."""
    reference = ReferenceEvaluator(onnx.load(artifact.path))
    prepared = engines.prepare(artifact, engine, threads)
    for seed in range(3):
        x = pictures(TINY, 1, 24, seed).numpy()
        (expected,) = reference.run(None, {"x": x})
        actual = prepared(x)
        assert actual.dtype == np.float32
        assert actual.shape == (1, TINY.classes)
        np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("engine", engines.names())
def test_results_do_not_share_memory(artifact: Artifact, engine: str) -> None:
    prepared = engines.prepare(artifact, engine)
    one = prepared(pictures(TINY, 1, 24, seed=1).numpy())
    kept = one.copy()
    other = prepared(pictures(TINY, 1, 24, seed=2).numpy())
    assert np.abs(other - kept).max() > 1e-3 * np.abs(kept).max()
    np.testing.assert_array_equal(one, kept)


@pytest.mark.parametrize("engine", engines.names())
def test_an_input_that_may_not_be_written_is_only_read(artifact: Artifact, engine: str) -> None:
    x = pictures(TINY, 1, 24, seed=1).numpy()
    x.flags.writeable = False
    before = x.copy()
    engines.prepare(artifact, engine)(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_bfloat16_is_another_precision_and_near(artifact: Artifact, engine: str) -> None:
    x = pictures(TINY, 1, 24, seed=1).numpy()
    exact = engines.prepare(artifact, engine)(x)
    rough = engines.prepare(replace(artifact, precision="bfloat16"), engine)(x)
    assert rough.dtype == np.float32
    error = np.abs(rough - exact).max() / np.abs(exact).max()
    assert error < 0.1
    # OpenVINO rounds to bfloat16 only where the processor computes in it.
    assert error > 1e-4 or (engine == "openvino" and "bf16" not in Path("/proc/cpuinfo").read_text())


def test_onnx_runtime_refuses_bfloat16_and_auto_does_not_fall_back_to_float32(artifact: Artifact) -> None:
    rough = replace(artifact, precision="bfloat16")
    with pytest.raises(SupernetError, match=r"'onnxruntime' can't compute in bfloat16, .*these can: openvino, torch"):
        engines.prepare(rough, "onnxruntime")
    assert engines.prepare(rough).engine == "openvino"
    assert engines.candidates("bfloat16") == ("openvino",)
    assert engines.prepare(artifact).engine == engines.candidates()[0] == "onnxruntime"


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_device_that_an_engine_does_not_have_is_refused(artifact: Artifact, engine: str) -> None:
    with pytest.raises(SupernetError, match=f"engine '{engine}' has no device 'cuda:0', only cpu"):
        engines.prepare(artifact, engine, device="cuda:0")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is such a device")
def test_a_device_that_is_not_there_is_refused(artifact: Artifact) -> None:
    with pytest.raises(SupernetError, match="device 'cuda:0' can't be used"):
        engines.prepare(artifact, "torch", device="cuda:0")


def test_an_unknown_engine_is_refused(artifact: Artifact) -> None:
    with pytest.raises(SupernetError, match=r"engine 'onxruntime' is unknown\. Did you mean 'onnxruntime'\?"):
        engines.prepare(artifact, "onxruntime")


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"\x08\x08\x12\x07" + bytes(100)])
@pytest.mark.parametrize(("engine", "name"), [("onnxruntime", "ONNX Runtime"), ("openvino", "OpenVINO")])
@pytest.mark.parametrize("ours", [True, False])
def test_a_file_that_is_no_model_is_refused(
    artifact: Artifact, tmp_path: Path, content: bytes | None, engine: str, name: str, ours: bool
) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    bad = replace(artifact, path=str(path), program=artifact.program if ours else None)
    with pytest.raises(SupernetError, match=f"is not a model that {name} can load") as caught:
        engines.prepare(bad, engine)
    assert {entry.name for entry in tmp_path.iterdir()} <= {"model.onnx"}
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_model_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    whole = Path(artifact.path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SupernetError, match="is not a model"):
        engines.prepare(replace(artifact, path=str(path)))


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_program_that_is_none_is_refused(artifact: Artifact, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(content)
    with pytest.raises(SupernetError, match="is not a program that torch can load") as caught:
        engines.prepare(replace(artifact, program=str(path)), "torch")
    assert "\n" not in str(caught.value)


def test_a_users_own_file_has_no_torch_program(artifact: Artifact) -> None:
    with pytest.raises(SupernetError, match="has no torch program"):
        engines.prepare(replace(artifact, program=None), "torch")


def test_versions_name_the_engines() -> None:
    ours = f"onnxruntime {version('onnxruntime')}"
    assert engines.engine_version("onnxruntime").startswith(ours)
    assert f"{ours}, openvino {version('openvino')}, " in engines.engine_version()
    with pytest.raises(SupernetError, match="engine 'onxruntime' is unknown"):
        engines.engine_version("onxruntime")


class TestKeptForm:
    """ONNX Runtime's optimised form of an exported network is kept beside it, and never trusted blindly."""

    @pytest.fixture
    def copied(self, artifact: Artifact, tmp_path: Path) -> Artifact:
        path = tmp_path / "tiny.onnx"
        shutil.copy(artifact.path, path)
        return replace(artifact, path=str(path))

    @staticmethod
    def kept(copied: Artifact) -> Path:
        (path,) = Path(copied.path).parent.glob("tiny.*.optimised")
        return path

    @staticmethod
    def same(copied: Artifact, artifact: Artifact) -> bool:
        x = pictures(TINY, 1, 24, seed=1).numpy()
        expected = engines.prepare(replace(artifact, program=None))(x)  # plain, as a user's own file
        return bool(np.allclose(engines.prepare(copied)(x), expected, atol=1e-5 * np.abs(expected).max()))

    def test_it_is_made_once_and_its_weights_are_shared_and_aligned(self, copied: Artifact) -> None:
        one = engines.prepare(copied, threads=1)
        made = {file: file.stat().st_mtime_ns for file in self.kept(copied).iterdir()}
        two = engines.prepare(copied, threads=2)
        assert {file: file.stat().st_mtime_ns for file in self.kept(copied).iterdir()} == made
        assert one.mapped == two.mapped
        assert one.mapped is not None
        assert engines.footprint_mb([one, two]) == pytest.approx(one.memory_mb + two.memory_mb + one.mapped.mb)
        model = onnx.load(self.kept(copied) / "model.onnx", load_external_data=False)
        places = [{entry.key: entry.value for entry in tensor.external_data} for tensor in model.graph.initializer]
        offsets = [int(place["offset"]) for place in places if place]
        assert len(offsets) > 1
        assert all(offset % 64 == 0 for offset in offsets)

    @pytest.mark.parametrize("name", ["model.onnx", "weights", "about.json"])
    @pytest.mark.parametrize("spoil", ["flip", "cut", "empty", "remove"])
    def test_a_spoiled_one_is_made_anew(self, copied: Artifact, artifact: Artifact, name: str, spoil: str) -> None:
        engines.prepare(copied)
        file = self.kept(copied) / name
        content = bytearray(file.read_bytes())
        if spoil == "remove":
            file.unlink()
        else:
            content[len(content) // 2] ^= 0xFF
            file.write_bytes({"flip": content, "cut": content[: len(content) // 2], "empty": b""}[spoil])
        assert self.same(copied, artifact)
        crc = json.loads((self.kept(copied) / "about.json").read_text())["crc"]
        assert set(crc) == {"model.onnx", "weights"}
        assert self.same(copied, artifact)

    def test_another_file_in_its_place_is_another_network(self, copied: Artifact, artifact: Artifact) -> None:
        engines.prepare(copied)
        before = self.kept(copied)
        os.utime(copied.path, ns=(1, 1))
        engines.prepare(copied)
        assert {before} < set(before.parent.glob("tiny.*.optimised"))

    def test_several_may_make_it_at_once(self, copied: Artifact, artifact: Artifact) -> None:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: engines.prepare(copied), range(8)))
        x = pictures(TINY, 1, 24, seed=1).numpy()
        for prepared in made:
            np.testing.assert_array_equal(prepared(x), made[0](x))
        assert {entry.name for entry in Path(copied.path).parent.iterdir()} == {"tiny.onnx", self.kept(copied).name}

    def test_without_leave_to_write_the_plain_file_serves(
        self, copied: Artifact, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(**_: object) -> None:
            raise PermissionError("read-only")

        monkeypatch.setattr(onnxruntime_sessions, "TemporaryDirectory", refused)
        assert engines.prepare(copied).mapped is None
        assert self.same(copied, artifact)

    def test_nothing_is_written_beside_a_users_own_file(self, copied: Artifact) -> None:
        engines.prepare(replace(copied, program=None))
        assert [entry.name for entry in Path(copied.path).parent.iterdir()] == ["tiny.onnx"]


class TestOnBuffers:
    """The code that runs on a CUDA device, with the recording of its graph replaced, so that no device is needed."""

    @staticmethod
    def again(step: Step):
        """Repeat a step into the tensor of its first result, as a replayed graph does."""
        y = step()
        return lambda: y.copy_(step()), y

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_it_computes_what_the_module_computes(self, artifact: Artifact, precision: str) -> None:
        module = torch.nn.Sequential(torch.nn.Conv2d(TINY.in_channels, 4, 3), torch.nn.Flatten()).eval()
        runs = []

        def counted(step: Step):
            replay, y = self.again(step)
            return lambda: (runs.append(1), replay()), y

        cast = torch.nn.Sequential(*module).to(getattr(torch, precision))
        network = OnBuffers(cast, replace(artifact, precision=precision), torch.device("cpu"), counted)
        tolerance = 1e-6 if precision == "float32" else 0.05
        results = []
        for seed in (1, 2):
            x = pictures(TINY, 1, 24, seed)
            with torch.inference_mode():
                expected = cast(x.to(getattr(torch, precision))).float().numpy()
            results.append((network(x.numpy()), expected))
        for actual, expected in results:  # compared at the end: the first has not been overwritten
            assert actual.dtype == np.float32
            np.testing.assert_allclose(actual, expected, atol=tolerance * np.abs(expected).max())
        assert len(runs) == 2

    def test_an_input_of_another_shape_is_refused(self, artifact: Artifact) -> None:
        network = OnBuffers(torch.nn.Flatten(), artifact, torch.device("cpu"), self.again)
        with pytest.raises(ValueError, match="could not broadcast"):
            network(np.zeros((1, TINY.in_channels, 5, 7), np.float32))


def run(code: str, artifact: Artifact, **environment: str) -> str:
    """Return the output of a fresh process that is given the artifact."""
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
import supernets, supernets.pictures.sources, supernets.pictures.plates
engines.prepare(artifact)(np.zeros(artifact.input_shape, np.float32))
print("torch" in sys.modules, "torchvision" in sys.modules, "openvino" in sys.modules)
"""
    assert "torch" in sys.modules  # here it is, so the name is right
    assert torch.__name__ == "torch"
    assert run(code, artifact).split() == ["False", "False", "False"]


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
    """Threads do not depend on `OMP_NUM_THREADS`, which Ray sets to 1 in an actor; and the engine pins none."""
    assert run(THREADS, artifact, OMP_NUM_THREADS=openmp).split() == ["2", "True"]  # two, and the caller


PINNED_FIRST = """
import os
import numpy as np
everywhere = os.sched_getaffinity(0)
os.sched_setaffinity(0, {min(everywhere)})
one = engines.prepare(artifact, "openvino", threads=1)
print(os.sched_getaffinity(0) == {min(everywhere)})
os.sched_setaffinity(0, everywhere)
from supernets.engines import openvino_engine
compiled = []
core = openvino_engine._core()
class Watched:
    def compile_model(self, *arguments):
        compiled.append(core.compile_model(*arguments))
        return compiled[-1]
openvino_engine._core = Watched
engines.prepare(artifact, "openvino", threads=2)
print(compiled[0].get_property("INFERENCE_NUM_THREADS"))
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_openvino_in_a_pinned_process_still_gets_its_threads_later(artifact: Artifact) -> None:
    """OpenVINO counts the CPUs of the main thread when it is first used, and never again."""
    assert run(PINNED_FIRST, artifact).split() == ["True", "2"]


def test_torch_computes_on_as_many_threads_as_asked_on_whichever_thread_calls(artifact: Artifact) -> None:
    one, two = (engines.prepare(artifact, "torch", threads) for threads in (1, 2))
    x = pictures(TINY, 1, 24, seed=1).numpy()

    def threads_of(prepared: engines.PreparedNetwork) -> int:
        prepared(x)
        return torch.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        assert [pool.submit(threads_of, prepared).result() for prepared in (two, one, two)] == [2, 1, 2]


MEMORY = """
import sys
import onnx
import numpy as np
from onnx import TensorProto, helper, numpy_helper
from supernets.engines import private_mb, release_memory
weights = np.random.default_rng(0).standard_normal((4_000_000, 1)).astype(np.float32)  # 16 MB
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["y"])], "wide",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4_000_000))],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1))],
    [numpy_helper.from_array(weights, "w")])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), sys.argv[1])
wide = Artifact(subnet="wide", path=sys.argv[1], input_shape=(1, 4_000_000), weights_hash="")
del weights, graph
engines.prepare(wide, sys.argv[2])  # what the engine itself takes
release_memory()
before = private_mb()
for _ in range(4):
    prepared = engines.prepare(wide, sys.argv[2])
    grown = private_mb() - before
    cost = prepared.memory_mb
    del prepared
    release_memory()
print(cost, grown, private_mb() - before)
"""


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_memory_is_stated_and_goes_back(artifact: Artifact, tmp_path: Path, engine: str) -> None:
    code = MEMORY.replace("sys.argv[1]", repr(str(tmp_path / "wide.onnx"))).replace("sys.argv[2]", repr(engine))
    cost_mb, grown_mb, left_mb = map(float, run(code, artifact).split())
    assert cost_mb >= 16
    assert grown_mb >= 16
    assert left_mb < 2 * cost_mb  # four were prepared; an engine may keep some buffers, not networks
