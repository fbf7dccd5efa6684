"""Rings of applications that wait for each other: one of each has to move first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def ring_breakers(blocked: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield one application, the first, of each ring of applications that wait for each other.

    `{"a": {"b"}, "b": {"a"}, "c": {"a"}}` yields `a` alone: `c` is in no ring and waits until `a` has moved.
    `{"a": {"b", "c"}, "b": {"a"}}` yields nothing: the ring also waits for `c`, which can still move.

    Args:
        blocked: by application that has to wait, those that it waits for.
    """
    broken: set[str] = set()
    for name in blocked:
        # All that it waits for, directly or through others.
        reach: set[str] = set()
        ahead = set(blocked[name])
        while ahead:
            other = ahead.pop()
            if other not in reach:
                reach.add(other)
                ahead |= blocked.get(other, set())
        # A ring waits for itself. One that also waits for an application outside the ring is left alone: that one can
        # still move, or must not be disturbed. One application for each ring is enough to set all of the ring going.
        if name in reach and reach <= set(blocked) and not reach & broken:
            broken.add(name)
            yield name
