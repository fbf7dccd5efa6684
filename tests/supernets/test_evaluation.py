"""Accuracy is a mean of credits, whatever the task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from helpers.words import WordTask
from supernets.artifact import Artifact
from supernets.errors import SupernetError
from supernets.evaluation import AccuracyScore, LabelledData, accuracy, batched, one_by_one
from supernets.pictures.evaluation import PlateData
from supernets.pictures.inputs import IMAGENET
from supernets.pictures.tasks import ClassTask, PlateTask
from supernets.task import CorpusFigure

NETWORK = Artifact(subnet="a", path="a.onnx", input_shape=(1, 2), weights_hash="a")


class Dictionary:
    """Words with answers of as many letters as their labels."""

    task: WordTask = WordTask()
    directory: Path | None = None
    notice = ""
    pairs = (("oak", "aaa"), ("tree", "aa"), ("sycamores", "aaaaaaaa"))

    def __len__(self) -> int:
        return len(self.pairs)

    def samples(self, artifact: Artifact, limit: int | None = None, seed: int = 0) -> Iterator[tuple[object, object]]:
        for word, label in self.pairs[:limit]:
            yield self.task.sample(word, artifact), label


def echoed(sample: np.ndarray) -> np.ndarray:
    """A network that answers with as many letters as the word has."""
    return sample.reshape(-1)[:1]


def test_accuracy_is_the_mean_credit_and_cut_answers_are_counted() -> None:
    done: list[int] = []
    data: LabelledData = Dictionary()
    score = accuracy(echoed, data, NETWORK, on_answer=done.append)
    assert score == AccuracyScore(credits=(1.0, 0.5, 1.0), top5=None, capped=1)
    assert (score.n, score.right, score.accuracy) == (3, 2, pytest.approx(2.5 / 3))
    assert done == [1, 2, 3]
    assert accuracy(echoed, data, NETWORK, limit=2).credits == (1.0, 0.5)


class WordsOverAll(WordTask):
    """A task with a figure over all answers: the share of distinct ones."""

    def over_all(self, answers: Sequence[tuple[np.ndarray, object]]) -> tuple[CorpusFigure]:
        said = [self.payload(output) for output, _ in answers]
        assert [label for _, label in answers] == [label for _, label in Dictionary.pairs]
        return (CorpusFigure(name="distinct", value=len({*said}) / len(said), signature="v1"),)


def test_figures_over_all_answers_are_asked_for_once_where_a_task_has_some() -> None:
    data = Dictionary()
    assert accuracy(echoed, data, NETWORK).figures == ()
    data.task = WordsOverAll()
    assert accuracy(echoed, data, NETWORK).figures == (CorpusFigure(name="distinct", value=1.0, signature="v1"),)


def test_data_in_no_batches_calibrate_no_network() -> None:
    plates = PlateData()
    assert batched(plates, "--calibrate") is plates
    with pytest.raises(SupernetError, match=r"--calibrate has no use with .* leave it out"):
        batched(Dictionary(), "--calibrate")


def test_each_input_of_a_batch_comes_alone_with_its_label() -> None:
    batches = [(np.arange(6, dtype=np.float32).reshape(3, 2), "abc"), (np.ones((1, 2), dtype=np.float32), "d")]
    found = list(one_by_one(iter(batches)))
    assert [label for _, label in found] == list("abcd")
    assert [x.tolist() for x, _ in found] == [[[0, 1]], [[2, 3]], [[4, 5]], [[1, 1]]]


@pytest.mark.parametrize("payload", [[1, 2], (1, 2), np.array([1, 2]), [[1, 2]]])
def test_a_task_takes_lists_and_arrays_alike(payload: object) -> None:
    np.testing.assert_array_equal(ClassTask().sample(payload, NETWORK), [[1, 2]])


@pytest.mark.parametrize("payload", ["AB12", None, [[1], [1, 2]], {"a": 1}, [1, "b"]])
def test_a_payload_that_is_no_array_of_numbers_is_refused(payload: object) -> None:
    for task in (ClassTask(), PlateTask(), IMAGENET.task):
        with pytest.raises(SupernetError, match="must be"):
            task.sample(payload, NETWORK)


def test_pictures_are_one_piece_of_work_and_their_outputs_stay() -> None:
    task, output = ClassTask(), np.array([[0.1, 0.9]], dtype=np.float32)
    assert (task.size(output), task.work(output), task.capped(output)) == (1.0, 1.0, False)
    assert task.payload(output) is output
    assert (task.credit(output, 1), task.credit(output, 0)) == (1.0, 0.0)
