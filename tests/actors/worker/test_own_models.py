"""A worker serves people's own models: frames of cameras go in, all outputs come out, and labels meet the right one."""

from __future__ import annotations

import numpy as np
import pytest

from actors.requests.records import Status
from helpers.own_models import brightest
from helpers.worker_rig import SMALL, Rig
from supernets import own_model
from supernets.outputs import Outputs
from supernets.pictures.tasks import ClassTask
from supernets.task import Called


def blue(index: int) -> tuple[np.ndarray, int]:
    """Return a frame in which blue is brightest, as a camera gives it, and its class."""
    frame = np.zeros((4, 5, 3), np.uint8)
    frame[..., 2] = 255
    return frame, 2


@pytest.fixture
def served(tmp_path):
    """Return what a worker made of one request: the rig, and what `on_result` got."""

    def serve(picture, output: str | None = None):
        artifact = own_model.read("small", brightest(tmp_path / "mine.onnx"), output)
        got = []
        one = Rig(
            tmp_path,
            artifacts={"small": artifact},
            source=Called(ClassTask(), picture),
            on_result=lambda request, result: got.append(result),
            arrivals_s=[0.1],
        )
        one.shift(SMALL)
        one.run_until(0.5)
        try:
            faults = {fault.text: fault.times for fault in one.worker.totals().faults}
            return one, one.statuses(), faults, got
        finally:
            one.worker.stop()

    return serve


def test_on_result_gets_all_outputs_and_the_class_is_compared(served):
    one, statuses, errors, (result,) = served(blue)
    assert (statuses, errors) == ({0: Status.COMPLETED}, {})
    assert isinstance(result, Outputs)
    assert result["class"].tolist() == [2]
    np.testing.assert_allclose(result["scores"], [[0, 0, 255]])
    assert one.ends[0]["credit"] == 1


def test_on_result_gets_the_output_that_is_named(served):
    one, _, errors, (result,) = served(blue, "scores")
    np.testing.assert_allclose(result, [[0, 0, 255]])
    assert (one.ends[0]["credit"], errors) == (1, {})


def test_a_frame_of_another_shape_fails_its_request_with_both_shapes(served):
    _, statuses, errors, got = served(lambda index: (np.zeros((5, 4, 3), np.uint8), 2))
    assert statuses == {0: Status.FAILED}
    assert errors == {"SupernetError: an input for this model must have shape (3, 4, 5); got (5, 4, 3)": 1}
    assert got == []


def test_a_label_that_no_output_can_mean_is_an_error_of_its_own(served):
    _, statuses, errors, got = served(lambda index: (blue(index)[0], "blue"))
    assert (statuses, len(got)) == ({0: Status.COMPLETED}, 1)
    ((text, count),) = errors.items()
    assert count == 1
    assert "label 'blue' can't be compared with the class 2" in text
