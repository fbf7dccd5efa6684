"""An output means the class that its model says, and one that says none is never compared with a label."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernets import SupernetError
from supernets.outputs import Outputs, means

SCORES = np.array([[0.1, 0.7, 0.2]], np.float32)


def test_several_outputs_are_found_by_name_and_by_place() -> None:
    outputs = Outputs(("class", "dense/Softmax:0"), (np.array([1]), SCORES))
    assert outputs["dense/Softmax:0"] is outputs[1] is outputs[-1] is SCORES
    one, other = outputs
    assert (one, other) == outputs[:2]
    with pytest.raises(KeyError, match="no output 'scores', only class, dense/Softmax:0"):
        outputs["scores"]


def test_several_outputs_can_be_sent() -> None:
    copy = pickle.loads(pickle.dumps(Outputs(("a", "b"), (1, 2))))
    assert (tuple(copy), copy.names, copy["b"]) == ((1, 2), ("a", "b"), 2)


@given(st.integers(2, 20), st.data())
def test_the_largest_score_is_the_class_whatever_the_axes_of_one(classes: int, data: st.DataObject) -> None:
    label = data.draw(st.integers(0, classes - 1))
    scores = np.zeros(classes, data.draw(st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint8])))
    scores[label] = 1
    for shape in ((classes,), (1, classes), (1, classes, 1, 1)):
        assert [means(scores.reshape(shape), other) for other in range(classes)].index(True) == label


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_whole_number_is_the_class_itself(kind: type, shape: tuple[int, ...]) -> None:
    output = np.full(shape, 1, kind)
    assert means(output, 1)
    assert means(output, np.int64(1))
    assert not means(output, 0)


@pytest.mark.parametrize("text", [np.array(["cat"]), np.array(["cat"], object), np.array([b"cat"])])
def test_a_text_is_the_name_of_the_class(text: np.ndarray) -> None:
    assert means(text, "cat")
    assert not means(text, "dog")
    with pytest.raises(SupernetError, match="label 3 can't be compared with the class 'cat'"):
        means(text, 3)


def test_of_several_outputs_the_class_counts_and_else_the_scores() -> None:
    boxes = np.zeros((2, 4), np.float32)
    assert means(Outputs(("scores", "class"), (SCORES, np.array([2]))), 2)
    assert means(Outputs(("boxes", "scores"), (boxes, SCORES)), 1)
    assert means(Outputs(("label", "probabilities"), (np.array([2]), [{0: 0.1}])), 2)


@pytest.mark.parametrize(
    "values",
    [
        (SCORES, SCORES),
        (np.array([1]), np.array([2])),
        (np.zeros((0, 4), np.float32), np.zeros((2, 6), np.float32)),
        ([{0: 0.1}], np.zeros((2, 2))),
    ],
)
def test_several_outputs_of_which_none_stands_out_are_refused(values: tuple[object, object]) -> None:
    with pytest.raises(SupernetError, match=r"none of the outputs a, b .* Family\(\[\.\.\.\], output='a'\)"):
        means(Outputs(("a", "b"), values), 1)


@pytest.mark.parametrize(
    "output",
    [
        np.zeros((0,), np.float32),
        np.zeros((2, 0), np.float32),
        np.array([[0.7]], np.float32),
        np.float32(0.7).reshape(()),
        np.array([[207, 5, 3]]),
        np.zeros((1, 3, 4, 4), np.float32),
    ],
)
def test_an_output_that_is_no_class_is_refused(output: np.ndarray) -> None:
    with pytest.raises(SupernetError, match="means no class"):
        means(output, 0)


@pytest.mark.parametrize("label", [3, -1, 1000, "cat"])
def test_a_label_that_no_score_has_is_refused(label: object) -> None:
    with pytest.raises(SupernetError, match="is none of the output, which has 3 scores: 0 to 2"):
        means(SCORES, label)


@pytest.mark.parametrize("label", [0.5, True, [0, 1, 0], np.array([0, 1, 0])])
def test_a_label_that_is_no_class_is_refused(label: object) -> None:
    with pytest.raises(SupernetError, match="a label must be the number of a class"):
        means(SCORES, label)
