"""The rule that decides who gets cores keeps its promises for all small queues."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from actors.requests.turns import mask_of, next_turn, urgency


class Waiter(NamedTuple):
    slot: int
    deadline_s: float
    mask: int


WAITERS = st.lists(
    st.builds(Waiter, st.integers(0, 9), st.sampled_from([1.0, 2.0, 3.0]), st.integers(1, 15)),
    max_size=5,
    unique_by=lambda waiter: waiter.slot,
).map(lambda waiters: sorted(waiters, key=urgency))


def test_a_free_core_is_kept_for_the_more_urgent_request_that_also_waits_for_a_held_one():
    pair, behind = Waiter(0, 1.0, 0b11), Waiter(1, 2.0, 0b10)
    assert next_turn([pair, behind], held=0b01) is None
    assert next_turn([behind], held=0b01) is behind
    assert next_turn([pair, behind], held=0) is pair


def test_equal_deadlines_go_by_slot():
    assert sorted([Waiter(2, 1.0, 1), Waiter(1, 1.0, 1), Waiter(0, 2.0, 1)], key=urgency) == [
        (1, 1.0, 1),
        (2, 1.0, 1),
        (0, 2.0, 1),
    ]


@given(WAITERS, st.integers(0, 15))
def test_the_next_is_the_first_whose_cores_nobody_holds_and_nobody_before_it_wants(waiting, held):
    can = [
        request
        for place, request in enumerate(waiting)
        if not request.mask & held and not any(request.mask & other.mask for other in waiting[:place])
    ]
    assert next_turn(waiting, held) == (can[0] if can else None)


def test_a_mask_has_a_bit_for_each_core():
    assert mask_of((0, 2)) == mask_of([2, 0, 2]) == 0b101
    assert mask_of(()) == 0
