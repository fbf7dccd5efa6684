"""`gearshift accuracy` of networks that make texts: figures over all answers, and nothing that pictures alone have."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import supernets
from helpers.command_line import Ended, assert_refused, gearshift
from helpers.tiny_seq2seq import TALKER, talker, talker_weights
from supernets import catalog


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talker_weights(tmp_path_factory.mktemp("talker"))


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(catalog.BUILT_IN, TALKER.name, talker())
    monkeypatch.chdir(tmp_path)
    Path("lines.txt").write_text("Open the file.\tDatei öffnen.\nClose it.\tSchließen.\n", encoding="utf-8")


def accuracy(weights: Path, *options: object, name: str = TALKER.name) -> Ended:
    ends = [option for rung in supernets.load(TALKER.name).ladder()[:2] for option in ("--subnet", rung.id)]
    return gearshift("accuracy", name, "--weights", f"{TALKER.name}={weights}", "--data", "lines.txt", *ends, *options)


def test_each_rung_has_its_figure_and_how_it_was_counted(weights: Path) -> None:
    data = json.loads(accuracy(weights, "--json").out)
    for rung in data["rungs"]:
        (figure,) = rung["figures"]
        assert figure["name"] == "corpus BLEU"
        assert 0 <= figure["value"] < 100
        assert figure["signature"].startswith("nrefs:1|case:mixed|")
        assert (rung["n"], rung["top5"], rung["resolution"], rung["statistics"]) == (2, None, None, None)


def test_the_table_has_no_columns_of_pictures_and_names_the_signature(weights: Path) -> None:
    ended = accuracy(weights)
    heads = ended.out.splitlines()[1] + ended.out.splitlines()[2]
    assert "corpus BLEU" in heads
    assert "mean sentence chrF" in heads
    for other in (" px ", "top-5", "statistics"):
        assert other not in heads
    assert ended.out.count("corpus BLEU: nrefs:1|case:mixed|") == 1


def test_without_sacrebleu_one_line_says_so_and_the_rest_is_there(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    out = accuracy(weights).out
    assert out.count("needs sacrebleu; install it with: pip install 'gearshift[bleu]'") == 1
    assert out.count("unknown") == 4  # the figure, and the accuracy on the ladder, of both rungs


def test_a_ladder_that_was_written_has_its_accuracies(weights: Path) -> None:
    first = json.loads(accuracy(weights, "--write", "mine.safetensors", "--json").out)["rungs"]
    again = json.loads(accuracy(weights, "--json", name=f"{TALKER.name}:mine.safetensors").out)["rungs"]
    assert [rung["before"]["value"] for rung in again] == [round(rung["accuracy"], 4) for rung in first]


def test_another_precision_and_calibration_are_refused(weights: Path) -> None:
    assert_refused(accuracy(weights, "--precision", "bfloat16"), "--precision 'bfloat16'", "compute in float32")
    assert_refused(accuracy(weights, "--calibrate", "lines.txt"), "--calibrate has no use with lines.txt")
