"""A source gives the input of request number n, and judges the output."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from supernets import SupernetError
from supernets.artifact import Artifact
from supernets.pictures import plates
from supernets.pictures.sources import PLATE_POOL, Noise, Pool, plate_folder, plate_stream
from supernets.pictures.tasks import ClassTask, PlateTask
from supernets.task import Called, Source


def reader(resolution: int) -> Artifact:
    return Artifact(subnet="reader", path="", input_shape=(1, 1, resolution, 3 * resolution), weights_hash="")


CLASSIFIER = Artifact(subnet="classifier", path="", input_shape=(1, 3, 4, 5), weights_hash="")


def logits(text: str) -> NDArray[np.float32]:
    """Return an output that means a text."""
    output = np.zeros((1, plates.LENGTH, len(plates.ALPHABET)), dtype=np.float32)
    output[0, range(plates.LENGTH), [plates.ALPHABET.index(char) for char in text]] = 1
    return output.reshape(1, -1)


# ---------------------------------------------------------------- the built-in stream


def test_the_stream_is_stratified_held_out_and_the_same_for_the_same_seed() -> None:
    count = 2 * len(plates.ALPHABET)
    one, other, third = plate_stream(1, count), plate_stream(1, count), plate_stream(2, count)
    assert one.labels == other.labels != third.labels
    assert one.pictures.tobytes() == other.pictures.tobytes() != third.pictures.tobytes()
    assert one.labels is not None
    assert {Counter(text[0] for text in one.labels)[char] for char in plates.ALPHABET} == {2}
    expected = plates.draw(count, seed=1, held_out=True, stratified=True)
    np.testing.assert_array_equal(one.pictures, expected.pictures)
    assert PLATE_POOL % len(plates.ALPHABET) == 0  # so that also the whole pool is stratified


@pytest.mark.parametrize("resolution", [16, 48])
def test_a_request_has_the_same_picture_at_every_resolution(resolution: int) -> None:
    stream = plate_stream(1, count=8)
    artifact = reader(resolution)
    inputs = stream.inputs(artifact)
    for index in (0, 3, 7, 8, 20):
        x = inputs(index)
        assert x.shape == artifact.input_shape
        assert x.dtype == np.float32
        expected = plates.resize(np.asarray(stream.pictures)[index % 8][None].astype(np.uint8), resolution)
        np.testing.assert_array_equal(x, expected)


@settings(deadline=None)
@given(st.integers(0, 100))
def test_an_answer_is_right_if_all_characters_are(index: int) -> None:
    labels = ["AB12", "CD34", "EF56"]
    pool = Pool(PlateTask(), np.zeros((3, plates.HEIGHT, plates.WIDTH), dtype=np.uint8), labels)
    text = labels[index % 3]
    assert pool.score(index, logits(text)) == 1.0
    for place in range(plates.LENGTH):
        assert pool.score(index, logits(text[:place] + "Z" + text[place + 1 :])) == 0.0


def test_without_labels_nobody_knows() -> None:
    pool = Pool(PlateTask(), np.zeros((2, plates.HEIGHT, plates.WIDTH), dtype=np.uint8), None)
    assert pool.score(0, logits("AB12")) is None


def test_a_clients_picture_is_adapted_as_the_streams_own() -> None:
    stream = plate_stream(1, count=2)
    for resolution in (16, 48):
        adapted = stream.adapt(stream.pictures[1], reader(resolution))
        np.testing.assert_array_equal(adapted, stream.inputs(reader(resolution))(1))


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((48, 144), dtype=np.float32),
        np.zeros((48, 144, 3), dtype=np.uint8),
        np.zeros(144, dtype=np.uint8),
        np.zeros((48, 144), dtype=np.int64),
    ],
)
def test_a_picture_of_the_wrong_kind_is_refused(picture: NDArray[np.generic]) -> None:
    with pytest.raises(SupernetError, match="must be grey, uint8, of shape") as caught:
        plate_stream(1, count=1).adapt(picture, reader(16))
    assert str(picture.dtype) in str(caught.value)
    assert str(picture.shape) in str(caught.value)


# ---------------------------------------------------------------- a folder


def fill(directory: Path, names: list[str]) -> list[NDArray[np.uint8]]:
    drawn = plates.draw(len(names), seed=0, held_out=True)
    for name, picture in zip(names, drawn.pictures, strict=True):
        Image.fromarray(picture).save(directory / name)
    return list(drawn.pictures)


def test_a_folder_of_named_plates_is_labelled_by_the_names(tmp_path: Path) -> None:
    pictures = fill(tmp_path, ["AB12.png", "cd34_2.png", "EF56.BMP"])
    pool = plate_folder(tmp_path)
    assert pool.notice == ""
    assert pool.labels == ["AB12", "EF56", "CD34"]  # by name of file
    np.testing.assert_array_equal(pool.pictures, np.stack([pictures[0], pictures[2], pictures[1]]))


@pytest.mark.parametrize("name", ["holiday.png", "AB1.png", "AB1O.png", "AB123.png"])
def test_one_name_that_is_no_plate_leaves_a_folder_unlabelled(tmp_path: Path, name: str) -> None:
    fill(tmp_path, ["AB12.png", name])
    assert plate_folder(tmp_path).labels is None


def test_pictures_of_other_sizes_and_colours_are_converted(tmp_path: Path) -> None:
    Image.new("RGB", (300, 90), (255, 0, 0)).save(tmp_path / "AB12.png")
    pictures = plate_folder(tmp_path).pictures
    assert pictures.shape == (1, plates.HEIGHT, plates.WIDTH)
    assert pictures.dtype == np.uint8
    assert set(np.unique(pictures)) == {76}  # the luma of red, 0.299 * 255


def test_a_source_that_is_no_folder_of_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SupernetError, match="is not a folder"):
        plate_folder(tmp_path / "absent")
    with pytest.raises(SupernetError, match="holds no picture"):
        plate_folder(tmp_path)
    (tmp_path / "AB12.png").write_bytes(b"garbage")
    with pytest.raises(SupernetError, match="is no picture that can be read") as caught:
        plate_folder(tmp_path)
    assert "AB12.png" in str(caught.value)


# ---------------------------------------------------------------- a user's function


class Camera:
    """A user's function that never gives the same picture twice, and counts its calls."""

    def __init__(self, labelled: bool) -> None:
        self.labelled = labelled
        self.calls: list[int] = []

    def __call__(self, index: int) -> object:
        self.calls.append(index)
        shot = len(self.calls)
        picture = np.full((plates.HEIGHT, plates.WIDTH), shot, dtype=np.uint8)
        return (picture, f"AB{shot:02}") if self.labelled else picture


def test_a_users_function_is_called_once_a_request_and_its_label_is_of_that_call() -> None:
    camera = Camera(labelled=True)
    source: Source = Called(PlateTask(), camera)
    inputs = source.inputs(reader(48))
    for shot, index in enumerate((4, 9, 9), start=1):
        x = inputs(index)
        np.testing.assert_allclose(x, shot / 127.5 - 1, atol=1e-6)
        assert source.score(index, logits(f"AB{shot:02}")) == 1.0
        assert source.score(index, logits("ZZ99")) == 0.0
    assert camera.calls == [4, 9, 9]
    assert source.score(4, logits("AB01")) is None  # of an earlier request nothing is kept


def test_a_users_function_without_labels_is_not_scored() -> None:
    camera = Camera(labelled=False)
    source = Called(PlateTask(), camera)
    source.inputs(reader(16))(0)
    assert source.score(0, logits("AB01")) is None
    assert camera.calls == [0]


def test_a_users_function_that_gives_no_picture_is_refused() -> None:
    source = Called(PlateTask(), lambda index: "no picture")
    with pytest.raises(SupernetError, match="must be grey"):
        source.inputs(reader(16))(0)


# ---------------------------------------------------------------- a user's own model


def test_a_classifier_takes_inputs_of_its_shape_and_the_largest_output_wins() -> None:
    task = ClassTask()
    flat = np.arange(120, dtype=np.float64).reshape(2, 3, 4, 5)
    adapted = task.adapt(flat, CLASSIFIER.input_shape)
    assert adapted.dtype == np.float32
    np.testing.assert_array_equal(adapted, flat)
    np.testing.assert_array_equal(task.adapt(flat[:, None], CLASSIFIER.input_shape), flat)
    output = np.array([[0.1, 0.7, 0.2]], dtype=np.float32)
    assert [task.right(output, label) for label in range(3)] == [False, True, False]


def test_an_input_of_another_shape_is_refused() -> None:
    with pytest.raises(SupernetError, match=r"must have shape \(3, 4, 5\); got \(3, 4, 4\)"):
        Noise(0).adapt(np.zeros((3, 4, 4), dtype=np.float32), CLASSIFIER)


def test_noise_is_of_the_models_shape_by_seed_and_unlabelled() -> None:
    one, other, third = (Noise(seed) for seed in (1, 1, 2))
    x = one.inputs(CLASSIFIER)
    assert x(0).shape == CLASSIFIER.input_shape
    assert not np.array_equal(x(0), x(1))
    np.testing.assert_array_equal(x(5), other.inputs(CLASSIFIER)(5))
    assert not np.array_equal(x(5), third.inputs(CLASSIFIER)(5))
    assert one.score(0, np.zeros((1, 3), dtype=np.float32)) is None


def test_a_pool_can_be_sent_to_a_worker() -> None:
    stream = plate_stream(1, count=4)
    copy = pickle.loads(pickle.dumps(stream))
    np.testing.assert_array_equal(copy.inputs(reader(16))(2), stream.inputs(reader(16))(2))
    assert copy.labels == stream.labels
