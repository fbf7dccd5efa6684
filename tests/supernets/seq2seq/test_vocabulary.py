"""Sub-words: what comes out is what went in, and what the vocabulary lacks is told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from supernets.errors import SupernetError
from supernets.seq2seq import batches, corpus, vocabulary


def test_texts_come_back_and_the_special_numbers_are_as_told(tmp_path: Path) -> None:
    pairs = corpus.read(corpus.REPORTED)[:300]
    vocabulary.train(pairs, tmp_path / "v.model", 400)
    words = vocabulary.load(tmp_path / "v.model")
    assert words.vocab_size() == 400
    assert [words.pad_id(), words.unk_id(), words.bos_id(), words.eos_id()] == [0, 1, 2, 3]
    known = [pair.german for pair in pairs if vocabulary.UNKNOWN not in words.encode(pair.german)]
    assert len(known) > 280
    assert any("…" in text for text in known)
    for text in known:
        assert words.decode(batches.encode(words, text)[:-1]) == text
    assert vocabulary.UNKNOWN in words.encode("\u4e16 bell")


def test_a_pair_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    pairs = corpus.read(corpus.REPORTED)[:300]
    vocabulary.train(pairs, tmp_path / "v.model", 400)
    words = vocabulary.load(tmp_path / "v.model")
    coded = batches.encode_pairs(words, pairs, 40)
    assert 0 < len(coded) < 300
    assert max(max(len(source), len(target)) for source, target in coded) <= 40


def test_a_file_that_is_no_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.model").write_bytes(b"no model")
    for name in ("bad.model", "missing.model"):
        with pytest.raises(SupernetError, match=r"vocabulary .* can't be read"):
            vocabulary.load(tmp_path / name)
