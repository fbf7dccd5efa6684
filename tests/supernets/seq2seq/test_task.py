"""Texts become sub-words and back, what is no sentence is refused with the reason, and chrF is sacrebleu's."""

from __future__ import annotations

import itertools
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from supernets.artifact import Artifact
from supernets.errors import SupernetError
from supernets.seq2seq import corpus, vocabulary
from supernets.seq2seq.chrf import chrf
from supernets.seq2seq.inputs import Sentences
from supernets.seq2seq.lengths import cap
from supernets.seq2seq.task import Translation
from supernets.seq2seq.vocabulary import END

PAIRS = corpus.read(corpus.REPORTED)[:200]
SACREBLEU = CHRF()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    file = tmp_path_factory.mktemp("words") / "vocabulary.model"
    vocabulary.train(PAIRS, file, size=300)
    parts = (("step", "none"), ("vocabulary", str(file)))
    return Artifact(subnet="net", path="none", input_shape=(1, 128), weights_hash="", parts=parts)


def output(artifact: Artifact, text: str) -> np.ndarray:
    return Translation().sample(text, artifact)[0]


def test_a_sentence_becomes_sub_words_and_they_become_the_sentence(artifact: Artifact) -> None:
    task = Translation()
    for pair in PAIRS[:20]:
        sample = task.sample(f"  {pair.german}\n", artifact)
        assert sample.shape == (1, len(sample[0]))
        assert sample[0, -1] == END
        assert task.payload(sample[0]) == pair.german
        assert task.work(sample[0]) == sample.shape[1]
        assert not task.capped(sample[0])
        assert task.capped(sample[0, :-1])


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (7, "a sentence must be a text, not 7"),
        (b"Open the file.", r"a sentence must be a text, not b'Open"),
        (np.zeros(3), "a sentence must be a text, not "),
        (None, "a sentence must be a text, not None"),
        ("", "the sentence '' is empty"),
        (" \n\t ", "is empty"),
        ("Open 文件 \U0001f600 now.", "characters that the vocabulary lacks: '文', '件', '\U0001f600'; leave them out"),
        ("十百千万億兆", "lacks: '十', '百', '千', '万', '億' and others"),
        ("Open \ud800.", "is no text in Unicode"),
        ("Open the file " * 60, r"has \d+ sub-words, its end included, and net takes 128 at the most"),
    ],
)
def test_what_is_no_sentence_is_refused_with_the_reason(artifact: Artifact, payload: object, said: str) -> None:
    with pytest.raises(SupernetError, match=said) as caught:
        Translation().sample(payload, artifact)
    assert len(str(caught.value)) < 300


def test_the_longest_sentence_is_taken(artifact: Artifact) -> None:
    text = PAIRS[0].english
    length = Translation().sample(text, artifact).shape[1]
    assert Translation().sample(text, replace(artifact, input_shape=(1, length))).shape[1] == length
    with pytest.raises(SupernetError, match=f"takes {length - 1} at the most"):
        Translation().sample(text, replace(artifact, input_shape=(1, length - 1)))


def test_random_weights_take_no_text(artifact: Artifact) -> None:
    with pytest.raises(SupernetError, match="random weights, which go with no vocabulary"):
        Translation().sample("Open the file.", replace(artifact, parts=(("step", "none"),)))


def test_sizes_grow_with_the_sentence_and_are_what_the_held_out_translations_have_on_average() -> None:
    task = Translation()
    sizes = [task.size(np.zeros((1, length))) for length in range(1, 129)]
    assert sizes == sorted(sizes)
    assert all(1 <= size <= cap(length) for length, size in enumerate(sizes, 1))


def test_credits_are_those_of_the_translation_and_labels_must_be_texts(artifact: Artifact) -> None:
    task = Translation()
    text = output(artifact, PAIRS[0].german)
    task.sample(PAIRS[0].english, artifact)
    assert task.credit(text, PAIRS[0].german) == 1.0
    assert task.credit(output(artifact, "x"), PAIRS[0].german) < 0.1
    with pytest.raises(SupernetError, match="a label must be a right translation, a text, not 3"):
        task.credit(text, 3)


def test_the_figure_over_all_translations_is_sacrebleus(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Translation()
    said = [pair.german if number % 2 else PAIRS[0].german for number, pair in enumerate(PAIRS)]
    answers = [(task.sample(text, artifact)[0], pair.german) for text, pair in zip(said, PAIRS, strict=True)]
    (figure,) = task.over_all(answers)
    metric = BLEU()
    assert figure.value == pytest.approx(metric.corpus_score(said, [[pair.german for pair in PAIRS]]).score, abs=1e-4)
    assert 0 < figure.value < 100
    assert (figure.signature, figure.why_unknown) == (str(metric.get_signature()), "")
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)  # as where it is not installed
    (figure,) = task.over_all(answers)
    assert (figure.value, figure.signature) == (None, None)
    assert "pip install 'gearshift[bleu]'" in figure.why_unknown


def test_a_source_takes_sentences_in_turn_and_goes_to_another_process(artifact: Artifact) -> None:
    source: Sentences = pickle.loads(pickle.dumps(Sentences(PAIRS[:3])))
    inputs = source.inputs(artifact)
    np.testing.assert_array_equal(inputs(1), inputs(4))
    np.testing.assert_array_equal(inputs(1), source.adapt(PAIRS[1].english, artifact))
    assert source.score(4, output(artifact, PAIRS[1].german)) == 1.0
    moved = pickle.loads(pickle.dumps(source))  # also after its first sentence
    assert moved.score(0, output(artifact, PAIRS[0].german)) == 1.0


TEXTS = st.text(st.sampled_from("ab cäß."), max_size=30)


@given(TEXTS, TEXTS)
def test_chrf_is_sacrebleus(text: str, right: str) -> None:
    expected = SACREBLEU.sentence_score(text, [right]).score / 100
    assert chrf(text, right) == pytest.approx(expected, abs=1e-9)


def test_chrf_is_sacrebleus_on_real_sentences() -> None:
    for one, other in itertools.pairwise(PAIRS):
        expected = SACREBLEU.sentence_score(one.german, [other.german]).score / 100
        assert chrf(one.german, other.german) == pytest.approx(expected, abs=1e-9)
    assert chrf(PAIRS[0].german, PAIRS[0].german) == 1.0


def test_a_vocabulary_that_is_gone_is_named(artifact: Artifact, tmp_path: Path) -> None:
    gone = tmp_path / "gone.vocabulary"
    with pytest.raises(SupernetError, match=r"gone\.vocabulary' can't be read"):
        Translation().sample("Open.", replace(artifact, parts=(("vocabulary", str(gone)),)))
