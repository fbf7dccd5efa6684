"""The translator by name: its ladder, weights that bring a vocabulary, and export."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import supernets
from helpers.tiny_seq2seq import SMALL, elastic, sentences
from supernets import SupernetError, engines
from supernets.seq2seq import vocabulary
from supernets.seq2seq.decoding import greedy
from supernets.seq2seq.elastic import ElasticSeq2Seq
from supernets.seq2seq.packing import write
from supernets.seq2seq.space import TRANSLATOR
from supernets.seq2seq.supernet import Translator
from supernets.seq2seq.vocabulary import END

WORDS = b"stands for a vocabulary"


def small(file: Path | None, ladder: Path | None = None) -> Translator:
    return Translator(SMALL, file, "given", ladder)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    write(path, SMALL.name, elastic(SMALL).state_dict(), WORDS)
    return path


def test_its_ladder_has_six_to_eight_rungs_each_costlier_than_the_one_below() -> None:
    net = Translator(TRANSLATOR, None, "given", None)
    macs = [rung.macs_m for rung in net.ladder()]
    assert 6 <= len(macs) <= 8
    assert all(above > 1.15 * below for below, above in itertools.pairwise(macs))
    assert net.ladder()[0].knobs == TRANSLATOR.smallest
    assert net.ladder()[-1].knobs == TRANSLATOR.largest
    assert {(rung.accuracy, rung.resolution) for rung in net.ladder()} == {(None, None)}
    assert net.rung(net.ladder()[2].id) == net.ladder()[2]


def test_reading_its_ladder_and_running_an_exported_rung_need_no_torch(tmp_path: Path) -> None:
    net = small(None)
    supernets.export(net, net.ladder()[0], tmp_path)
    code = f"""
import sys, supernets
import numpy as np
from pathlib import Path
from dataclasses import replace
from supernets.seq2seq.space import TRANSLATOR
from supernets.seq2seq.supernet import Translator
assert supernets.load("translator-en-de").ladder()
net = Translator({SMALL!r}, None, "given", None)
artifact = supernets.export(net, net.ladder()[0], Path({str(tmp_path)!r}))
print(len(supernets.engines.prepare(artifact)(np.array([[5, 6, 3]]))), "torch" in sys.modules)
""".replace("Space(", "type(TRANSLATOR)(")
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    made, torch_too = done.stdout.split()
    assert int(made) > 0
    assert torch_too == "False"


def test_an_exported_rung_translates_as_the_weights_in_the_file_do(file: Path, tmp_path: Path) -> None:
    net = small(file)
    artifact = supernets.export(net, net.ladder()[-1], tmp_path / "exported")
    assert artifact.input_shape == net.input_shape(net.ladder()[-1]) == (1, SMALL.longest)
    assert Path(artifact.part("vocabulary")).read_bytes() == WORDS
    assert artifact.weights_hash == net.weights_hash
    source = sentences(SMALL, (15,), 1)
    module = net.module(net.ladder()[-1])
    decoded = greedy(module, source)[0]
    made = engines.prepare(artifact)(source.numpy()).tolist()
    assert [word for word in made if word != END] == decoded.words
    shared = elastic(SMALL).encoder[0].ffn.inner.weight.half().float()
    torch.testing.assert_close(module.encoder[0].ffn["inner"].weight, shared, rtol=0, atol=0)


def test_files_are_made_once_and_other_weights_are_other_files(file: Path, tmp_path: Path) -> None:
    rung = small(None).ladder()[0]
    first, again = (supernets.export(small(None), rung, tmp_path) for _ in range(2))
    times = [Path(path).stat().st_mtime_ns for path in first.files]
    assert again == first
    assert [Path(path).stat().st_mtime_ns for path in again.files] == times
    Path(first.files[1]).unlink()
    supernets.export(small(None), rung, tmp_path)
    assert Path(first.files[1]).exists()
    assert set(supernets.export(small(file), rung, tmp_path).files).isdisjoint(first.files)
    assert dict(first.parts).keys() == {"step"}  # random weights go with no vocabulary


def test_random_weights_are_the_same_each_time_and_say_what_they_are() -> None:
    one, two = small(None), small(None)
    assert one.weights_hash == two.weights_hash
    assert all(torch.equal(one.state[name], two.state[name]) for name in one.state)
    assert "random weights" in str(one.notice)


def test_a_file_may_bring_a_ladder_with_accuracies(tmp_path: Path) -> None:
    rungs = [replace(rung, accuracy=0.5, accuracy_source="measured") for rung in small(None).ladder()[::3]]
    odd = small(None).subnet(SMALL.random(np.random.default_rng(1)))
    path = tmp_path / "small.safetensors"
    write(path, SMALL.name, elastic(SMALL).state_dict(), WORDS, [*rungs, odd])
    assert small(path).ladder() == (*rungs, odd)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, file: Path) -> None:
    larger = tmp_path / "larger.safetensors"
    write(larger, SMALL.name, ElasticSeq2Seq(replace(SMALL, vocabulary=70)).state_dict(), WORDS)
    with pytest.raises(SupernetError, match=r"'embedding' of shape \(70, 16\), but .* has \(60, 16\)"):
        _ = small(larger).state
    with pytest.raises(SupernetError, match="no such file"):
        supernets.load("translator-en-de", tmp_path / "missing.safetensors")
    outside = replace(SMALL.largest, decoder_layers=7)
    with pytest.raises(SupernetError, match="decoder_layers 7 is not in the space"):
        small(file).subnet(outside)


def test_weights_without_a_vocabulary_are_refused_when_they_are_exported(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save_file(elastic(SMALL).state_dict(), path)
    net = small(path)
    with pytest.raises(SupernetError, match=r"bring no vocabulary .*give a file that .*packing"):
        supernets.export(net, net.ladder()[0], tmp_path / "exported")


def test_a_vocabulary_is_read_as_it_was_written(file: Path) -> None:
    assert vocabulary.of_weights(file) == WORDS
