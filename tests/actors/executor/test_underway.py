"""An executor is taken for hung once its inference was seen to last past its bound, and never before."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.executor.underway import ANSWER_WALL_S, Hang, Inference, InferenceWatch, Underway

ME, OTHER = 7.0, 8.0


def inference(number: float = 1, holder: float = ME, began_s: float = 0.0, bound_s: float = 2.0) -> Inference:
    return Inference(number=number, holder=holder, began_s=began_s, bound_s=bound_s)


def first_hang(looks: list[tuple[float, Inference | None, bool]]) -> tuple[float, Hang] | None:
    watch = InferenceWatch(int(ME), looks[0][0])
    for at_s, now, stopped in looks:
        if hang := watch.look(now, stopped, at_s):
            return at_s, hang
    return None


def every(step_s: float, now: Inference | None, until_s: float, *, from_s: float = 0.0, stopped: bool = False):
    return [(from_s + step_s * k, now, stopped) for k in range(int((until_s - from_s) / step_s) + 1)]


@pytest.mark.parametrize(("holder", "own"), [(ME, True), (OTHER, False), (0.0, False)])
def test_an_inference_is_overdue_after_its_bound_whosever_it_is(holder: float, own: bool) -> None:
    at_s, hang = first_hang(every(0.1, inference(holder=holder), 10.0))
    assert at_s == pytest.approx(2.0)
    assert (hang.own, hang.bound_s) == (own, 2.0)
    assert ("this request" if own else "another network") in hang.why


def test_who_comes_late_to_a_hung_one_waits_a_second_and_not_its_bound_again() -> None:
    at_s, hang = first_hang(every(0.1, inference(holder=OTHER, bound_s=6.0), 20.0, from_s=10.0))
    assert at_s == pytest.approx(11.1, abs=0.11)
    assert not hang.own


def test_time_in_which_everything_stood_still_does_not_count() -> None:
    looks = [(0.0, inference(), False), (0.1, inference(), False), (9.0, inference(), False), (9.1, None, False)]
    assert first_hang(looks) is None


def test_inferences_that_take_turns_are_no_hang_until_the_answer_is_missed_for_long() -> None:
    busy = [(0.1 * k, inference(number=2 * k + 1, holder=OTHER, began_s=0.1 * k), False) for k in range(310)]
    at_s, hang = first_hang(busy)
    assert at_s == pytest.approx(ANSWER_WALL_S, abs=0.2)
    assert hang.why == "did not answer for 30 s"


def test_a_stopped_process_is_seen_at_once_also_while_a_network_is_prepared() -> None:
    at_s, hang = first_hang(every(0.1, None, 1.0, stopped=True))
    assert at_s == pytest.approx(0.1)
    assert (hang.why, hang.own) == ("was stopped", False)


@given(
    st.lists(st.tuples(st.floats(0.001, 3.0), st.booleans(), st.booleans()), min_size=1, max_size=60),
    st.floats(0.5, 5.0),
)
def test_nothing_is_overdue_before_it_took_its_bound(steps, bound_s) -> None:
    """Steps of time, after each of which another inference may have begun, or none."""
    watch, now_s, number, began_s = InferenceWatch(int(ME), 0.0), 0.0, 1, 0.0
    for step_s, changes, idle in steps:
        now_s += step_s
        if changes:
            number, began_s = number + (1 if idle else 2), now_s
        hang = watch.look(inference(number=number, began_s=began_s, bound_s=bound_s), False, now_s)
        if hang is not None:
            assert hang.why.startswith("did not answer") or (number % 2 and now_s - began_s >= bound_s)
            return


def test_the_record_is_read_in_another_mapping() -> None:
    written = Underway.create()
    read = Underway(written.file)
    assert read.read().number == 0
    with written.running(3, 2.5):
        seen = read.read()
        assert (seen.number % 2, seen.holder, seen.bound_s) == (1, 3, 2.5)
    assert read.read().number % 2 == 0
    os.close(written.file)
