"""Photos for ImageNet's networks are transformed as torchvision does, read by class, and pooled for an application."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from helpers.photo_folder import OUTPUTS, TABBY, TENCH, TISSUE, write_photos
from supernets import SupernetError
from supernets.artifact import Artifact
from supernets.pictures import images
from supernets.pictures.image_folder import ImageFolder, ImagePool, _synsets, image_pool
from supernets.pictures.tasks import ImageTask


def classifier(resolution: int) -> Artifact:
    return Artifact(subnet="classifier", path="", input_shape=(1, 3, resolution, resolution), weights_hash="")


def answer(label: int) -> np.ndarray:
    output = np.zeros((1, 1000), dtype=np.float32)
    output[0, label] = 1
    return output


# ---------------------------------------------------------------- the transform


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from(range(128, 225, 4)), st.integers(0, 9))
def test_a_picture_is_transformed_as_the_ofa_package_does_it(width: int, height: int, resolution: int, seed: int):
    """The transform equals that of its validation bit by bit: torchvision's, with the numbers written there."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    theirs = transforms.Compose(
        [
            transforms.Resize(math.ceil(resolution / 0.875)),
            transforms.CenterCrop(resolution),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    expected = theirs(Image.fromarray(pixels)).numpy()[None]
    ours = ImageTask().adapt(pixels[None], classifier(resolution).input_shape)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((48, 144), dtype=np.uint8),
        np.zeros((48, 144, 3), dtype=np.float32),
        np.zeros((48, 144, 4), dtype=np.uint8),
        np.zeros((3, 48, 144), dtype=np.uint8),
        np.zeros((0, 144, 3), dtype=np.uint8),
    ],
)
def test_a_picture_of_the_wrong_kind_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(SupernetError, match=r"must be RGB, uint8, of shape \(height, width, 3\); got") as caught:
        ImageTask().adapt(picture[None], classifier(128).input_shape)
    assert str(picture.shape) in str(caught.value)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "I;16"])
def test_files_of_every_mode_are_read_as_rgb(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("photo.tiff" if mode == "CMYK" else "photo.png")
    Image.new(mode, (5, 7)).save(file)
    assert (images.read(file).mode, images.read(file).size) == ("RGB", (5, 7))


# ---------------------------------------------------------------- folders


def test_the_classes_are_the_thousand_in_the_networks_order() -> None:
    synsets = _synsets()
    assert list(synsets) == sorted(synsets)
    assert sorted(synsets.values()) == list(range(1000))
    assert {name: synsets[name] for name in OUTPUTS} == OUTPUTS  # tench, tabby cat, toilet tissue


def test_a_folder_is_labelled_by_wordnet_ids_whichever_are_there(tmp_path: Path) -> None:
    folder = ImageFolder(write_photos(tmp_path, {TISSUE: 2, TENCH: 3}))
    assert (len(folder), folder.notice) == (5, "")
    assert Counter(label for _, label in folder.chosen()) == {0: 3, 999: 2}
    assert all(OUTPUTS[file.parent.name] == label for file, label in folder.chosen())


def test_a_folder_named_by_a_number_is_that_output(tmp_path: Path) -> None:
    folder = ImageFolder(write_photos(tmp_path, {"0": 1, "007": 1, "999": 1}))
    assert sorted(label for _, label in folder.chosen()) == [0, 7, 999]


@settings(deadline=None, max_examples=30)
@given(limit=st.integers(1, 16), seed=st.integers(0, 3))
def test_every_beginning_has_as_much_of_each_class_as_it_can(photos: Path, limit: int, seed: int) -> None:
    sizes = {TENCH: 7, TABBY: 2, TISSUE: 5}
    folder = ImageFolder(photos)
    chosen = list(folder.chosen(limit, seed))
    assert len(chosen) == len(set(chosen)) == min(limit, 14)
    assert chosen == list(folder.chosen(None, seed))[:limit]
    counts = {name: sum(file.parent.name == name for file, _ in chosen) for name in sizes}
    most = max(counts.values())
    assert all(counts[name] >= min(sizes[name], most - 1) for name in sizes)


def test_another_seed_chooses_other_pictures(photos: Path) -> None:
    folder = ImageFolder(photos)
    assert list(folder.chosen(6, 1)) == list(folder.chosen(6, 1))
    assert set(folder.chosen(6, 1)) != set(folder.chosen(6, 2))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("val"), {TENCH: 7, TABBY: 2, TISSUE: 5})


@pytest.mark.parametrize("resolution", [128, 132])
def test_batches_bring_each_chosen_picture_with_its_label(photos: Path, resolution: int) -> None:
    folder = ImageFolder(photos)
    shape = classifier(resolution).input_shape
    batches = list(folder.batches(shape, 4, limit=9, seed=1))
    assert [len(labels) for _, labels in batches] == [4, 4, 1]
    inputs = [x for batch, _ in batches for x in batch]
    labels = [label for _, labels in batches for label in labels]
    for x, label, (file, expected) in zip(inputs, labels, folder.chosen(9, 1), strict=True):
        assert (label, type(label)) == (expected, int)
        np.testing.assert_array_equal(x, ImageTask().adapt(np.asarray(Image.open(file))[None], shape)[0])


def test_a_folder_is_read_ahead_only_so_far(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty thousand pictures are never in memory at once."""
    monkeypatch.setattr("supernets.pictures.image_folder._READ_AHEAD", 2)
    opened = []
    monkeypatch.setattr(images, "read_as_published", lambda file: opened.append(file) or Image.new("RGB", (40, 40)))
    batches = ImageFolder(photos).batches(classifier(128).input_shape, 1)
    next(batches)
    assert 1 <= len(opened) <= 3 + 1
    batches.close()
    assert len(opened) < 14


def test_what_is_no_folder_of_classes_is_refused(tmp_path: Path) -> None:
    def refused(directory: Path, says: str) -> None:
        with pytest.raises(SupernetError) as caught:
            ImageFolder(directory)
        assert says in str(caught.value)
        assert str(directory) in str(caught.value)

    refused(tmp_path / "absent", "does not exist")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "is a file")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(empty, "holds no picture")
    (empty / TENCH).mkdir()
    refused(empty, "hold no picture; files count that end in")
    flat = write_photos(tmp_path / "flat", {TENCH: 1}) / TENCH
    refused(flat, "holds pictures, but not in folders by class; sort them")
    refused(write_photos(tmp_path / "named", {TENCH: 1, "tench": 1}), "folder 'tench' is no class of ImageNet")
    refused(write_photos(tmp_path / "many", {"999": 1, "1000": 1}), "folder '1000' is no class of ImageNet")
    write_photos(tmp_path / "root" / "val", {TENCH: 1})
    refused(tmp_path / "root", f"Did you mean {tmp_path / 'root' / 'val'}?")


# ---------------------------------------------------------------- an app's pool


def test_a_pool_gives_the_same_request_the_same_picture_at_every_resolution(photos: Path) -> None:
    pool = pickle.loads(pickle.dumps(image_pool(photos, seed=3, count=6)))
    assert isinstance(pool, ImagePool)
    assert Counter(pool.labels) == {0: 2, 281: 2, 999: 2}
    for resolution in (128, 160):
        inputs = pool.inputs(classifier(resolution))
        for index in (0, 5, 6, 17):
            picture = np.asarray(Image.open(pool.files[index % 6]))
            np.testing.assert_array_equal(inputs(index), pool.adapt(picture, classifier(resolution)))
            assert inputs(index).shape == (1, 3, resolution, resolution)


def test_a_pool_scores_top_1(photos: Path) -> None:
    pool = image_pool(photos, seed=3, count=6)
    for index in (0, 4, 8):
        label = pool.labels[index % 6]
        assert pool.score(index, answer(label)) == 1.0
        assert pool.score(index, answer(label ^ 1)) == 0.0


def test_a_pool_is_by_seed_and_its_pictures_are_read_beforehand(photos: Path, tmp_path: Path) -> None:
    assert image_pool(photos, 1, 5) == image_pool(photos, 1, 5) != image_pool(photos, 2, 5)
    directory = write_photos(tmp_path, {TENCH: 3})
    broken = directory / TENCH / "ILSVRC2012_val_00000001.JPEG"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(SupernetError, match="is no picture that can be read") as caught:
        image_pool(directory, seed=0)
    assert str(broken) in str(caught.value)
