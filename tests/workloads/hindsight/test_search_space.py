"""A network that a search leaves out for another is slower than that one wherever both may run."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from helpers.hindsight_mixes import profile, unit
from helpers.shares import with_shares
from workloads.hindsight.search_space import _is_no_worse

MS = st.floats(1.0, 50.0)
SHARES = st.none() | st.floats(0, 1)


@given(st.tuples(MS, MS), st.tuples(SHARES, SHARES), st.floats(0, 1))
@example((10.0, 11.0), (0.0, 1.0), 0.5)
@example((10.0, 40.0), (0.2, 0.5), 0.5)
def test_what_is_no_worse_is_no_slower_at_any_clock(mean_ms, shares, of_unit):
    on = unit(mhz=(200.0, 1000.0, 2000.0), static_w=(1.0,) * 3, dynamic_w=(1.0,) * 3, memory_share=of_unit)
    one, other = with_shares(
        profile(*((name, 0.9, (ms,)) for name, ms in zip("ab", mean_ms, strict=True))), shares
    ).rungs
    if _is_no_worse(one, other, accuracy_counts=True):
        for mhz in on.mhz:
            at_ms = [time.mean_ms / on.pace(mhz, time.memory_share) for time in (one.times[0], other.times[0])]
            assert at_ms[0] <= at_ms[1] * (1 + 1e-9)
    elif None in shares:
        assert mean_ms[0] > mean_ms[1] or shares[0] != shares[1]
