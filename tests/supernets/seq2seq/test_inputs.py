"""The translator's own sentences have one order for every seed, and a user's file is read or refused with the fix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from supernets.artifact import Artifact
from supernets.errors import SupernetError
from supernets.seq2seq import corpus, vocabulary
from supernets.seq2seq.inputs import TRANSLATION, Sentences, reported


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    file = tmp_path_factory.mktemp("words") / "vocabulary.model"
    vocabulary.train(list(reported()), file, size=300)
    return Artifact(
        subnet="net", path="none", input_shape=(1, 512), weights_hash="", parts=(("vocabulary", str(file)),)
    )


def test_the_stream_is_the_same_for_every_seed_and_begins_anew(artifact: Artifact) -> None:
    of, of_another = (TRANSLATION.stream(seed).inputs(artifact) for seed in (0, 7))
    length = TRANSLATION.stream(0).period
    assert length == len(corpus.read(corpus.REPORTED))
    for index in (0, 1, length - 1):
        np.testing.assert_array_equal(of(index), of_another(index))
        np.testing.assert_array_equal(of(index), of(index + length))
    # By chance, not by page: neighbours in the file are apart.
    assert [pair.file for pair in reported()] != sorted(pair.file for pair in reported())


def test_a_file_of_the_users_is_read_with_and_without_translations(artifact: Artifact, tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("Open the file.\tDie Datei öffnen.\n\n  Click here.  \n", encoding="utf-8")
    source = TRANSLATION.stored(str(file), 0)
    assert isinstance(source, Sentences)
    samples = source.inputs(artifact)
    np.testing.assert_array_equal(samples(0), source.adapt("Open the file.", artifact))
    np.testing.assert_array_equal(samples(3), source.adapt("Click here.", artifact))
    right = source.adapt("Die Datei öffnen.", artifact)[0]
    assert source.score(0, right) == 1.0
    assert source.score(1, right) is None
    with pytest.raises(SupernetError, match=r"--data .*: sentence 2 has no translation; give one sentence a line"):
        TRANSLATION.labelled(str(file), "--data", held_out=True)


def test_a_sentence_that_can_not_be_taken_costs_its_own_requests_only(artifact: Artifact, tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("Open the file.\n\u4e2d\n", encoding="utf-8")
    source = TRANSLATION.stored(str(file), 0)
    samples = source.inputs(artifact)
    np.testing.assert_array_equal(samples(2), source.adapt("Open the file.", artifact))
    with pytest.raises(SupernetError, match="has characters that the vocabulary lacks"):
        samples(3)
    # A network that can take none of them is refused at once.
    with pytest.raises(SupernetError, match="random weights, which go with no vocabulary"):
        source.inputs(replace(artifact, parts=()))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a\tb\tc\n", "line 1 has 2 tabs; give one sentence a line"),
        (b"fine\n\tnur deutsch\n", "line 2 has 1 tabs"),
        (b"\n \n", "holds no sentence; give"),
        (b"caf\xe9\n", "is no text in UTF-8 .* at byte 3"),
    ],
)
def test_what_is_no_file_of_sentences_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "lines.txt"
    file.write_bytes(content)
    with pytest.raises(SupernetError, match=f"source '.*lines.txt'.*{said}"):
        TRANSLATION.stored(str(file), 0)


@pytest.mark.parametrize("path", ["missing.txt", ".", "nul\0"])
def test_a_path_that_can_not_be_read_is_refused(path: str) -> None:
    with pytest.raises(SupernetError, match=r"can't be read: .*; give a text file with one sentence a line"):
        TRANSLATION.stored(path, 0)


def test_measured_on_are_all_held_out_pairs_or_a_choice_by_seed(artifact: Artifact) -> None:
    data = TRANSLATION.labelled(None, "--data", held_out=True)
    assert len(data) == 1000
    first, again, other = ([label for _, label in data.samples(artifact, 20, seed)] for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == 20
