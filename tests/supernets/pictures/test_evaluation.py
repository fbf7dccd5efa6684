"""Accuracy on labelled data is counted right, on plates that are drawn for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.photo_folder import TABBY, TENCH, TISSUE, write_photos
from supernets.artifact import Artifact
from supernets.evaluation import AccuracyScore, accuracy
from supernets.pictures import plates
from supernets.pictures.evaluation import PLATES, PlateData
from supernets.pictures.image_folder import ImageFolder

SHAPE = (1, 3, 128, 128)
PLATE_SHAPE = (1, 1, 16, 48)
NETWORK = Artifact(subnet="a", path="a.onnx", input_shape=SHAPE, weights_hash="a")
READER = replace(NETWORK, input_shape=PLATE_SHAPE)


@pytest.fixture
def photos(tmp_path: Path) -> ImageFolder:
    return ImageFolder(write_photos(tmp_path, {TENCH: 6, TABBY: 4, TISSUE: 5}))


def counts(score: AccuracyScore) -> tuple[int, int, int | None]:
    return score.right, score.n, score.top5


def by_colour(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """A network that sees only the strongest colour, and so knows red (tench) and green (tabby)."""
    output = np.zeros((1, 1000), dtype=np.float32)
    red, green, _ = x.mean((0, 2, 3))
    output[0, [0, 281]] = red, green
    output[0, 500:510] = 0.01  # above tissue's, which so is never among the five likeliest
    return output


def test_right_answers_are_counted_on_every_picture(photos: ImageFolder) -> None:
    done: list[int] = []
    score = accuracy(by_colour, photos, NETWORK, on_answer=done.append)
    assert counts(score) == (10, 15, 10)
    assert score.accuracy == pytest.approx(2 / 3)
    assert done == list(range(1, 16))


def test_a_limit_is_stratified(photos: ImageFolder) -> None:
    assert counts(accuracy(by_colour, photos, NETWORK, limit=9)) == (6, 9, 6)


def test_the_five_likeliest_are_counted_apart(photos: ImageFolder) -> None:
    def ranked(x: NDArray[np.float32]) -> NDArray[np.float32]:
        output = np.zeros((1, 1000), dtype=np.float32)
        output[0, [7, 8, 9, 281, 0, 999]] = 6, 5, 4, 3, 2, 1  # tissue comes sixth
        return output

    assert counts(accuracy(ranked, photos, NETWORK)) == (0, 15, 10)


def test_each_input_is_one_picture_of_the_networks_shape(photos: ImageFolder) -> None:
    seen: list[NDArray[np.float32]] = []

    def network(x: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(x)
        return np.zeros((1, 1000), dtype=np.float32)

    accuracy(network, photos, NETWORK)
    assert {x.shape for x in seen} == {SHAPE}
    assert len({x.tobytes() for x in seen}) == 15


def reads_all_but(wrong: str) -> object:
    """A network that knows every plate of `PlateData` by heart except for one text."""
    known = {
        x.tobytes(): text
        for batch, texts in PlateData().batches(PLATE_SHAPE, 50, limit=66, seed=4)
        for x, text in zip(batch, texts, strict=True)
    }

    def network(x: NDArray[np.float32]) -> NDArray[np.float32]:
        output = np.zeros((1, plates.LENGTH, len(plates.ALPHABET)), dtype=np.float32)
        text = known[x[0].tobytes()]
        places = [plates.ALPHABET.index(char) for char in (text[:3] + "0" if text == wrong else text)]
        output[0, range(plates.LENGTH), places] = 1
        return output.reshape(1, -1)

    return network


def test_plates_count_by_exact_match_and_have_no_five_likeliest() -> None:
    texts = plates.draw(66, seed=4, held_out=True, stratified=True).texts
    wrong = next(text for text in texts if text[3] != "0")
    score = accuracy(reads_all_but(wrong), PlateData(), READER, limit=66, seed=4)  # type: ignore[arg-type]
    assert counts(score) == (65, 66, None)


@pytest.mark.parametrize("held_out", [True, False])
def test_plates_are_drawn_by_seed_on_their_side_of_the_split(held_out: bool) -> None:
    data = PlateData(held_out=held_out)
    batches = list(data.batches(PLATE_SHAPE, 20, limit=33, seed=5))
    assert [len(texts) for _, texts in batches] == [20, 13]
    drawn = plates.draw(33, seed=5, held_out=held_out, stratified=True)
    assert tuple(text for _, texts in batches for text in texts) == drawn.texts
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), plates.resize(drawn.pictures, 16))
    assert len(data) == PLATES
    assert PLATES % len(plates.ALPHABET) == 0
