"""Pictures become the input of a user's own model as `Images` says: of folders, cameras and clients alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.own_models import brightest
from supernets import Images, SupernetError, engines, own_inputs, own_model
from supernets.artifact import Artifact
from supernets.pictures.tasks import PreparedTask

SIDES = st.integers(1, 40)


def one_colour(size: tuple[int, int], colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", size, colour)


def artifact(shape: tuple[int, ...]) -> Artifact:
    return Artifact(subnet="m", path="m.onnx", input_shape=shape, weights_hash="0")


@settings(max_examples=100)
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([1.0, 0.875, 0.3]))
def test_a_crop_and_a_stretch_of_one_colour_are_of_that_colour(
    width: int, height: int, to_width: int, to_height: int, share: float
) -> None:
    picture = one_colour((width, height), (10, 20, 30))
    for how in (Images(fit="crop", crop_share=share), Images(fit="stretch")):
        pixels = how.pixels(picture, (1, 3, to_height, to_width))
        assert pixels.shape == (3, to_height, to_width)
        assert pixels.reshape(3, -1).min(axis=1).tolist() == pixels.reshape(3, -1).max(axis=1).tolist() == [10, 20, 30]


def test_a_crop_keeps_the_centre_and_a_stretch_the_edges() -> None:
    picture = one_colour((60, 20), (0, 0, 0))
    picture.paste((255, 255, 255), (0, 0, 20, 20))  # the left third
    assert Images(fit="crop").pixels(picture, (1, 3, 20, 20)).max() == 0
    assert Images(fit="stretch").pixels(picture, (1, 3, 20, 20))[0, :, 0].min() == 255


@settings(max_examples=100)
@given(SIDES, SIDES, SIDES, SIDES)
def test_padding_keeps_the_whole_picture_between_borders_of_grey(
    width: int, height: int, to_width: int, to_height: int
) -> None:
    pixels = Images(fit="pad").pixels(one_colour((width, height), (10, 20, 30)), (1, 3, to_height, to_width))
    inside = (pixels == np.array([10, 20, 30]).reshape(3, 1, 1)).all(axis=0)
    assert (pixels[:, ~inside] == 114).all()
    rows, columns = inside.any(axis=1).sum(), inside.any(axis=0).sum()
    assert inside.sum() == rows * columns  # a rectangle, as large as the size allows
    assert rows == to_height or columns == to_width
    assert abs(rows * width - columns * height) <= max(width, height)


def test_channels_and_numbers_are_those_that_the_model_takes() -> None:
    picture = one_colour((4, 4), (255, 51, 0))
    shape = (1, 3, 4, 4)

    def channels(how: Images, of: tuple[int, ...] = shape) -> list[float]:
        x = how.normalised(how.pixels(picture, of), of)
        assert x.shape == of[1:]
        assert x.dtype == np.float32
        return (x[:, 0, 0] if of[1] in (1, 3) else x[0, 0]).round(4).tolist()

    assert channels(Images()) == [1, pytest.approx(0.2), 0]
    assert channels(Images(colour="bgr", divisor=1)) == [0, 51, 255]
    assert channels(Images(mean=0.5, std=(0.5, 0.25, 1))) == pytest.approx([1, -1.2, -0.5])
    assert channels(Images(), (1, 4, 4, 3)) == [1, pytest.approx(0.2), 0]
    assert channels(Images(layout="nhwc"), (1, 4, 4, 3)) == [1, pytest.approx(0.2), 0]
    assert channels(Images(colour="grey", divisor=1), (1, 1, 4, 4)) == [106]  # 0.299 · 255 + 0.587 · 51


@pytest.mark.parametrize(
    ("how", "sizes", "shape"),
    [
        (Images(), (1, 3, 8, 9), (1, 3, 8, 9)),
        (Images(size=8), (1, 3, None, None), (1, 3, 8, 8)),
        (Images(size=(8, 9)), (1, None, None, 3), (1, 8, 9, 3)),
        (Images(size=(8, 9), layout="nhwc"), (1, None, None, None), (1, 8, 9, 3)),
        (Images(colour="grey"), (1, 1, 8, 9), (1, 1, 8, 9)),
        (Images(colour="grey"), (1, 8, 9, 1), (1, 8, 9, 1)),
    ],
)
def test_sizes_that_a_model_leaves_open_are_those_of_its_pictures(
    how: Images, sizes: tuple[int | None, ...], shape: tuple[int, ...]
) -> None:
    assert how.input_shape(sizes) == shape


@pytest.mark.parametrize(
    ("how", "sizes", "said"),
    [
        (Images(), (1, 3, None, None), "leaves height and width open; give them: inputs=Images(size=224)"),
        (Images(size=9), (1, 3, 8, 8), "axis 2 of the model is 8"),
        (Images(), (4, 3, 8, 8), "axis 0 of the model is 4"),
        (Images(colour="grey"), (1, 3, 8, 8), "change size, colour or layout of Images"),
        (Images(layout="nhwc"), (1, 3, 8, 8), "axis 3 of the model is 8"),
        (Images(), (1, 128), "it takes 2"),
    ],
)
def test_models_that_take_other_inputs_are_refused(how: Images, sizes: tuple[int | None, ...], said: str) -> None:
    with pytest.raises(SupernetError) as refused:
        how.input_shape(sizes)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Images(size=0), "size must be pixels, such as 224 or (480, 640), not 0"),
        (lambda: Images(size=(3, 4, 5)), "size must be pixels"),  # type: ignore[arg-type]
        (lambda: Images(colour="brg"), "colour 'brg' is unknown. Did you mean 'rgb'?"),  # type: ignore[arg-type]
        (lambda: Images(layout="chw"), "layout 'chw' is unknown"),  # type: ignore[arg-type]
        (lambda: Images(fit="crp"), "fit 'crp' is unknown. Did you mean 'crop'?"),  # type: ignore[arg-type]
        (lambda: Images(mean=(1, 2)), "mean must be one number, or 3 for rgb, not (1, 2)"),
        (lambda: Images(std=0), "divisor and std must be above 0"),
        (lambda: Images(std=(1, 1, -1)), "divisor and std must be above 0"),
        (lambda: Images(divisor=0), "divisor and std must be above 0"),
        (lambda: Images(crop_share=1.5), "crop_share must be above 0 and at most 1, not 1.5"),
        (lambda: Images(mean="rgb"), "mean must be one number"),  # type: ignore[arg-type]
        (lambda: Images(mean=float("nan")), "mean must be one number"),
    ],
)
def test_fields_out_of_range_are_refused_by_name(make: Callable[[], Images], said: str) -> None:
    with pytest.raises(SupernetError) as refused:
        make()
    assert said in str(refused.value)


def test_clients_send_pictures_of_bytes_or_inputs_that_are_ready() -> None:
    task, made = PreparedTask(Images(size=4)), artifact((1, 3, 4, 4))
    of_any_size = np.full((30, 50, 3), 255, np.uint8)
    np.testing.assert_array_equal(task.sample(of_any_size, made), np.ones((1, 3, 4, 4), np.float32))
    np.testing.assert_array_equal(task.sample(of_any_size[..., 0], made), np.ones((1, 3, 4, 4), np.float32))
    np.testing.assert_array_equal(task.sample(of_any_size[..., :1], made), np.ones((1, 3, 4, 4), np.float32))
    assert task.takes(made).shape == (-1, -1, 3)
    assert PreparedTask(Images(colour="grey")).takes(artifact((1, 1, 4, 4))).shape == (-1, -1)
    ready = np.full((3, 4, 4), 7, np.float32)
    np.testing.assert_array_equal(task.sample(ready, made), ready[None])
    with pytest.raises(SupernetError, match=r"must have shape \(3, 4, 4\); got \(30, 50, 3\)"):
        task.sample(of_any_size.astype(np.float32), made)


def folder(directory: Path, classes: dict[str, tuple[int, int, int]], each: int = 2) -> Path:
    for name, colour in classes.items():
        (directory / name).mkdir(parents=True)
        for number in range(each):
            one_colour((9 + number, 12), colour).save(directory / name / f"{number}.png")
    return directory


RED, GREEN, BLUE = (200, 20, 10), (10, 200, 20), (20, 10, 200)


def credits(directory: Path, model: Artifact, how: Images) -> list[float | None]:
    """Return the credits of a folder's pictures, each served by the model."""
    source = own_inputs(how).stored(str(directory), 3)
    network, inputs = engines.prepare(model, "onnxruntime", threads=1), source.inputs(model)
    return [source.score(index, network(inputs(index))) for index in range(6)]


@pytest.mark.parametrize(
    "names", [("0", "1", "2"), ("apple", "leaf", "sky")], ids=["by the class's number", "by its name, in order"]
)
def test_the_classes_of_a_folder_are_labels(names: tuple[str, str, str], tmp_path: Path) -> None:
    how = Images(size=(4, 5))
    model = own_model.read("m", brightest(tmp_path / "m.onnx", (None, 3, "height", "width")), "scores", how)
    assert model.input_shape == (1, 3, 4, 5)
    pictures = folder(tmp_path / "right", dict(zip(names, (RED, GREEN, BLUE), strict=True)))
    assert credits(pictures, model, how) == [1.0] * 6
    swapped = folder(tmp_path / "swapped", dict(zip(names, (GREEN, RED, BLUE), strict=True)))
    assert sorted(credits(swapped, model, how)) == [0.0] * 4 + [1.0] * 2  # type: ignore[type-var]


def test_pictures_of_no_class_have_no_labels(tmp_path: Path) -> None:
    how = Images()
    model = own_model.read("m", brightest(tmp_path / "m.onnx"), "scores", how)
    pictures = folder(tmp_path / "pictures", {"all": RED}) / "all"
    assert credits(pictures, model, how) == [None] * 6


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({"1": RED, "sky": BLUE}, "folder '1' is the number of a class, and 'sky' is a name"),
        ({}, "holds no picture, nor folders of classes"),
    ],
)
def test_other_folders_are_refused(classes: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(SupernetError) as refused:
        own_inputs(Images()).stored(str(folder(tmp_path / "pictures", classes)), 0)
    assert said in str(refused.value)


def test_a_folder_without_images_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(SupernetError, match=r"say it with Family\(\[...\], inputs=Images\(size=224\)\)"):
        own_inputs(None).stored(str(tmp_path), 0)
