"""A request's draw is the same, however it is asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.requests.draws import Draws


@given(seed=st.integers(0, 2**40), app=st.text(max_size=5), count=st.integers(0, 200))
def test_many_at_once_are_those_one_by_one(seed, app, count):
    draws = Draws(seed, app)
    assert draws.shares(count) == [draws.share(index) for index in range(count)]
    assert all(0 <= share < 1 for share in draws.shares(count))
