"""Inputs of a user's own model get its layout where that is certain, and are refused everywhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernets import SupernetError
from supernets.pictures.tasks import ClassTask

FIRST, LAST = (1, 3, 48, 64), (1, 48, 64, 3)
"""Shapes of models with their channels first and last."""


def adapted(picture: np.ndarray, input_shape: tuple[int, ...]) -> np.ndarray:
    (only,) = ClassTask().adapt(picture[None], input_shape)
    return only


def picture(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape) % 251


@pytest.mark.parametrize("kind", [np.uint8, np.float64, np.float16, np.int64, np.bool_])
def test_a_frame_of_a_camera_gets_its_channels_first(kind: type) -> None:
    frame = picture(48, 64, 3).astype(kind)
    for given_ in (frame, frame[None]):
        moved = adapted(given_, FIRST)
        assert moved.dtype == np.float32
        assert moved.flags.c_contiguous
        np.testing.assert_array_equal(moved, frame.transpose(2, 0, 1).astype(np.float32))


def test_channels_go_last_where_the_model_has_them_there() -> None:
    planes = picture(3, 48, 64)
    np.testing.assert_array_equal(adapted(planes, LAST), planes.transpose(1, 2, 0))
    np.testing.assert_array_equal(adapted(planes.transpose(1, 2, 0), LAST), planes.transpose(1, 2, 0))


def test_a_square_frame_is_read_as_a_camera_gives_it() -> None:
    frame = picture(64, 64, 3)
    np.testing.assert_array_equal(adapted(frame, (1, 3, 64, 64)), frame.transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 1), (1, 48, 64), (1, 1, 48, 64), (1, 48, 64, 1)])
@pytest.mark.parametrize("model", [(1, 1, 48, 64), (1, 48, 64, 1), (1, 48, 64)])
def test_axes_of_one_may_be_missing_or_too_many(shape: tuple[int, ...], model: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(adapted(picture(*shape), model).ravel(), picture(48 * 64))


@pytest.mark.parametrize(
    "shape",
    [(64, 48, 3), (3, 64, 48), (48, 3, 64), (9216,), (1, 9216), (96, 96), (2, 3, 48, 32), (48, 64, 4), (48, 64), ()],
)
@pytest.mark.parametrize("model", [FIRST, LAST])
def test_as_many_numbers_in_another_order_are_refused(shape: tuple[int, ...], model: tuple[int, ...]) -> None:
    with pytest.raises(SupernetError) as refused:
        adapted(picture(*shape), model)
    assert str(refused.value) == f"an input for this model must have shape {model[1:]}; got {shape}"


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_no_input_is_reordered_but_for_its_channels(given_: list[int], wanted: list[int]) -> None:
    """Whatever is accepted has the numbers in their order, or is one move of an axis of channels."""
    numbers = np.arange(np.prod(given_)).reshape(given_)
    try:
        taken = adapted(numbers, (1, *wanted))
    except SupernetError:
        return
    assert taken.shape == tuple(wanted)
    in_order = np.array_equal(taken.ravel(), numbers.ravel())
    squeezed = numbers.reshape(numbers.shape[1:]) if len(given_) == 4 and given_[0] == 1 else numbers
    moved = squeezed.ndim == 3 and any(
        np.array_equal(taken, np.moveaxis(squeezed, *axes)) for axes in ((2, 0), (0, 2)) if len(wanted) == 3
    )
    assert in_order or moved


@pytest.mark.parametrize("values", [np.array(["a", "b"]), np.array([None, {}]), np.array([1j, 2j])])
def test_what_is_no_number_is_refused(values: np.ndarray) -> None:
    with pytest.raises(SupernetError, match="must be numbers; got"):
        adapted(values, (1, 2))
