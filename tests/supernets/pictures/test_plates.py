"""The plate task: reproducible by seed, its two sides apart, its labels right."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from supernets.pictures import plates

TEXTS = st.text(plates.ALPHABET, min_size=plates.LENGTH, max_size=plates.LENGTH)


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("held_out", [False, True])
def test_the_same_seed_draws_the_same_bytes(held_out: bool, stratified: bool) -> None:
    one, other = (plates.draw(5, seed=7, held_out=held_out, stratified=stratified) for _ in range(2))
    assert one.pictures.tobytes() == other.pictures.tobytes()
    assert one.texts == other.texts


def test_another_process_draws_the_same_bytes() -> None:
    code = "import sys; from supernets.pictures import plates; sys.stdout.buffer.write({}.pictures.tobytes())"
    call = "plates.draw(4, seed=3, held_out=True)"
    ours = plates.draw(4, seed=3, held_out=True).pictures.tobytes()
    assert subprocess.run([sys.executable, "-c", code.format(call)], check=True, stdout=-1).stdout == ours


def test_seeds_and_sides_differ() -> None:
    drawn = [plates.draw(8, seed=seed, held_out=held_out) for seed in (0, 1) for held_out in (False, True)]
    assert len({side.texts for side in drawn}) == len({side.pictures.tobytes() for side in drawn}) == 4


def test_pictures_have_the_shape_and_the_texts_the_alphabet() -> None:
    drawn = plates.draw(20, seed=0, held_out=False)
    assert drawn.pictures.shape == (20, plates.HEIGHT, plates.WIDTH)
    assert drawn.pictures.dtype == np.uint8
    assert all(len(text) == plates.LENGTH and set(text) <= set(plates.ALPHABET) for text in drawn.texts)
    assert not set("IOQ") & set(plates.ALPHABET)
    assert len(set(plates.ALPHABET)) == len(plates.ALPHABET)


def families(*, held_out: bool) -> set[str]:
    """Return the family names that the font files themselves give."""
    return {str(ImageFont.truetype(path).getname()[0]) for path in plates.font_paths(held_out=held_out)}


def test_no_family_is_on_both_sides() -> None:
    training, held_out = families(held_out=False), families(held_out=True)
    assert not training & held_out
    assert len(training) >= 6
    assert held_out == {"Hanken Grotesk", "Caladea", "DejaVu Sans Mono"}
    # Also not as a weight that calls itself a family of its own ("Roboto Light").
    assert not any(a.startswith(b) for a in training for b in held_out)


def test_every_font_has_every_character() -> None:
    """A font without a glyph draws the same box for it as for any other that it lacks."""
    for path in plates.font_paths(held_out=False) + plates.font_paths(held_out=True):
        font = ImageFont.truetype(path, 30)
        missing = bytes(font.getmask("\ue123"))
        glyphs = [bytes(font.getmask(char)) for char in plates.ALPHABET]
        assert missing not in glyphs, path
        assert len(set(glyphs)) == len(plates.ALPHABET), path


@settings(deadline=None, max_examples=8)
@given(st.integers(1, 80), st.integers(0, 1000))
def test_stratified_characters_stand_equally_often_at_every_place(count: int, seed: int) -> None:
    texts = plates.draw(count, seed=seed, held_out=False, stratified=True).texts
    assert len(texts) == count
    for place in range(plates.LENGTH):
        counts = Counter(text[place] for text in texts)
        often = [counts[char] for char in plates.ALPHABET]
        assert sum(often) == count
        assert max(often) - min(often) <= 1


def test_a_stratified_draw_is_stratified_and_not_in_order() -> None:
    drawn = plates.draw(2 * len(plates.ALPHABET), seed=5, held_out=True, stratified=True)
    for place in range(plates.LENGTH):
        column = [text[place] for text in drawn.texts]
        assert Counter(column) == dict.fromkeys(plates.ALPHABET, 2)
        assert column != sorted(column)


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_labels_name_the_characters(texts: list[str]) -> None:
    drawn = plates.Plates(pictures=np.zeros((len(texts), 1, 1), dtype=np.uint8), texts=tuple(texts))
    labels = drawn.labels()
    assert labels.shape == (len(texts), plates.LENGTH)
    assert ["".join(plates.ALPHABET[i] for i in row) for row in labels] == texts


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_reading_undoes_labelling(texts: list[str], seed: int) -> None:
    """Logits that are highest at the labels read as the texts, whatever the rest."""
    drawn = plates.Plates(pictures=np.zeros((len(texts), 1, 1), dtype=np.uint8), texts=tuple(texts))
    shape = (len(texts), plates.LENGTH, len(plates.ALPHABET))
    logits = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    np.put_along_axis(logits, drawn.labels()[:, :, None], 10.0, axis=2)
    assert plates.read(logits.reshape(len(texts), -1)) == texts


@pytest.mark.parametrize("resolution", [16, 24, 32, 40, 48])
def test_resizing_gives_the_shape_and_keeps_the_mean(resolution: int) -> None:
    drawn = plates.draw(6, seed=1, held_out=False)
    resized = plates.resize(drawn.pictures, resolution)
    assert resized.shape == (6, 1, resolution, 3 * resolution)
    assert resized.dtype == np.float32
    assert -1 <= resized.min() < resized.max() <= 1
    native = drawn.pictures.mean(axis=(1, 2)) / 127.5 - 1
    np.testing.assert_allclose(resized.mean(axis=(1, 2, 3)), native, atol=0.02)


def test_the_native_resolution_is_only_scaled() -> None:
    ramp = np.arange(plates.HEIGHT * plates.WIDTH).reshape(1, plates.HEIGHT, plates.WIDTH).astype(np.uint8)
    resized = plates.resize(ramp, plates.HEIGHT)
    np.testing.assert_array_equal(np.rint((resized[:, 0] + 1) * 127.5).astype(np.uint8), ramp)


def test_hardness_brings_noise_blur_and_less_contrast() -> None:
    """On average over many pictures, clean ones have smoother surfaces and a wider range of greys."""
    clean, hard = (plates.draw(60, seed=2, held_out=False, hardness=hardness).pictures for hardness in (0.0, 1.0))

    def median_step(pictures: np.ndarray) -> float:
        return float(np.median(np.abs(np.diff(pictures.astype(np.int16), axis=2))))

    assert median_step(clean) == 0
    assert median_step(hard) > 3
    assert clean.std(axis=(1, 2)).mean() > 1.2 * hard.std(axis=(1, 2)).mean()


def test_the_same_text_looks_different_each_time() -> None:
    rng = np.random.default_rng(0)
    font = plates.font_paths(held_out=False)[0]
    drawn = {plates._draw_one("AB12", font, rng, 1.0).tobytes() for _ in range(5)}
    assert len(drawn) == 5
