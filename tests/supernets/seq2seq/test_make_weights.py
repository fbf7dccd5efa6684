"""The translator's weights are made step by step; what was stopped goes on, and the file is new only at the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import supernets
from helpers.tiny_seq2seq import TALKER
from supernets import catalog, weights_file
from supernets.built_in import BuiltIn
from supernets.seq2seq import corpus, inputs, make_weights, packing, train, vocabulary
from supernets.seq2seq.rungs import ladder
from supernets.seq2seq.space import TRANSLATOR
from supernets.seq2seq.supernet import Translator
from supernets.seq2seq.training import Cooling, Progress, Recipe, Trainer

SMALL = replace(TALKER, name=TRANSLATOR.name)
PAIRS = inputs.reported()
REAL_TRAIN = train.main


class Pieces:
    """A corpus and a training that need no network and no time; of the training, each call makes so many updates."""

    def __init__(self, directory: Path, updates_each: int) -> None:
        self.directory, self.updates_each = directory, updates_each
        self.done: list[str] = []

    def corpus(self, arguments: Sequence[str]) -> None:
        assert arguments == ["--dir", str(self.directory)]
        self.done.append("corpus")
        self.directory.mkdir()
        corpus.write(self.directory / corpus.TRAINING, PAIRS)
        vocabulary.train(PAIRS, self.directory / vocabulary.FILE, SMALL.vocabulary)
        (self.directory / corpus.ABOUT).write_text('{"packages": {"help": "1.2"}}')

    def train(self, arguments: Sequence[str]) -> None:
        what, count = arguments[-2:]
        self.done.append(what)
        checkpoint, cooled = self.directory / train.CHECKPOINT, self.directory / train.COOLED
        trainer = Trainer(SMALL, Recipe())
        start = cooled if what == "--cool-down" and cooled.exists() else checkpoint
        if start.exists():
            trainer.load(start)
        if what == "--cool-down" and start == checkpoint:
            trainer.progress.cooling = Cooling(trainer.progress.update, int(count))
        trainer.progress.update += self.updates_each
        trainer.progress.words += 100
        trainer.save(cooled if what == "--cool-down" else checkpoint)


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pieces:
    def opened(weights: Path | None, source: str, ladder_file: Path | None, named_ladder: str | None) -> Translator:
        return Translator(SMALL, weights, source, ladder_file)

    pieces, few = Pieces(tmp_path / "work", updates_each=2), sorted(PAIRS, key=lambda pair: len(pair.english))[:3]
    monkeypatch.setattr(corpus, "main", pieces.corpus)
    monkeypatch.setattr(train, "main", pieces.train)
    monkeypatch.setattr(inputs, "reported", lambda: few)
    monkeypatch.setitem(catalog.BUILT_IN, SMALL.name, BuiltIn(name=SMALL.name, task="translation", open=opened))
    return pieces


def test_each_step_is_done_once_and_what_was_stopped_goes_on(pieces: Pieces, tmp_path: Path) -> None:
    out = tmp_path / "made.safetensors"
    out.write_bytes(b"the weights of before")

    def make() -> None:
        make_weights.main(["--dir", str(pieces.directory), "--updates", "3", "--cool-down", "3", "--out", str(out)])

    for expected in (["corpus", "--updates"], ["--updates", "--cool-down"]):
        pieces.done.clear()
        with pytest.raises(SystemExit, match="the training was stopped; run the same command to go on"):
            make()
        assert pieces.done == expected
        assert out.read_bytes() == b"the weights of before"
    pieces.done.clear()
    make()
    assert pieces.done == ["--cool-down"]  # no update of the first part more
    pieces.done.clear()
    make()
    assert pieces.done == []
    made = supernets.load(SMALL.name, out)
    assert [rung.id for rung in made.ladder()] == list(ladder(SMALL))
    assert {rung.accuracy_source for rung in made.ladder()} == {"measured"}
    about = weights_file.read_metadata(out)
    progress = json.loads(about["training"])
    assert (progress["update"], progress["words"], progress["cooling"]) == (8, 400, {"first": 4, "updates": 3})
    learned = json.loads(about["corpus"])
    assert learned["packages"] == {"help": "1.2"}
    assert learned["sha256"][corpus.TRAINING] == weights_file.file_hash([pieces.directory / corpus.TRAINING])
    assert about["recipe"] == repr(Recipe())


def test_a_training_without_an_end_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.main([])
    assert "give --seconds or --updates" in capsys.readouterr().err


def test_a_training_can_go_on_where_that_of_a_weights_file_ended(
    pieces: Pieces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train, "TRANSLATOR", SMALL)
    pieces.corpus(["--dir", str(pieces.directory)])
    trainer = Trainer(SMALL, Recipe())
    trainer.progress.update, trainer.progress.cooling = 7, Cooling(first=5, updates=2)
    trainer.save(pieces.directory / train.COOLED)
    weights = tmp_path / "made.safetensors"
    packing.write_training(weights, pieces.directory, train.COOLED)
    train._begin_with(weights, pieces.directory)
    begun = Trainer(SMALL, Recipe())
    begun.load(pieces.directory / train.CHECKPOINT)
    assert begun.progress == Progress(update=7, begun=7)
    for name, tensor in trainer.average.state_dict().items():
        assert torch.equal(begun.net.state_dict()[name], tensor.half().float())

    def refusal(arguments: Sequence[str]) -> str:
        with pytest.raises(SystemExit, match="2"):
            REAL_TRAIN([*arguments, "--updates", "9"])
        return capsys.readouterr().err

    in_directory = ["--dir", str(pieces.directory), "--from-weights"]
    assert "checkpoint.pt exists; to begin with a weights file, give" in refusal([*in_directory, str(weights)])
    (pieces.directory / train.CHECKPOINT).unlink()
    vocabulary.train(PAIRS[:500], pieces.directory / vocabulary.FILE, SMALL.vocabulary)
    assert "has other sub-words than" in refusal([*in_directory, str(weights)])
    assert "no such file" in refusal([*in_directory, str(tmp_path / "none.safetensors")])
    packing.write(weights, SMALL.name, trainer.average.state_dict(), b"no vocabulary")
    assert "does not say how far its training was" in refusal([*in_directory, str(weights)])
