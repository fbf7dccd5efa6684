"""A user's own file is read as it is, or refused with its path, what is wrong and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data

from helpers.own_models import brightest, scaled, value, write, zip_map
from supernets import SupernetError, engines, own_model
from supernets.artifact import Artifact
from supernets.outputs import Outputs

Tried = Callable[[Artifact], Artifact]
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


@pytest.fixture
def tried(trials: engines.Trials) -> Tried:
    """Return a function that returns a model with the engines that can't run it."""
    return lambda artifact: engines.tried(artifact, trials)[0]


def summed(path: Path, *inputs: onnx.ValueInfoProto) -> Path:
    """Write a model that adds up its inputs."""
    names = [entry.name for entry in inputs]
    return write(path, [helper.make_node("Sum", names, ["y"])], inputs, [value("y", None)])


def refusal(path: Path, output: str | None = None) -> str:
    with pytest.raises(SupernetError) as refused:
        own_model.read("m", path, output)
    said = str(refused.value)
    assert str(path) in said
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"not a model", "is not an ONNX model, or is damaged"),
        (bytes(range(256)), "is not an ONNX model"),
        (b"\x08\x0a", "is not an ONNX model"),
        (LFS, "is a pointer of Git LFS and not the file itself; fetch it with `git lfs pull`"),
        (b"PK\x03\x04torch", "is a zip archive"),
        (b"\x89HDF\r\n", "is an HDF5 file"),
        (b"<!DOCTYPE html>", "is a web page"),
    ],
)
def test_a_file_that_is_no_model(path: Path, content: bytes, says: str) -> None:
    path.write_bytes(content)
    assert says in refusal(path)


def test_files_that_can_not_be_read(path: Path, tmp_path: Path) -> None:
    assert "can't be read: No such file" in refusal(path)
    assert "is a directory; give the .onnx file in it" in refusal(tmp_path)


def test_a_file_above_what_the_format_allows(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**31)  # no block of it is written
    assert "has 2.1 GB, and an ONNX file has at most 2.1; save its weights apart" in refusal(path)


def test_a_truncated_model(path: Path) -> None:
    content = brightest(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "is not an ONNX model, or is damaged" in refusal(path)


@pytest.mark.parametrize("shape", [(2, 4), (4, 3, 8, 8), (1, "width"), (1, 3, "height", "width"), (1, 3, None, 8), ()])
def test_a_shape_that_is_not_fixed(path: Path, shape: tuple[object, ...]) -> None:
    said = refusal(summed(path, value("x", shape)))
    assert "must take one input of a fixed shape (1, ...); it takes 'x': float (" in said
    assert "make_dynamic_shape_fixed --input_name x --input_shape 1" in said


def test_no_shape_at_all(path: Path) -> None:
    assert "it takes 'x': float of any shape" in refusal(summed(path, value("x", None)))


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.UINT8, TensorProto.BFLOAT16, TensorProto.STRING])
def test_numbers_of_a_type_that_is_not_supported(path: Path, kind: int) -> None:
    said = refusal(summed(path, value("x", (1, 4), kind)))
    assert f"'x': {TensorProto.DataType.Name(kind).lower()} (1, 4). Begin it with a Cast from float" in said


def test_an_input_that_is_a_sequence(path: Path) -> None:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    assert "it takes 'x': sequence" in refusal(summed(path, helper.make_value_info("x", kind)))


def test_two_inputs_and_none(path: Path) -> None:
    said = refusal(summed(path, value("x0", (1, 4)), value("x1", (1, 4))))
    assert "must take one input; it takes 'x0': float (1, 4), 'x1': float (1, 4). Export it with one" in said
    constant = helper.make_node("Constant", [], ["y"], value_float=1.0)
    assert "it takes none" in refusal(write(path, [constant], [], [value("y", None)]))


def test_constants_that_are_listed_as_inputs_are_none(path: Path) -> None:
    scaled(path)
    model = onnx.load(path)
    model.graph.input.append(value("w", (1, 4)))
    onnx.save(model, path)
    assert own_model.read("m", path).input_shape == (1, 4)


def test_an_output_that_it_does_not_have(path: Path) -> None:
    said = refusal(brightest(path), "score")
    assert "has no output 'score'. Did you mean 'scores'? Known: class, scores" in said


# ---------------------------------------------------------------- the files of its weights


def test_the_hash_is_of_the_weights_too(path: Path) -> None:
    one = own_model.read("m", scaled(path, 2.0, "weights"))
    assert own_model.read("m", path) == one
    description = path.read_bytes()
    scaled(path, 3.0, "weights")
    assert path.read_bytes() == description
    assert own_model.read("m", path).weights_hash != one.weights_hash


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda file: file.unlink(), "keeps its weights in 'weights', and there is no file"),
        (lambda file: file.write_bytes(b"123"), "has 3 bytes, and 16 are needed; download or export it again"),
        (lambda file: file.write_bytes(LFS[:43]), "is a pointer of Git LFS"),
        (lambda file: (file.unlink(), file.mkdir()), "there is no file"),
    ],
)
def test_weights_that_are_not_there_or_not_whole(path: Path, spoil: Callable[[Path], object], says: str) -> None:
    scaled(path, weights="weights")
    if "Git LFS" in says:  # a pointer is shorter than any real weights, but longer than these
        write(
            path,
            [helper.make_node("Mul", ["x", "w"], ["y"])],
            [value("x", (1, 400))],
            [value("y", None)],
            {"w": np.ones((1, 400), np.float32)},
            weights="weights",
        )
    spoil(path.parent / "weights")
    assert says in refusal(path)


def test_weights_of_a_branch_count(path: Path) -> None:
    weights = onnx.numpy_helper.from_array(np.ones((1, 4), np.float32), "w")
    set_external_data(weights, "elsewhere")
    branch = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["z"])], "b", [], [value("z", None)], [weights])
    condition = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    write(path, [condition], [value("x", (1, 4))], [value("y", None)], {"c": np.array(True)})
    assert own_model.read("m", path).input_shape == (1, 4)
    (path.parent / "elsewhere").unlink()
    assert "keeps its weights in 'elsewhere'" in refusal(path)


def test_a_model_behind_links_finds_its_weights_as_the_links_are_named(tmp_path: Path, tried: Tried) -> None:
    """As Hugging Face's cache has them: the files are named by their hashes, the links as the model expects."""
    scaled(tmp_path / "model.onnx", 2.0, "model.onnx_data")
    (tmp_path / "blobs").mkdir()
    (tmp_path / "links").mkdir()
    for name, blob in (("model.onnx", "1111"), ("model.onnx_data", "2222")):
        shutil.move(tmp_path / name, tmp_path / "blobs" / blob)
        (tmp_path / "links" / name).symlink_to(f"../blobs/{blob}")
    artifact = tried(own_model.read("m", tmp_path / "links" / "model.onnx"))
    np.testing.assert_array_equal(engines.prepare(artifact)(np.ones((1, 4), np.float32)), np.full((1, 4), 2.0))


@pytest.mark.parametrize(("whole", "weights"), [(b"scores", None), (b"weights", "weights")])
def test_names_that_are_no_text(path: Path, whole: bytes, weights: str | None) -> None:
    made = brightest(path) if weights is None else scaled(path, weights=weights)
    made.write_bytes(made.read_bytes().replace(whole, whole[:-1] + b"\xec"))
    assert "is damaged: the name b'" in refusal(path)


def test_a_size_whose_name_is_no_text(path: Path) -> None:
    path.write_bytes(brightest(path, (1, 3, "rows", 5)).read_bytes().replace(b"rows", b"row\xec"))
    assert "must take one input of a fixed shape" in refusal(path)


# ---------------------------------------------------------------- what the engines make of it


@pytest.fixture
def in_each(tried: Tried) -> Callable[[Artifact, np.ndarray], list[object]]:
    """Return a function that returns what each engine gives that can run the model."""

    def run(artifact: Artifact, x: np.ndarray) -> list[object]:
        able = tried(artifact)
        assert engines.able(able)
        return [engines.prepare(able, name)(x) for name in engines.able(able)]

    return run


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE])
@pytest.mark.parametrize("shape", [(1, 3, 4, 5), ("batch", 3, 4, 5)])
def test_floats_of_any_width_and_outputs_by_name(path: Path, kind: int, shape: tuple[object, ...], in_each) -> None:
    artifact = own_model.read("m", brightest(path, shape, kind))
    assert artifact.input_shape == (1, 3, 4, 5)
    x = np.zeros((1, 3, 4, 5), np.float32)
    x[0, 2] = 1
    for made in in_each(artifact, x):
        assert isinstance(made, Outputs)
        assert made["class"].tolist() == [2]
        assert made["scores"].dtype == helper.tensor_dtype_to_np_dtype(kind)
        np.testing.assert_allclose(made["scores"], [[0, 0, 1]])
    for made in in_each(own_model.read("m", path, "scores"), x):
        np.testing.assert_allclose(made, [[0, 0, 1]])


def test_a_model_that_one_engine_can_not_load_runs_in_the_other(path: Path, tried: Tried) -> None:
    artifact = tried(own_model.read("m", zip_map(path)))
    ((engine, reason),) = artifact.unable
    assert (engine, engines.able(artifact)) == ("openvino", ("onnxruntime",))
    assert "is not a model that OpenVINO can load: " in reason
    assert "probabilities" in reason
    assert "src/" not in reason
    made = engines.prepare(artifact)(np.array([[0, 9, 0]], np.float32))
    assert made["label"].tolist() == [1]
    assert max(made["probabilities"][0].items(), key=lambda item: item[1])[0] == 1


def test_an_output_without_numbers_and_a_scalar(path: Path, in_each) -> None:
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["scalar"], keepdims=0),
        helper.make_node("TopK", ["x", "none"], ["best", "places"], axis=1),
    ]
    outputs = [value("scalar", ()), value("best", (1, 0))]
    write(path, nodes, [value("x", (1, 4))], outputs, {"none": np.array([0])})
    for made in in_each(own_model.read("m", path), np.ones((1, 4), np.float32)):
        assert [np.shape(one) for one in made] == [(), (1, 0)]


def test_a_model_that_no_engine_can_load(path: Path, tried: Tried) -> None:
    node = helper.make_node("Fancy", ["x"], ["y"], domain="mine.ops")
    write(path, [node], [value("x", (1, 4))], [value("y", (1, 4))], domains=["mine.ops"])
    with pytest.raises(SupernetError, match=r"that ONNX Runtime can load: .*; .* that OpenVINO can load: "):
        tried(own_model.read("m", path))
    assert "operators that are not ONNX's, mine.ops::Fancy" in own_model.suspicion(path)


@pytest.mark.parametrize(
    ("how", "says"),
    [({"ir": 99}, "It is of IR version 99, newer than"), ({"opset": 999}, "It is of opset 999, newer than")],
)
def test_a_model_newer_than_the_engines(path: Path, how: dict[str, int], says: str, tried: Tried) -> None:
    write(path, [helper.make_node("Relu", ["x"], ["y"])], [value("x", (1, 4))], [value("y", (1, 4))], **how)
    assert says in own_model.suspicion(path)
    unable = dict(tried(own_model.read("m", path)).unable)
    assert "that ONNX Runtime can load: " in unable["onnxruntime"]


def test_a_model_that_contradicts_itself_gets_no_further_engine(path: Path, tried: Tried) -> None:
    node = helper.make_node("Reshape", ["x", "c"], ["y"])
    shape = helper.make_node("Cast", ["five"], ["c"], to=TensorProto.INT64)
    constants = {"five": np.array([5.0], np.float32)}
    artifact = own_model.read("m", write(path, [shape, node], [value("x", ("n", 4))], [value("y", None)], constants))
    with pytest.raises(SupernetError, match=r"model\.onnx is loaded by onnxruntime, but can't be run: .* Reshape node"):
        tried(artifact)


def test_nothing_is_suspicious_of_a_plain_model(path: Path) -> None:
    assert own_model.suspicion(brightest(path)) == ""
